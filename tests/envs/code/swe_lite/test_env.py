"""Repair tasks: what the policy sees, what its tools do, and what it takes to pass."""

import json
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

import numpy as np
import pytest

from envs.code.bugs.mutate import HELD_OUT_OPERATORS, OPERATORS
from envs.code.swe_lite import corpus, pypi
from envs.code.swe_lite.env import SweLite
from envs.code.swe_lite.grading import grade
from envs.code.swe_lite.table import Row, rows
from envs.code.swe_lite.tasks import rows_in
from envs.rollout import play
from envs.toolspec import render_call
from envs.types import Stop, Task
from sandboxes import SandboxConfig, open_pool
from sandboxes.backends.fake import FakePool
from sandboxes.base import ExecResult, SandboxError, SandboxPool
from scgrpo.policies.scripted import ScriptedPolicy
from tests.envs.code.swe_lite.fake_runs import answer

APPLY = render_call("apply", candidate=1)
RUN, SUBMIT = render_call("run_tests"), render_call("submit")


@pytest.fixture(scope="module")
def pool() -> Iterator[SandboxPool]:
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    with open_pool(SandboxConfig(backend="local", size=2)) as opened:
        yield opened


@pytest.fixture
def env(pool: SandboxPool) -> SweLite:
    return SweLite(pool)


def start(env: SweLite, split: str, level: int, index: int = 0) -> Task:
    task = env.tasks(split, level)[index]
    env.reset(options={"split": split, "level": level, "task_id": task.id})
    return task


def play_turns(
    env: SweLite, task: Task, turns: list[str]
) -> tuple[bool | None, list[str]]:
    """Whether the turns passed, and the replies."""
    env.reset(options={"split": task.split, "level": task.level, "task_id": task.id})
    replies, info = [], {}
    for turn in turns:
        reply, _, terminated, truncated, info = env.step(turn)
        replies.append(reply)
        if terminated or truncated:
            break
    return info["verified"], replies


def sample(env: SweLite, split: str, level: int, count: int) -> list[Task]:
    tasks = env.tasks(split, level)
    return list(tasks)[:: max(len(tasks) // count, 1)][:count]


# The table


def test_there_are_enough_tasks_of_every_split():
    env = SweLite(FakePool(broken))
    for level in env.levels:
        sizes = {split: len(env.tasks(split, level)) for split in env.splits}
        assert sizes.pop("train") >= (2000 if level > 0 else 1000)
        assert {split: size for split, size in sizes.items() if size < 300} == {}, level


def test_published_packages_are_broken_out_of_domain_alone():
    splits = {row.source: row.split for row in rows() if row.source in pypi.PACKAGES}
    assert len(splits) >= 4
    assert {*splits} == {*pypi.PACKAGES}
    assert {*splits.values()} == {"ood/domain"}


def test_another_file_in_an_sdists_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path))
    release = pypi.PACKAGES["parse"].release
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / release.file).write_bytes(b"other")
    with pytest.raises(
        ImportError, match=r"is not parse 1.19.0 as published: remove it"
    ):
        pypi.read.__wrapped__("parse")


def test_the_table_is_small_and_soon_loaded():
    assert (corpus.DATA / "tasks.jsonl.gz").stat().st_size < 5_000_000
    rows.cache_clear()
    started = time.process_time()
    assert len(rows()) > 3000
    assert time.process_time() - started < 1


def test_bugs_of_fourteen_operators_come_from_twenty_modules_of_the_library():
    assert {bug.operator for row in rows() for bug in row.bugs} == set(OPERATORS)
    library = {
        path.name for path in (corpus.DATA / "stdlib").iterdir() if path.is_dir()
    }
    assert len({row.source for row in rows()} & library) >= 20


def test_composition_alone_has_the_held_out_operators():
    for row in rows():
        held_out = {bug.operator in HELD_OUT_OPERATORS for bug in row.bugs}
        assert held_out == {row.split == "ood/composition"}


def test_surface_alone_has_other_local_names():
    for row in rows():
        assert row.renamed == (row.split == "ood/surface")
    row = next(row for row in rows() if row.renamed)
    assert row.package.text != corpus.source(row.source).text
    assert row.package.tests == corpus.source(row.source).tests


def test_splits_share_no_function_no_task_and_no_held_out_source():
    families: dict[str, set[str]] = {}
    sources: dict[str, set[str]] = {}
    for row in rows():
        families.setdefault(row.split, set()).add(row.family)
        sources.setdefault(row.split, set()).add(row.source)
    splits = sorted(families)
    for i, left in enumerate(splits):
        for right in splits[i + 1 :]:
            assert not families[left] & families[right]
    others = set.union(*(sources[split] for split in splits if split != "ood/domain"))
    assert not sources["ood/domain"] & others
    env = SweLite(FakePool(broken))
    for level in (1, 4):
        hashes = [t.content_hash for split in splits for t in env.tasks(split, level)]
        assert len(hashes) == len(set(hashes))


def test_every_row_holds_the_right_patch_once_and_never_the_bug():
    for row in rows():
        right, buggy = tuple(row.right), tuple(row.buggy)
        assert row.with_lines(row.right) == row.package.text != row.broken
        if row.candidates:
            assert [c for c in row.candidates if c == right] == [
                row.candidates[row.answer - 1]
            ]
            assert buggy not in row.candidates
            assert len(set(row.candidates)) == 4
        hidden = corpus.source(row.source).hidden_ids
        assert set(row.failing) & hidden
        assert set(row.failing) - hidden
        assert len(row.failing) <= 20


def test_the_right_candidate_stands_anywhere():
    places = [row.answer for row in rows() if row.candidates]
    assert all(0.2 < places.count(place) / len(places) < 0.3 for place in (1, 2, 3, 4))


@pytest.mark.parametrize("split", SweLite.splits)
def test_looking_alike_does_not_give_the_right_candidate_away(split):
    """With every wrong candidate one edit off the right one, the most typical would be right."""
    typical, nearest = [], []
    found = [row for row in rows() if row.candidates and row.split == split]
    for row in found[:: max(len(found) // 300, 1)]:
        shown = [" ".join(line.strip() for line in lines) for lines in row.candidates]
        buggy = " ".join(line.strip() for line in row.buggy)
        alike = [sum(_alike(a, b) for b in shown) for a in shown]
        near = [_alike(a, buggy) for a in shown]
        typical.append(_picked_by(alike, row.answer))
        nearest.append(_picked_by(near, row.answer))
    # A method's name has few relatives, some of which hold others.
    assert np.mean(typical) < (0.38 if split == "ood/composition" else 0.32)
    assert np.mean(nearest) < 0.4


def _picked_by(scores: list[float], answer: int) -> float:
    """Chance of the right one where the highest score is picked, ties at random."""
    best = [
        place
        for place, score in enumerate(scores, start=1)
        if score > max(scores) - 1e-9
    ]
    return (answer in best) / len(best)


def _alike(a: str, b: str) -> float:
    return SequenceMatcher(None, *sorted((a, b)), autojunk=False).ratio()


def test_difficulty_means_two_lines_and_the_other_splits_one():
    assert {len(row.bugs) for row in rows() if row.split == "ood/difficulty"} == {2}
    assert {len(row.bugs) for row in rows() if row.split != "ood/difficulty"} == {1}


def test_the_table_is_true_of_a_random_sample(pool: SandboxPool):
    picked = np.random.default_rng().choice(len(rows()), size=8, replace=False)
    for row in (rows()[i] for i in picked):
        source = row.package
        for number, candidate in enumerate(row.candidates or [row.right], start=1):
            text = row.with_lines(candidate)
            right = number == (row.answer or 1)
            assert grade(pool, source, text, row.failing).passed == right, row.id
        still = grade(pool, source, row.broken, row.failing)
        wanted = f"{len(row.failing)} of {len(row.failing)} failing tests still fail, 0 others fail"
        assert still.detail == wanted, row.id


# What the policy sees


def test_level_0_prompts_are_short_and_hold_every_candidate():
    for task in SweLite(FakePool(broken)).tasks("train", 0):
        row = Row.from_json(task.payload)
        assert len(task.prompt) < 600
        assert all(
            line.strip() in task.prompt for lines in row.candidates for line in lines
        )


def test_level_3_names_failing_visible_tests_and_neither_line_nor_function():
    for split in SweLite.splits:
        for task in SweLite(FakePool(broken)).tasks(split, 3):
            row = Row.from_json(task.payload)
            first, *tests = task.prompt.split("\n")
            if split == "ood/surface":
                seen = set(row.failing) - corpus.source(row.source).hidden_ids
                assert (
                    task.prompt
                    == f"Bug in {row.source}.py. Tests that fail: {len(seen)}."
                )
                continue
            assert first == f"Bug in {row.source}.py. These tests fail:"
            assert 1 <= len(tests) <= 3
            assert set(tests) <= set(row.failing) - corpus.source(row.source).hidden_ids


@pytest.mark.parametrize(("level", "turns"), [(2, 8), (3, 20), (4, 30)])
def test_more_turns_where_the_bug_is_to_be_found(env: SweLite, level: int, turns: int):
    task = start(env, "train", level)
    _, replies = play_turns(env, task, ["?"] * 40)
    assert len(replies) == turns


@pytest.mark.parametrize("split", SweLite.splits)
def test_level_4_is_two_broken_sources_of_the_split_and_a_right_one(
    env: SweLite, split: str
):
    own = {row.id: row for row in rows() if row.split == split}
    for task in env.tasks(split, 4):
        broken_rows = rows_in(task)
        names = {*(row.source for row in broken_rows), task.payload["idle"]}
        assert len(names) == 3
        assert all(own[row.id] == row for row in broken_rows)
        assert task.payload["idle"] in {row.source for row in own.values()}
        listed = ", ".join(sorted(names))
        assert (
            task.prompt == f"Some tests of this repository fail. Its modules: {listed}."
        )


def test_a_repository_needs_every_repair_and_no_new_bug(env: SweLite):
    task = start(env, "train", 4)
    calls = env.oracle(task)
    assert len(calls) == 4
    assert play_turns(env, task, calls)[0] is True
    for missing in (0, 1):
        rest = [call for place, call in enumerate(calls) if place != missing]
        verified, replies = play_turns(env, task, rest)
        assert verified is False
        assert (
            sorted("all passed" in line for line in replies[1].split("\n")[:3])
            != [True] * 3
        )
    idle = corpus.source(task.payload["idle"])
    number = next(
        n for n, line in enumerate(idle.text.split("\n"), 1) if "return" in line
    )
    harm = render_call("edit_file", path=idle.file, line=number, text="pass")
    assert play_turns(env, task, [*calls[:2], harm, *calls[2:]])[0] is False


def test_a_repository_reads_and_edits_by_path(env: SweLite):
    task = start(env, "train", 4)
    sources = env.workspace.sources
    listed = [name for s in sources.values() for name in (s.file, s.test_file)]
    assert env.step(render_call("ls"))[0].split("\n") == listed
    for path, source in sources.items():
        first = env.workspace.texts[path].split("\n")[0]
        assert env.step(render_call("read", path=path))[0].startswith(f"1: {first}\n")
        visible = render_call("edit_file", path=source.test_file, line=1, text="x")
        assert "cannot be changed" in env.step(visible)[0]
    assert env.step(render_call("read"))[0].startswith("no file ''")
    assert {row.package.file for row in rows_in(task)} < set(sources)
    for row in rows_in(task):
        assert env.workspace.texts[row.package.file] == row.broken


def test_surface_says_neither_tests_nor_tracebacks(env: SweLite):
    for level in (1, 2, 3, 4):
        task = start(env, "ood/surface", level)
        lines = env.step(RUN)[0].split("\n")
        assert len(lines) == (3 if level == 4 else 1)
        assert all(
            re.fullmatch(r"(\w+\.py: )?(\d+ failed|all passed)", line) for line in lines
        )
        assert not any(test in task.prompt for test in env.row.failing)


def test_how_many_tests_passed_is_told_as_a_part(env: SweLite):
    task = start(env, "train", 1)
    assert env.checks() == {"passing": 0}
    env.step(RUN)
    seen = env.workspace.source.visible_ids
    failing = len(set(env.row.failing) & set(seen))
    assert env.checks() == {"passing": pytest.approx(1 - failing / len(seen))}
    for turn in env.oracle(task)[:-1]:
        env.step(turn)
    assert env.checks() == {"passing": 1}


def test_no_workspace_holds_a_hidden_test_or_the_right_code(env: SweLite):
    for split in env.splits:
        for task in sample(env, split, 2, 4):
            env.reset(options={"split": split, "level": 2, "task_id": task.id})
            row, source = env.row, env.workspace.source
            assert set(env.workspace.files) == {source.file, source.test_file}
            methods = {test.rpartition(".")[2] for test in source.hidden_ids}
            visible = {test.rpartition(".")[2] for test in source.visible_ids}
            shown = "".join(env.workspace.files.values())
            for method in methods - visible:
                assert f"def {method}(" not in shown
            assert env.workspace.files[source.file] == row.broken != source.text


def test_tools_depend_on_the_level(env: SweLite):
    names = {}
    for level in env.levels:
        start(env, "train", level)
        names[level] = {tool["function"]["name"] for tool in env.tools()}
    assert names[0] == {"apply", "submit"}
    assert names[1] == {"read", "edit", "run_tests", "submit"}
    assert names[2] == names[3] == {"ls", "read", "grep", "edit", "run_tests", "submit"}
    assert names[4] == names[3] - {"edit"} | {"edit_file"}


def test_a_tool_of_another_level_is_a_malformed_turn(env: SweLite):
    start(env, "train", 0)
    reply, *_, info = env.step(render_call("edit", line=1, text="x"))
    assert "there is no tool" in reply
    assert info["malformed"] == 1


# The tools


def test_apply_replaces_the_candidate_before(env: SweLite):
    start(env, "train", 0)
    for candidate in (1, 3):
        env.step(render_call("apply", candidate=candidate))
    assert env.workspace.text == env.row.with_lines(env.row.candidates[2])


def test_a_candidate_is_tried_once(env: SweLite):
    start(env, "train", 0)
    calls = [render_call("apply", candidate=n) for n in (1, 2)]
    replies = [env.step(call)[0] for call in (*calls, calls[0])]
    assert replies[2] == "candidate 1 was tried"
    assert env.workspace.text == env.row.with_lines(env.row.candidates[1])


@pytest.mark.parametrize("candidate", [0, 5, -1, 10**12])
def test_apply_refuses_numbers_that_are_not_offered(env: SweLite, candidate: int):
    start(env, "train", 0)
    reply = env.step(render_call("apply", candidate=candidate))[0]
    assert reply == f"no candidate {candidate}, choose 1 to 4"
    assert env.workspace.text == env.row.broken


def test_run_tests_counts_the_visible_tests(env: SweLite):
    start(env, "train", 1)
    source, row = env.workspace.source, env.row
    failed = len(set(row.failing) - source.hidden_ids)
    assert env.step(RUN)[0].startswith(f"{failed} failed\n")
    for number, line in zip(row.numbers, row.right, strict=True):
        env.step(render_call("edit", line=number, text=line))
    assert env.step(RUN)[0] == "all passed"


def test_apply_runs_the_tests(env: SweLite):
    start(env, "train", 0)
    answer = env.row.answer
    assert re.fullmatch(
        r"\d+ failed", env.step(render_call("apply", candidate=answer % 4 + 1))[0]
    )
    assert env.step(render_call("apply", candidate=answer))[0] == "all passed"


def test_run_tests_names_the_first_failure_above_level_0(env: SweLite):
    start(env, "train", 1)
    first, second = env.step(RUN)[0].split("\n")
    assert re.fullmatch(r"\d+ failed", first)
    assert re.match(r"\w+\.\w+: \w+", second)


def test_a_file_that_does_not_compile_fails_every_test(env: SweLite):
    task = start(env, "train", 1)
    number = env.row.numbers[0]
    reply = env.step(render_call("edit", line=number, text="if if"))[0]
    assert reply == f"line {number} is now: if if"
    total = len(env.workspace.source.visible_ids)
    wanted = f"{total} failed\nimport: SyntaxError: invalid syntax"
    assert env.step(RUN)[0].startswith(wanted)
    assert (
        play_turns(
            env, task, [render_call("edit", line=number, text="if if"), RUN, SUBMIT]
        )[0]
        is False
    )


def test_edit_keeps_the_indentation_unless_it_brings_its_own(env: SweLite):
    start(env, "train", 2)
    number = env.row.numbers[0]
    old = env.workspace.text.split("\n")[number - 1]
    env.step(render_call("edit", line=number, text="x = 1"))
    indent = old[: len(old) - len(old.lstrip())]
    assert env.workspace.text.split("\n")[number - 1] == f"{indent}x = 1"
    env.step(render_call("edit", line=number, text=" y = 2\n"))
    assert env.workspace.text.split("\n")[number - 1] == " y = 2"


def test_reading_tools_answer_from_the_workspace_alone(env: SweLite):
    start(env, "train", 2)
    source = env.workspace.source
    assert env.step(render_call("ls"))[0] == f"{source.file}\n{source.test_file}"
    first = env.workspace.text.split("\n")[0]
    assert env.step(render_call("read"))[0].startswith(f"1: {first}\n2: ")
    assert env.step(render_call("read", path=source.test_file, line=2))[0].startswith(
        "2: "
    )
    assert env.step(render_call("grep", text="import unittest"))[0].startswith(
        source.test_file
    )
    assert env.step(render_call("grep", text="no such text"))[0] == "no line holds it"
    assert env.step(render_call("grep", text=""))[0] == "grep needs a text"


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "../corpus.py", "envs/code/swe_lite/corpus.py", "\x00", ".."],
)
def test_no_path_leads_out_of_the_workspace(env: SweLite, path: str):
    start(env, "train", 2)
    assert env.step(render_call("read", path=path))[0].startswith("no file ")


@pytest.mark.parametrize("line", [0, -1, 10**6])
def test_lines_that_do_not_exist_are_refused(env: SweLite, line: int):
    start(env, "train", 2)
    before = env.workspace.text
    assert env.step(render_call("read", line=line))[0].startswith(f"no line {line}")
    assert env.step(render_call("edit", line=line, text="x"))[0].startswith(
        f"no line {line}"
    )
    assert env.workspace.text == before


def test_replies_stay_short(env: SweLite):
    start(env, "train", 2)
    assert len(env.step(render_call("grep", text="e"))[0]) < 820
    assert len(env.step(render_call("edit", line=1, text="x" * 100_000))[0]) < 200


def test_a_file_cannot_grow_without_end(env: SweLite):
    start(env, "train", 2)
    replies = [
        env.step(render_call("edit", line=1, text="x" * 150_000))[0] for _ in range(3)
    ]
    assert "longer than" in replies[-1]


# Verdicts


@pytest.mark.daily(2, per="level")
@pytest.mark.parametrize("level", SweLite.levels)
@pytest.mark.parametrize("split", SweLite.splits)
def test_the_oracle_passes(env: SweLite, split: str, level: int):
    for task in sample(env, split, level, 4):
        verified, replies = play_turns(env, task, env.oracle(task))
        assert verified is True, (task.id, replies)
        assert re.fullmatch(r"((\w+\.py: )?all passed\n?)+", replies[-2])
        for critical in env.critical(task):
            assert any(critical in turn for turn in env.oracle(task))


@pytest.mark.parametrize("split", SweLite.splits)
def test_a_wrong_candidate_fails_and_no_change_cannot_be_submitted(
    env: SweLite, split: str
):
    task = sample(env, split, 0, 1)[0]
    answer = Row.from_json(task.payload).answer
    for candidate in {1, 2, 3, 4} - {answer}:
        verified, replies = play_turns(
            env, task, [render_call("apply", candidate=candidate), SUBMIT]
        )
        assert verified is False
        assert "failed" in replies[0]
    verified, replies = play_turns(env, task, [SUBMIT] * env.max_turns)
    assert verified is False
    assert replies[0] == "nothing changed yet"


def test_a_change_is_submitted_only_after_a_test_run_of_it(env: SweLite):
    task = start(env, "train", 1)
    env.step(RUN)
    for turn in env.oracle(task)[:-2]:
        env.step(turn)
    assert env.step(SUBMIT)[0] == "run the tests first"
    env.step(RUN)
    *_, terminated, _, info = env.step(SUBMIT)
    assert terminated
    assert info["verified"] is True


def test_a_spent_turn_budget_fails_even_with_the_right_change(env: SweLite):
    task = start(env, "train", 0)
    right = render_call("apply", candidate=env.row.answer)
    verified, replies = play_turns(env, task, [right] * (env.max_turns + 1))
    assert (verified, len(replies)) == (False, env.max_turns)


def test_the_last_candidate_counts(env: SweLite):
    task = start(env, "train", 0)
    right = env.row.answer
    wrong = right % 4 + 1
    calls = {n: render_call("apply", candidate=n) for n in (right, wrong)}
    assert play_turns(env, task, [calls[wrong], calls[right], SUBMIT])[0] is True
    assert play_turns(env, task, [calls[right], calls[wrong], SUBMIT])[0] is False


def test_what_solves_a_task_fails_on_its_twin(env: SweLite):
    task = start(env, "train", 0)
    twin = env.twin(task)
    assert twin.payload["answer"] != task.payload["answer"]
    assert env.oracle(twin)[0] != env.oracle(task)[0]
    assert sorted(twin.payload["candidates"]) == sorted(task.payload["candidates"])
    with pytest.raises(ValueError, match="only level 0"):
        env.twin(env.tasks("train", 1)[0])


def test_chance_is_what_random_turns_reach(day):
    env = SweLite(FakePool(as_if_right))
    rng = np.random.default_rng(7)
    tasks = env.tasks("train", 0)
    passed = 0
    trials = day.count(80, 300)
    for trial in range(trials):
        task = tasks[trial % len(tasks)]
        env.reset(options={"task_id": task.id})
        ended, reward = False, 0.0
        while not ended:
            _, reward, terminated, truncated, _ = env.step(env.random_turn(rng))
            ended = terminated or truncated
        passed += int(reward)
    assert env.chance(0) == 0.25
    tolerance = 4 * (0.25 * 0.75 / trials) ** 0.5  # four standard errors
    assert passed / trials == pytest.approx(env.chance(0), abs=tolerance)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_random_turns_are_well_formed(env: SweLite, level: int):
    start(env, "train", level)
    rng = np.random.default_rng(0)
    for _ in range(9):
        _, _, terminated, truncated, info = env.step(env.random_turn(rng))
        assert info["malformed"] == 0
        if terminated or truncated:
            start(env, "train", level)


def test_an_episode_continues_from_its_state(pool: SandboxPool):
    env, other = SweLite(pool), SweLite(pool)
    task = start(env, "train", 0)
    right = Row.from_json(task.payload).answer
    env.step(render_call("apply", candidate=right))
    state = json.loads(json.dumps(env.get_state(), default=str))
    state["np_random"] = env.get_state()["np_random"]
    other.set_state(state)
    *_, info = other.step(SUBMIT)
    assert info["verified"] is True


def test_a_broken_sandbox_voids_the_episode():
    env = SweLite(FakePool(broken))
    task = env.tasks("train", 0)[0]
    episode = play(env, ScriptedPolicy([APPLY]), task)
    assert episode.stop is Stop.ERROR
    assert episode.verdict is None


def broken(argv: Sequence[str], files: dict[str, bytes], stdin: bytes) -> ExecResult:
    raise SandboxError("the box is gone")


def as_if_right(
    argv: Sequence[str], files: dict[str, bytes], stdin: bytes
) -> ExecResult:
    """Answers like a sandbox where all tests pass exactly for right code."""
    (source,) = (
        corpus.source(path[:-3]) for path in files if path[:-3] in corpus.names()
    )
    return answer(stdin, files[source.file].decode() == source.text)
