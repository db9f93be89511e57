"""TRL's own trainer on our environments: its tools, its reset, its reward."""

from __future__ import annotations

import warnings

import pytest

from envs import registry
from envs.base import TextEnv
from envs.interop.sessions import TaskCatalogue
from envs.interop.trl import environment_factory, task_dataset
from envs.toolspec import Malformed, parse_call
from envs.toy.guess import ToyGuess
from envs.types import Task, Verdict
from scgrpo.models.families import make_family

pytestmark = pytest.mark.filterwarnings("ignore")


class Speaks(TextEnv):
    """An environment without tools, which passes a yes and breaks at a no."""

    name = "speaks"
    splits = ("train",)

    def tasks(self, split, level):
        return [Task(id="train/0/a", split=split, level=0, family="a", prompt="Well?")]

    def reply(self, text):
        if text == "no":
            raise OSError("gone")
        return Verdict(passed=text == "yes", score=float(text == "yes"))


registry.register(Speaks, "interop")


def play_turn(environment, turn):
    """A turn as TRL plays it: by the method that it calls."""
    call = parse_call(turn)
    if isinstance(call, Malformed):
        return environment.say(text=turn)
    return getattr(environment, call.name)(**call.arguments)


@pytest.mark.parametrize(
    "name", ["tool_store", "tool_files", "math_chain", "toy_guess"]
)
def test_the_oracle_s_calls_are_method_calls_with_a_reward_of_1(name):
    levels = (0, 1)
    factory = environment_factory(name, levels=levels)
    catalogue = TaskCatalogue(name, levels)
    one, other = factory(), factory()
    for level in levels:
        task = catalogue.task("train", 1, level)
        one.reset(task_id=task.id, prompt="ignored", level=level)
        other.reset(task_id=task.id)
        for turn in catalogue.env.oracle(task):
            text = play_turn(one, turn)
        assert isinstance(text, str)
        assert one.get_reward() == 1.0
        # The other one has done nothing yet.
        assert other.get_reward() == 0.0


def test_the_methods_say_what_the_schemas_say():
    from transformers.utils import get_json_schema

    catalogue = TaskCatalogue("tool_store", (0, 1))
    task = catalogue.task("train", 0, 1)
    catalogue.env.reset(options={"split": "train", "level": 1, "task_id": task.id})
    instance = environment_factory("tool_store", levels=(0, 1))()
    for schema in catalogue.env.tools():
        function = schema["function"]
        theirs = get_json_schema(getattr(instance, function["name"]))["function"]
        assert theirs["description"].split() == function["description"].split()
        expected = function["parameters"]["properties"]
        shown = theirs["parameters"]["properties"]
        assert shown.keys() == expected.keys()
        for key in expected:
            assert shown[key]["type"] == expected[key]["type"]
        required = theirs["parameters"].get("required", [])
        assert required == list(function["parameters"]["required"])


def test_an_environment_without_tools_is_spoken_to_and_a_broken_one_has_no_reward():
    environment = environment_factory("interop/speaks")()
    environment.reset(task_id="train/0/a")
    assert environment.say(text="yes") == ""
    assert environment.get_reward() == 1.0
    assert environment.say(text="yes").startswith("The episode is over")
    environment.reset(task_id="train/0/a")
    with pytest.raises(OSError, match="gone"):
        environment.say(text="no")
    assert environment.get_reward() is None
    with pytest.raises(ValueError, match="has no task"):
        environment.reset(task_id="train/0/b")
    assert environment.get_reward() is None


def test_the_dataset_holds_the_chat_and_the_names_of_the_tasks():
    rows = task_dataset("tool_store", "id", levels=(1,), count=3)
    assert len(rows) == 3
    first = TaskCatalogue("tool_store").task("id", 0, 1)
    assert rows[0]["prompt"][0]["role"] == "system"
    assert rows[0]["prompt"][1]["content"] == first.prompt
    assert (rows[0]["task_id"], rows[0]["split"], rows[0]["level"]) == (
        first.id,
        "id",
        1,
    )
    assert len(task_dataset("toy_guess")) == len(ToyGuess().tasks("train", 0))
    with pytest.raises(ValueError, match="unknown split"):
        task_dataset("toy_guess", "no")


@pytest.mark.daily(1)
@pytest.mark.parametrize("name", ["tool_store", "math_chain", "toy_guess"])
def test_trl_takes_two_steps(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trl = pytest.importorskip("trl", reason="TRL is not installed")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = make_family("qwen2", tmp_path / "model")
    catalogue = TaskCatalogue(name, (0,))
    factory = environment_factory(name)
    made = []

    def watched():
        made.append(factory())
        return made[-1]

    trainer = trl.GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        processing_class=AutoTokenizer.from_pretrained(folder),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path / "out"),
            max_steps=2,
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=24,
            learning_rate=1e-3,
            use_cpu=True,
            bf16=False,
            report_to=[],
            logging_steps=1,
            save_strategy="no",
        ),
        environment_factory=watched,
        train_dataset=task_dataset(name, count=8),
    )
    before = [weight.clone() for weight in trainer.model.parameters()]
    # A random model calls no tool: every second turn is the oracle's, played as TRL would.
    original = type(made[0]).get_reward
    played = []

    def reward(self):
        task = self._session._env.task
        if len(played) % 2:
            for turn in catalogue.env.oracle(task):
                play_turn(self, turn)
        played.append(original(self))
        return played[-1]

    monkeypatch.setattr(type(made[0]), "get_reward", reward)
    trainer.train()
    assert played == [0.0, 1.0] * 4
    (log, *_) = [row for row in trainer.state.log_history if "reward" in row]
    assert log["reward"] == 0.5
    after = list(trainer.model.parameters())
    assert any(not a.equal(b) for a, b in zip(before, after, strict=True))
