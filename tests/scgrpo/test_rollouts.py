"""Groups of episodes in threads: in order, seeded, and quick to end."""

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium
import pytest

from envs import registry
from envs.base import TextEnv
from envs.rollout import Limits
from envs.types import Message, Segment, Stop, Task, Verdict
from sandboxes import SandboxError
from scgrpo.agents.config import AgentConfig
from scgrpo.policies.scripted import ScriptedPolicy
from scgrpo.rollouts import Rollouts, success_rate


class Echo(TextEnv):
    """Passes who repeats the prompt; a turn `break` breaks the sandbox."""

    name = "echo_for_rollouts"
    open_count = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).open_count += 1

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        return [
            Task(f"{split}/{level}/{word}", split, level, word, word)
            for word in ("a", "b", "c")
        ]

    def reply(self, text: str) -> str | Verdict:
        if text == "break":
            raise SandboxError("the box is gone")
        return Verdict(
            passed=text == self.task.prompt, score=float(text == self.task.prompt)
        )

    def random_turn(self, rng: Any) -> str:
        return str(rng.integers(1_000_000))

    def close(self) -> None:
        type(self).open_count -= 1
        super().close()


@pytest.fixture
def echo() -> str:
    name = "tests/echo_for_rollouts"
    if f"{name}-v0" not in gymnasium.registry:
        registry.register(Echo, "tests")
    Echo.open_count = 0
    return name


@pytest.fixture
def play(echo: str) -> Iterator[Rollouts]:
    with Rollouts(echo, Limits(), threads=4) as opened:
        yield opened


class Slow:
    """A policy whose conversations wait until it is closed, as a model's would."""

    version = 3

    def __init__(self, begun: int) -> None:
        self.closed = threading.Event()
        self.begun = threading.Semaphore(0)
        self.wanted = begun

    def begin(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        limits: Limits,
        seed: int,
    ) -> Any:
        self.begun.release()
        return self

    prompt = Segment("prompt", "")

    def generate(self) -> Segment | None:
        assert self.closed.wait(30)
        raise RuntimeError("the policy is closed")

    def close(self) -> None:
        self.closed.set()

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def test_episodes_come_back_in_order_with_their_tasks(play: Rollouts):
    tasks = play.env.tasks("train", 0)
    policy = ScriptedPolicy(lambda chat: chat[0]["content"].replace("c", "x"))
    seen: dict[int, str] = {}
    episodes = play(
        policy,
        tasks,
        group=3,
        seed=0,
        on_episode=lambda i, e: seen.update({i: e.task.prompt}),
    )
    assert [e.task.prompt for e in episodes] == list("aaabbbccc")
    assert [e.verified for e in episodes] == [True] * 6 + [False] * 3
    assert success_rate(episodes) == pytest.approx(6 / 9)
    assert seen == dict(enumerate("aaabbbccc"))


def test_every_episode_has_a_seed_of_its_own_that_follows_from_the_steps(
    play: Rollouts,
):
    tasks = play.env.tasks("train", 0)
    first = play(None, tasks, group=2, seed=5)
    again = play(None, tasks, group=2, seed=5)
    other = play(None, tasks, group=2, seed=6)
    assert len({e.seed for e in first}) == 6
    assert [e.seed for e in first] == [e.seed for e in again]
    assert [e.turns[0].text for e in first] == [e.turns[0].text for e in again]
    assert not {e.seed for e in first} & {e.seed for e in other}


def test_a_broken_episode_has_no_verdict_and_the_others_go_on(play: Rollouts):
    tasks = play.env.tasks("train", 0)
    policy = ScriptedPolicy(
        lambda c: "break" if c[0]["content"] == "b" else c[0]["content"]
    )
    episodes = play(policy, tasks, group=1, seed=0)
    assert [e.stop for e in episodes] == [Stop.FINISHED, Stop.ERROR, Stop.FINISHED]
    assert episodes[1].error == "SandboxError: the box is gone"
    assert success_rate(episodes) == 1.0


def test_progress_names_the_causes_of_errored_episodes_and_is_silent_without(
    play, capsys
):
    tasks = play.env.tasks("train", 0)
    policy = ScriptedPolicy(
        lambda c: "break" if c[0]["content"] == "b" else c[0]["content"]
    )
    play(policy, tasks, group=2, seed=0, description="training")
    assert "success 100 %, errored: SandboxError 2\n" in capsys.readouterr().err
    play(policy, tasks[:1], group=2, seed=0, description="training")
    assert "errored" not in capsys.readouterr().err


def test_the_rate_of_no_verdicts_is_not_a_number():
    assert success_rate([]) != success_rate([])


def test_an_interrupt_closes_the_policy_and_passes_on(play: Rollouts):
    policy = Slow(begun=4)

    def interrupt() -> None:
        for _ in range(4):
            assert policy.begun.acquire(timeout=30)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        # Twelve episodes on four threads: those that have not begun never do.
        play(
            policy,
            play.env.tasks("train", 0),
            group=4,
            seed=0,
            on_episode=lambda i, _: done.append(i),
        )
    assert policy.closed.is_set()
    assert not policy.begun.acquire(blocking=False)
    # An interrupt while a thread is being started leaves that one to end by itself, soon.
    deadline = time.monotonic() + 10
    while left := [t for t in threading.enumerate() if t.name.startswith("episode")]:
        assert time.monotonic() < deadline, left
        time.sleep(0.01)


def test_every_environment_is_closed(echo: str):
    with Rollouts(echo, Limits(), threads=4) as play:
        play(None, play.env.tasks("train", 0), group=4, seed=0)
        # One to ask for tasks, at most one for each thread; used again by the next call.
        assert 2 <= Echo.open_count <= 5
        play(None, play.env.tasks("train", 0), group=4, seed=0)
        assert Echo.open_count <= 5
    assert Echo.open_count == 0


class Turns(TextEnv):
    """Takes as many turns as the task's level says, or its prompt if that is a number."""

    name = "turns_for_rollouts"
    levels = (1, 2, 5)

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        return [
            Task(f"{split}/{level}/{i}", split, level, "f", str(level))
            for i in range(4)
        ]

    def reply(self, text: str) -> str | Verdict:
        if self._turn < int(self.task.prompt):
            return "go on"
        return Verdict(passed=True, score=1.0)

    def random_turn(self, rng: Any) -> str:
        return str(rng.integers(1_000_000))


class Noted(Rollouts):
    """Takes down the tasks in the order in which their episodes are started."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.started: list[str] = []

    def _starting_order(self, tasks: Sequence[Task], group: int) -> list[int]:
        order = super()._starting_order(tasks, group)
        self.started += [tasks[i // group].id for i in order]
        return order


@pytest.fixture
def turns() -> str:
    name = "tests/turns_for_rollouts"
    if f"{name}-v0" not in gymnasium.registry:
        registry.register(Turns, "tests")
    return name


def test_the_longest_start_first_and_nothing_else_changes(turns: str):
    with Noted(turns, Limits(), threads=2) as play:
        tasks = [play.env.tasks("train", level)[0] for level in (1, 5, 2)]
        ids = [task.id for task in tasks for _ in range(2)]
        first = play(None, tasks, group=2, seed=7)
        # Nobody knows yet how long they take.
        assert play.started == ids
        assert [len(e.turns) for e in first] == [1, 1, 5, 5, 2, 2]

        play.started.clear()
        again = play(None, tasks, group=2, seed=7)
        assert play.started == [*ids[2:4], *ids[4:], *ids[:2]]
        assert [e.task.id for e in again] == ids
        assert [e.seed for e in again] == [e.seed for e in first]
        texts = [[[turn.text for turn in e.turns] for e in es] for es in (first, again)]
        assert texts[0] == texts[1]


def test_a_new_task_is_expected_to_take_what_its_level_did(turns: str):
    with Noted(turns, Limits(), threads=2) as play:
        short, long = play.env.tasks("train", 1), play.env.tasks("train", 5)
        play(None, [short[0], long[0]], group=1, seed=0)
        play.started.clear()
        # A level that nobody has played comes first.
        unknown = play.env.tasks("train", 2)[0]
        order = [long[1], unknown, short[1]]
        play(None, [short[1], long[1], unknown], group=1, seed=0)
        assert play.started == [unknown.id, long[1].id, order[2].id]


@pytest.mark.parametrize("threads", [1, 6])
def test_episodes_start_in_order_if_another_one_would_save_nothing(
    turns: str, threads: int
):
    """All at once, or one after another."""
    with Noted(turns, Limits(), threads=threads) as play:
        tasks = [play.env.tasks("train", level)[0] for level in (1, 5, 2)]
        play(None, tasks, group=2, seed=7)
        assert play._starting_order(tasks, 2) == list(range(6))


def test_no_tasks_make_no_episodes(play: Rollouts):
    assert play(None, [], group=4, seed=0) == []


def test_an_unknown_environment_names_the_nearest():
    with pytest.raises(gymnasium.error.NameNotFound, match="toy_guess"):
        Rollouts("toy_gues", Limits())


def test_an_environment_of_another_kind_is_refused():
    with pytest.raises(ValueError, match=r"expected an envs.base.TextEnv"):
        Rollouts("gymnasium:CartPole-v1", Limits())


def test_an_agent_and_workers_of_other_nodes_are_refused_together():
    agent = AgentConfig(command="mini")
    with pytest.raises(ValueError, match=r"got 2 rollout workers .*'mini': an agent"):
        Rollouts("toy_guess", Limits(), agent=agent, workers=2)
