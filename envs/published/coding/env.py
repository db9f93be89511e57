"""The environments that ask for a program, judged by hidden tests."""

from __future__ import annotations

from typing import ClassVar

from envs.base import TextEnv
from envs.code.testing import default_pool
from envs.published.coding.programs import last_program
from envs.types import Task, Verdict
from sandboxes.base import SandboxPool

__all__ = ["NO_PROGRAM", "Coding", "WithFeedback"]

NO_PROGRAM = "no program found: write it between ```python and ```"
RIGHT = "all tests pass"


class Coding(TextEnv):
    """Write a program; the first one is final, and hidden tests judge it.

    | | |
    |---|---|
    | prompt | the problem as it was published |
    | turn | any text with a program in a Python fence, of which the last counts |
    | reply | that no program was found |
    | verifier | the benchmark's tests in a sandbox; what they expect is compared outside of it |
    | limits | 3 turns |
    | twin, chance | none: the problems are not ours, and programs are open |

    `sandboxes` is the pool to lease from, else one that the process shares.
    """

    splits: ClassVar[tuple[str, ...]] = ("id",)
    max_turns = 3
    instructions = "Solve the problem in Python. Put the program in a ```python block."

    def __init__(self, sandboxes: SandboxPool | None = None) -> None:
        super().__init__()
        self._pool = sandboxes

    def fault(self, task: Task, program: str) -> str:
        """What is wrong with a program by the task's tests; empty if it passes all of them.

        Raises SandboxError if two sandboxes broke, MissingDataError without the tests.
        """
        raise NotImplementedError(f"{type(self).__name__} must define fault")

    def visible_fault(self, task: Task, program: str) -> str:
        """What is wrong with a program by the tests that the problem shows, for the policy to read.

        Empty if it passes them. Raises what `fault` raises.
        """
        raise NotImplementedError(f"{type(self).__name__} must define visible_fault")

    def reply(self, text: str) -> str | Verdict:
        """Judges the turn's program."""
        program = last_program(text)
        if program is None:
            self.malformed += 1
            return NO_PROGRAM
        return self.answer(program)

    def answer(self, program: str) -> str | Verdict:
        """The reply to a program: here, the verdict on it."""
        fault = self.fault(self.task, program)
        return Verdict(not fault, float(not fault), fault or RIGHT)

    def sandboxes(self) -> SandboxPool:
        """The pool to lease from."""
        return default_pool() if self._pool is None else self._pool


class WithFeedback(Coding):
    """Write a program; one that fails what the problem shows may be corrected.

    As `Coding`, and besides:

    | | |
    |---|---|
    | reply | what is wrong by the tests that the problem shows; a program that passes is final |
    | limits | 5 turns |
    """

    max_turns = 5
    instructions = (
        "Solve the problem in Python. Put the program in a ```python block. "
        "It is run on the problem's examples; correct it if they fail."
    )

    def answer(self, program: str) -> str | Verdict:
        """What fails visibly; else the verdict."""
        return self.visible_fault(self.task, program) or super().answer(program)
