"""Text in a Markdown page as it is: a run's name or an error must not become its markup."""

from __future__ import annotations

import re

__all__ = ["markdown_text"]

# What CommonMark and GitHub's tables would read as their own wherever it stands. An underscore
# inside a word is none of it, nor is a bracket that no link follows, nor a star before a space: it
# could only end what none has begun.
_SPECIAL = re.compile(
    r"""
    [\\|`<]
    | ^\* | \*(?=\S)
    | ~(?=~) | (?<=~)~
    | (?<!\w)_ | _(?!\w)
    | \](?=[(\[:])
    | &(?=\#?\w+;)
    """,
    re.VERBOSE,
)


def markdown_text(text: str) -> str:
    """The text on one line, so that Markdown shows its letters, in a table too."""
    return _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
