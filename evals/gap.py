"""`scgrpo gap`: does a model read references? Its success with one in front, and without.

Credit from references weighs tokens by how far a reference moves the model. If the model solves no
more with a verified reference of its own task before it, that is noise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from evals.evaluation.arguments import INTERRUPTED
from evals.gaps.command import PROG, parse, run
from sandboxes.commands import exit_codes

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 for what broke, 2 for bad arguments, 3 for a spent budget.

    Finished episodes are kept in all cases, Ctrl-C (130) included.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = parse(words)
    with exit_codes(PROG, interrupted=INTERRUPTED):
        run(arguments, words)


if __name__ == "__main__":
    main()
