"""A process that compares answers with math-verify. It is run as a script by `judge`.

math-verify guards itself by `signal.alarm`, which works in a main thread alone and not within long
arithmetic of C. Here a timer of processor time ends the whole process instead.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from importlib.metadata import version

CPU_S = 5.0
MEMORY_BYTES = 4 << 30


def main() -> None:
    """Prints math-verify's version; then answers each line on standard input with one.

    A line is a JSON list of the right answer and the other one. An answer that breaks math-verify
    or its limits ends the process.
    """
    # It warns that its own time-out is off.
    logging.disable(logging.CRITICAL)
    from math_verify import LatexExtractionConfig, parse, verify

    config = [LatexExtractionConfig(boxed_match_priority=0)]

    def expressions(answer: str) -> list[object]:
        """What math-verify reads: an expression and its text, or nothing."""
        return parse(
            f"\\boxed{{{answer}}}",
            extraction_config=config,
            parsing_timeout=None,  # pyright: ignore[reportArgumentType]
        )

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    # Whatever prints later is not mistaken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(version("math-verify"), file=answers, flush=True)
    for line in sys.stdin:
        gold, answer = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, CPU_S)
        equal = verify(
            expressions(gold),  # pyright: ignore[reportArgumentType]
            expressions(answer),  # pyright: ignore[reportArgumentType]
            timeout_seconds=None,
        )
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(bool(equal)), file=answers, flush=True)


if __name__ == "__main__":
    main()
