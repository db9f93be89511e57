"""`python -m envs.checks.alone NAME CHECK REPORT [--quick]`: one check, for `run_alone`."""

from __future__ import annotations

import sys
from pathlib import Path

from envs.checks.catalogue import by_name
from envs.checks.env_under_test import EnvUnderTest
from envs.checks.run import run_check, write_result

__all__: list[str] = []


def main() -> None:
    """Runs the check and leaves its result at REPORT."""
    name, check, report, *rest = sys.argv[1:]
    with EnvUnderTest(name, quick="--quick" in rest) as subject:
        write_result(run_check(by_name(check), subject), Path(report))


if __name__ == "__main__":
    main()
