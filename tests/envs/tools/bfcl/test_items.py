"""BFCL's items are judged as its own checker judges them; its gold calls win but where listed.

The wheel is fetched by pip where it is not cached, so without a package index these tests fail.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import mpmath
import numpy as np
import pytest

from envs.tools.bfcl import items as bfcl
from envs.tools.bfcl import wheel as bfcl_wheel
from envs.tools.bfcl.items import BfclWorld, items, last_changes, turns, unplayable
from envs.tools.files.env import ToolFiles
from envs.toolspec import Malformed, render_call
from envs.types import Verdict

END = render_call("finish")


def judged(item, script):
    """The verdict, None where the script ends before; or the first malformed call's reason."""
    world = BfclWorld(item)
    for turn in script:
        answer = world.play(turn)
        if isinstance(answer, (Verdict, Malformed)):
            return answer
    return None


@pytest.fixture(scope="module")
def official():
    """The leaderboard's own checker, out of its wheel."""
    sys.path.insert(0, str(bfcl_wheel.wheel()))
    try:
        name = "bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker"
        return importlib.import_module(name).multi_turn_checker
    finally:
        sys.path.remove(str(bfcl_wheel.wheel()))


def test_the_gold_calls_of_every_item_win_but_of_those_that_are_listed():
    lost = {}
    for key, item in items().items():
        verdict = judged(item, turns(item))
        if not (isinstance(verdict, Verdict) and verdict.passed):
            lost[key] = verdict
    assert len(items()) == 800
    assert lost.keys() == unplayable().keys()
    # Each for the listed reason, not for a fault of the simulators.
    assert all(isinstance(verdict, Malformed) for verdict in lost.values())


def test_without_the_last_call_of_any_message_the_gold_calls_lose():
    for key, item in items().items():
        if key not in unplayable():
            for change in last_changes(item):
                rest = [turn for turn in turns(item) if turn != change]
                verdict = judged(item, rest)
                assert verdict is None or not verdict.passed, (key, change)


def test_ending_every_message_at_once_wins_nothing():
    for item in items().values():
        assert judged(item, [END] * 20).passed is False


def altered(gold, number):
    """The gold calls with one change: by number none, a call left out, doubled, swapped, added."""
    calls = [list(each) for each in gold]
    place = next(i for i, each in enumerate(calls) if each)
    last = max(i for i, each in enumerate(calls) if each)
    if number == 1:
        calls[last].pop()
    elif number == 2:
        calls[place].insert(0, calls[place][0])
    elif number == 3:
        calls[place].reverse()
    elif number == 4:
        calls[last].append(calls[place][0])
    elif number == 5:
        calls[place].pop(0)
    return calls


@pytest.mark.parametrize("number", range(6))
def test_verdicts_are_those_of_the_leaderboards_own_checker(official, number):
    differing, verdicts = [], []
    for key in [key for key in items() if key not in unplayable()][number::7]:
        item = items()[key]
        calls = altered(item["gold"], number)
        # One step holds all calls of a message.
        steps = [[each] if each else [] for each in calls]
        category = key.rpartition("_")[0]
        theirs = official(steps, item["gold"], item, category, f"altered{number}")[
            "valid"
        ]
        ours = judged(item, turns({**item, "gold": calls}))
        if isinstance(ours, Malformed):
            # Calls before a function is offered are refused here, and played there.
            assert "there is no tool" in ours.reason
            continue
        verdicts.append(theirs)
        if ours.passed is not theirs:
            differing.append(key)
    assert not differing
    assert len(verdicts) > 100
    # Unchanged they win, with a call left out they lose, and else some do either.
    assert set(verdicts) == {0: {True}, 1: {False}, 5: {False}}.get(
        number, {True, False}
    )


def test_functions_that_are_missing_come_with_their_schemas():
    item = items()["multi_turn_miss_func_0"]
    (number,) = item["missed_function"]
    (name,) = item["missed_function"][number]
    world = BfclWorld(item)
    offered = [tool["function"]["name"] for tool in world.tools()]
    assert name not in offered
    answers = [world.play(turn) for turn in turns(item)]
    (told,) = (answer for answer in answers if bfcl.MORE_FUNCTIONS in str(answer))
    schema = json.loads(told.split("\n")[0])
    assert schema["function"]["name"] == name
    assert name in [tool["function"]["name"] for tool in world.tools()]


def test_schemas_have_the_published_names_types_and_required_arguments():
    kinds = {"dict": "object", "float": "number"}
    for class_name, file in bfcl_wheel.CLASSES.items():
        item = {
            "id": "x",
            "involved_classes": [class_name],
            "initial_config": {},
            "gold": [],
        }
        schemas = {
            s["function"]["name"]: s["function"] for s in BfclWorld(item).tools()
        }
        for row in bfcl_wheel.rows(f"multi_turn_func_doc/{file}"):
            parameters = schemas.pop(row["name"])["parameters"]
            assert set(parameters["required"]) == set(
                row["parameters"].get("required", ())
            )
            assert {
                key: schema["type"] for key, schema in parameters["properties"].items()
            } == {
                key: kinds.get(schema["type"], schema["type"])
                for key, schema in row["parameters"]["properties"].items()
            }
        assert list(schemas) == ["finish"]


def test_what_python_raises_in_a_simulator_is_an_answer():
    item = next(i for i in items().values() if "MathAPI" in i["involved_classes"])
    world = BfclWorld(item)
    answer = world.play(render_call("divide", a=1.0, b=0))
    assert "zero" in str(answer)
    assert str(world.play(render_call("power", base=1e300, exponent=2.0))).startswith(
        "Error"
    )


def test_numbers_that_would_keep_the_process_busy_are_refused():
    item = next(i for i in items().values() if "MathAPI" in i["involved_classes"])
    world = BfclWorld(item)
    for turn in (
        render_call("power", base=9, exponent=10**17),
        render_call("logarithm", value=2, base=3, precision=10**17),
        render_call("round_number", number=5, decimal_places=-(10**17)),
    ):
        assert "must be between" in str(world.play(turn))


def test_a_simulators_precision_stays_its_own():
    item = next(i for i in items().values() if "MathAPI" in i["involved_classes"])
    before = mpmath.mp.dps
    BfclWorld(item).play(render_call("logarithm", value=2, base=3, precision=70))
    assert mpmath.mp.dps == before


def test_a_folder_copied_into_itself_is_a_wrong_state_and_no_crash():
    item = next(
        item
        for item in items().values()
        if item["involved_classes"] == ["GorillaFileSystem"] and item["gold"][0]
    )
    world = BfclWorld(item)
    world.play(render_call("mkdir", dir_name="loop"))
    world.play(render_call("cp", source="loop", destination="loop"))
    assert "maximum recursion depth" in str(world.play(render_call("find")))
    assert world.play(END).passed is False


def test_an_item_of_every_category_is_re_entered_at_every_turn():
    for category in bfcl.CATEGORIES:
        item = items()[f"multi_turn_{category}_7"]
        script = turns(item)
        for half in range(len(script)):
            world, other = BfclWorld(item), BfclWorld(item)
            for turn in script[:half]:
                world.play(turn)
            other.restore(json.loads(json.dumps(world.snapshot())))
            assert [other.play(turn) for turn in script[half:]][-1].passed


def test_random_turns_are_well_formed():
    rng = np.random.default_rng(0)
    for key in list(items())[::40]:
        world = BfclWorld(items()[key])
        for _ in range(20):
            answer = world.play(world.random_turn(rng))
            assert not isinstance(answer, Malformed)
            if isinstance(answer, Verdict):
                break


def test_the_environment_has_every_sound_item_once():
    env = ToolFiles()
    found = [task for level in env.levels for task in env.tasks(bfcl.DOMAIN, level)]
    assert len({task.payload["item"] for task in found}) == len(found) == 795
    lengths = [len(turns(items()[task.payload["item"]])) for task in found]
    assert all(env.turn_budget(t) >= 2 * n for t, n in zip(found, lengths, strict=True))


def test_another_file_in_the_wheels_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path))
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / bfcl_wheel.WHEEL.file).write_bytes(b"other")
    with pytest.raises(
        ImportError, match="is not bfcl-eval .* as published: remove it"
    ):
        bfcl_wheel.wheel.__wrapped__()


def test_without_a_package_index_the_error_says_where_to_put_the_wheel(tmp_path):
    code = (
        "from envs.tools.files.env import ToolFiles; ToolFiles().tasks('ood/domain', 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "PATH": "",
            "SCGRPO_CACHE": str(tmp_path),
            "PIP_NO_INDEX": "1",
            "PIP_CONFIG_FILE": "/dev/null",
            "PYTHONPATH": str(bfcl.__file__).removesuffix("/envs/tools/bfcl.py"),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    last = done.stderr.strip().split("\n")[-1]
    assert last.startswith(
        "envs.releases.release.MissingDataError: the split ood/domain of tool_files reads bfcl-eval"
    )
    assert f"put {bfcl_wheel.WHEEL.file} into {tmp_path / 'releases'}" in last
