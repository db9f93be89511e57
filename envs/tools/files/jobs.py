"""The jobs that can be asked for at a desk: in words, and as the calls that do them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from envs.tools.files.world import State

__all__ = ["HOURS", "JOBS", "Job", "Kind", "Step"]

Step = tuple[str, dict[str, Any]]
Job = Mapping[str, str]
HOURS = range(9, 18)


@dataclass(frozen=True)
class Kind:
    """One kind of job.

    | field | meaning |
    |---|---|
    | apps | that it needs |
    | sentence | the request, with the job's fields in braces |
    | steps | the calls that do it in a state, searches first |
    """

    apps: tuple[str, ...]
    sentence: str
    steps: Callable[[Job, State], Iterator[Step]]

    def ask(self, job: Job) -> str:
        """The request in words."""
        return self.sentence.format(**job)


def _where(state: State, app: str, field: str, value: str) -> str:
    """The one item of an app whose field has the value. Raises KeyError where there is none."""
    for key, item in state[app].items():
        if item.get(field) == value:
            return key
    raise KeyError(value)


def _listed(app: str) -> Step:
    return "list_items", {"app": app}


def _read(item: str) -> Step:
    return "read_item", {"item": item}


def _searched(state: State, app: str, wanted: str) -> Iterator[Step]:
    """Lists an app and reads its items up to the wanted one."""
    yield _listed(app)
    for key in state[app]:
        yield _read(key)
        if key == wanted:
            return


def _mail_from(job: Job, state: State) -> tuple[str, list[Step]]:
    key = _where(state, "mail", "sender", job["sender"])
    return key, [_listed("mail"), _read(key)]


def _delete_total(job: Job, state: State) -> Iterator[Step]:
    key = _where(state, "files", "total", job["total"])
    yield from _searched(state, "files", key)
    yield "delete_file", {"file": key}


def _move_closed(job: Job, state: State) -> Iterator[Step]:
    yield _listed("files")
    # What was written in this episode has no status, and needs no look.
    yield from [_read(key) for key, item in state["files"].items() if "status" in item]
    for key, item in list(state["files"].items()):
        if item.get("status") == "closed":
            yield "move_file", {"file": key, "folder": job["folder"]}


def _archive_from(job: Job, state: State) -> Iterator[Step]:
    yield _listed("mail")
    yield "archive_mail", {"mail": _where(state, "mail", "sender", job["sender"])}


def _cancel_title(job: Job, state: State) -> Iterator[Step]:
    yield _listed("calendar")
    yield "cancel_event", {"event": _where(state, "calendar", "title", job["title"])}


def _send_total(job: Job, state: State) -> Iterator[Step]:
    yield _read(job["file"])
    yield "send_mail", {"to": job["to"], "text": state["files"][job["file"]]["total"]}


def _add_asked(job: Job, state: State) -> Iterator[Step]:
    key, search = _mail_from(job, state)
    yield from search
    mail = state["mail"][key]
    event = {"title": mail["title"], "day": mail["day"], "hour": int(mail["hour"])}
    yield "add_event", event


def _save_code(job: Job, state: State) -> Iterator[Step]:
    key, search = _mail_from(job, state)
    yield from search
    yield "write_file", {"file": job["new"], "text": state["mail"][key]["code"]}


def _hour(job: Job, state: State) -> str:
    return state["calendar"][_where(state, "calendar", "title", job["title"])]["hour"]


def _write_hour(job: Job, state: State) -> Iterator[Step]:
    yield _listed("calendar")
    yield "write_file", {"file": job["new"], "text": _hour(job, state)}


def _tell_hour(job: Job, state: State) -> Iterator[Step]:
    yield _listed("calendar")
    yield "send_mail", {"to": job["to"], "text": _hour(job, state)}


def _if_closed(job: Job, state: State) -> Iterator[Step]:
    yield _read(job["file"])
    closed = state["files"][job["file"]]["status"] == "closed"
    yield from (_archive_from if closed else _cancel_title)(job, state)


def _first_free(job: Job, state: State) -> Iterator[Step]:
    yield _listed("calendar")
    events = state["calendar"].values()
    taken = {item["hour"] for item in events if item["day"] == job["day"]}
    hour = next(hour for hour in HOURS if str(hour) not in taken)
    yield "add_event", {"title": job["event"], "day": job["day"], "hour": hour}
    yield "send_mail", {"to": job["to"], "text": str(hour)}


def _remove_phone(job: Job, state: State) -> Iterator[Step]:
    yield _listed("contacts")
    yield "remove_contact", {"name": _where(state, "contacts", "phone", job["phone"])}


def _remove_pin(job: Job, state: State) -> Iterator[Step]:
    key = _where(state, "notes", "pin", job["pin"])
    yield from _searched(state, "notes", key)
    yield "remove_note", {"note": key}


def _send_phone(job: Job, state: State) -> Iterator[Step]:
    yield _listed("contacts")
    yield (
        "send_mail",
        {"to": job["to"], "text": state["contacts"][job["contact"]]["phone"]},
    )


def _note_total(job: Job, state: State) -> Iterator[Step]:
    yield _read(job["file"])
    yield (
        "add_note",
        {"title": job["heading"], "text": state["files"][job["file"]]["total"]},
    )


def _note_hour(job: Job, state: State) -> Iterator[Step]:
    yield _listed("calendar")
    yield "add_note", {"title": job["heading"], "text": _hour(job, state)}


def _contact_code(job: Job, state: State) -> Iterator[Step]:
    key, search = _mail_from(job, state)
    yield from search
    yield "add_contact", {"name": job["sender"], "phone": state["mail"][key]["code"]}


def _save_pin(job: Job, state: State) -> Iterator[Step]:
    key = _where(state, "notes", "title", job["note"])
    yield from [_listed("notes"), _read(key)]
    yield "write_file", {"file": job["new"], "text": state["notes"][key]["pin"]}


_F, _M, _C, _P, _N = "files", "mail", "calendar", "contacts", "notes"

JOBS = {
    "delete_total": Kind((_F,), "Delete the file with total {total}.", _delete_total),
    "move_closed": Kind(
        (_F,), "Move every closed file to the folder {folder}.", _move_closed
    ),
    "archive_from": Kind((_M,), "Archive the mail from {sender}.", _archive_from),
    "cancel_title": Kind((_C,), "Cancel the event {title}.", _cancel_title),
    "send_total": Kind((_F, _M), "Send {to} the total in {file}.", _send_total),
    "add_asked": Kind(
        (_M, _C), "Add the event that {sender} asks for by mail.", _add_asked
    ),
    "save_code": Kind(
        (_M, _F), "Write the code in the mail from {sender} to {new}.", _save_code
    ),
    "write_hour": Kind(
        (_C, _F), "Write the hour of the event {title} to {new}.", _write_hour
    ),
    "tell_hour": Kind((_C, _M), "Send {to} the hour of the event {title}.", _tell_hour),
    "if_closed": Kind(
        (_F, _M, _C),
        "If {file} is closed, archive the mail from {sender}, else cancel the event {title}.",
        _if_closed,
    ),
    "first_free": Kind(
        (_C, _M),
        "Add the event {event} on {day} at the first free hour from 9 on, and send {to} that hour.",
        _first_free,
    ),
    "remove_phone": Kind(
        (_P,), "Remove the contact with phone {phone}.", _remove_phone
    ),
    "remove_pin": Kind((_N,), "Remove the note with pin {pin}.", _remove_pin),
    "send_phone": Kind((_P, _M), "Send {to} the phone of {contact}.", _send_phone),
    "note_total": Kind(
        (_F, _N), "Add a note {heading} with the total in {file}.", _note_total
    ),
    "note_hour": Kind(
        (_C, _N), "Add a note {heading} with the hour of {title}.", _note_hour
    ),
    "contact_code": Kind(
        (_M, _P),
        "Add {sender} to the contacts, as phone the code in the mail.",
        _contact_code,
    ),
    "save_pin": Kind((_N, _F), "Write the pin of the note {note} to {new}.", _save_pin),
}
