"""The jobs that a task can ask for at a desk: in words, and as the calls that do them."""

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
    | apps | the apps it needs |
    | sentence | the request, with the job's fields in braces |
    | steps | the calls that do it in a state, searches first; KeyError when they cannot |
    """

    apps: tuple[str, ...]
    sentence: str
    steps: Callable[[Job, State], Iterator[Step]]

    def ask(self, job: Job) -> str:
        """The request in words."""
        return self.sentence.format(**job)


def _find(state: State, app: str, field: str, value: str) -> str:
    """Id of the app's one item whose field has the value. Raises KeyError when there is none."""
    for key, item in state[app].items():
        if item.get(field) == value:
            return key
    raise KeyError(value)


def _list(app: str) -> Step:
    return "list_items", {"app": app}


def _read(item: str) -> Step:
    return "read_item", {"item": item}


def _send(to: str, text: str) -> Step:
    return "send_mail", {"to": to, "text": text}


def _write(file: str, text: str) -> Step:
    return "write_file", {"file": file, "text": text}


def _search(state: State, app: str, key: str) -> Iterator[Step]:
    """Lists an app and reads its items up to the one that is searched."""
    yield _list(app)
    for item in state[app]:
        yield _read(item)
        if item == key:
            return


def _mail_from(job: Job, state: State) -> tuple[str, list[Step]]:
    """Id of the sender's mail, and the calls that read it."""
    key = _find(state, "mail", "sender", job["sender"])
    return key, [_list("mail"), _read(key)]


def _delete_total(job: Job, state: State) -> Iterator[Step]:
    key = _find(state, "files", "total", job["total"])
    yield from _search(state, "files", key)
    yield "delete_file", {"file": key}


def _move_closed(job: Job, state: State) -> Iterator[Step]:
    yield _list("files")
    files = list(state["files"].items())
    # A file that was written in this episode has no status, and is not read.
    for key, item in files:
        if "status" in item:
            yield _read(key)
    for key, item in files:
        if item.get("status") == "closed":
            yield "move_file", {"file": key, "folder": job["folder"]}


def _archive_from(job: Job, state: State) -> Iterator[Step]:
    yield _list("mail")
    key = _find(state, "mail", "sender", job["sender"])
    yield "archive_mail", {"mail": key}


def _cancel_title(job: Job, state: State) -> Iterator[Step]:
    yield _list("calendar")
    key = _find(state, "calendar", "title", job["title"])
    yield "cancel_event", {"event": key}


def _send_total(job: Job, state: State) -> Iterator[Step]:
    yield _read(job["file"])
    total = state["files"][job["file"]]["total"]
    yield _send(job["to"], total)


def _add_asked(job: Job, state: State) -> Iterator[Step]:
    key, search = _mail_from(job, state)
    yield from search
    mail = state["mail"][key]
    yield (
        "add_event",
        {
            "title": mail["title"],
            "day": mail["day"],
            "hour": int(mail["hour"]),
        },
    )


def _save_code(job: Job, state: State) -> Iterator[Step]:
    key, search = _mail_from(job, state)
    yield from search
    code = state["mail"][key]["code"]
    yield _write(job["new"], code)


def _hour(job: Job, state: State) -> str:
    key = _find(state, "calendar", "title", job["title"])
    return state["calendar"][key]["hour"]


def _write_hour(job: Job, state: State) -> Iterator[Step]:
    yield _list("calendar")
    hour = _hour(job, state)
    yield _write(job["new"], hour)


def _tell_hour(job: Job, state: State) -> Iterator[Step]:
    yield _list("calendar")
    hour = _hour(job, state)
    yield _send(job["to"], hour)


def _if_closed(job: Job, state: State) -> Iterator[Step]:
    yield _read(job["file"])
    file = state["files"][job["file"]]
    if file["status"] == "closed":
        yield from _archive_from(job, state)
    else:
        yield from _cancel_title(job, state)


def _first_free(job: Job, state: State) -> Iterator[Step]:
    yield _list("calendar")
    hour = _first_free_hour(job["day"], state)
    event = {
        "title": job["event"],
        "day": job["day"],
        "hour": hour,
    }
    yield "add_event", event
    yield _send(job["to"], str(hour))


def _first_free_hour(day: str, state: State) -> int:
    busy = set()
    for event in state["calendar"].values():
        if event["day"] == day:
            busy.add(int(event["hour"]))
    return next(hour for hour in HOURS if hour not in busy)


def _remove_phone(job: Job, state: State) -> Iterator[Step]:
    yield _list("contacts")
    name = _find(state, "contacts", "phone", job["phone"])
    yield "remove_contact", {"name": name}


def _remove_pin(job: Job, state: State) -> Iterator[Step]:
    key = _find(state, "notes", "pin", job["pin"])
    yield from _search(state, "notes", key)
    yield "remove_note", {"note": key}


def _send_phone(job: Job, state: State) -> Iterator[Step]:
    yield _list("contacts")
    contact = state["contacts"][job["contact"]]
    yield _send(job["to"], contact["phone"])


def _note_total(job: Job, state: State) -> Iterator[Step]:
    yield _read(job["file"])
    total = state["files"][job["file"]]["total"]
    yield "add_note", {"title": job["heading"], "text": total}


def _note_hour(job: Job, state: State) -> Iterator[Step]:
    yield _list("calendar")
    hour = _hour(job, state)
    yield "add_note", {"title": job["heading"], "text": hour}


def _contact_code(job: Job, state: State) -> Iterator[Step]:
    key, search = _mail_from(job, state)
    yield from search
    code = state["mail"][key]["code"]
    yield "add_contact", {"name": job["sender"], "phone": code}


def _save_pin(job: Job, state: State) -> Iterator[Step]:
    key = _find(state, "notes", "title", job["note"])
    yield _list("notes")
    yield _read(key)
    pin = state["notes"][key]["pin"]
    yield _write(job["new"], pin)


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
