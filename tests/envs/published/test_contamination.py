"""What is trained on holds no question that a benchmark evaluates on."""

from __future__ import annotations

import pytest

from envs import registry
from envs.published.questions import question_family

OWN_TASKS = 100
"""Of each environment of ours, at each level."""
SHORTEST = 40
"""Letters of a question that is looked for within longer prompts."""


def at_hand(name):
    return all(file.is_at_hand() for file in registry.benchmark_files(name))


def plain(text):
    return " ".join(text.casefold().split())


def questions(name, split):
    """The questions of a split, without what every prompt of the benchmark says."""
    env = registry.make(name).unwrapped
    if split not in env.splits:
        return []
    tasks = [task for level in env.levels for task in env.tasks(split, level)]
    return [task.prompt.rpartition("# The customer's script\n\n")[2] for task in tasks]


@pytest.fixture(scope="module")
def evaluated():
    """Every question of an evaluation split whose file is at hand, by benchmark."""
    pytest.importorskip("math_verify", reason="needs the extra `benchmarks`")
    # Halves ask the same on purpose, and say so; variants ask what their benchmark asks.
    variants = ("_python", "_feedback", "_halves")
    names = [
        name
        for name in registry.benchmark_names()
        if not name.endswith(variants) and name != "scienceworld" and at_hand(name)
    ]
    if not names:
        pytest.skip("no benchmark's file is at hand")
    return {name: questions(name, "id") for name in names}


def test_no_benchmark_trains_on_what_it_or_another_evaluates(evaluated):
    trained = {
        question_family(question): name
        for name in evaluated
        for question in questions(name, "train")
    }
    shared = [
        (name, trained[question_family(question)])
        for name, asked in evaluated.items()
        for question in asked
        if question_family(question) in trained
    ]
    assert shared == []


def test_no_two_benchmarks_ask_the_same(evaluated):
    owners = {}
    for name, asked in evaluated.items():
        for question in asked:
            owner = owners.setdefault(question_family(question), name)
            assert owner == name, question


@pytest.mark.slow
@pytest.mark.daily(0)
def test_our_environments_train_on_no_benchmarks_question(evaluated):
    prompts = []
    for name in registry.names():
        env = registry.make(name).unwrapped
        for level in env.levels:
            prompts += [task.prompt for task in env.tasks("train", level)[:OWN_TASKS]]
    trained = plain("\n".join(prompts))
    assert len(prompts) > 1000
    for name, asked in evaluated.items():
        for question in asked:
            # MBPP's begin with a sentence, and end with an assertion.
            sentence = plain(question.partition("\nassert ")[0])
            if len(sentence) >= SHORTEST:
                assert sentence not in trained, (name, question)
