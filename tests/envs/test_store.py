"""Episodes on disk come back as they were."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import permutations
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.store import from_json, intact, read_episodes, to_json, write_episodes
from envs.types import PROMPT_TOO_LONG, Branch, Episode, Segment, Stop, Task, Verdict

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
    ),
    max_leaves=6,
)
records = st.dictionaries(texts, json_values, max_size=3)


@st.composite
def segments(draw):
    source = draw(st.sampled_from(["prompt", "policy", "env"]))
    ids = tuple(draw(st.lists(st.integers(0, 200_000), max_size=4)))
    count = len(ids) if source == "policy" else 0
    logprobs = tuple(draw(st.lists(numbers, min_size=count, max_size=count)))
    return Segment(source, draw(texts), ids, logprobs, draw(st.booleans()))


verdicts = st.builds(
    Verdict,
    st.booleans(),
    st.floats(0, 1),
    texts,
    st.dictionaries(texts, numbers, max_size=3),
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": texts}
)


@st.composite
def branches(draw):
    return Branch(
        messages=tuple(draw(st.lists(messages, max_size=2))),
        tools=tuple(draw(st.lists(records, max_size=1))),
        segments=tuple(draw(st.lists(segments(), max_size=3))),
    )


@st.composite
def episodes(draw):
    stop = draw(st.sampled_from(Stop))
    return Episode(
        task=draw(
            st.builds(Task, texts, texts, st.integers(0, 4), texts, texts, records)
        ),
        messages=tuple(draw(st.lists(messages, max_size=3))),
        tools=tuple(draw(st.lists(records, max_size=2))),
        segments=tuple(draw(st.lists(segments(), max_size=4))),
        stop=stop,
        verdict=None if stop is Stop.ERROR else draw(verdicts),
        policy_version=draw(st.integers(0, 10**6)),
        seed=draw(st.integers(0, 2**63 - 1)),
        error=draw(texts),
        wall_s=draw(st.floats(0, 1e6)),
        malformed=draw(st.integers(0, 100)),
        versions=tuple(draw(st.lists(st.integers(0, 10**6), max_size=3))),
        branches=tuple(draw(st.lists(branches(), max_size=2))),
        agent=draw(texts),
    )


def episode(key="a", *, tokens=True, payload=None):
    policy = (
        Segment("policy", "5", (7, 8), (-0.5, -1.0))
        if tokens
        else Segment("policy", "5")
    )
    return Episode(
        task=Task(
            f"train/0/{key}", "train", 0, "f", "Guess é\n", payload or {"number": 5}
        ),
        messages=({"role": "user", "content": "Guess é\n"},),
        tools=({"type": "function", "function": {"name": "guess"}},),
        segments=(Segment("prompt", "Guess", (1,) if tokens else ()), policy),
        stop=Stop.FINISHED,
        verdict=Verdict(True, 1.0, "found", {"share": 0.5}),
    )


def broken(key="b"):
    return replace(
        episode(key), stop=Stop.ERROR, verdict=None, error="SandboxError: gone"
    )


@given(episodes())
def test_every_episode_comes_back_exactly(one):
    line = to_json(one)
    assert "\n" not in line
    again = from_json(line)
    assert again == one
    assert to_json(again) == line
    assert math.copysign(1, again.wall_s) == math.copysign(1, one.wall_s)


@settings(max_examples=25)
@given(batches=st.lists(st.lists(episodes(), max_size=3), max_size=3))
def test_files_grow_by_appending(batches, tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "deep" / "episodes.jsonl"
    for batch in [*batches, []]:
        write_episodes(path, batch)
    assert list(read_episodes(path)) == [one for batch in batches for one in batch]


def test_datasets_reads_a_file_of_mixed_episodes(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip(
        "datasets", reason="the trainer's dependency is not installed"
    )
    path = tmp_path / "episodes.jsonl"
    odd = {"1": [1, "a", None, {"x": []}]}
    written = [episode(tokens=False), broken(), episode("c", payload=odd), episode("d")]
    write_episodes(path, written)
    rows = datasets.load_dataset(
        "json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [from_json(json.dumps(row)) for row in rows] == written
    assert rows["outcome"][:2] == ["passed", "errored"]


LOST = {"messages": (), "segments": (), "states": (), "progress": ()}
SCRIPTED = episode("e", tokens=False)
FILES = {
    "whole": [replace(episode("a"), states=("x",), progress=(0.5,))],
    "errored": [replace(broken("b"), states=("x", ""), progress=(None, None))],
    "lost": [replace(broken("c"), **LOST)],
    "spent": [replace(episode("d"), states=("",), progress=(None, 0.0))],
    "scripted": [SCRIPTED],
    "too_long": [
        replace(
            broken("f"), segments=SCRIPTED.segments[:1], error=f"{PROMPT_TOO_LONG}: x"
        )
    ],
}


@pytest.mark.parametrize("names", [*permutations(FILES, 2), tuple(FILES)])
def test_datasets_reads_files_in_any_order(names, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    paths = [tmp_path / f"{name}.jsonl" for name in names]
    for name, path in zip(names, paths, strict=True):
        write_episodes(path, FILES[name])
    rows = datasets.load_dataset(
        "json",
        data_files=[str(path) for path in paths],
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    expected = [one for name in names for one in FILES[name]]
    assert [from_json(json.dumps(row)) for row in rows] == expected


def test_a_line_is_flat_and_holds_no_null():
    for one in (episode(), broken(), replace(broken(), **LOST), SCRIPTED):
        row = json.loads(to_json(one))
        assert {type(value) for value in row.values()} == {str, int, float}


def test_the_outcome_tells_a_failure_from_an_episode_without_a_verdict():
    failed = replace(episode(), verdict=Verdict(False, 0.25))
    outcomes = [
        json.loads(to_json(one))["outcome"]
        for one in (episode(), failed, broken(), *FILES["too_long"])
    ]
    assert outcomes == ["passed", "failed", "errored", "prompt_too_long"]


# As an earlier release wrote them; the first holds halves of surrogate pairs.
OLD_LINES = (
    r"""{"task_id":"train/0/a","split":"train","level":0,"family":"f","prompt":"Guess \ud800","payload":"{\"n\":[\"\\udc00\"]}","messages":[{"role":"user","content":"Guess"}],"tools":"[]","segments":[{"source":"prompt","text":"Guess","token_ids":[1],"logprobs":[],"cut":false,"tokens":0,"thought":""},{"source":"policy","text":"5","token_ids":[7,8],"logprobs":[-0.5,-1.0],"cut":false,"tokens":0,"thought":""}],"stop":"finished","passed":true,"score":1.0,"detail":"found","parts":"{\"share\":0.5}","policy_version":0,"seed":0,"error":"","wall_s":0.0,"malformed":0,"env":"","source":"","states":["x"],"progress":[1.0],"sha256":"3113782707a54f290f8ac37bba238d1c6386128b765bb8bbc4735779832ee996"}""",  # noqa: E501
    """{"task_id":"a","split":"id","level":0,"family":"f","prompt":"p","payload":"{}","messages":[],"tools":"[]","segments":[],"stop":"error","passed":null,"score":null,"detail":"","parts":"{}","policy_version":0,"seed":0,"error":"E: x","wall_s":0.0,"malformed":0}""",  # noqa: E501
)


def test_files_of_earlier_releases_stay_readable(tmp_path):
    path = tmp_path / "episodes.jsonl"
    path.write_text("".join(f"{line}\n" for line in OLD_LINES))
    assert [intact(line) for line in OLD_LINES] == [True, None]
    write_episodes(path, [episode()])
    first, second, third = read_episodes(path)
    assert (first.task.prompt, first.task.payload) == ("Guess ?", {"n": ["?"]})
    assert first.verdict == Verdict(True, 1.0, "found", {"share": 0.5})
    assert first.turns[0].token_ids == (7, 8)
    assert (first.states, first.progress) == (("x",), (1.0,))
    assert (second.stop, second.verdict, second.states) == (Stop.ERROR, None, ())
    assert third == episode()


def test_a_line_torn_by_a_kill_is_left_out_and_then_cut_off(tmp_path):
    path = tmp_path / "episodes.jsonl"
    write_episodes(path, [episode("a"), episode("b")])
    whole = path.read_bytes()
    for cut in (len(whole) - 1, len(whole) - 300, 5, 0):
        path.write_bytes(whole[:cut])
        survivors = list(read_episodes(path))
        assert len(survivors) == whole[:cut].count(b"\n")
        write_episodes(path, [broken("c")])
        assert list(read_episodes(path)) == [*survivors, broken("c")]


def test_a_torn_line_longer_than_a_read_is_cut_off(tmp_path):
    path = tmp_path / "episodes.jsonl"
    write_episodes(path, [episode("a")])
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
    write_episodes(path, [episode("b")])
    assert [one.task.id for one in read_episodes(path)] == ["train/0/a", "train/0/b"]


@pytest.mark.parametrize("line", [b"{}", b"[]", b"3", b"nonsense", b"\xff\xfe", b""])
def test_a_line_that_is_no_episode_is_named(tmp_path, line):
    path = tmp_path / "episodes.jsonl"
    write_episodes(path, [episode()])
    with path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(ValueError, match=r"episodes\.jsonl, line 2: "):
        list(read_episodes(path))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused_and_nothing_is_written(tmp_path, number):
    bad = replace(episode(), segments=(Segment("policy", "5", (7,), (number,)),))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_episodes(tmp_path / "episodes.jsonl", [episode(), bad])
    assert not (tmp_path / "episodes.jsonl").exists()


def test_any_mapping_is_a_payload_and_nothing_else_is_converted():
    again = from_json(to_json(episode(payload=MappingProxyType({"a": 1}))))
    assert again.task.payload == {"a": 1}
    with pytest.raises(TypeError, match="set is not JSON"):
        to_json(episode(payload={"a": set()}))
