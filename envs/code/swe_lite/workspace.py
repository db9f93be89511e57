"""What a policy sees of a repository: its packages' modules and visible tests, as text."""

from __future__ import annotations

from collections.abc import Sequence

from envs.code.swe_lite.corpus import Source

__all__ = ["Workspace"]

READ_LINES = 20
MAX_CHARS = 800
MAX_FILE_CHARS = 200_000


class Workspace:
    """The files of one episode; only each package's module can change.

    Paths are keys of a dictionary, so none leads outside. Replies are truncated to `MAX_CHARS`.
    Made of one or several packages, each a source and its module's text to start with.
    """

    def __init__(self, *packages: tuple[Source, str]) -> None:
        self.sources: dict[str, Source] = {}
        self.texts: dict[str, str] = {}
        for source, text in packages:
            self.sources[source.file] = source
            self.texts[source.file] = text

        first_source, _ = packages[0]
        self._first = first_source.file

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
        """Replaces it."""
        self.texts[self._first] = text

    @property
    def files(self) -> dict[str, str]:
        """Text by path; the hidden tests are not among them."""
        files: dict[str, str] = {}
        for path, source in self.sources.items():
            files[path] = self.texts[path]
            files[source.test_file] = source.visible
        return files

    def ls(self) -> str:
        """One file a line."""
        return "\n".join(self.files)

    def read(self, path: str, line: int) -> str:
        """Numbered lines of a file; of the only module if `path` is empty."""
        files = self.files
        path = path.removeprefix("./")
        # Of several modules none is meant more than the others.
        if path == "" and len(self.texts) == 1:
            path = self._first
        if path not in files:
            paths = ", ".join(files)
            named = path[:60]
            return f"no file {named!r}, files: {paths}"

        lines = files[path].split("\n")
        if not 1 <= line <= len(lines):
            return _no_line(line, path, lines)
        start = line - 1
        page = lines[start : start + READ_LINES]
        numbered: list[str] = []
        for number, text in enumerate(page, start=line):
            numbered.append(f"{number}: {text}")
        return _truncate("\n".join(numbered))

    def grep(self, text: str) -> str:
        """Lines that hold a text, with file and number."""
        if text == "":
            return "grep needs a text"
        matches: list[str] = []
        for path, content in self.files.items():
            lines = content.split("\n")
            for number, line in enumerate(lines, start=1):
                if text not in line:
                    continue
                match = line.strip()
                matches.append(f"{path}:{number}: {match}")

        if not matches:
            return "no line holds it"
        return _truncate("\n".join(matches))

    def edit(self, line: int, text: str, path: str = "") -> str:
        """Replaces a line of a module, of the first one if `path` is empty.

        A text without indentation gets the old line's.
        """
        path = path.removeprefix("./") or self._first
        if path not in self.texts:
            files = ", ".join(self.texts)
            named = path[:60]
            return f"{named!r} cannot be changed, files that can: {files}"
        content = self.texts[path]
        lines = content.split("\n")
        if not 1 <= line <= len(lines):
            return _no_line(line, path, lines)
        # Edit by edit a file could grow without an end: nothing else limits the policy's files.
        if len(content) + len(text) > MAX_FILE_CHARS:
            return f"the file would be longer than {MAX_FILE_CHARS} characters"

        index = line - 1
        if not text.startswith((" ", "\t")):
            text = _indentation(lines[index]) + text
        lines[index] = text.rstrip("\n")
        self.texts[path] = "\n".join(lines)
        shown = text.strip()[:100]
        return f"line {line} is now: {shown}"


def _no_line(line: int, path: str, lines: Sequence[str]) -> str:
    return f"no line {line}, {path} has {len(lines)}"


def _indentation(line: str) -> str:
    width = len(line) - len(line.lstrip())
    return line[:width]


def _truncate(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return text[:MAX_CHARS] + "\n..."
