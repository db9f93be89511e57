"""math_gym: what it takes from reasoning-gym, what it refuses, and how it judges."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import pytest

from envs import registry
from envs.math.answers import NO_VALUE
from envs.math.gym import wheel as gym_wheel
from envs.math.gym.env import MathGym
from envs.math.gym.families import HELD_OUT, SEEN, edits, question_at, solve
from envs.releases import Release


@pytest.fixture
def env():
    return MathGym()


def start(env, level, split="train", place=0):
    task = env.tasks(split, level)[place]
    env.reset(options={"split": split, "level": level, "task_id": task.id})
    return task


WORKED = {
    "basic_arithmetic": ("Calculate -( 6 - 8 ) / 4.", Fraction(1, 2)),
    "chain_sum": ("... arithmetic problem: 7 - 9 + 12 =", 10),
    "count_bits": ("... binary representation of the number 304?", 3),
    "count_primes": ("... numbers there are between 19 and 40 (inclusive) ?", 5),
    "decimal_chain_sum": ("... arithmetic problem: 0.05 - 9.5 =", Fraction(-189, 20)),
    "dice": (
        "I have these dice: 1d6, 1d4. What are the odds of rolling 9 or",
        Fraction(1, 8),
    ),
    "gcd": ("... of these numbers: 12, 18, 8. Give only", 2),
    "lcm": ("... of these numbers: 4, 6, 9", 36),
    "leg_counting": ("... if you have 5 birds, 1 praying mantis, 2 jellyfishs?", 16),
    "products": ("... multiplication: 7 * 9 * 2. Give only", 126),
    "simple_equations": ("Solve for j: 30 - 4*j = 12", Fraction(9, 2)),
}


@pytest.mark.parametrize("name", [*SEEN, *HELD_OUT])
def test_our_own_arithmetic_reads_a_question(name):
    question, answer = WORKED[name]
    assert solve(name, question) == answer


@pytest.mark.parametrize("name", [*SEEN, *HELD_OUT])
def test_reasoning_gym_and_our_arithmetic_nearly_always_agree(name):
    for level in range(5):
        items = [question_at(name, level, False, 7919 * n) for n in range(200)]
        wrong = [item for item in items if item and solve(name, item[0]) != item[1]]
        allowed = {"basic_arithmetic": 12, "simple_equations": 6}.get(name, 0)
        assert len(wrong) <= allowed, wrong[:3]
        assert len({item[0] for item in items if item}) > 10


def test_what_reasoning_gym_rounds_or_leaves_open_is_not_asked(env):
    assert solve("basic_arithmetic", "Calculate 2 / -( 62 * 63 + 3908 ).") == Fraction(
        -1, 3907
    )
    assert solve("simple_equations", "Solve for q: 0 = 0") is None
    for split in env.splits:
        for level in env.levels:
            for task in env.tasks(split, level):
                answer = solve(task.payload["source"], task.payload["question"])
                assert str(answer) == task.payload["answer"], task


def test_out_of_domain_families_are_held_out(env):
    sources = {
        split: {t.payload["source"] for n in env.levels for t in env.tasks(split, n)}
        for split in env.splits
    }
    assert sources["train"] == sources["id"] == sources["ood/difficulty"] == set(SEEN)
    assert sources["ood/domain"] == set(HELD_OUT)


def test_level_zero_lists_the_answer_and_that_of_a_twin(env):
    for split in env.splits:
        for task in env.tasks(split, 0):
            listed = task.payload["choices"]
            assert len(set(listed)) == 8
            assert task.payload["answer"] in listed
            assert task.prompt.endswith(f"\nChoose: {' '.join(listed)}")
        for task in env.tasks(split, 0)[:60]:
            twin = env.twin(task)
            assert twin.payload["answer"] in listed_of(task, twin)


def listed_of(task, twin):
    assert twin.payload["choices"] == task.payload["choices"]
    assert twin.payload["answer"] != task.payload["answer"]
    return task.payload["choices"]


def test_an_edit_changes_one_number():
    assert list(edits("0.05 + 12", [1])) == ["1.05 + 12", "0.06 + 12", "0.04 + 12"] + [
        "0.05 + 13",
        "0.05 + 11",
    ]


@pytest.mark.parametrize("level", MathGym.levels)
def test_only_the_bare_value_counts(env, level):
    task = start(env, level)
    answer = Fraction(task.payload["answer"])
    for noise in (
        task.prompt,
        f"{answer} {answer + 1}",
        f"The answer is {answer}.",
        f"Answer: {answer + 1}\nAnswer: {answer}",
        f"<answer>{answer}</answer>",
        f"${answer}$",
    ):
        start(env, level)
        reply, reward, *_ = env.step(noise)
        assert (reply, reward) == (NO_VALUE, 0.0)
    for right in (f" {answer}\n", f"Let me see {answer + 1}.\nAnswer: {answer}"):
        start(env, level)
        assert env.step(right)[1:3] == (1.0, True)


def test_a_wrong_value_is_reported_and_another_may_follow(env):
    task = start(env, 2)
    wrong = [str(Fraction(task.payload["answer"]) + n) for n in (1, 2)]
    assert env.step(wrong[0])[0] == f"{wrong[0]} is wrong"
    assert env.step(wrong[0])[0] == f"{wrong[0]} was tried"
    assert env.step(wrong[1])[0] == f"{wrong[1]} is wrong"
    assert env.step(task.payload["answer"])[1:4] == (1.0, True, False)


def test_four_wrong_values_end_the_episode(env):
    task = start(env, 2)
    ends = [
        env.step(str(Fraction(task.payload["answer"]) + n))[1:4] for n in (1, 2, 3, 4)
    ]
    assert ends == [(0.0, False, False)] * 3 + [(0.0, False, True)]


def test_an_installed_reasoning_gym_is_left_alone(tmp_path):
    package = tmp_path / "reasoning_gym"
    package.mkdir()
    (package / "__init__.py").write_text("ours = True\n")
    code = (
        "import sys, reasoning_gym\nbefore = reasoning_gym\nfrom envs.math.gym.env import MathGym\n"
        "MathGym().tasks('id', 0)\nimport reasoning_gym as again\n"
        "print([n for n in sys.modules if n.startswith('reasoning_gym')], again is before)"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{code}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "['reasoning_gym'] True\n", done.stderr


def test_without_the_wheel_it_says_what_to_do(env, monkeypatch, tmp_path):
    monkeypatch.setenv("SCGRPO_CACHE", str(tmp_path))
    missing = Release(
        "reasoning-gym", "0.0.0.nothing", "none.whl", "0" * 64, reader="math_gym"
    )
    monkeypatch.setattr(gym_wheel, "WHEEL", missing)
    gym_wheel._modules.cache_clear()
    try:
        with pytest.raises(
            ImportError, match=r"math_gym reads reasoning-gym.*run: pip download"
        ):
            gym_wheel.legs()
    finally:
        gym_wheel._modules.cache_clear()


def test_it_is_made_by_its_alias():
    assert isinstance(registry.make("math_gym").unwrapped, MathGym)
