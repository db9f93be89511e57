"""Desks and jobs on them, drawn at random: who and what there is, and what is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from string import Formatter
from typing import Any

from envs.tools.files.jobs import HOURS, JOBS
from envs.tools.files.world import APPS, READS, TOOLS, WRITES, State

__all__ = ["draw"]

_PEOPLE = (
    "Ana",
    "Ben",
    "Cleo",
    "Dan",
    "Eva",
    "Finn",
    "Gus",
    "Hana",
    "Ivo",
    "Jana",
    "Kim",
    "Leo",
    "Mia",
    "Noor",
    "Omar",
    "Pia",
)
_STEMS = (
    "bill",
    "menu",
    "plan",
    "tax",
    "trip",
    "rent",
    "shop",
    "team",
    "list",
    "memo",
    "draft",
    "quiz",
    "poem",
    "map",
    "log",
    "code",
)
_EVENTS = (
    "dentist",
    "lunch",
    "gym",
    "review",
    "yoga",
    "haircut",
    "demo",
    "concert",
    "chess",
    "swim",
    "choir",
    "tour",
)
_HEADINGS = (
    "garden",
    "car",
    "paint",
    "music",
    "books",
    "bread",
    "tools",
    "wine",
    "shoes",
    "lamp",
    "sofa",
    "bike",
)
_FOLDERS = ("old", "work", "trips", "papers")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")

_ONE = ("delete_total", "archive_from", "cancel_title")
_TWO = ("send_total", "add_asked", "save_code", "write_hour", "tell_hour")
_HARD = ("move_closed", "if_closed", "first_free")
_NEW_ONE = ("remove_phone", "remove_pin")
_NEW_TWO = ("send_phone", "note_total", "note_hour", "contact_code", "save_pin")
_DIRECT = ("delete_total", "archive_from", "cancel_title", "remove_phone", "remove_pin")

# By level, from which kinds one job each is drawn.
_SEEN = ((), (_ONE,), (_TWO,), (_ONE + _HARD, _TWO), (_HARD, _TWO, _TWO + _ONE))
_UNSEEN = (
    (),
    (_NEW_ONE,),
    (_TWO, _NEW_TWO),
    (_NEW_TWO, _NEW_TWO, _ONE),
    (_HARD, _NEW_TWO, _NEW_TWO),
)


def draw(rng: Random, level: int, *, unseen: bool) -> dict[str, Any]:
    """A case of a level, of apps and jobs that are seen in training or joined as they never are."""
    if level == 0:
        kinds = list(_DIRECT if unseen else rng.sample(_ONE, 2))
        if unseen:
            kinds.remove(rng.choice(kinds))
        apps = {app for kind in kinds for app in JOBS[kind].apps}
        asked = [rng.choice(kinds)]
        direct = {JOBS[kind].apps[0]: kind for kind in kinds}
        offered = [_ENDING[direct[app]] for app in APPS if app in direct]
    else:
        asked = _asked(
            rng, (_UNSEEN if unseen else _SEEN)[level], 4 if unseen and level > 1 else 0
        )
        apps = {app for kind in asked for app in JOBS[kind].apps}
        apps |= {*APPS[:3]} if level > 1 else set()
        # As many as the shift says, though a plan of level 1 touches one alone.
        while len(apps) < (4 if unseen else 1):
            apps.add(rng.choice(APPS))
        changing = {tool for app in apps for tool in WRITES[app]}
        offered = [
            tool for tool in TOOLS if tool in changing or tool in (*READS, "finish")
        ]
    names = iter(rng.sample(_PEOPLE, len(_PEOPLE)))
    titles = iter(rng.sample(_EVENTS, len(_EVENTS)))
    count = 2 if level == 0 else 3
    state = {app: _items(rng, app, count, names, titles) for app in APPS if app in apps}
    jobs = _jobs(rng, asked, state, names, titles)
    return {"level": level, "state": state, "jobs": jobs, "offered": offered}


_ENDING = {
    "delete_total": "delete_file",
    "archive_from": "archive_mail",
    "cancel_title": "cancel_event",
    "remove_phone": "remove_contact",
    "remove_pin": "remove_note",
}


def _asked(rng: Random, pools: Sequence[Sequence[str]], apps: int) -> list[str]:
    """A kind of each pool, all different, over at least so many apps."""
    while True:
        kinds = [rng.choice(pool) for pool in pools]
        touched = {app for kind in kinds for app in JOBS[kind].apps}
        if len({*kinds}) == len(kinds) and len(touched) >= apps:
            return kinds


def _items(
    rng: Random, app: str, count: int, names: Iterator[str], titles: Iterator[str]
) -> dict[str, dict[str, str]]:
    """Items of an app; numbers have as many digits as their field says, and none comes twice."""
    numbers = [str(number) for number in rng.sample(range(100, 1000), count)]
    if app == "files":
        stems = rng.sample(_STEMS, count)
        return {
            f"{stem}{rng.randint(1, 9)}.txt": {
                "folder": "home",
                "total": number,
                "status": rng.choice(["open", "closed"]),
            }
            for stem, number in zip(stems, numbers, strict=True)
        }
    if app == "contacts":
        return {next(names): {"phone": f"5{number}"} for number in numbers}
    if app == "notes":
        headings = rng.sample(_HEADINGS, count)
        marks = [f"N{n}" for n in rng.sample(range(10, 100), count)]
        return {
            mark: {"title": heading, "pin": number}
            for mark, heading, number in zip(marks, headings, numbers, strict=True)
        }
    prefix = "M" if app == "mail" else "E"
    marks = [f"{prefix}{n}" for n in rng.sample(range(10, 100), count)]
    events = [_event(rng, next(titles)) for _ in marks]
    if app == "calendar":
        return dict(zip(marks, events, strict=True))
    return {
        mark: {"place": "inbox", "sender": next(names), "code": number, **event}
        for mark, number, event in zip(marks, numbers, events, strict=True)
    }


def _event(rng: Random, title: str) -> dict[str, str]:
    """An event early in the day, so that the first hours are not always free."""
    return {
        "title": title,
        "day": rng.choice(_DAYS),
        "hour": str(rng.choice(HOURS[:4])),
    }


def _jobs(
    rng: Random,
    kinds: Sequence[str],
    state: State,
    names: Iterator[str],
    titles: Iterator[str],
) -> list[dict[str, str]]:
    """A job of each kind with its fields; no two are about the same item."""
    items = {app: rng.sample(list(state[app]), len(state[app])) for app in state}
    stems = iter(rng.sample(_STEMS, len(_STEMS)))
    headings = iter(rng.sample(_HEADINGS, len(_HEADINGS)))
    taken = {item["title"] for item in state.get("notes", {}).values()}
    free = (heading for heading in headings if heading not in taken)

    def value(field: str) -> str:
        if field in _OF:
            app, inside = _OF[field]
            key = items[app].pop()
            return state[app][key][inside] if inside else key
        if field == "new":
            # No file that is there has a name without a number.
            return f"{next(stems)}.txt"
        if field == "folder":
            return rng.choice(_FOLDERS)
        if field == "day":
            return rng.choice([event["day"] for event in state["calendar"].values()])
        return next({"to": names, "event": titles, "heading": free}[field])

    return [
        {"kind": kind, **{field: value(field) for field in _fields(kind)}}
        for kind in kinds
    ]


# By a job's field, the app of the item that it is about, and the item's field; "" for its id.
_OF = {
    "file": ("files", ""),
    "total": ("files", "total"),
    "sender": ("mail", "sender"),
    "title": ("calendar", "title"),
    "contact": ("contacts", ""),
    "phone": ("contacts", "phone"),
    "note": ("notes", "title"),
    "pin": ("notes", "pin"),
}


def _fields(kind: str) -> list[str]:
    """The fields in a kind's sentence, each once."""
    named = (name for _, name, _, _ in Formatter().parse(JOBS[kind].sentence) if name)
    return list(dict.fromkeys(named))
