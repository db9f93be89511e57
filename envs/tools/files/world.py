"""A small desk as plain data (files, mail, calendar, contacts, notes) and the tools on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["APPS", "READS", "TOOLS", "WRITES", "Desk", "State", "canonical"]

State = dict[str, dict[str, dict[str, str]]]
"""By app, by the item's id, its fields.

| app | id | fields |
|---|---|---|
| files | name | folder, and total and status, or text |
| mail | number, or a mark for sent ones | place, and sender, code and an event, or to and text |
| calendar | number, or a mark for added ones | title, day, hour |
| contacts | name | phone |
| notes | number, or a mark for added ones | title, and pin or text |
"""

APPS = ("files", "mail", "calendar", "contacts", "notes")
READS = ("list_items", "read_item")
# By app, the tools that change it.
WRITES = {
    "files": ("write_file", "move_file", "delete_file"),
    "mail": ("send_mail", "archive_mail"),
    "calendar": ("add_event", "cancel_event"),
    "contacts": ("add_contact", "remove_contact"),
    "notes": ("add_note", "remove_note"),
}
TOOLS = (*READS, *(tool for tools in WRITES.values() for tool in tools), "finish")

_NEW = "new"


def canonical(state: State) -> dict[str, list[tuple[str, str]]]:
    """A form that two states share exactly if they are equal up to the order of additions."""
    forms = {}
    for app, items in state.items():
        rows = []
        for key, item in items.items():
            # The ids of additions count them, and so depend on the order.
            mark = "" if key.startswith(_NEW) else key
            fields = sorted(item.items())
            rows.append((mark, repr(fields)))
        forms[app] = sorted(rows)
    return forms


def line(app: str, key: str, item: Mapping[str, str]) -> str:
    """An item as a list shows it."""
    if app == "mail":
        return _mail_line(key, item)
    if app == "calendar":
        title = item["title"]
        return f"{key} {title}, {item['day']} {item['hour']}"
    if app == "files":
        folder = item["folder"]
        return f"{key} in {folder}"
    field = "phone" if app == "contacts" else "title"
    return f"{key} {item[field]}"


def _mail_line(key: str, item: Mapping[str, str]) -> str:
    about = f"to {item['to']}" if "to" in item else f"from {item['sender']}"
    if item["place"] == "archive":
        about += " (archived)"
    return f"{key} {about}"


def text(app: str, key: str, item: Mapping[str, str]) -> str:
    """An item with all its fields."""
    short = line(app, key, item)
    if "text" in item:
        content = item["text"]
        return f"{short}: {content}"
    if app == "files":
        total = item["total"]
        return f"{short}: total {total}, {item['status']}"
    if app == "mail":
        event = f"{item['title']} on {item['day']} at {item['hour']}"
        code = item["code"]
        return f"{short}: Code {code}. Please plan {event}."
    if app == "notes":
        pin = item["pin"]
        return f"{short}: pin {pin}"
    return short


class Desk:
    """The tools on a copy of a state, as methods; each returns the reply.

    `changed` counts the calls that took effect.
    """

    def __init__(self, state: State) -> None:
        self.state: State = {}
        self.changed = 0
        for app, items in state.items():
            copies = {}
            for key, item in items.items():
                copies[key] = dict(item)
            self.state[app] = copies

    def list_items(self, app: str) -> str:
        """List what an app holds: files, mail, calendar, contacts or notes."""
        items = self.state.get(app)
        if items is None:
            apps = ", ".join(self.state)
            return f"there is no app {app[:40]!r}; apps: {apps}"
        lines = []
        for key, item in items.items():
            lines.append(line(app, key, item))
        return "\n".join(lines) or "nothing"

    def read_item(self, item: str) -> str:
        """Read a file, mail, event, contact or note."""
        for app, items in self.state.items():
            if item in items:
                fields = items[item]
                return text(app, item, fields)
        return self._unknown(item)

    def write_file(self, file: str, text: str) -> str:
        """Write a new file; the text is the bare value asked for."""
        if file in self.state["files"]:
            return "there is such a file already"
        return self._put("files", file, folder="home", text=text)

    def move_file(self, file: str, folder: str) -> str:
        """Move a file to a folder."""
        files = self.state["files"]
        if file not in files:
            return self._unknown(file)
        fields = {**files[file], "folder": folder}
        return self._put("files", file, **fields)

    def delete_file(self, file: str) -> str:
        """Delete a file."""
        return self._remove("files", file)

    def send_mail(self, to: str, text: str) -> str:
        """Send a mail to a person; the text is the bare value asked for."""
        return self._put(
            "mail",
            self._mark("mail"),
            place="sent",
            to=to,
            text=text,
        )

    def archive_mail(self, mail: str) -> str:
        """Archive a mail."""
        mails = self.state["mail"]
        if mail not in mails:
            return self._unknown(mail)
        fields = {**mails[mail], "place": "archive"}
        return self._put("mail", mail, **fields)

    def add_event(self, title: str, day: str, hour: int) -> str:
        """Add an event to the calendar."""
        return self._put(
            "calendar",
            self._mark("calendar"),
            title=title,
            day=day,
            hour=str(hour),
        )

    def cancel_event(self, event: str) -> str:
        """Cancel an event."""
        return self._remove("calendar", event)

    def add_contact(self, name: str, phone: str) -> str:
        """Add a person to the contacts."""
        if name in self.state["contacts"]:
            return "there is such a contact already"
        return self._put("contacts", name, phone=phone)

    def remove_contact(self, name: str) -> str:
        """Remove a person from the contacts."""
        return self._remove("contacts", name)

    def add_note(self, title: str, text: str) -> str:
        """Add a note; the text is the bare value asked for."""
        return self._put(
            "notes",
            self._mark("notes"),
            title=title,
            text=text,
        )

    def remove_note(self, note: str) -> str:
        """Remove a note."""
        return self._remove("notes", note)

    def apply(self, name: str, arguments: Mapping[str, Any]) -> str:
        """The reply of a tool by name."""
        tool = getattr(self, name)
        return tool(**arguments)

    def _put(self, app: str, key: str, **fields: str) -> str:
        self.state[app][key] = fields
        self.changed += 1
        return "done"

    def _remove(self, app: str, key: str) -> str:
        if key not in self.state[app]:
            return self._unknown(key)
        del self.state[app][key]
        self.changed += 1
        return "done"

    def _mark(self, app: str) -> str:
        """An id for an addition; no two share one, though an addition may be removed again."""
        return f"{_NEW}{self.changed + 1}"

    def _unknown(self, key: str) -> str:
        return f"there is no {key[:40]!r}"
