"""Our environments by OpenEnv's own client, and environments of others by ours.

They run where `openenv` is installed: `make test-interop`.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from envs import registry
from envs.interop.openenv_client import OpenEnvError
from envs.interop.sessions import TaskCatalogue
from envs.rollout import play
from envs.toy.guess import ToyGuess
from envs.types import Stop, Verdict
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.interop.servers import served

core = pytest.importorskip("openenv.core", reason="the extra `openenv` is missing")
# Their packages use what other packages have deprecated since.
pytestmark = pytest.mark.filterwarnings("ignore")


class Breaks(ToyGuess):
    """Raises at its second turn, and ends without a verdict at a turn of its own."""

    name = "breaks"

    def reply(self, text: str) -> str | Verdict:
        if text == "7":
            raise OSError("the disk is gone")
        return super().reply(text)


registry.register(Breaks, "interop")


def app_of(name: str, **options: Any) -> Any:
    from envs.interop.openenv_server import openenv_app

    levels = options.pop("levels", ())
    return openenv_app(TaskCatalogue(name, levels), **options)


def client(url: str) -> Any:
    return core.GenericEnvClient(base_url=url).sync()


@pytest.fixture(scope="module")
def guess():
    with served(app_of("toy_guess")) as url:
        yield url


@pytest.mark.parametrize("name", registry.names())
def test_the_oracle_passes_through_their_client(name, request):
    catalogue = TaskCatalogue(name)
    pool = None
    if "sandboxes" in type(catalogue.env).__init__.__code__.co_varnames:
        pool = request.getfixturevalue("sandboxes")
    with served(app_of(name, sandboxes=pool)) as url, client(url) as env:
        for split in catalogue.splits[:2]:
            task = catalogue.task(split, 0)
            result = env.reset(split=split, index=0, seed=0)
            assert not result.done
            assert result.observation["text"] == task.prompt
            assert "payload" not in str(result.observation["metadata"])
            for turn in catalogue.env.oracle(task):
                assert not result.done
                result = env.step({"text": turn})
            assert result.done
            assert result.reward == 1.0
            assert result.observation["metadata"]["verified"] is True


def test_a_wrong_answer_is_0_and_what_breaks_is_an_error():
    with served(app_of("interop/breaks")) as url, client(url) as env:
        env.reset(task_id="train/1/1-7/7")
        for guess in ("1", "2"):
            assert env.step({"text": guess}).reward == 0.0
        result = env.step({"text": "3"})
        assert (result.done, result.reward) == (True, 0.0)

        env.reset(task_id="train/1/1-7/7")
        with pytest.raises(RuntimeError, match="the disk is gone"):
            env.step({"text": "7"})
        with pytest.raises(RuntimeError, match="call reset"):
            env.step({"text": "1"})


def test_many_sessions_play_at_once_and_one_too_many_is_told(guess):
    def outcome(index: int) -> float:
        task = TaskCatalogue("toy_guess").task("train", index)
        with client(guess) as env:
            result = env.reset(split="train", index=index)
            for turn in ToyGuess().oracle(task):
                result = env.step({"text": turn})
            return result.reward

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(outcome, range(16))) == {1.0}
    with (
        served(app_of("toy_guess", sessions=1)) as url,
        client(url) as first,
        client(url) as second,
    ):
        first.reset()
        with pytest.raises(RuntimeError, match="capacity"):
            second.reset()


def test_tasks_are_listed_counted_and_chosen_by_level_and_seed(guess):
    import httpx2

    def post(path: str, **body: Any) -> Any:
        return httpx2.post(f"{guess}/toy_guess/{path}", json=body).json()

    catalogue = TaskCatalogue("toy_guess")
    splits = httpx2.get(f"{guess}/toy_guess/splits").json()
    assert splits[0] == {"name": "train", "type": "train"}
    assert [split["name"] for split in splits] == list(catalogue.splits)
    count = post("num_tasks", split="id")["num_tasks"]
    assert count == catalogue.count("id")
    last = post("task", split="id", index=count - 1)["task"]
    assert last["id"] == catalogue.task("id", count - 1).id
    assert httpx2.post(
        f"{guess}/toy_guess/task", json={"split": "id", "index": count}
    ).is_client_error

    with client(guess) as env:
        state = []
        for _ in range(2):
            env.reset(split="id", level=2, seed=5, episode_id="mine")
            state.append(env.state())
        assert state[0] == state[1]
        assert state[0]["level"] == 2
        assert state[0]["episode_id"] == "mine"
        for wrong in ({"split": "no"}, {"level": 9}, {"task_id": "no", "index": 1}):
            with pytest.raises(RuntimeError, match=r"no|unknown level|either"):
                env.reset(**wrong)


def test_their_validator_is_green(guess):
    module = importlib.import_module("openenv.cli._validation")
    report = module.validate_running_environment(guess)
    assert report["passed"], report
    assert report["summary"]["passed_count"] == 6


def test_our_client_sees_what_the_environment_itself_shows(guess):
    with closing(registry.make(f"openenv:{guess}")) as env:
        inner = env.unwrapped
        assert env.spec.id == "openenv/toy_guess-0-v0"
        assert inner.splits == tuple(ToyGuess.splits)
        task = inner.tasks("id", 0)[7]
        own = TaskCatalogue("toy_guess").task("id", 7)
        episode = play(env, ScriptedPolicy(ToyGuess().oracle(own)), task)
        direct = play(
            registry.make("toy_guess"), ScriptedPolicy(ToyGuess().oracle(own)), own
        )
        assert episode.verified
        assert episode.messages == direct.messages
        assert episode.tools == direct.tools
        assert [s.text for s in episode.segments] == [s.text for s in direct.segments]
        lost = play(env, ScriptedPolicy(["1"] * 9), task)
        assert lost.verdict is not None
        assert not lost.verified


def test_a_lost_connection_is_an_errored_episode():
    with served(app_of("toy_guess")) as url:
        env = registry.make(f"openenv:{url}")
        task = env.unwrapped.tasks("train", 0)[0]

        def until_it_is_gone(chat):
            raise AssertionError("the server is there")

        with served(app_of("interop/breaks")) as breaking:
            other = registry.make(f"openenv:{breaking}")
            broken = play(
                other, ScriptedPolicy(["7"]), other.unwrapped.tasks("train", 0)[0]
            )
            assert broken.stop is Stop.ERROR
            assert "the disk is gone" in broken.error
            assert broken.errored
    gone = play(env, ScriptedPolicy(["1"]), task)
    assert gone.errored
    assert "no OpenEnv server answers" in gone.error
    with pytest.raises(OpenEnvError, match="scgrpo envs serve"):
        registry.make(f"openenv:{url}")


def test_a_server_that_goes_in_the_middle_of_an_episode_is_an_error_too():
    stack = served(app_of("toy_guess"))
    url = stack.__enter__()
    env = registry.make(f"openenv:{url}")
    turns = 0

    def turn(chat):
        nonlocal turns
        turns += 1
        if turns == 2:
            stack.__exit__(None, None, None)
        return "1"

    (task,) = [t for t in env.unwrapped.tasks("train", 0)[:200] if "/199" in t.id]
    episode = play(env, ScriptedPolicy(turn), task)
    assert episode.errored, episode.verdict
    assert "step failed" in episode.error


def template_app(tmp_path, monkeypatch) -> Any:
    """The environment that OpenEnv's own `openenv init` writes."""
    command = [sys.executable, "-m", "openenv.cli", "init", "echo_made"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("echo_made.server.app").app


def test_the_environment_of_their_template_is_played(tmp_path, monkeypatch):
    with served(template_app(tmp_path, monkeypatch)) as url:
        env = registry.make(f"openenv:{url}#turns=2&pass_at=1.5&wait_s=20")
        task = env.unwrapped.tasks("train", 0)[3]
        assert task.payload == {"reset": {"seed": 3}}
        assert len(env.unwrapped.tasks("id", 0)) == 100
        # Ten letters and more are 1.0 a turn; it never ends by itself.
        passed = play(env, ScriptedPolicy(["a" * 10, "b" * 5]), task)
        failed = play(env, ScriptedPolicy(["a" * 10, "b" * 4]), task)
    assert passed.messages[0]["content"] == (
        '{"echoed_message": "Echo Made environment ready!", "message_length": 0}'
    )
    assert passed.verified
    assert failed.verified is False
    assert failed.verdict.score == pytest.approx(1.4 / 1.5)
    assert len(set(passed.states)) == 2


def test_an_mcp_environment_is_played_by_its_tools():
    from fastmcp import FastMCP
    from openenv.core.env_server import Action, Observation, State, create_fastapi_app
    from openenv.core.env_server.mcp_environment import MCPEnvironment
    from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation

    class Adder(MCPEnvironment):
        SUPPORTS_CONCURRENT_SESSIONS = True

        def __init__(self):
            mcp = FastMCP("adder")

            @mcp.tool
            def add(a: int, b: int = 1) -> int:
                """Add two numbers."""
                return a + b

            super().__init__(mcp)
            self._state = State()

        def reset(self, seed=None, episode_id=None, **_):
            return Observation(metadata={}, reward=0.0)

        async def step_async(self, action, timeout_s=None, **_):
            seen = await super().step_async(action, timeout_s=timeout_s)
            if isinstance(seen, CallToolObservation):
                seen.reward, seen.done = 1.0, True
            return seen

        def _step_impl(self, action, timeout_s=None, **_):
            raise ValueError("call a tool")

        @property
        def state(self):
            return self._state

    assert Action
    app = create_fastapi_app(Adder, CallToolAction, CallToolObservation)
    with served(app) as url:
        env = registry.make(f"openenv:{url}#turns=3")
        task = env.unwrapped.tasks("train", 0)[0]
        turns = ["?", '{"name": "add", "arguments": {"a": 2, "b": 3}}']
        episode = play(env, ScriptedPolicy(turns), task)
    (tool,) = episode.tools
    assert tool["function"]["name"] == "add"
    assert tool["function"]["parameters"]["required"] == ["a"]
    assert episode.malformed == 1
    assert episode.verified, episode
    assert episode.verdict.detail == "5"


REWARDS = {
    "conflict_reward": 10.0, "abstain_reward": 10.0, "hallucination_penalty": -20.0,
    "missing_answer_penalty": -15.0, "hallucinated_trace_penalty": -25.0,
    "proof_inconsistency_penalty": -20.0, "incorrect_answer_penalty": -10.0,
    "conflict_penalty": -15.0, "abstain_penalty": -15.0, "missing_trace_penalty": -20.0,
    "correct_abstention_reward": 10.0, "verifiable_trace_reward": 5.0,
    "correct_synthesis_reward": 20.0, "exact_format_reward": 10.0,
    "format_mismatch_penalty": -50.0, "no_hallucination_reward": 15.0,
}  # fmt: skip


def test_the_medical_environment_of_a_package_is_played():
    """`openenv-dipg-safety`: rewards far outside of 0 to 1, and one session at a time."""
    medical = pytest.importorskip(
        "med_safety_gym.dipg_environment", reason="openenv-dipg-safety is missing"
    )
    models = importlib.import_module("med_safety_gym.models")
    from datasets import Dataset
    from openenv.core.env_server import create_fastapi_app

    asked = "<context>The dose is 5 mg.</context><question>How much?</question>"
    messages = [
        {"role": "user", "content": f"{asked}PROOF:\nThe dose is 5 mg."},
        {"role": "assistant", "content": "5 mg"},
    ]
    marks = ("analysis", "proof", "final")

    def environment() -> Any:
        return medical.DIPGEnvironment(
            dataset_path="",
            dataset=Dataset.from_list([{"messages": messages}]),
            **REWARDS,
            **{f"{mark}_channel_start": f"<|{mark}|>" for mark in marks},
            channel_end="<|end|>",
        )

    # The format that it takes turns in is its own; other turns cost 50.
    app = create_fastapi_app(environment, models.DIPGAction, models.DIPGObservation)
    with served(app) as url:
        envs = [registry.make(f"openenv:{url}#pass_at=10&wait_s=60") for _ in range(4)]
        task = envs[0].unwrapped.tasks("train", 0)[0]

        # The server takes one session; the other three wait for theirs.
        with ThreadPoolExecutor(4) as threads:
            episodes = list(
                threads.map(
                    lambda env: play(env, ScriptedPolicy(["no tags at all"]), task),
                    envs,
                )
            )
    assert "The dose is 5 mg." in episodes[0].messages[0]["content"]
    assert [episode.error for episode in episodes] == [""] * 4
    assert [episode.verdict.score for episode in episodes] == [0.0] * 4
    assert [env.unwrapped._total for env in envs] == [-50.0] * 4


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("openenv:localhost:8000", "expected openenv:http://HOST:PORT"),
        ("openenv:http://localhost:1#turn=3", "unknown option 'turn'"),
        ("openenv:http://localhost:1#turns=x", "expected a number"),
        ("openenv:http://localhost:1#turns=0", "expected more than 0"),
    ],
)
def test_a_wrong_address_says_what_is_expected(address, says):
    with pytest.raises(ValueError, match=says):
        registry.make(address)
