"""Several engines as one: turns go to those that work, and from one that is lost to another.

An engine that fails leaves. It comes back once it says that it has the fleet's weights: it may
have been started again, with those that it began with.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from sandboxes.commands import CommandError
from scgrpo.policies.completions import ServerError
from scgrpo.policies.engines.base import Engine, EngineLostError, Sampled

__all__ = ["Fleet"]

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0
POLL_S = 0.05

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class _Member:
    """An engine of the fleet.

    | field | meaning |
    |---|---|
    | tokens | of the turns that it writes now, prompt and room |
    | problem | why it left; empty while it works |
    | may_return | it may come back before the next hand-over |
    | wait_s, asked_at | when it may be asked next whether it works again |
    """

    engine: Engine
    tokens: int = 0
    problem: str = ""
    may_return: bool = True
    wait_s: float = field(default_factory=lambda: FIRST_WAIT_S)
    asked_at: float = 0.0


class Fleet:
    """Engines that sample from the same weights. Thread-safe.

    The turns of one group go to one engine, which has their prompt in its cache; a new group goes
    to the engine with the fewest tokens in flight.

    | argument | meaning |
    |---|---|
    | engines | closed with the fleet |
    | tries | how often in a row a turn may fail without getting on |
    | patience_s | how long a turn waits while no engine works |
    | first | which engine is preferred among equals, so that processes begin at different ones |
    """

    def __init__(
        self,
        engines: Sequence[Engine],
        *,
        tries: int = 4,
        patience_s: float = 120.0,
        first: int = 0,
    ) -> None:
        places = [(first + i) % len(engines) for i in range(len(engines))]
        self._members = [_Member(engines[place]) for place in places]
        self._tries, self._patience_s = tries, patience_s
        self._homes: dict[int, _Member] = {}
        self._version = ""
        self._lock = threading.Lock()
        self._closed = False

    @property
    def engines(self) -> list[Engine]:
        """All engines, also those that do not work now."""
        return [member.engine for member in self._members]

    @property
    def working(self) -> list[Engine]:
        """The engines that have not left."""
        return [member.engine for member in self._members if not member.problem]

    def sample(
        self,
        ids: Sequence[int],
        *,
        group: int,
        room: int,
        seed: int,
        salt: str,
        stop_ids: Sequence[int],
        stop_text: str,
        adapter: str = "",
    ) -> Sampled:
        """One completion, as `Engine.sample`; what a lost engine wrote of it is gone on with.

        `group` is equal for turns with a common prompt. Raises ServerError.
        """
        turn = Sampled([], [], cut=False)
        failures = 0
        while True:
            with self._reservation(group, len(ids) + room) as member:
                try:
                    more = member.engine.sample(
                        [*ids, *turn.ids],
                        room=room - len(turn.ids),
                        # Other draws than those that began the turn.
                        seed=(seed + len(turn.ids)) % 2**31,
                        salt=salt,
                        stop_ids=stop_ids,
                        stop_text=stop_text,
                        adapter=adapter,
                    )
                    member.wait_s = FIRST_WAIT_S
                    return _concatenate(turn, more)
                except EngineLostError as error:
                    self._leave(member, str(error), may_return=True)
                    failures = 0 if error.partial.ids else failures + 1
                    turn = _concatenate(turn, error.partial)
                    if self._closed or failures >= self._tries:
                        raise
            if turn.ids and (turn.ids[-1] in stop_ids or len(turn.ids) >= room):
                return turn._replace(cut=turn.ids[-1] not in stop_ids)

    def hand_over(self, work: Callable[[Engine], None]) -> None:
        """Does `work`, which gives new weights, on every engine at the same time.

        Those that had left are tried as well: who succeeds works. Raises the error of the first if
        none does, and every error that is no CommandError.
        """
        with self._lock:
            # Until `confirm` no server comes back.
            self._version = ""

        def careful(engine: Engine) -> None:
            # One that hangs is not waited for as long as the hand-over itself may take.
            if engine not in working:
                engine.version()
            work(engine)

        working = self.working
        self._on_each(self._members, careful)

    def check(self, work: Callable[[Engine], None]) -> None:
        """Does `work` on every engine that works; one that raises a CommandError leaves.

        Raises the error of the first if none is left.
        """
        self._on_each([m for m in self._members if not m.problem], work)

    def confirm(self, version: str) -> None:
        """Calls the weights of the engines that work `version`, by which they are known again."""
        self.check(lambda engine: engine.set_version(version))

    def adopt(self, working: Sequence[str], version: str) -> None:
        """Takes over which engines, by name, another process confirmed to have the version."""
        with self._lock:
            self._version = version
            self._homes.clear()
            for member in self._members:
                is_working = member.engine.name in working
                member.problem = "" if is_working else "it did not take the weights"
                member.may_return = is_working

    def close(self) -> None:
        """Closes the engines; waiting turns get ServerError. Safe to call twice."""
        self._closed = True
        for engine in self.engines:
            engine.close()

    @contextmanager
    def _reservation(self, group: int, tokens: int) -> Iterator[_Member]:
        """The engine for a turn of the group, whose load has these tokens in the block."""
        member = self._choose(group, tokens)
        try:
            yield member
        finally:
            with self._lock:
                member.tokens -= tokens

    def _choose(self, group: int, tokens: int) -> _Member:
        """Waits for an engine that works. Raises ServerError if there is none for too long."""
        deadline = time.monotonic() + self._patience_s
        while True:
            self._ask_again()
            with self._lock:
                working = [member for member in self._members if not member.problem]
                if working:
                    member = self._homes.get(group)
                    if member not in working:
                        member = min(working, key=lambda m: m.tokens)
                        self._homes[group] = member
                    member.tokens += tokens
                    return member
            if self._closed:
                raise ServerError("the policy was closed")
            if time.monotonic() > deadline:
                problems = "; ".join(
                    f"{m.engine.name}: {m.problem}" for m in self._members
                )
                raise ServerError(f"no engine works: {problems}")
            time.sleep(POLL_S)

    def _ask_again(self) -> None:
        """Asks engines that left, if it is their time, whether they have the weights.

        In threads of their own, since one that hangs answers late or never.
        """
        now = time.monotonic()
        with self._lock:
            for member in self._members:
                if member.problem and member.may_return and member.asked_at <= now:
                    member.wait_s = min(2 * member.wait_s, LONGEST_WAIT_S)
                    member.asked_at = now + member.wait_s
                    threading.Thread(
                        target=self._ask, args=(member,), daemon=True
                    ).start()

    def _ask(self, member: _Member) -> None:
        with suppress(ServerError):
            version = member.engine.version()
            with self._lock:
                # A hand-over may have begun meanwhile.
                if member.problem and member.may_return and version == self._version:
                    member.problem = ""
                    logger.info("an engine works again: %s", member.engine.name)

    def _leave(self, member: _Member, problem: str, *, may_return: bool) -> None:
        with self._lock:
            if self._closed or member.problem:
                return
            member.problem, member.may_return = problem, may_return
            member.asked_at = time.monotonic() + member.wait_s
            left = sum(not m.problem for m in self._members)
        logger.warning(
            "an engine left, %d of %d work: %s", left, len(self._members), problem
        )

    def _on_each(
        self, members: Sequence[_Member], work: Callable[[Engine], None]
    ) -> None:
        errors: list[CommandError] = []

        def one(member: _Member) -> None:
            try:
                work(member.engine)
            except CommandError as error:
                errors.append(error)
                self._leave(member, str(error), may_return=False)
            else:
                member.problem = ""

        with ThreadPoolExecutor(max(1, len(members)), "engine") as threads:
            # Errors of another kind are bugs, and raised.
            list(threads.map(one, members))
        if errors and not self.working:
            raise errors[0]


def _concatenate(first: Sampled, second: Sampled) -> Sampled:
    return Sampled(first.ids + second.ids, first.logprobs + second.logprobs, second.cut)
