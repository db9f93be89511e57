"""What a policy sees of a repository: its packages' modules and visible tests, as text."""

from __future__ import annotations

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
        path = path.removeprefix("./") or (self._first if len(self.texts) == 1 else "")
        if path not in self.files:
            return f"no file {path[:60]!r}, files: {', '.join(self.files)}"
        lines = self.files[path].split("\n")
        if not 1 <= line <= len(lines):
            return f"no line {line}, {path} has {len(lines)}"

        page = lines[line - 1 : line - 1 + READ_LINES]
        numbered = [f"{number}: {text}" for number, text in enumerate(page, start=line)]
        return _truncate("\n".join(numbered))

    def grep(self, text: str) -> str:
        """Lines that hold a text, with file and number."""
        if text == "":
            return "grep needs a text"
        matches: list[str] = []
        for path, content in self.files.items():
            for number, line in enumerate(content.split("\n"), start=1):
                if text in line:
                    matches.append(f"{path}:{number}: {line.strip()}")
        return _truncate("\n".join(matches)) or "no line holds it"

    def edit(self, line: int, text: str, path: str = "") -> str:
        """Replaces a line of a module, of the first one if `path` is empty.

        A text without indentation gets the old line's.
        """
        path = path.removeprefix("./") or self._first
        if path not in self.texts:
            files = ", ".join(self.texts)
            return f"{path[:60]!r} cannot be changed, files that can: {files}"
        lines = self.texts[path].split("\n")
        if not 1 <= line <= len(lines):
            return f"no line {line}, {path} has {len(lines)}"
        # Edit by edit a file could grow without an end: nothing else limits the policy's files.
        if len(self.texts[path]) + len(text) > MAX_FILE_CHARS:
            return f"the file would be longer than {MAX_FILE_CHARS} characters"

        old = lines[line - 1]
        if not text.startswith((" ", "\t")):
            text = old[: len(old) - len(old.lstrip())] + text
        lines[line - 1] = text.rstrip("\n")
        self.texts[path] = "\n".join(lines)
        return f"line {line} is now: {text.strip()[:100]}"


def _truncate(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[:MAX_CHARS] + "\n..."
