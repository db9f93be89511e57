"""Agents that nobody here wrote solve tasks of `swe_lite`, are evaluated and trained.

A loop over the `openai` client and mini-swe-agent, both as they come from the package index. Run by
scripts/test_interop.sh, in an environment that has them.
"""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

import evals.evaluation.play as play_module
from envs.code.swe_lite.env import SweLite
from envs.code.swe_lite.table import Row
from envs.code.swe_lite.tasks import rows_in
from envs.rollout import Limits
from envs.store import read_episodes
from envs.toolspec import render_call
from envs.types import Episode, Stop, Task
from evals.run import main as evaluate
from sandboxes import SandboxConfig
from sandboxes.backends import bubblewrap
from scgrpo.agents.config import AgentConfig
from scgrpo.batch import collate, rows_of
from scgrpo.config import TrainConfig
from scgrpo.launch import train
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.tiny import make_tiny, train_tokenizer
from scgrpo.rollouts import Rollouts
from scgrpo.runs.log import read_metrics
from scgrpo.warm_start.examples import examples_of
from scgrpo.warm_start.stage import imitate
from tests.scgrpo.agents.scripted_tokens import ScriptedTokens

# Not imported: mini-swe-agent makes a folder in the user's home then.
MINI_PACKAGE = find_spec("minisweagent")
if MINI_PACKAGE is None or find_spec("openai") is None:
    pytest.skip("agents: scripts/test_interop.sh has them", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[3]
SANDBOX = SandboxConfig(backend="shell", size=2)
LIMITS = Limits(turn_tokens=200, episode_tokens=8000)
END = "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.daily(0),
    pytest.mark.skipif(
        bool(bubblewrap.available()), reason=f"local: {bubblewrap.available()}"
    ),
]


@dataclass(frozen=True)
class Agent:
    """An agent's command, and how it wants a shell command and the end to be said."""

    command: str
    say: Callable[[str], str]
    end: str


def in_block(command: str) -> str:
    return f"```bash\n{command}\n```"


def as_call(command: str) -> str:
    return render_call("bash", command=command)


PLAIN = Agent(f"{sys.executable} {ROOT}/examples/shell_agent.py", in_block, "DONE")
MINI = Agent(
    "MSWEA_CONFIGURED=true MSWEA_COST_TRACKING=ignore_errors MSWEA_GLOBAL_CONFIG_DIR=. "
    f"LITELLM_LOCAL_MODEL_COST_MAP=True {Path(sys.executable).with_name('mini')} "
    "--yolo --exit-immediately --model openai/policy --config mini.yaml "
    "--config environment.environment_class=scgrpo_sandbox.MiniSweEnvironment "
    '--task "$SCGRPO_PROMPT" --output trajectory.json',
    as_call,
    as_call(END),
)
both = pytest.mark.parametrize("agent", [PLAIN, MINI], ids=["openai", "mini-swe-agent"])


def edit(row: Row, lines: tuple[str, ...]) -> str:
    """The command that puts lines in the place of the wrong ones."""
    changes = [f"{n}c\\{line}" for n, line in zip(row.numbers, lines, strict=True)]
    scripts = " ".join(f"-e {shlex.quote(change)}" for change in changes)
    return f"sed -i {scripts} {row.package.file}"


def tasks_of(split: str, level: int, count: int) -> list[Task]:
    """Tasks of one wrong line whose texts need no quoting inside a quoted text."""
    chosen: list[Task] = []
    for task in SweLite().tasks(split, level):
        (row,) = rows_in(task)
        texts = "".join(
            line for lines in (row.right, *row.candidates) for line in lines
        )
        if len(row.numbers) == 1 and not set("'\"\\") & set(texts):
            chosen.append(task)
        if len(chosen) == count:
            break
    return chosen


def solver(
    agent: Agent, tasks: list[Task], lines_of: Callable[[Row], tuple[str, ...]]
) -> Callable[[str, int], str]:
    """A script that puts lines in, runs the tests and ends."""

    def script(history: str, n: int) -> str:
        task = next(task for task in tasks if task.prompt in history)
        (row,) = rows_in(task)
        turns = [
            agent.say(edit(row, lines_of(row))),
            agent.say(f"python -m unittest {row.package.test_file}"),
            agent.end,
        ]
        return turns[n]

    return script


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Bytes and what is frequent in these prompts, so that no text is changed."""
    texts = [
        task.prompt
        for level in (0, 1)
        for task in SweLite().tasks("train", level)[:200]
    ]
    assert MINI_PACKAGE is not None
    package = Path(str(MINI_PACKAGE.origin)).parent
    texts += [(package / "config" / "mini.yaml").read_text("utf-8")] * 20
    return train_tokenizer(texts, 1500)


@both
def test_an_agent_as_it_is_solves_tasks(agent: Agent, tokenizer: Any):
    tasks = tasks_of("train", 1, 2)
    policy = ScriptedTokens(tokenizer, solver(agent, tasks, lambda row: row.right))
    config = AgentConfig(agent.command, parallel=2, timeout_s=240.0)
    with Rollouts("swe_lite", LIMITS, sandbox=SANDBOX, agent=config) as rollouts:
        episodes = rollouts(policy, tasks, group=1, seed=0)  # pyright: ignore[reportArgumentType]
    for episode in episodes:
        assert (episode.error, episode.stop) == ("", Stop.FINISHED)
        assert episode.verified, episode.verdict
        assert len(episode.turns) == 3
        assert episode.branches == ()
        # The tests ran where the agent's commands did.
        assert any("OK" in segment.text for segment in episode.segments)
        # Every id that was fed is kept, in its place.
        ids = episode.token_ids
        fed = [before for before in policy.fed if ids[: len(before)] == before]
        assert len(fed) == 3


@both
def test_an_agent_as_it_is_is_evaluated(
    agent: Agent, tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tasks = list(SweLite().tasks("id", 1))
    script = solver(agent, tasks, lambda row: row.right)

    @contextmanager
    def open_policy(*_: Any, **__: Any) -> Iterator[ScriptedTokens]:
        yield ScriptedTokens(tokenizer, script)

    # The weights do not matter for what the harness does: a script knows the answers.
    monkeypatch.setattr(play_module, "open_policy", open_policy)
    monkeypatch.chdir(tmp_path)
    make_tiny(tmp_path / "model", hidden=16, layers=1, heads=2)
    (tmp_path / "runs").mkdir()
    words = ["--model", "model", "--envs", "swe_lite", "--levels", "1", "--tasks", "2"]
    words += ["--rollouts", "1", "--agent", agent.command, "--agent-timeout", "240"]
    words += ["--turn-tokens", "400", "--episode-tokens", "2000"]
    evaluate([*words, "--out", "out"])
    (report,) = (tmp_path / "out").glob("*.json")
    text = report.read_text()
    assert json.loads(text)["provenance"]["agent"]["command"] == agent.command
    (file,) = (tmp_path / "out" / "episodes").glob("*.jsonl")
    episodes = list(read_episodes(file))
    assert len({episode.task.id for episode in episodes}) == 2
    for episode in episodes:
        # Some lines of these tasks need more quoting than `edit` does.
        assert episode.verdict is not None, episode.error
    assert any(episode.verified for episode in episodes)


def small_model(tokenizer: Any, folder: Path) -> Path:
    """A random model with positions for what agents say."""
    make_tiny(folder, hidden=64, layers=2, heads=4, tokenizer=tokenizer)
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = LIMITS.episode_tokens
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def imitate_candidates(folder: Path, agent: Agent, tasks: list[Task]) -> None:
    """Teaches a model to put in any candidate of the tasks, through the agent."""
    model, tokenizer = load_model(folder, dtype=torch.float32)
    choose_path(model)
    episodes: list[Episode] = []
    options = AgentConfig(agent.command, parallel=2, timeout_s=240.0)
    with Rollouts("swe_lite", LIMITS, sandbox=SANDBOX, agent=options) as rollouts:
        for number in range(4):

            def lines_of(row: Row, number: int = number) -> tuple[str, ...]:
                return tuple(row.candidates[number])

            policy = ScriptedTokens(tokenizer, solver(agent, tasks, lines_of))
            episodes += rollouts(policy, tasks, group=1, seed=number)  # pyright: ignore[reportArgumentType]
    assert [episode.verified for episode in episodes].count(True) == len(tasks)
    examples = examples_of(episodes)
    losses = imitate(
        model, lambda: examples, steps=150, lr=3e-3, description="imitation"
    )
    assert losses[-1] < losses[0]
    model.save_pretrained(folder)


def three_steps(
    agent: Agent, tasks: list[Task], start: Path, runs: Path, *, group_size: int
) -> Path:
    """The folder of a run of three steps on the tasks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SweLite, "tasks", lambda *_: tasks)
        return train(
            TrainConfig(
                env="swe_lite",
                algo="grpo",
                model=str(start),
                levels=(0,),
                max_steps=3,
                tasks_per_step=len(tasks),
                group_size=group_size,
                max_tokens_per_pack=8000,
                limits=LIMITS,
                agent=AgentConfig(agent.command, parallel=2, timeout_s=600.0),
                sandbox=SANDBOX,
                device="cpu",
                dtype="float32",
                runs=runs,
                name="agents",
            )
        )


def check_tokens(agent: Agent, run: Path, start: Path) -> None:
    """Holds every stored log-probability of the first step against one full forward pass."""
    episodes = list(read_episodes(run / "episodes" / "step-000001.jsonl"))
    assert all(episode.agent == agent.command for episode in episodes)
    rows = rows_of(episodes, [0] * len(episodes))
    batch = collate(rows.episodes, rows.group, pad_id=0)
    own, _ = load_model(start, dtype=torch.float32)
    with torch.no_grad():
        logprobs = own(input_ids=batch.token_ids).logits[:, :-1].log_softmax(-1)
    exact = logprobs.gather(2, batch.token_ids[:, 1:, None])[..., 0]
    mask = batch.action_mask[:, 1:]
    assert int(mask.sum()) > 50
    torch.testing.assert_close(
        batch.old_logprobs[:, 1:][mask], exact[mask], rtol=1e-3, atol=1e-3
    )


@pytest.mark.timeout(1800)
def test_a_loop_over_the_client_is_trained_for_three_steps(
    tokenizer: Any, tmp_path: Path
):
    """On a model that imitated it, so that groups succeed and fail."""
    tasks = tasks_of("train", 0, 2)
    start = small_model(tokenizer, tmp_path / "model")
    imitate_candidates(start, PLAIN, tasks)
    run = three_steps(PLAIN, tasks, start, tmp_path / "runs", group_size=4)
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert sum(row["episodes/void"] for row in rows) == 0
    learned = [row for row in rows if row["train/tokens"]]
    assert any(row["train/gradient_norm"] > 0 for row in learned)
    assert all(row["train/logprob_mismatch"] < 1e-3 for row in learned)
    check_tokens(PLAIN, run, start)


@pytest.mark.timeout(1800)
def test_mini_swe_agent_is_trained_for_three_steps(tokenizer: Any, tmp_path: Path):
    """On a random model, whose turns it drops from the chat and gives up after the third.

    So an episode has three conversations of a turn each; all fail, and none errs.
    """
    start = small_model(tokenizer, tmp_path / "model")
    tasks = tasks_of("train", 0, 1)
    run = three_steps(MINI, tasks, start, tmp_path / "runs", group_size=2)
    rows = read_metrics(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert sum(row["episodes/void"] for row in rows) == 0
    assert all(row["episodes/turns"] == 1 for row in rows)
    episodes = list(read_episodes(run / "episodes" / "step-000001.jsonl"))
    assert [len(episode.branches) for episode in episodes] == [2, 2]
    check_tokens(MINI, run, start)
