"""Saved episodes prove themselves; each kind of tampering is named."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from envs import registry
from envs.rollout import play
from envs.store import CHECKSUM, _digest, _dumps, read_episodes, write_episodes
from envs.toy.guess import ToyGuess
from envs.types import Verdict
from evals.replay import main, replay
from scgrpo.policies.scripted import RandomPolicy, ScriptedPolicy

TASK = ToyGuess().tasks("train", 1)[4]  # 5 in 1 to 7, three guesses


@pytest.fixture
def file(tmp_path):
    """Solved in two guesses, not solved in three, malformed, and broken."""
    env = registry.make("toy_guess")
    path = tmp_path / "episodes.jsonl"
    played = [
        play(env, ScriptedPolicy(turns), TASK)
        for turns in (["4", "5"], ["1", "2", "3"])
    ]
    played.append(play(env, ScriptedPolicy(["bad"]), TASK))
    played.append(play(env, ScriptedPolicy(_broken), TASK))
    write_episodes(path, played)
    return path


def _broken(chat):
    raise RuntimeError("the engine is gone")


def output_of(path, capsys, *arguments, code=1):
    with pytest.raises(SystemExit) as stopped:
        main([str(path), *arguments])
    assert stopped.value.code == code
    captured = capsys.readouterr()
    return captured.out + captured.err


def tamper(path, change, *, signed=True, line=0):
    """Rewrites one line by `change(row)`, with a checksum that fits if `signed`.

    The row's segments and verdict are values, not their JSON.
    """
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    values = {name: json.loads(rows[line][name]) for name in ("segments", "verdict")}
    rows[line].update(values)
    change(rows[line])
    rows[line].update({name: json.dumps(rows[line][name]) for name in values})
    if signed:
        rows[line].pop(CHECKSUM)
        rows[line][CHECKSUM] = _digest(_dumps(rows[line]))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_untouched_episodes_prove_themselves_and_errored_ones_are_counted(file, capsys):
    out = output_of(file, capsys, code=0)
    assert "3 of 4 episodes prove themselves, 0 do not, 1 errored" in out
    assert "replay: 4/4" in out


def test_random_episodes_of_every_level_and_split_prove_themselves(tmp_path):
    env = registry.make("toy_guess")
    path = tmp_path / "episodes.jsonl"
    for split in ToyGuess.splits:
        for level in ToyGuess.levels:
            task = ToyGuess().tasks(split, level)[-1]
            write_episodes(path, [play(env, RandomPolicy(env), task, seed=level)])
    findings = replay([path])
    assert len(findings) == 15
    assert not any(finding.problems for finding in findings)


def test_a_tampered_action_is_named_by_its_reply(file, capsys):
    tamper(file, lambda row: row["segments"][1].update(text="6"))
    out = output_of(file, capsys)
    assert "line 1: train/1/1-7/5" in out
    assert "turn 1: the reply is 'higher' in the file, 'lower' now" in out
    assert "3 of 4" not in out


def test_an_action_whose_reply_stays_the_same_breaks_the_checksum(file, capsys):
    tamper(file, lambda row: row["segments"][1].update(text="3"), signed=False)
    assert "the line was changed after it was written" in output_of(file, capsys)


def test_a_tampered_reply_is_named(file, capsys):
    tamper(file, lambda row: row["segments"][2].update(text="lower"))
    assert "turn 1: the reply is 'lower' in the file, 'higher' now" in output_of(
        file, capsys
    )


def test_a_tampered_verdict_is_named(file, capsys):
    def succeed(row):
        row["verdict"].update(passed=True, score=1.0)
        row["outcome"] = "passed"

    tamper(file, succeed, line=1)
    out = output_of(file, capsys)
    assert "line 2:" in out
    assert "verdict: passed is True in the file, False now" in out
    assert "verdict: score is 1.0 in the file, 0.0 now" in out


def test_an_outcome_that_is_not_the_verdicts_is_no_episode(file, capsys):
    tamper(file, lambda row: row.update(outcome="passed"), line=1)
    out = output_of(file, capsys)
    assert "line 2:" in out
    assert "no episode: its outcome is 'passed', but its verdict says 'failed'" in out


def test_a_tampered_task_is_named_without_its_payload(file, capsys):
    tamper(
        file,
        lambda row: row.update(payload='{"low":1,"high":7,"number":6}', prompt="?"),
    )
    out = output_of(file, capsys)
    assert "task: its payload differs\n" in out
    assert "task: its prompt differs: '?' in the file" in out


def test_a_turn_left_out_or_an_early_stop_is_named(file, capsys):
    tamper(file, lambda row: row.update(segments=row["segments"][:2]))
    assert "verdict: passed is True in the file, False now" in output_of(file, capsys)


def test_another_environment_version_is_named(file, capsys):
    tamper(file, lambda row: row.update(env="scgrpo/toy_guess-v7"))
    out = output_of(file, capsys, "--env", "toy_guess")
    assert "environment version: played in scgrpo/toy_guess-v7" in out
    assert "replayed in scgrpo/toy_guess-v0" in out
    assert "toy_guess" in output_of(file, capsys, code=2)


def test_another_source_hash_is_named(file, capsys):
    tamper(file, lambda row: row.update(source="0" * 64))
    assert "source hash: played by 000000000000, replayed by " in output_of(
        file, capsys
    )


def test_a_task_that_is_gone_and_a_line_that_is_no_episode_are_named(file, capsys):
    tamper(file, lambda row: row.update(task_id="train/1/1-7/99"))
    with file.open("a") as opened:
        opened.write("{}\n")
    out = output_of(file, capsys)
    assert "toy_guess has no task train/1/1-7/99" in out
    assert "line 5:" in out
    assert "no episode" in out


def test_an_older_file_without_the_columns_replays_once_its_environment_is_named(
    file, capsys
):
    rows = [json.loads(text) for text in file.read_text().splitlines()]
    for row in rows:
        for column in ("env", "source", CHECKSUM):
            del row[column]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert next(read_episodes(file)).env == ""
    assert "does not say its environment: name it by --env" in output_of(
        file, capsys, code=2
    )
    assert "3 of 4 episodes prove" in output_of(
        file, capsys, "--env", "toy_guess", code=0
    )


def test_bad_files_say_so(tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert "is empty, expected a file of episodes" in output_of(empty, capsys, code=2)
    assert "absent.jsonl" in output_of(tmp_path / "absent.jsonl", capsys, code=2)


def test_swe_lite_episodes_prove_themselves_in_a_sandbox(tmp_path, make_env, capsys):
    env = make_env("swe_lite")
    path = tmp_path / "episodes.jsonl"
    for level in (0, 1):
        task = env.tasks("id", level)[0]
        write_episodes(path, [play(env, ScriptedPolicy(env.oracle(task)), task)])
    write_episodes(path, [play(env, RandomPolicy(env), task, seed=1)])
    assert [e.verified for e in read_episodes(path)][:2] == [True, True]
    named = ["--threads", "1"]
    assert "3 of 3 episodes prove themselves" in output_of(path, capsys, *named, code=0)
    lie = [replace(e, verdict=Verdict(False, 1.0)) for e in read_episodes(path)]
    path.unlink()
    write_episodes(path, lie[:1])
    assert "verdict: passed is False in the file, True now" in output_of(
        path, capsys, *named
    )
