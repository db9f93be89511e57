"""`scgrpo train`: learns from verified episodes, step by step, and keeps everything."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from sandboxes.commands import exit_codes
from scgrpo.algorithms.names import list_of_names
from scgrpo.config import TrainConfig
from scgrpo.preflight.start import check_start
from scgrpo.settings import parse as settings
from scgrpo.training.memory import limit_fragmentation

__all__ = ["main"]

PROG = "scgrpo train"
HELP_OF_ALGO = "algo.help"
EXAMPLES = (
    f"{PROG} env=swe_lite",
    f"{PROG} env=swe_lite algo=grpo seed=1 name=baseline",
    f"{PROG} env=toy_guess model=FOLDER warm_start.mode=never",
    f"{PROG} env=my_package.my_module:me/my_env credit.control=shuffled",
    f"{PROG} env=swe_lite algo=my_rules:MY_ALGORITHM",
    f"{PROG} env=swe_lite resume=true",
    f"{PROG} {HELP_OF_ALGO}",
)


def main(argv: Sequence[str] | None = None) -> None:
    """The command: exits with 0, 1 for what broke, 2 for bad settings, 130 for Ctrl-C."""
    argv = sys.argv[1:] if argv is None else argv
    if HELP_OF_ALGO in argv:
        print(list_of_names())
        return
    config = settings.parse(
        TrainConfig,
        argv,
        prog=PROG,
        examples=EXAMPLES,
    )
    with exit_codes(PROG):
        _run(config, settings.given_keys(TrainConfig, argv))


def _run(config: TrainConfig, given: set[str]) -> None:
    check_start(config)
    # Before torch, whose threads would have arenas of their own.
    limit_fragmentation()
    # Imported only now: torch and transformers take seconds, and help and wrong settings need
    # neither.
    from transformers.utils import logging as transformers_logging

    from scgrpo import plan
    from scgrpo.distributed.ranks import is_main_process
    from scgrpo.launch import train
    from scgrpo.runs.log import to_terminal

    to_terminal(logging.INFO if is_main_process() else logging.ERROR)
    transformers_logging.disable_progress_bar()
    if not config.plan:
        train(config, given)
    elif is_main_process():
        print(plan.text(config))


if __name__ == "__main__":
    main()
