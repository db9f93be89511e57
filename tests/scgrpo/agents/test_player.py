"""An agent's command plays a task: its calls and its files become an episode with a verdict."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import gymnasium
import pytest
import torch

from envs import registry
from envs.rollout import Limits
from envs.store import from_json, to_json
from envs.types import Episode, Stop
from sandboxes import SandboxConfig, SandboxError
from sandboxes.backends.fake import FakePool
from scgrpo.agents.config import AgentConfig
from scgrpo.agents.player import AgentPlayer
from scgrpo.agents.process import run_agent
from scgrpo.agents.session import Session
from scgrpo.batch import collate, rows_of
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny, make_tokenizer
from scgrpo.policies.hf import HFPolicy
from scgrpo.rollouts import Rollouts
from tests.scgrpo.agents.number_env import AGENT, ENV, register
from tests.scgrpo.agents.scripted_tokens import ScriptedTokens

LIMITS = Limits(turn_tokens=40, episode_tokens=600)
HERE = SandboxConfig(backend="unsafe", allow_unsafe=True)
"""Agents of these tests run nothing that is to be kept apart."""

register()
Play = Callable[..., Episode]


@pytest.fixture
def env() -> Iterator[gymnasium.Env[str, str]]:
    made = registry.make(ENV)
    yield made
    made.close()


@pytest.fixture(scope="module")
def player() -> Iterator[AgentPlayer]:
    with AgentPlayer(AgentConfig(AGENT, parallel=2, timeout_s=30.0), HERE) as opened:
        yield opened


@pytest.fixture
def play(env: gymnasium.Env[str, str], player: AgentPlayer) -> Play:
    task = env.unwrapped.tasks("train", 0)[2]  # pyright: ignore[reportAttributeAccessIssue]

    def with_turns(*turns: str, limits: Limits = LIMITS) -> Episode:
        """The episode of an agent whose model says these turns."""
        policy = ScriptedTokens(make_tokenizer(), lambda _, n: turns[n])
        episode = player(env, policy, task, limits=limits, seed=9)
        assert policy.open_count == 0
        return episode

    return with_turns


def test_what_the_agent_leaves_is_graded(play):
    episode = play("cat note.txt > answer.txt", "done")
    assert episode.error == ""
    assert episode.stop is Stop.FINISHED
    assert episode.verified is True
    assert [s.source for s in episode.segments] == ["prompt", "policy", "env", "policy"]
    assert [turn.text for turn in episode.turns] == [
        "cat note.txt > answer.txt",
        "done",
    ]
    assert episode.messages == ({"role": "user", "content": "Copy it: 2."},)
    assert episode.segments[2].text == "0: "
    assert (episode.agent, episode.seed, episode.versions) == (AGENT, 9, (5, 5))
    assert episode.env == f"{ENV}-v0"
    assert from_json(to_json(episode)) == episode


@pytest.mark.parametrize(
    "command",
    ["echo 7 > answer.txt", "true", "rm answer.txt", "ln -sf note.txt answer.txt"],
)
def test_other_files_are_a_failure(play, command):
    episode = play(command, "done")
    assert episode.verified is False


def test_a_crash_is_an_error_and_no_failure(play):
    episode = play("cat note.txt > answer.txt", "crash")
    assert episode.stop is Stop.ERROR
    assert episode.verdict is None
    assert episode.error == "AgentError: the agent ended with status 1: it crashed"
    assert len(episode.turns) == 2


def test_a_spent_budget_is_a_failure_whatever_the_agent_makes_of_it(play):
    episode = play("echo " + "a" * 30, *["true"] * 9, limits=Limits(40, 130))
    assert episode.stop is Stop.MAX_TOKENS
    assert episode.verified is False


def test_a_prompt_without_room_is_counted_apart(play):
    assert play("true", limits=Limits(40, 20)).prompt_too_long


def of_command(env: gymnasium.Env[str, str], command: str, timeout_s: float) -> Episode:
    task = env.unwrapped.tasks("train", 0)[0]  # pyright: ignore[reportAttributeAccessIssue]
    policy = ScriptedTokens(make_tokenizer(), lambda *_: "true")
    config = AgentConfig(command, parallel=1, timeout_s=timeout_s)
    with AgentPlayer(config, HERE) as player:
        return player(env, policy, task, limits=LIMITS)


def test_an_agent_that_does_not_end_is_killed_with_all_it_started(env, tmp_path: Path):
    mark = tmp_path / "alive"
    command = f"(sleep 3; touch {mark}) & sleep 60"
    episode = of_command(env, command, timeout_s=0.5)
    assert episode.error == "AgentError: the agent was killed at agent.timeout_s"
    assert episode.wall_s < 20
    threading.Event().wait(3.5)
    assert not mark.exists()


def test_an_agent_that_asks_nothing_has_no_verdict(env):
    episode = of_command(env, "true", timeout_s=20.0)
    assert "without a call" in episode.error


def test_an_agent_that_gets_no_more_turns_has_seconds_to_end(monkeypatch):
    monkeypatch.setattr("scgrpo.agents.process.GRACE_S", 0.3)
    result = run_agent("sleep 60", {}, timeout_s=60.0, over=lambda: True)
    assert result.timed_out


def broken_box(*_: object) -> None:
    raise SandboxError("the box is gone")


def test_a_broken_sandbox_is_an_error_and_no_failure(env):
    task = env.unwrapped.tasks("train", 0)[0]  # pyright: ignore[reportAttributeAccessIssue]
    policy = ScriptedTokens(make_tokenizer(), lambda *_: "true")
    pool = FakePool(broken_box)  # pyright: ignore[reportArgumentType]
    session = Session(env, policy, task, pool, AgentConfig(), limits=LIMITS)
    session.complete({"messages": [{"role": "user", "content": "Go."}]})
    with pytest.raises(SandboxError):
        session.run("ls")
    assert session.over
    episode = session.finish()
    assert episode.error == "SandboxError: the box is gone"
    assert len(episode.turns) == 1


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    return make_tiny(folder, hidden=16, layers=1, heads=2)


def test_what_is_learned_from_is_what_was_sampled(tiny: Path):
    """Several agents at once; every id and log-probability is that of one full forward pass."""
    model, tokenizer = load_model(tiny, dtype=torch.float32)
    own, _ = load_model(tiny, dtype=torch.float32)
    agent = AgentConfig(AGENT, parallel=2, timeout_s=60.0)
    long = Limits(turn_tokens=40, episode_tokens=1800)
    with (
        Rollouts(ENV, long, sandbox=HERE, agent=agent) as rollouts,
        HFPolicy(model, tokenizer, slots=2, cache_tokens=1800) as policy,
    ):
        tasks = rollouts.env.tasks("train", 0)[:2]
        episodes = rollouts(policy, tasks, group=2, seed=0)
    assert [episode.error for episode in episodes] == [""] * 4
    assert all(len(episode.turns) == 6 for episode in episodes)
    rows = rows_of(episodes, [0, 0, 1, 1])
    batch = collate(rows.episodes, rows.group, pad_id=0)
    with torch.no_grad():
        logits = own(input_ids=batch.token_ids).logits
    logprobs = logits[:, :-1].log_softmax(-1)
    exact = logprobs.gather(2, batch.token_ids[:, 1:, None])[..., 0]
    mask = batch.action_mask[:, 1:]
    torch.testing.assert_close(
        batch.old_logprobs[:, 1:][mask], exact[mask], rtol=1e-4, atol=1e-4
    )
    assert int(mask.sum()) > 300


def test_an_environment_without_files_is_refused_before_anything_is_opened():
    with pytest.raises(ValueError, match="tasks are files"):
        Rollouts("toy_guess", LIMITS, agent=AgentConfig(AGENT))


def test_random_turns_are_refused(tiny: Path):
    agent = AgentConfig(AGENT, parallel=1)
    with (
        Rollouts(ENV, LIMITS, sandbox=HERE, agent=agent) as rollouts,
        pytest.raises(ValueError, match="got none"),
    ):
        rollouts(None, rollouts.env.tasks("train", 0)[:1], group=1, seed=0)
