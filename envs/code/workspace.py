"""What a policy sees of a package: its module and its visible tests, as text."""

from __future__ import annotations

from envs.code.corpus import Source

__all__ = ["Workspace"]

READ_LINES = 20
MOST_CHARS = 800
MOST_FILE_CHARS = 200_000


class Workspace:
    """The files of one episode; only the source's module can change.

    Paths are keys of a dictionary, so none leads outside. Replies are cut to `MOST_CHARS`.
    """

    def __init__(self, source: Source, text: str) -> None:
        self.source = source
        self.text = text

    @property
    def files(self) -> dict[str, str]:
        """Text by path; the hidden tests are not among them."""
        return {self.source.file: self.text, self.source.test_file: self.source.visible}

    def ls(self) -> str:
        """One file a line."""
        return "\n".join(self.files)

    def read(self, path: str, line: int) -> str:
        """Numbered lines of a file; the module's where `path` is empty."""
        path = path.removeprefix("./") or self.source.file
        if path not in self.files:
            return f"no file {path[:60]!r}, files: {', '.join(self.files)}"
        lines = self.files[path].split("\n")
        if not 1 <= line <= len(lines):
            return f"no line {line}, {path} has {len(lines)}"
        shown = enumerate(lines[line - 1 : line - 1 + READ_LINES], start=line)
        return _cut("\n".join(f"{number}: {text}" for number, text in shown))

    def grep(self, text: str) -> str:
        """Lines that hold a text, with file and number."""
        if text == "":
            return "grep needs a text"
        found = [
            f"{path}:{number}: {line.strip()}"
            for path, content in self.files.items()
            for number, line in enumerate(content.split("\n"), start=1)
            if text in line
        ]
        return _cut("\n".join(found)) or "no line holds it"

    def edit(self, line: int, text: str) -> str:
        """Replaces a line of the module; a text without indentation gets the old line's."""
        lines = self.text.split("\n")
        if not 1 <= line <= len(lines):
            return f"no line {line}, {self.source.file} has {len(lines)}"
        if len(self.text) + len(text) > MOST_FILE_CHARS:
            return f"the file would be longer than {MOST_FILE_CHARS} characters"
        old = lines[line - 1]
        if not text.startswith((" ", "\t")):
            text = old[: len(old) - len(old.lstrip())] + text
        lines[line - 1] = text.rstrip("\n")
        self.text = "\n".join(lines)
        return f"line {line} is now: {text.strip()[:100]}"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "\n..."
