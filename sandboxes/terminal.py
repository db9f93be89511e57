"""The terminal as every command prints on it: names and texts letter by letter.

Rich reads `[...]` in a string as markup and `:word:` as an emoji, so a run called `base[lr1e-3]`
would be shown as `base`. Consoles and columns of text are made here alone, without either.
"""

from __future__ import annotations

from typing import IO, Any

from rich.console import Console
from rich.progress import TextColumn
from rich.text import Text

__all__ = ["plain", "terminal", "text_column", "visible"]


class _Terminal(Console):
    """Shows strings as they are, in cells, titles and headings too."""

    def render_str(self, text: str, **options: Any) -> Text:
        """The string as text, with control characters written out."""
        return super().render_str(visible(text), **options)


def terminal(
    file: IO[str] | None = None,
    *,
    stderr: bool = False,
    soft_wrap: bool = False,
) -> Console:
    """A console on standard output, standard error or `file`; strings are no markup there.

    Style what should have one by `rich.text.Text` or `style=`.
    """
    return _Terminal(
        file=file,
        stderr=stderr,
        soft_wrap=soft_wrap,
        markup=False,
        emoji=False,
        highlight=False,
    )


def plain(text: str) -> Text:
    """The text as it is, for a cell of a table that any console may print."""
    return Text(visible(text))


def text_column(template: str) -> TextColumn:
    """A column of a progress bar that shows fields of its task, such as `{task.description}`."""
    return TextColumn(template, markup=False)


def visible(text: str) -> str:
    """The text with control characters written out: a name must not steer the terminal."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text
    )
