"""An episode whose environment is elsewhere is the one that would be played here."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from envs import registry
from envs.rollout import Limits, PromptTooLongError, play
from envs.types import Episode, Message
from sandboxes import SandboxConfig
from scgrpo.cluster.requests import answer_requests
from scgrpo.cluster.worker import RolloutWorker
from scgrpo.policies.scripted import RandomPolicy, ScriptedPolicy

LIMITS = Limits()


@pytest.fixture
def worker():
    opened = RolloutWorker()
    assert opened.open("toy_guess", SandboxConfig(), ".") == ""
    yield opened
    opened.close()


def sent(call: Callable[..., Any], *arguments: Any) -> Any:
    """What a call of another process returns."""
    return pickle.loads(pickle.dumps(call(*pickle.loads(pickle.dumps(arguments)))))


def played_by(worker: RolloutWorker, policy: Any, task: Any, seed: int) -> Episode:
    begin = partial(sent, worker.begin, "e", task, LIMITS, seed, policy.version)
    return answer_requests(policy, begin, partial(sent, worker.go_on, "e"))


def timeless(episode: Episode) -> Episode:
    return replace(episode, wall_s=0.0)


class Guesser(ScriptedPolicy):
    """Guesses from the middle; a weight update comes with each turn."""

    def __init__(self, fault: Exception | None = None, at: int = 2) -> None:
        super().__init__(self.guess)
        self.version, self.fault, self.at = 0, fault, at

    def guess(self, chat: list[Message]) -> str:
        self.version += 1
        if self.fault is not None and self.version == self.at:
            raise self.fault
        return str(4 + self.version)


@pytest.mark.parametrize(
    "fault",
    [None, KeyError("no such key"), PromptTooLongError(9, LIMITS)],
    ids=lambda fault: type(fault).__name__,
)
def test_an_episode_is_the_same_here_and_there(worker: RolloutWorker, fault):
    with registry.make("toy_guess") as env:
        tasks = env.unwrapped.tasks("train", 0)[:4]
        for seed, task in enumerate(tasks):
            here = play(env, Guesser(fault), task, limits=LIMITS, seed=seed)
            there = played_by(worker, Guesser(fault), task, seed)
            assert timeless(there) == timeless(here)
            assert len(there.versions) == (2 if fault is None else 1)


def test_a_policy_that_does_not_begin_is_an_errored_episode(worker: RolloutWorker):
    class Closed(Guesser):
        def begin(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("the policy is closed")

    task = registry.make("toy_guess").unwrapped.tasks("train", 0)[0]
    episode = played_by(worker, Closed(), task, 0)
    assert episode.error == "RuntimeError: the policy is closed"


def test_without_a_policy_the_environments_own_random_one_plays(worker: RolloutWorker):
    with registry.make("toy_guess") as env:
        task = env.unwrapped.tasks("train", 0)[0]
        here = play(env, RandomPolicy(env), task, limits=LIMITS, seed=3)
    there = sent(worker.begin, "e", task, LIMITS, 3, None)
    assert timeless(there) == timeless(here)


def test_episodes_at_once_have_an_environment_each(worker: RolloutWorker):
    """If they were played one after another, the first would wait for ever."""
    tasks = registry.make("toy_guess").unwrapped.tasks("train", 0)
    meeting = threading.Barrier(2, timeout=30)
    episodes: dict[int, Episode] = {}

    class Meeting(Guesser):
        def guess(self, chat: list[Message]) -> str:
            meeting.wait()
            return str(self.goal)

    def one(place: int) -> None:
        policy = Meeting()
        policy.goal = place
        begin = partial(worker.begin, str(place), tasks[0], LIMITS, 0, 0)
        go_on = partial(worker.go_on, str(place))
        episodes[place] = answer_requests(policy, begin, go_on)

    threads = [threading.Thread(target=one, args=(place,)) for place in (8, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert {e.turns[0].text for e in episodes.values()} == {"8", "9"}


def test_what_the_environment_raises_comes_through():
    worker = RolloutWorker()
    with pytest.raises(ValueError, match=r"expected an envs.base.TextEnv"):
        worker.open("gymnasium:CartPole-v1", SandboxConfig(), ".")
