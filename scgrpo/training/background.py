"""Work in threads of its own, while the main thread computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

__all__ = ["Background", "Lookahead"]

POLL_S = 0.5

T = TypeVar("T")


class Background(Generic[T]):
    """Computes up to `count` values at a time, which are read in the order of their beginning.

    Whoever asks for a value gets an error of the work.
    """

    def __init__(self, name: str, count: int = 1) -> None:
        self._count = count
        self._threads = ThreadPoolExecutor(count, name)
        self._values: deque[Future[T]] = deque()

    @property
    def has_begun(self) -> bool:
        """Whether there is a value to take, now or later."""
        return bool(self._values)

    def begin(self, work: Callable[[], T]) -> None:
        """Starts the work. Raises RuntimeError if `count` values have not been taken."""
        if len(self._values) >= self._count:
            raise RuntimeError("the last value has not been taken")
        self._values.append(self._threads.submit(work))

    def wait(self) -> None:
        """Waits for all values that have begun. Raises what the work of the first raised."""
        for value in self._values:
            _wait(value)

    def take(self) -> T:
        """The oldest value, once it is there. Raises what the work raised."""
        _wait(self._values[0])
        return self._values.popleft().result()

    def close(self) -> None:
        """Waits for the work to end, and drops its values. Safe to call twice."""
        self._threads.shutdown(wait=True, cancel_futures=True)


class Lookahead(Generic[T]):
    """What steps need, such as their episodes: begun up to `ahead` steps before it is read.

    At most `ahead` + 1 steps' are under way at a time, that of the step which learns included, and
    each is read, in order.

    | argument | meaning |
    |---|---|
    | ahead | 0 computes each in the main thread, when it is read |
    | step | the last finished step |
    | last | the last step of all |
    | work | called for each step in order, in the main thread; returns what computes the value |
    """

    def __init__(
        self, ahead: int, step: int, last: int, work: Callable[[int], Callable[[], T]]
    ) -> None:
        self._ahead, self._begun, self._last = ahead, step, last
        self._work = work
        self._values = Background[T]("ahead", max(1, ahead))

    def take(self, step: int) -> T:
        """The value of a step. Raises what its work raised."""
        if self._values.has_begun:
            return self._values.take()
        self._begun = step
        return self._work(step)()

    def begin_after(self, step: int) -> None:
        """Begins what the steps behind `step` need, which was read."""
        while self._begun < min(step + self._ahead, self._last):
            self._begun += 1
            self._values.begin(self._work(self._begun))

    def wait(self) -> None:
        """Waits for all that has begun. Raises what the work raised."""
        self._values.wait()

    def close(self) -> None:
        """Waits for what has begun to end, and drops it. Safe to call twice."""
        self._values.close()


def _wait(value: Future[T]) -> None:
    # In short waits: Ctrl-C is not delivered during an unbounded one everywhere.
    while not value.done():
        wait([value], timeout=POLL_S)
    value.result()
