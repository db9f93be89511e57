"""Work in a thread of its own, while the main thread computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

__all__ = ["Background"]

POLL_S = 0.5

T = TypeVar("T")


class Background(Generic[T]):
    """Computes one value at a time; whoever asks for the value gets an error of the work."""

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(1, name)
        self._value: Future[T] | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there is a value to take, now or later."""
        return self._value is not None

    def begin(self, work: Callable[[], T]) -> None:
        """Starts the work. Raises RuntimeError if the value before it has not been taken."""
        if self._value is not None:
            raise RuntimeError("the last value has not been taken")
        self._value = self._thread.submit(work)

    def wait(self) -> None:
        """Waits for the value, if work has begun. Raises what the work raised."""
        if self._value is None:
            return
        # In short waits: Ctrl-C is not delivered during an unbounded one everywhere.
        while not self._value.done():
            wait([self._value], timeout=POLL_S)
        self._value.result()

    def take(self) -> T:
        """The value, once it is there. Raises what the work raised."""
        self.wait()
        assert self._value is not None
        value, self._value = self._value.result(), None
        return value

    def close(self) -> None:
        """Waits for the work to end, and drops its value. Safe to call twice."""
        self._thread.shutdown(wait=True, cancel_futures=True)
