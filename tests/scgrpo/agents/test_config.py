"""The settings of an agent: what cannot be is refused before anything is opened."""

from argparse import Namespace
from pathlib import Path

import pytest

from evals.evaluation.models import EvaluatedModel, EvaluatedModels
from scgrpo.agents.config import AgentConfig
from scgrpo.agents.process import client_path
from scgrpo.config import TrainConfig, WarmStartConfig
from scgrpo.policies.completions import Server

ARGUMENTS = {
    "agent": "",
    "agent_parallel": None,
    "agent_timeout": None,
    "agent_own_sampling": False,
    "turn_tokens": None,
    "episode_tokens": None,
}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"parallel": 0}, "agent.parallel"),
        ({"timeout_s": 0.0}, "agent.timeout_s"),
        ({"command_s": float("nan")}, "agent.command_s"),
    ],
)
def test_senseless_values_are_named(values, name):
    with pytest.raises(ValueError, match=name):
        AgentConfig("agent", **values)


def test_a_warm_start_has_no_format_of_an_agent_to_teach():
    warm_start = WarmStartConfig(mode="always")
    with pytest.raises(ValueError, match="warm_start.mode=never"):
        TrainConfig(agent=AgentConfig("agent"), warm_start=warm_start)


def test_no_more_agents_play_at_once_than_there_are_sandboxes():
    agent = AgentConfig("agent", parallel=3)
    assert TrainConfig(agent=agent).threads() == 3
    assert TrainConfig().threads() == 32


def models(server: Server | None = None) -> EvaluatedModels:
    model = EvaluatedModel("model", "m", Path("m"), server)
    return EvaluatedModels((model,), None, TrainConfig(), ())


def test_an_evaluation_takes_the_agent_and_the_budgets_from_the_command_line():
    words = {"agent": "mine", "agent_parallel": 2, "episode_tokens": 5000}
    arguments = Namespace(**{**ARGUMENTS, **words})
    config = models().with_limits(arguments).with_agent(arguments).config
    assert config.agent == AgentConfig("mine", parallel=2)
    assert config.limits.episode_tokens == 5000
    assert config.limits.turn_tokens == TrainConfig().limits.turn_tokens


@pytest.mark.parametrize("words", [{"agent_timeout": 5.0}, {"agent_parallel": 2}])
def test_options_of_an_agent_need_one(words):
    with pytest.raises(ValueError, match="--agent COMMAND"):
        models().with_agent(Namespace(**{**ARGUMENTS, **words}))


def test_a_served_model_is_refused():
    served = models(Server("http://127.0.0.1:1/v1", "m"))
    with pytest.raises(ValueError, match="--base-url"):
        served.with_agent(Namespace(**{**ARGUMENTS, "agent": "mine"}))


def test_agents_import_one_module_of_the_standard_library():
    (module,) = [
        path for path in Path(client_path()).glob("*.py") if path.stem[0] != "_"
    ]
    assert module.name == "scgrpo_sandbox.py"
