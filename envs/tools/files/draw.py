"""Random desks and jobs on them: who and what there is, and what the jobs are about."""

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

# The tool that does a job of level 0 at once.
_DIRECT_TOOLS = {
    "delete_total": "delete_file",
    "archive_from": "archive_mail",
    "cancel_title": "cancel_event",
    "remove_phone": "remove_contact",
    "remove_pin": "remove_note",
}

# By level, for each job the kinds that it is drawn from.
_SEEN = ((), (_ONE,), (_TWO,), (_ONE + _HARD, _TWO), (_HARD, _TWO, _TWO + _ONE))
_UNSEEN = (
    (),
    (_NEW_ONE,),
    (_TWO, _NEW_TWO),
    (_NEW_TWO, _NEW_TWO, _ONE),
    (_HARD, _NEW_TWO, _NEW_TWO),
)


# By a job's field, the app of the item that it is about, and the item's field; "" for its id.
_SOURCES = {
    "file": ("files", ""),
    "total": ("files", "total"),
    "sender": ("mail", "sender"),
    "title": ("calendar", "title"),
    "contact": ("contacts", ""),
    "phone": ("contacts", "phone"),
    "note": ("notes", "title"),
    "pin": ("notes", "pin"),
}


def draw(rng: Random, level: int, *, unseen: bool) -> dict[str, Any]:
    """A case of a level.

    `unseen` draws apps and combinations of apps that training never has. The order of the draws
    fixes the tasks.
    """
    if level == 0:
        kinds, apps, offered = _choice(rng, unseen)
        items_per_app = 2
    else:
        kinds, apps, offered = _errands(rng, level, unseen)
        items_per_app = 3

    names = iter(rng.sample(_PEOPLE, len(_PEOPLE)))
    titles = iter(rng.sample(_EVENTS, len(_EVENTS)))
    state = {}
    for app in APPS:
        if app in apps:
            state[app] = _items(rng, app, items_per_app, names, titles)
    jobs = _jobs(rng, kinds, state, names, titles)
    return {"level": level, "state": state, "jobs": jobs, "offered": offered}


def _choice(rng: Random, unseen: bool) -> tuple[list[str], set[str], list[str]]:
    """One job out of several that a single call does: its kind, all their apps and tools."""
    if unseen:
        kinds = list(_DIRECT_TOOLS)
        kinds.remove(rng.choice(kinds))
    else:
        kinds = rng.sample(_ONE, 2)
    chosen = rng.choice(kinds)

    tools = {}
    for kind in kinds:
        (app,) = JOBS[kind].apps
        tools[app] = _DIRECT_TOOLS[kind]
    offered = [tools[app] for app in APPS if app in tools]
    return [chosen], set(tools), offered


def _errands(
    rng: Random,
    level: int,
    unseen: bool,
) -> tuple[list[str], set[str], list[str]]:
    """The kinds of the jobs above level 0, the apps on the desk, and the offered tools."""
    pools = (_UNSEEN if unseen else _SEEN)[level]
    min_apps = 4 if unseen else 1
    kinds = _kinds(rng, pools, min_apps if level > 1 else 0)
    apps = _apps_of(kinds)
    if level > 1:
        apps.update(APPS[:3])
    # A plan of level 1 touches one app, even if the shift promises four on the desk.
    while len(apps) < min_apps:
        apps.add(rng.choice(APPS))

    usable = {"finish", *READS}
    for app in apps:
        usable.update(WRITES[app])
    return kinds, apps, [tool for tool in TOOLS if tool in usable]


def _kinds(rng: Random, pools: Sequence[Sequence[str]], min_apps: int) -> list[str]:
    """A kind of each pool, all different, that together touch at least `min_apps` apps."""
    while True:
        kinds = [rng.choice(pool) for pool in pools]
        if len(set(kinds)) < len(kinds):
            continue
        if len(_apps_of(kinds)) >= min_apps:
            return kinds


def _apps_of(kinds: Sequence[str]) -> set[str]:
    apps: set[str] = set()
    for kind in kinds:
        apps.update(JOBS[kind].apps)
    return apps


def _items(
    rng: Random,
    app: str,
    count: int,
    names: Iterator[str],
    titles: Iterator[str],
) -> dict[str, dict[str, str]]:
    """Items of an app by id.

    Numbers of one field have equally many digits, and no two are equal, so that neither gives an
    item away.
    """
    numbers = [str(number) for number in rng.sample(range(100, 1000), count)]
    if app == "files":
        return _files(rng, numbers)
    if app == "contacts":
        return {next(names): {"phone": f"5{number}"} for number in numbers}
    if app == "notes":
        return _notes(rng, numbers)
    prefix = "M" if app == "mail" else "E"
    marks = _marks(rng, prefix, count)
    events = [_event(rng, next(titles)) for _ in marks]
    if app == "calendar":
        return dict(zip(marks, events, strict=True))

    mails = {}
    for mark, number, event in zip(marks, numbers, events, strict=True):
        mails[mark] = {
            "place": "inbox",
            "sender": next(names),
            "code": number,
            **event,
        }
    return mails


def _marks(rng: Random, prefix: str, count: int) -> list[str]:
    numbers = rng.sample(range(10, 100), count)
    return [f"{prefix}{number}" for number in numbers]


def _files(rng: Random, totals: Sequence[str]) -> dict[str, dict[str, str]]:
    stems = rng.sample(_STEMS, len(totals))
    files = {}
    for stem, total in zip(stems, totals, strict=True):
        name = f"{stem}{rng.randint(1, 9)}.txt"
        files[name] = {
            "folder": "home",
            "total": total,
            "status": rng.choice(["open", "closed"]),
        }
    return files


def _notes(rng: Random, pins: Sequence[str]) -> dict[str, dict[str, str]]:
    headings = rng.sample(_HEADINGS, len(pins))
    marks = _marks(rng, "N", len(pins))
    notes = {}
    for mark, heading, pin in zip(marks, headings, pins, strict=True):
        notes[mark] = {"title": heading, "pin": pin}
    return notes


def _event(rng: Random, title: str) -> dict[str, str]:
    """An event early in the day, so that the first hours are not always free."""
    day = rng.choice(_DAYS)
    hour = rng.choice(HOURS[:4])
    return {
        "title": title,
        "day": day,
        "hour": str(hour),
    }


def _jobs(
    rng: Random,
    kinds: Sequence[str],
    state: State,
    names: Iterator[str],
    titles: Iterator[str],
) -> list[dict[str, str]]:
    """A job of each kind with its fields; no two are about the same item."""
    unused = {}
    for app, items in state.items():
        unused[app] = rng.sample(list(items), len(items))
    stems = iter(rng.sample(_STEMS, len(_STEMS)))
    fresh = {"to": names, "event": titles, "heading": _free_headings(rng, state)}

    def value(field: str) -> str:
        """A value for a job's field; no two jobs are about the same item."""
        if field in _SOURCES:
            app, item_field = _SOURCES[field]
            key = unused[app].pop()
            item = state[app][key]
            return item[item_field] if item_field else key
        if field == "new":
            # No file on the desk has a name without a digit.
            return f"{next(stems)}.txt"
        if field == "folder":
            return rng.choice(_FOLDERS)
        if field == "day":
            # A day with an event on it, so that the first hour may be busy.
            events = state["calendar"].values()
            return rng.choice([event["day"] for event in events])
        return next(fresh[field])

    jobs = []
    for kind in kinds:
        job = {"kind": kind}
        for field in _fields(kind):
            job[field] = value(field)
        jobs.append(job)
    return jobs


def _free_headings(rng: Random, state: State) -> Iterator[str]:
    """Headings that no note on the desk has, in random order."""
    # Drawn at once, and not as they are needed: the order of the draws fixes the tasks.
    headings: list[str] = rng.sample(_HEADINGS, len(_HEADINGS))
    for note in state.get("notes", {}).values():
        headings.remove(note["title"])
    return iter(headings)


def _fields(kind: str) -> list[str]:
    """The fields in a kind's sentence, each once."""
    sentence = JOBS[kind].sentence
    names: dict[str, None] = {}
    for _, name, _, _ in Formatter().parse(sentence):
        if name:
            names[name] = None
    return list(names)
