"""The warm start teaches to read references, and nothing that solves a task without one."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.rollout import Limits
from envs.toy.guess import ToyGuess
from envs.types import Episode
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.load import load_model
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.rollouts import Rollouts
from scgrpo.teachers.prompts import VERIFIED_GUIDE
from scgrpo.warm_start.cache import cache_key
from scgrpo.warm_start.examples import (
    EPISODES_PER_TASK,
    Example,
    drawn_tasks,
    examples_of,
    random_episodes,
    with_token_ids,
)
from scgrpo.warm_start.reading import ReadingExamples, reading_examples
from scgrpo.warm_start.starting_weights import starting_weights

LIMITS = Limits(turn_tokens=4, episode_tokens=200)
REFERENCE = ReferenceLimits()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture(scope="module")
def chat(tiny: Path) -> Chat:
    return Chat(load_model(tiny)[1])


@pytest.fixture(scope="module")
def examples(chat: Chat) -> ReadingExamples:
    with Rollouts("toy_guess", LIMITS) as play:
        tasks = drawn_tasks(play.env, 0, 48, seed=0)
        episodes = random_episodes(play, tasks, seed=0)
        made = reading_examples(play, episodes, chat, REFERENCE, None, seed=0)
    assert made is not None
    return made


def shown_turns(example: Example, chat: Chat) -> str:
    """What the prompt shows between the tags of an attempt."""
    text = str(chat.tokenizer.decode(list(example.prompt)))
    assert VERIFIED_GUIDE in text
    return text.split("<attempt>\n\n")[1].split("\n\n</attempt>")[0]


def last_guess(turns: str) -> str:
    """The number of the last action."""
    return turns.rstrip().split("\n")[-1]


def numbers(episodes: Sequence[Episode]) -> set[str]:
    return {str(episode.task.payload["number"]) for episode in episodes}


def test_a_verified_episode_follows_a_verified_one_of_its_task(
    examples: ReadingExamples, chat: Chat
):
    assert examples.own
    for example in examples.own:
        assert all(episode.verified for episode in example.episodes)
        # The reference's last guess is the number, and so is that of what is imitated.
        assert {last_guess(shown_turns(example, chat))} == numbers(example.episodes)


def test_many_episodes_of_few_tasks_are_many_small_examples(
    examples: ReadingExamples, chat: Chat
):
    # Level 0 has nine tasks, each drawn several times: a step would read all of them at once.
    with Rollouts("toy_guess", LIMITS) as play:
        tasks = drawn_tasks(play.env, 0, 120, seed=0)
        episodes = [
            with_token_ids(e, chat) for e in random_episodes(play, tasks, seed=0)
        ]
    ordinary = examples_of(episodes)
    imitated = [episode for example in ordinary for episode in example.episodes]
    assert sorted(map(id, imitated)) == sorted(map(id, episodes))
    for example in [*ordinary, *examples.own, *examples.other]:
        assert len(example.episodes) <= EPISODES_PER_TASK
        assert len({episode.task.id for episode in example.episodes}) == 1


def test_another_tasks_reference_says_nothing_of_what_follows(
    examples: ReadingExamples, chat: Chat
):
    assert examples.other
    outcomes: list[bool] = []
    for example in examples.other:
        outcomes += [bool(episode.verified) for episode in example.episodes]
        assert len({episode.task.id for episode in example.episodes}) == 1
    # As random play does: chance is 0.56.
    assert 0.3 < np.mean(outcomes) < 0.8


def test_one_example_in_four_has_another_tasks_reference(examples: ReadingExamples):
    drawn = examples.draw(2000, np.random.default_rng(0))
    other = sum(any(e is example for example in examples.other) for e in drawn)
    assert 430 < other < 570


def test_a_model_is_not_taught_what_random_play_never_solves(
    chat: Chat, caplog: pytest.LogCaptureFixture
):
    with Rollouts("toy_guess", LIMITS) as play:
        tasks = drawn_tasks(play.env, 0, 8, seed=0)
        episodes = random_episodes(play, tasks, seed=0)
        caplog.set_level(logging.WARNING, "scgrpo")
        narrow = replace(REFERENCE, tokens=5)
        assert reading_examples(play, episodes, chat, narrow, None, seed=0) is None
        assert reading_examples(play, episodes, chat, REFERENCE, 50, seed=0) is None
    assert "is not taught to read references: random play solved 2 of 2" in caplog.text


@pytest.mark.parametrize(
    ("algo", "references", "taught"),
    [
        ("sc_grpo", "auto", True),
        ("grpo", "auto", False),
        ("grpo", "always", True),
        ("sc_grpo", "never", False),
    ],
)
def test_it_is_taught_where_the_algorithm_shows_references(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    algo: str,
    references: str,
    taught: bool,
):
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    caplog.set_level(logging.INFO, "scgrpo")
    config = TrainConfig(
        env="toy_guess",
        algo=algo,
        model=str(tiny),
        levels=(0,),
        limits=LIMITS,
        warm_start=WarmStartConfig(
            mode="always",
            episodes=8,
            steps=1,
            references=references,  # pyright: ignore[reportArgumentType]
        ),
        dtype="float32",
        device="cpu",
    )
    with Rollouts("toy_guess", LIMITS) as play:
        starting_weights(config, play)
    assert ("and references of" in caplog.text) is taught


def test_what_is_shown_makes_another_warm_start(tiny: Path):
    def key(reference: ReferenceLimits | None) -> str:
        options = WarmStartConfig()
        return cache_key(
            tiny, ToyGuess(), 0, options, "float32", 0, reference=reference
        )

    keys = {key(None), key(REFERENCE), key(replace(REFERENCE, tokens=100))}
    assert len(keys) == 3
