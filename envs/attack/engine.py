"""Plays attacks on an environment, and says which of them paid."""

from __future__ import annotations

import inspect
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from envs import registry
from envs.attack.model import LEASE, Attack
from envs.attack.targets import PROBE, Target
from envs.base import TextEnv
from envs.checks.env_under_test import EnvUnderTest
from sandboxes import SandboxConfig, SandboxPool, open_pool

__all__ = [
    "OWN",
    "Finding",
    "Pooled",
    "attempt",
    "control",
    "played",
    "probed",
    "sandbox_kinds",
    "takes_sandboxes",
]

OWN = "own"
"""In place of a backend, for an environment that takes no pool of sandboxes."""

THEFT, SPOILT, HELPED, ERRED, SLOW = "theft", "spoilt", "helped", "erred", "slow"
CONTROL = "control"


@dataclass(frozen=True)
class Finding:
    """What an attack got.

    | field | meaning |
    |---|---|
    | env, backend, attack, kind, target | which attack, where |
    | what | theft: a reward; spoilt: the oracle fails afterwards; helped: a wrong answer passes |
    | | afterwards; erred: the episode has no verdict; slow: past the patience; control: the |
    | | environment cannot be judged, see `detail` |
    | detail | what was seen, with the steals of the attack |
    | turns | which reproduce it |
    """

    env: str
    backend: str
    attack: str
    kind: str
    target: str
    what: str
    detail: str
    turns: tuple[str, ...] = ()


class Pooled(EnvUnderTest):
    """An environment whose sandboxes come from one pool of one sandbox, so that residue shows.

    `backend`: docker, local, or `OWN` where the environment takes no pool. Raises what
    `open_pool` raises.
    """

    def __init__(self, name: str, backend: str, *, quick: bool = False) -> None:
        self.backend = backend
        with ExitStack() as stack:
            self.pool: SandboxPool | None = None
            if backend != OWN:
                self.pool = stack.enter_context(
                    open_pool(SandboxConfig(backend=backend, size=1))
                )
            super().__init__(name, quick=quick)
            self._stack = stack.pop_all()

    def make(self) -> TextEnv:
        """Another one of it, with the same pool."""
        if self.pool is None:
            return super().make()
        env = registry.make(self.name, sandboxes=self.pool).unwrapped
        assert isinstance(env, TextEnv)
        return env

    def __enter__(self) -> Pooled:
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self._stack.close()


def takes_sandboxes(name: str) -> bool:
    """Whether an environment takes its sandboxes from a pool that its maker gives it.

    Raises ValueError or gymnasium.error.Error for a name that is no TextEnv.
    """
    with EnvUnderTest(name) as subject:
        return "sandboxes" in inspect.signature(type(subject.env)).parameters


def sandbox_kinds() -> dict[str, str]:
    """Each backend of sandboxes, and why it cannot run here, empty where it can."""
    from sandboxes.backends import bubblewrap as local
    from sandboxes.backends import docker

    return {"docker": docker.available(), "local": local.available()}


def played(
    subject: EnvUnderTest, target: Target, attacks: Sequence[Attack]
) -> tuple[float, list[str]]:
    """The reward of a wrong solution with these attacks, and the turns that it took.

    Raises what the environment raises, and ValueError where the attacks do not fit.
    """
    turns = target.turns([attack.code for attack in attacks])
    trace = subject.play(target.task, turns)
    return float(trace.passed), turns


def control(subject: Pooled, target: Target) -> list[Finding]:
    """Whether a target can show anything: a wrong solution fails and the oracle passes."""
    none = Attack("control", CONTROL, "", "")
    said: list[str] = []
    if subject.play(target.task, target.turns([])).passed:
        said.append("the wrong solution passes without any attack")
    if target.right and not subject.play(target.task, target.right).passed:
        said.append("the oracle fails before any attack")
    return [_finding(subject, target, none, CONTROL, text) for text in said]


def probed(subject: EnvUnderTest, target: Target) -> bool:
    """Whether code runs there: what a probe's functions give is seen in a reply."""
    code = f"def on_call(function, a, k):\n    raise RuntimeError({PROBE!r})\n"
    replies = subject.play(target.task, target.turns([code])).chat[2::2]
    return PROBE in "\n".join(replies)


def attempt(
    subject: Pooled, target: Target, attack: Attack, *, afterwards: bool = True
) -> list[Finding]:
    """What an attack got at a target; nothing where the environment holds.

    `afterwards`: the oracle is played after it in the same sandbox, and after attacks of the kind
    `lease` a plain wrong solution, too.
    """
    found: list[Finding] = []
    started = time.monotonic()
    turns: list[str] = []
    try:
        reward, turns = played(subject, target, [attack])
        if reward > 0:
            found.append(_finding(subject, target, attack, THEFT, attack.steals, turns))
    except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
        turns = target.turns([attack.code])
        said = f"{type(error).__name__}: {error}"[:200]
        found.append(_finding(subject, target, attack, ERRED, said, turns))
    took_s = time.monotonic() - started
    if took_s > subject.patience_s:
        found.append(
            _finding(subject, target, attack, SLOW, f"took {took_s:.0f} s", turns)
        )
    if afterwards:
        found += _after(subject, target, attack, turns)
    return found


def _after(
    subject: Pooled, target: Target, attack: Attack, turns: Sequence[str]
) -> list[Finding]:
    try:
        if target.right and not subject.play(target.task, target.right).passed:
            said = f"the oracle fails afterwards: {attack.steals}"
            return [_finding(subject, target, attack, SPOILT, said, turns)]
        if attack.kind == LEASE and subject.play(target.task, target.turns([])).passed:
            said = f"a wrong solution passes afterwards: {attack.steals}"
            return [_finding(subject, target, attack, HELPED, said, turns)]
    except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
        said = f"the next episode ends as {type(error).__name__}: {error}"[:200]
        return [_finding(subject, target, attack, SPOILT, said, turns)]
    return []


def _finding(
    subject: Pooled,
    target: Target,
    attack: Attack,
    what: str,
    detail: str,
    turns: Sequence[str] = (),
) -> Finding:
    return Finding(
        subject.name,
        subject.backend,
        attack.name,
        attack.kind,
        target.name,
        what,
        detail,
        tuple(turns),
    )
