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
    "finding",
    "play_attacks",
    "runs_code",
    "sandbox_kinds",
    "takes_sandboxes",
]

OWN = "own"
"""In place of a backend, for an environment that takes no pool of sandboxes."""

THEFT, SPOILT, HELPED, ERRED, SLOW = "theft", "spoilt", "helped", "erred", "slow"
CONTROL, REFUSED, ENDED = "control", "refused", "ended"
MAX_ERROR = 200


@dataclass(frozen=True)
class Finding:
    """What an attack achieved.

    | field | meaning |
    |---|---|
    | env, backend, attack, kind, target | which attack, where |
    | what | theft: a reward; spoilt: the oracle fails afterwards; helped: a wrong answer passes |
    | | afterwards; erred: the episode has no verdict; slow: past the patience; control: the |
    | | environment cannot be judged, see `detail`; refused: harmless code fails; ended: the |
    | | process that played it ended |
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

    `backend`: docker, local, or `OWN` if the environment takes no pool. Raises what
    `open_pool` raises.
    """

    def __init__(self, name: str, backend: str, *, quick: bool = False) -> None:
        self.backend = backend
        with ExitStack() as stack:
            self.pool: SandboxPool | None = None
            if backend != OWN:
                config = SandboxConfig(backend=backend, size=1)
                self.pool = stack.enter_context(open_pool(config))
            super().__init__(name, quick=quick)
            # Nothing has failed: the pool stays open until `__exit__`.
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
    """Each backend of sandboxes, and why it cannot run here; empty if it can."""
    from sandboxes.backends import bubblewrap as local
    from sandboxes.backends import docker

    return {"docker": docker.available(), "local": local.available()}


def play_attacks(
    subject: EnvUnderTest, target: Target, attacks: Sequence[Attack]
) -> tuple[float, list[str]]:
    """The reward of a wrong solution with these attacks, and the turns that it took.

    Raises what the environment raises, and ValueError if the attacks do not fit.
    """
    turns = target.turns([attack.code for attack in attacks])
    trace = subject.play(target.task, turns)
    return float(trace.passed), turns


def control(subject: Pooled, target: Target) -> list[Finding]:
    """Whether a target can show anything: a wrong solution fails and the oracle passes."""
    none = Attack("control", CONTROL, "", "")
    problems: list[str] = []
    if _wrong_passes(subject, target):
        problems.append("the wrong solution passes without any attack")
    if target.right and not subject.play(target.task, target.right).passed:
        problems.append("the oracle fails before any attack")
    return [finding(subject, target, none, CONTROL, problem) for problem in problems]


def runs_code(subject: EnvUnderTest, target: Target) -> bool:
    """Whether code runs there: what a probe's functions give is seen in a reply."""
    code = f"def on_call(function, a, k):\n    raise RuntimeError({PROBE!r})\n"
    turns = target.turns([code])
    trace = subject.play(target.task, turns)
    replies = trace.chat[2::2]
    return PROBE in "\n".join(replies)


def attempt(
    subject: Pooled, target: Target, attack: Attack, *, afterwards: bool = True
) -> list[Finding]:
    """What an attack got at a target; nothing if the environment holds.

    `afterwards`: the oracle is played after it in the same sandbox, and after attacks of the kind
    `lease` a wrong solution without an attack, too.
    """
    findings: list[Finding] = []
    started = time.monotonic()
    turns: list[str] = []
    try:
        reward, turns = play_attacks(subject, target, [attack])
        if reward > 0:
            findings.append(
                finding(subject, target, attack, THEFT, attack.steals, turns)
            )
    except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
        # Raises ValueError again if it was the attack that does not fit.
        turns = target.turns([attack.code])
        detail = _short(error)
        findings.append(finding(subject, target, attack, ERRED, detail, turns))

    took_s = time.monotonic() - started
    if took_s > subject.patience_s:
        detail = f"took {took_s:.0f} s"
        findings.append(finding(subject, target, attack, SLOW, detail, turns))
    if afterwards:
        findings += _after(subject, target, attack, turns)
    return findings


def _after(
    subject: Pooled, target: Target, attack: Attack, turns: Sequence[str]
) -> list[Finding]:
    """What an attack has left behind for the episodes after it."""
    what = detail = ""
    try:
        if target.right and not subject.play(target.task, target.right).passed:
            what, detail = SPOILT, f"the oracle fails afterwards: {attack.steals}"
        # Only attacks on the lease change what comes after them, and a play takes time.
        elif attack.kind == LEASE and _wrong_passes(subject, target):
            what = HELPED
            detail = f"a wrong solution passes afterwards: {attack.steals}"
    except Exception as error:  # noqa: BLE001 - whatever an environment raises is a finding
        what, detail = SPOILT, f"the next episode ends as {_short(error)}"[:MAX_ERROR]
    return [finding(subject, target, attack, what, detail, turns)] if what else []


def _wrong_passes(subject: Pooled, target: Target) -> bool:
    turns = target.turns([])
    return subject.play(target.task, turns).passed


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_ERROR]


def finding(
    subject: Pooled,
    target: Target,
    attack: Attack,
    what: str,
    detail: str,
    turns: Sequence[str] = (),
) -> Finding:
    """The finding of an attack at a target of the environment."""
    return Finding(
        env=subject.name,
        backend=subject.backend,
        attack=attack.name,
        kind=attack.kind,
        target=target.name,
        what=what,
        detail=detail,
        turns=tuple(turns),
    )
