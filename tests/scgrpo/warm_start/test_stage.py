"""The warm start teaches the format from random episodes, once for the same inputs."""

import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from transformers import PreTrainedModel

from envs.rollout import Limits
from envs.toy.guess import ToyGuess
from scgrpo.config import LoraConfig, TrainConfig, WarmStartConfig
from scgrpo.models.load import load_model
from scgrpo.models.sources.folders import is_adapter
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.preflight import memory
from scgrpo.rollouts import Rollouts
from scgrpo.runs.disk import DiskError
from scgrpo.training.optimizer import MasterAdamW
from scgrpo.warm_start import stage
from scgrpo.warm_start.cache import cache_key
from scgrpo.warm_start.examples import with_token_ids
from scgrpo.warm_start.stage import warm_start
from scgrpo.warm_start.starting_weights import starting_weights

SHORT = WarmStartConfig(mode="always", episodes=8, steps=3, lr=1e-3, references="never")
LIMITS = Limits(turn_tokens=4, episode_tokens=200)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=16, layers=1, heads=2
    )


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def config(tiny: Path, warm: WarmStartConfig = SHORT) -> TrainConfig:
    return TrainConfig(
        env="toy_guess",
        model=str(tiny),
        levels=(0,),
        limits=LIMITS,
        warm_start=warm,
        dtype="float32",
        device="cpu",
    )


def test_a_scripted_episode_gets_the_ids_that_a_model_would_have_made(tiny: Path):
    chat = Chat(load_model(tiny)[1])
    with Rollouts("toy_guess", LIMITS) as play:
        (episode,) = play(None, play.env.tasks("train", 0)[:1], group=1, seed=3)
    assert len(episode.turns) == 2
    told = with_token_ids(episode, chat)
    first, second = (turn.text for turn in episode.turns)
    reply = episode.segments[2].text
    opening = chat.prompt(episode.messages, episode.tools)[0]
    text = (
        f"{opening}{first}<|im_end|>\n<|im_start|>user\n{reply}<|im_end|>\n"
        f"<|im_start|>assistant\n{second}<|im_end|>"
    )

    def encoded(text: str) -> list[int]:
        return chat.tokenizer.encode(text, add_special_tokens=False)

    assert told.token_ids == encoded(text)
    acted = [
        i for i, acts in zip(told.token_ids, told.action_mask, strict=True) if acts
    ]
    assert acted == encoded(f"{first}<|im_end|>{second}<|im_end|>")
    assert (told.verdict, told.task) == (episode.verdict, episode.task)


def test_it_learns_to_end_its_turns(tiny: Path, tmp_path: Path):
    model, tokenizer = load_model(tiny)
    options = replace(SHORT, episodes=32, steps=60, lr=1e-2, tasks_per_step=9)
    with Rollouts("toy_guess", LIMITS) as play:
        (episode,) = play(None, play.env.tasks("train", 0)[:1], group=1, seed=0)
        warm_start(tmp_path / "warm", model, tokenizer, play, 0, options, seed=0)
    learned, _ = load_model(tmp_path / "warm")
    chat = Chat(tokenizer)
    opening = chat.prompt(episode.messages, episode.tools)[1]
    with torch.no_grad():
        ids = torch.tensor([[*opening, *chat.ids("2")]])
        first, second = learned(input_ids=ids).logits[0, -2:].softmax(-1)
    # A digit, then the end of the turn; before, they had 9 % and 1 %.
    assert first[chat.ids("123456789")].sum() > 0.75
    assert second[chat.end_id] > 0.75


def test_it_runs_once_for_the_same_inputs(tiny: Path, cache: Path, caplog):
    caplog.set_level(logging.INFO, "scgrpo")
    with Rollouts("toy_guess", LIMITS) as play:
        first = starting_weights(config(tiny), play).folder
        assert "warm start: 3 steps on 8 random episodes" in caplog.text
        caplog.clear()
        assert starting_weights(config(tiny), play).folder == first
        assert f"warm start: loaded from the cache, {first}" in caplog.text
    assert first.parent == cache / "warm_start"


def test_runs_that_begin_at_once_make_it_once_and_none_replaces_it(
    tiny: Path, cache: Path, caplog: pytest.LogCaptureFixture
):
    """A sweep over settings that do not change the warm start."""
    caplog.set_level(logging.INFO, "scgrpo")

    def start(_: int) -> tuple[Path, int]:
        """The folder, and which one it is by the file system's number."""
        with Rollouts("toy_guess", LIMITS) as play:
            folder = starting_weights(config(tiny), play).folder
        return folder, folder.stat().st_ino

    with ThreadPoolExecutor(3) as pool:
        folders = set(pool.map(start, range(3)))
    ((folder, number),) = folders
    assert folder.stat().st_ino == number
    assert caplog.text.count("warm start: 3 steps on 8 random episodes") == 1
    assert [path.name for path in (cache / "warm_start").iterdir()] == [folder.name]


def test_a_warm_start_is_loaded_from_a_cache_that_cannot_be_written(
    tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    """Many machines may share one."""
    with Rollouts("toy_guess", LIMITS) as play:
        first = starting_weights(config(tiny), play).folder
        monkeypatch.setattr("scgrpo.warm_start.starting_weights.in_turn", pytest.fail)
        assert starting_weights(config(tiny), play).folder == first


def test_it_saves_memory_as_the_run_does(tiny: Path, monkeypatch):
    checkpointed: list[bool] = []
    offloaded: list[bool] = []
    imitate = stage.imitate

    def imitate_and_record(model: Any, draw: Any, **options: Any) -> Any:
        checkpointed.append(model.get_decoder().layers[0].gradient_checkpointing)
        return imitate(model, draw, **options)

    def optimizer(*arguments: Any, offload: bool = False, **options: Any) -> Any:
        offloaded.append(offload)
        return MasterAdamW(*arguments, offload=offload, **options)

    monkeypatch.setattr(stage, "imitate", imitate_and_record)
    monkeypatch.setattr(stage, "MasterAdamW", optimizer)
    sparing = replace(
        config(tiny), activation_checkpointing=True, optimizer_offload=True, seed=1
    )
    with Rollouts("toy_guess", LIMITS) as play:
        starting_weights(config(tiny), play)
        starting_weights(sparing, play)
    assert checkpointed == offloaded == [False, True]


def test_a_run_of_adapters_is_warmed_up_by_adapters_that_are_merged(tiny: Path, caplog):
    caplog.set_level(logging.INFO, "scgrpo")
    taught = replace(SHORT, steps=20, lr=3e-2)
    adapted = replace(config(tiny, taught), lora=LoraConfig(rank=4))
    with Rollouts("toy_guess", LIMITS) as play:
        folder = starting_weights(adapted, play).folder
        whole = starting_weights(config(tiny, taught), play).folder
    assert folder != whole
    assert not is_adapter(folder)
    before, after = (load_model(path)[0].state_dict() for path in (tiny, folder))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    # Linear layers alone have adapters.
    assert changed
    assert all("_proj" in name for name in changed)
    losses = re.findall(r"loss ([\d.]+) -> ([\d.]+)", caplog.text)
    start, end = map(float, losses[0])
    # Little, since neither embedding nor output layer has any.
    assert end < start - 0.1


def test_a_gpu_without_room_for_it_is_refused_before_weights_are_loaded(
    tiny: Path, monkeypatch
):
    monkeypatch.setattr(memory, "device_of", lambda _: torch.device("cuda"))
    monkeypatch.setattr(memory, "available_memory_mib", lambda _: 0.05)
    with (
        Rollouts("toy_guess", LIMITS) as play,
        pytest.raises(ValueError, match=r"warm start needs .* train adapters"),
    ):
        starting_weights(config(tiny), play)


def test_a_cleared_cache_is_filled_again(tiny: Path, cache: Path):
    with Rollouts("toy_guess", LIMITS) as play:
        first = starting_weights(config(tiny), play).folder
        shutil.rmtree(cache)
        assert starting_weights(config(tiny), play).folder == first
    assert (first / "model.safetensors").is_file()


def test_without_one_the_models_own_weights_are_used(tiny: Path):
    with Rollouts("toy_guess", LIMITS) as play:
        never = config(tiny, replace(SHORT, mode="never"))
        assert starting_weights(never, play).folder == tiny


def test_a_torn_warm_start_does_not_reach_the_cache(
    tiny: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    save = PreTrainedModel.save_pretrained

    def tears(self: PreTrainedModel, folder: Path, **options: Any) -> None:
        save(self, folder, **options)
        weights = Path(folder) / "model.safetensors"
        os.truncate(weights, weights.stat().st_size - 10)

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", tears)
    with (
        Rollouts("toy_guess", LIMITS) as play,
        pytest.raises(DiskError, match="read back at once, it is no model"),
    ):
        starting_weights(config(tiny), play)
    assert list(cache.rglob("*")) == []


@pytest.mark.parametrize(("threshold", "warm"), [(0.0, False), (1.0, True)])
def test_auto_measures_first_and_says_what_follows(
    tiny: Path, caplog, threshold: float, warm: bool
):
    caplog.set_level(logging.INFO, "scgrpo")
    options = replace(
        SHORT, mode="auto", success_threshold=threshold, measure_episodes=8
    )
    with Rollouts("toy_guess", LIMITS) as play:
        found = starting_weights(config(tiny, options), play).folder
    assert (found != tiny) == warm
    assert "starting success 0.0 % of 8 episodes" in caplog.text
    assert ("so a warm start" if warm else "no warm start") in caplog.text


class Longer(ToyGuess):
    """Another environment in one respect at a time."""

    def tasks(self, split: str, level: int):
        return [*super().tasks(split, level), *super().tasks("id", level)]


class Instructed(ToyGuess):
    instructions = "Guess well."


def test_the_cache_key_changes_with_every_input(tiny: Path, tmp_path: Path):
    env = ToyGuess()

    def key(
        model: Path = tiny,
        env=env,
        level=0,
        config=SHORT,
        dtype="float32",
        seed=0,
        lora=None,
    ) -> str:
        return cache_key(model, env, level, config, dtype, seed, lora=lora)

    other = tmp_path / "other"
    shutil.copytree(tiny, other)
    assert key(model=other) == key()
    template = tmp_path / "template"
    shutil.copytree(tiny, template)
    (template / "chat_template.jinja").write_text("{{ messages }}")
    weights = make_tiny(tmp_path / "weights", hidden=16, layers=1, heads=2, seed=1)
    keys = [
        key(),
        key(model=template),
        key(model=weights),
        key(env=Longer()),
        key(env=Instructed()),
        key(level=1),
        key(config=replace(SHORT, episodes=9)),
        key(config=replace(SHORT, steps=4)),
        key(config=replace(SHORT, lr=2e-3)),
        key(config=replace(SHORT, tasks_per_step=3)),
        key(dtype="bfloat16"),
        key(seed=1),
        key(lora=LoraConfig(rank=4)),
        key(lora=LoraConfig(rank=8)),
    ]
    assert len(set(keys)) == len(keys)
    # What only decides whether there is a warm start does not make it another one.
    assert (
        key(
            config=replace(
                SHORT, mode="auto", success_threshold=0.5, measure_episodes=4
            )
        )
        == key()
    )


def test_what_is_saved_is_whole(tiny: Path, tmp_path: Path):
    model, tokenizer = load_model(tiny)
    with Rollouts("toy_guess", LIMITS) as play:
        warm_start(tmp_path / "deep" / "warm", model, tokenizer, play, 0, SHORT, seed=0)
    assert os.listdir(tmp_path / "deep") == ["warm"]
    assert json.loads((tmp_path / "deep" / "warm" / "config.json").read_text())
    load_model(tmp_path / "deep" / "warm")


@pytest.mark.parametrize(
    "field", ["episodes", "steps", "measure_episodes", "tasks_per_step", "lr"]
)
def test_settings_that_teach_nothing_are_refused(field: str):
    with pytest.raises(ValueError, match=f"warm_start.{field} must be"):
        replace(SHORT, **{field: 0})


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The example's name, importable and registered for this test alone."""
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "examples")
    yield "reverse_words:acme/reverse"
    gymnasium.registry.pop("acme/reverse-v0", None)
    sys.modules.pop("reverse_words", None)


def test_an_environment_without_random_turns_starts_from_the_models_own_weights(
    tiny: Path, example: str, caplog
):
    asked = replace(
        config(tiny, WarmStartConfig(measure_episodes=4)),
        env=example,
        levels=(),
    )
    with Rollouts(asked.env, LIMITS) as play, caplog.at_level(logging.WARNING):
        assert starting_weights(asked, play).folder == tiny
    assert "defines no random_turn" in caplog.text


def test_prompts_without_room_for_a_turn_start_no_warm_start(tiny: Path, cache: Path):
    """No success was measured: that is no success that is too low."""
    options = replace(SHORT, mode="auto", measure_episodes=8)
    short = replace(config(tiny, options), limits=Limits(3, 40))
    with (
        Rollouts("toy_guess", short.limits) as play,
        pytest.raises(
            ValueError, match=r"no episode of level 0 can begin: .* 80 tokens"
        ),
    ):
        starting_weights(short, play)
    assert not (cache / "warm_start").exists()


def test_it_learns_from_episodes_that_the_model_can_read(tiny: Path, tmp_path: Path):
    model, tokenizer = load_model(tiny)
    model.config.max_position_embeddings = 20
    with (
        Rollouts("toy_guess", LIMITS) as play,
        pytest.raises(ValueError, match=r"shortest random episode has \d+ .* 20 pos"),
    ):
        warm_start(tmp_path / "warm", model, tokenizer, play, 0, SHORT, seed=0)
    assert not (tmp_path / "warm").exists()
