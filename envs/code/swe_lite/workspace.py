"""What a policy sees of a repository: its packages' modules and visible tests, as text."""

from __future__ import annotations

from envs.code.swe_lite.corpus import Source

__all__ = ["Workspace"]

READ_LINES = 20
MOST_CHARS = 800
MOST_FILE_CHARS = 200_000


class Workspace:
    """The files of one episode; only each package's module can change.

    Paths are keys of a dictionary, so none leads outside. Replies are cut to `MOST_CHARS`.
    Made of one or several packages, each a source and its module's text to start with.
    """

    def __init__(self, *packages: tuple[Source, str]) -> None:
        self.sources = {source.file: source for source, _ in packages}
        self.texts = {source.file: text for source, text in packages}
        self._first = packages[0][0].file

    @property
    def source(self) -> Source:
        """The first package."""
        return self.sources[self._first]

    @property
    def text(self) -> str:
        """The first package's module."""
        return self.texts[self._first]

    @text.setter
    def text(self, text: str) -> None:
        self.texts[self._first] = text

    @property
    def files(self) -> dict[str, str]:
        """Text by path; the hidden tests are not among them."""
        found: dict[str, str] = {}
        for path, source in self.sources.items():
            found |= {path: self.texts[path], source.test_file: source.visible}
        return found

    def ls(self) -> str:
        """One file a line."""
        return "\n".join(self.files)

    def read(self, path: str, line: int) -> str:
        """Numbered lines of a file; the only module's where `path` is empty."""
        path = path.removeprefix("./") or (self._first if len(self.texts) == 1 else "")
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

    def edit(self, line: int, text: str, path: str = "") -> str:
        """Replaces a line of a module, the first where `path` is empty.

        A text without indentation gets the old line's.
        """
        path = path.removeprefix("./") or self._first
        if path not in self.texts:
            return f"{path[:60]!r} cannot be changed, files that can: {', '.join(self.texts)}"
        lines = self.texts[path].split("\n")
        if not 1 <= line <= len(lines):
            return f"no line {line}, {path} has {len(lines)}"
        if len(self.texts[path]) + len(text) > MOST_FILE_CHARS:
            return f"the file would be longer than {MOST_FILE_CHARS} characters"
        old = lines[line - 1]
        if not text.startswith((" ", "\t")):
            text = old[: len(old) - len(old.lstrip())] + text
        lines[line - 1] = text.rstrip("\n")
        self.texts[path] = "\n".join(lines)
        return f"line {line} is now: {text.strip()[:100]}"


def _cut(text: str) -> str:
    return text if len(text) <= MOST_CHARS else text[:MOST_CHARS] + "\n..."
