"""The checker passes what is sound, and catches each environment that was planted to be unsound."""

from __future__ import annotations

import inspect
import itertools
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path

import gymnasium
import pytest

from envs import check as command
from envs import registry
from envs.base import TextEnv
from envs.check import check, main
from envs.checks import supply, verdicts
from envs.checks.catalogue import CHECKS, by_name
from envs.checks.env_under_test import PATIENCE_S, EnvUnderTest
from envs.checks.fresh import in_fresh_process
from envs.checks.lasting import outlives
from envs.checks.run import Result, run_alone, run_check
from envs.checks.turns import closing_calls, with_text
from envs.types import Task
from tests.daily import Day

PLANTED = Path(__file__).with_name("checks")
CODE_CHECKS = ("exit", "forge", "sleep")


@pytest.fixture
def planted(monkeypatch):
    """Makes the planted environments importable, here and in the processes that a check starts."""
    monkeypatch.syspath_prepend(str(PLANTED))
    return "planted:planted/{}".format


def results(name, *only):
    checks = [by_name(name) for name in only] if only else CHECKS
    return {result.check: result for result in check(name, quick=True, only=checks)}


def failures(found):
    return {
        name: result.detail
        for name, result in found.items()
        if result.status == "failed"
    }


@pytest.mark.daily(1)
@pytest.mark.parametrize("name", ["sums", "files", "code"])
def test_a_sound_environment_passes_everything(planted, name):
    found = results(planted(name))
    assert not failures(found)
    assert len(found) == len(CHECKS)
    skipped = {check for check, result in found.items() if result.status == "skipped"}
    allowed = {
        "attack",
        "chance",
        "twin",
        "plant",
        "tests",
        "extremes",
        "types",
        "repeat",
        "told",
    }
    assert skipped <= allowed


@pytest.mark.daily(15)
@pytest.mark.parametrize(
    ("name", "catching"),
    [
        ("unseeded", "deterministic"),
        ("hash_seeded", "deterministic"),
        ("overlapping", "disjoint"),
        ("unreachable", "oracle"),
        ("echo_accepted", "echo"),
        ("echo_accepted", "enumerate"),
        ("any_number_counts", "enumerate"),
        ("chance_too_low", "chance"),
        ("chance_overstated", "chance"),
        ("half_is_enough", "critical"),
        ("partial_credit_passes", "critical"),
        ("reward_for_parts", "oracle"),
        ("crashing", "malformed"),
        ("crashing", "huge"),
        ("crashing", "characters"),
        ("crashing", "nothing"),
        ("forgetful", "snapshot"),
        ("same_twin", "twin"),
        ("one_answer", "one-script"),
        ("unpicklable", "pickle"),
        ("mislabelled", "labels"),
        ("lenient_reset", "errors"),
        ("patient", "nothing"),
        ("patient", "repeat"),
        ("no_text", "gymnasium"),
        ("no_text", "oracle"),
        ("endless", "nothing"),
        ("unseeded", "vector"),
        ("reads_the_report", "plant"),
        ("reads_its_own_report", "plant"),
        ("own_tests", "tests"),
        ("own_tests", "plant"),
        ("indexing", "extremes"),
        ("on_this_machine", "escape"),
        ("in_one_process", "exit"),
        ("in_one_process", "escape"),
        ("exit_code_decides", "exit"),
        ("exit_code_decides", "forge"),
        ("exit_code_decides", "late"),
        ("exit_code_decides", "flood"),
        ("last_line_decides", "late"),
        ("reuses_its_folder", "stay"),
        ("tells_the_answer", "told"),
        ("own_parser", "types"),
    ],
)
def test_a_planted_fault_is_caught(planted, name, catching):
    assert list(failures(results(planted(name), catching))) == [catching]


def test_there_are_at_least_fifteen_attacks():
    attacking = {
        f"envs.checks.{name}"
        for name in ("attacks", "bad_calls", "hostile", "lasting", "replies")
    }
    assert sum(item.find.__module__ in attacking for item in CHECKS) == 19


def test_only_what_acts_at_exit_outlasts_the_last_line(planted):
    assert list(
        failures(results(planted("last_line_decides"), "exit", "forge", "late"))
    ) == ["late"]


def test_only_the_parser_of_ones_own_takes_other_types(planted):
    found = results(
        planted("own_parser"), "malformed", "extremes", "characters", "types"
    )
    assert list(failures(found)) == ["types"]


def test_a_process_that_stays_is_told_apart_from_a_test_that_it_rewrites(planted):
    rewritten = failures(results(planted("reuses_its_folder"), "stay"))["stay"]
    assert "scores 1" in rewritten
    left = failures(results(planted("exit_code_decides"), "stay"))["stay"]
    assert "outlives the episode" in left
    assert "scores 1" not in left


def test_a_process_that_outlives_an_episode_is_ended():
    code = "import time; print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code]
    with (
        subprocess.Popen([*command, "a mark"], stdout=subprocess.PIPE) as marked,
        subprocess.Popen(command, stdout=subprocess.DEVNULL) as other,
    ):
        # Before it runs, its arguments may not be its own yet.
        assert marked.stdout is not None
        marked.stdout.readline()
        assert outlives("a mark", grace_s=0)
        assert marked.wait(10) == -9
        assert other.poll() is None
        other.kill()
    assert not outlives("a mark", grace_s=0)


def test_code_that_hangs_the_environment_is_ended_and_told(planted):
    with EnvUnderTest(planted("in_one_process"), quick=True) as subject:
        result = run_alone(by_name("sleep"), subject, limit_s=2)
    assert result.status == "failed"
    assert "still running after 2 s" in result.detail


def test_code_that_ends_the_environment_is_told(planted):
    result = results(planted("in_one_process"), "exit")["exit"]
    assert "ended early with exit code 0" in result.detail


def test_a_turn_that_takes_too_long_is_told(planted):
    with EnvUnderTest(planted("sums"), quick=True) as subject:
        subject.patience_s = -1.0
        result = run_check(by_name("oracle"), subject)
    assert result.status == "failed"
    assert "took 0 s" in result.detail


def test_an_exception_is_told_with_its_turn(planted):
    detail = results(planted("crashing"), "nothing")["nothing"].detail
    assert detail.startswith("ValueError: invalid literal for int()")
    assert "at turn 1 of task train/0/10+0, ''" in detail


def test_what_an_author_left_out_is_skipped_and_named(monkeypatch):
    monkeypatch.syspath_prepend(str(PLANTED.parents[2] / "examples"))
    optional = ("oracle", "critical", "twin", "snapshot", "chance", "one-script")
    # The front page's command has all checks of it.
    found = results("reverse_words:acme/reverse", *optional)
    for name in optional:
        assert found[name].status == "skipped"
        assert "does not define" in found[name].detail


class OnTheDay(EnvUnderTest):
    """An environment of which the checks see some of their tasks, others each day."""

    def __init__(self, name: str, day: Day) -> None:
        self.day = day
        super().__init__(name, quick=True)
        self.patience_s = PATIENCE_S  # other tests run at the same time

    @cached_property
    def _some(self) -> list[Task]:
        return list(super().some())

    def some(self) -> Iterator[Task]:
        yield from self.day.some(self._some, 2, self.name)

    def few(self) -> list[Task]:
        return self.day.some(super().few(), 1, self.name)

    def sample(self, split: str, level: int, count: int) -> list[Task]:
        return self.day.some(super().sample(split, level, count), 8, self.name)


class OfOneCell(OnTheDay):
    """An environment that knows one split at one level only: other processes draw but these."""

    def make(self) -> TextEnv:
        env = super().make()
        split, level = self.day.one(
            [*itertools.product(env.splits, env.levels)], self.name
        )
        env.splits, env.levels = (split,), (level,)
        return env


def results_of_the_day(name: str, day: Day) -> Iterator[Result]:
    """Every check, in this process: what it would do to an unsound environment is planted above."""

    def drawn_there(_: str, *, hash_seed: int) -> list[str]:
        with closing(one_cell.make()) as env:
            return in_fresh_process(
                name, hash_seed=hash_seed, pickled=pickle.dumps(env)
            )

    with (
        OnTheDay(name, day) as subject,
        OfOneCell(name, day) as one_cell,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Fewest that tell a rate from what is claimed.
        patch.setitem(verdicts.CHANCE_EPISODES, True, verdicts.MIN_EPISODES)
        patch.setattr(supply, "in_fresh_process", drawn_there)
        for item in CHECKS:
            drawing = item.name in ("pickle", "deterministic")
            yield run_check(item, one_cell if drawing else subject)


@pytest.mark.slow
@pytest.mark.daily(2)  # each every week; `make test-all` checks all of them whole
@pytest.mark.parametrize("name", registry.names())
def test_our_environments_are_sound(name, day, tmp_path, monkeypatch):
    if "sandboxes" in inspect.signature(type(registry.make(name).unwrapped)).parameters:
        from envs.code.testing import default_pool
        from sandboxes import SandboxError

        try:
            default_pool()
        except SandboxError as error:
            pytest.skip(f"no sandbox on this machine: {error}")
    if day.whole:
        assert not failures(results(name))
        return
    monkeypatch.chdir(tmp_path)
    found = {result.check: result for result in results_of_the_day(name, day)}
    assert not failures(found)
    assert len(found) == len(CHECKS)
    assert os.listdir(tmp_path) == []


ASYNC = {"shared_memory": False, "context": "spawn"}


@pytest.mark.daily(1, per="mode")  # the check `vector` takes others each day
@pytest.mark.parametrize("name", registry.names())
@pytest.mark.parametrize(("mode", "options"), [("sync", {}), ("async", ASYNC)])
def test_make_vec_gives_what_each_environment_gives_alone(name, mode, options):
    registry.register_own()
    alone = registry.make(name)
    prompts = [alone.reset(seed=seed)[0] for seed in (5, 6, 7)]
    spec = alone.spec
    assert spec is not None
    with closing(
        gymnasium.make_vec(spec.id, 3, vectorization_mode=mode, vector_kwargs=options)
    ) as many:
        observations, infos = many.reset(seed=5)
        assert list(observations) == prompts
        assert len(infos["messages"]) == 3
        replies, rewards, terminated, truncated, _ = many.step(("é\n", "", "\ud800"))
    assert all(isinstance(reply, str) for reply in replies)
    assert list(rewards) == [0.0, 0.0, 0.0]
    assert not any(terminated)
    assert not any(truncated)


def test_make_vec_refuses_shared_memory_in_which_text_arrives_garbled():
    registry.register_own()
    with pytest.raises(ValueError, match="shared_memory=False"):
        gymnasium.make_vec("scgrpo/toy_guess-v0", 2, vectorization_mode="async")


def test_attacks_run_in_a_folder_of_their_own(planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results(planted("on_this_machine"), "plant")
    results(planted("in_one_process"), "forge")
    assert os.listdir(tmp_path) == []


def test_the_oracle_keeps_its_shape_under_another_text():
    turns = [
        '{"name": "edit", "arguments": {"path": "a.py", "line": 3, "text": "x"}}',
        "```python\ny\n```",
        "plain",
        '{"name": "submit"}',
    ]
    assert with_text(turns, lambda old: f"<{old}>") == [
        '{"name": "edit", "arguments": {"path": "a.py", "line": 3, "text": "<x>"}}',
        "```python\n<y>\n```",
        "<plain>",
        '{"name": "submit"}',
    ]
    assert with_text(turns[-1:], lambda old: "z") is None


def test_an_attack_ends_with_what_submits():
    tools = [
        {"name": name, "parameters": {"properties": {}, "required": []}}
        for name in ("submit", "ls", "run")
    ]
    assert closing_calls(tools, 2) == ['{"name": "run"}', '{"name": "submit"}']
    assert closing_calls(tools, 0) == []


def exit_code(*argv):
    with pytest.raises(SystemExit) as ended:
        main(argv)
    return int(ended.value.code or 0)


def test_the_exit_code_says_whether_something_failed(planted, capsys):
    assert exit_code("toy_guess", "--quick", "--only", "oracle", "echo") == 0
    out = capsys.readouterr().out
    assert "toy_guess echo ok" in out
    assert out.endswith("s\n")
    assert "2 checks: 2 ok, 0 failed, 0 skipped" in out
    assert exit_code(planted("unreachable"), "toy_guess", "--only", "oracle") == 1
    out = capsys.readouterr().out
    assert "oracle failed" in out
    assert "the oracle does not solve train/0/10+0" in out
    assert "toy_guess oracle ok" in out


def test_json_goes_to_another_program(capsys):
    assert exit_code("toy_guess", "--only", "disjoint", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["env"] == "toy_guess"
    assert found["status"] == "ok"


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], "pass --all"),
        (["toy_gues"], "Did you mean 'toy_guess'?"),
        (["toy_guess", "--only", "oracl"], "did you mean 'oracle'?"),
        (["toy_guess", "--only", "zzz"], "expected gymnasium"),
    ],
)
def test_bad_arguments_say_what_to_do(argv, told, capsys):
    assert exit_code(*argv) == 2
    assert told in capsys.readouterr().err


def test_what_is_no_text_environment_is_refused(planted, capsys):
    assert exit_code(planted("foreign")) == 2
    assert "expected a TextEnv" in capsys.readouterr().err


def test_the_help_lists_every_check(capsys):
    assert exit_code("--help") == 0
    out = capsys.readouterr().out
    for item in CHECKS:
        assert f"  {item.name}" in out
        assert item.about
        assert item.about.endswith(".")
        assert item.about in out
    assert command.PROG in out


def test_on_a_terminal_it_is_a_table(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    assert exit_code("toy_guess", "--only", "oracle") == 0
    out = capsys.readouterr().out
    assert "environment" in out
    assert "\x1b[32mok" in out


def test_it_runs_as_a_command():
    argv = [sys.executable, "-m", "envs.check", "toy_guess", "--only", "labels"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("toy_guess labels ok")
