"""One episode, from a task to a verdict."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from envs.base import TextEnv
from envs.rollout import Limits, PromptTooLongError, play
from envs.store import from_json, to_json
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import PROMPT_TOO_LONG, Segment, Stop, Task, Verdict
from sandboxes.base import SandboxError
from scgrpo.policies.scripted import ScriptedPolicy


class Lab(ToolEnv):
    """Does what it is told, breaking included."""

    name = "lab"
    max_turns = 3
    instructions = "Obey."

    def tasks(self, split, level):
        return [
            Task(f"{split}/{level}/{key}", split, level, split, key)
            for key in ("go", "stuck")
        ]

    def begin(self, task):
        if task.prompt == "stuck":
            raise SandboxError("no free box")

    @tool
    def say(self, word: str) -> str:
        """Says a word."""
        return word

    @tool
    def submit(self, good: bool) -> Verdict:
        """Ends."""
        return Verdict(good, 1.0 if good else 0.25, "looked at", {"style": 0.5})

    @tool
    def fail(self, kind: str) -> str:
        """Breaks."""
        raise {"sandbox": SandboxError, "bug": KeyError, "ctrl-c": KeyboardInterrupt}[
            kind
        ]("gone")


class Undecided(TextEnv):
    """An environment of another make, whose verifier can break without an exception."""

    name = "undecided"

    def tasks(self, split, level):
        return [Task(f"{split}/{level}/0", split, level, split, "?")]

    def reply(self, text):
        return Verdict(False, 0.0)

    def step(self, action):
        return "", 0.0, True, False, {"verified": None}


GO, STUCK = Lab().tasks("train", 0)
SAY, GOOD, BAD = (
    render_call("say", word="hi"),
    render_call("submit", good=True),
    render_call("submit", good=False),
)


def run(*turns, task=GO, **kwargs):
    return play(Lab(), ScriptedPolicy(turns), task, **kwargs)


def test_a_finished_episode_holds_everything_in_order():
    episode = run("what?", SAY, GOOD, seed=7)
    assert [segment.source for segment in episode.segments] == [
        "prompt",
        "policy",
        "env",
        "policy",
        "env",
        "policy",
    ]
    assert [segment.text for segment in episode.turns] == ["what?", SAY, GOOD]
    assert episode.segments[4].text == "hi"
    assert episode.messages[0] == {"role": "system", "content": "Obey."}
    assert [item["function"]["name"] for item in episode.tools] == [
        "say",
        "submit",
        "fail",
    ]
    assert episode.stop is Stop.FINISHED
    assert episode.verdict == Verdict(True, 1.0, "looked at", {"style": 0.5})
    assert (episode.task, episode.seed, episode.malformed, episode.error) == (
        GO,
        7,
        1,
        "",
    )
    assert episode.wall_s > 0


def test_a_wrong_submission_is_finished_not_verified_and_keeps_its_partial_score():
    episode = run(BAD)
    assert (episode.stop, episode.verified) == (Stop.FINISHED, False)
    assert episode.verdict.score == 0.25


def test_a_spent_turn_budget_is_not_verified():
    episode = run(SAY, SAY, SAY, GOOD)
    assert (episode.stop, episode.verified, len(episode.turns)) == (
        Stop.MAX_TURNS,
        False,
        3,
    )


def test_a_spent_token_budget_is_not_verified():
    episode = run(SAY)
    assert (episode.stop, episode.verified) == (Stop.MAX_TOKENS, False)
    assert episode.verdict.detail == Stop.MAX_TOKENS.sentence
    assert [segment.source for segment in episode.segments] == [
        "prompt",
        "policy",
        "env",
    ]


def test_a_policy_without_a_word_to_say_is_not_verified():
    assert (run().stop, run().verified) == (Stop.MAX_TOKENS, False)


@pytest.mark.parametrize(
    ("kind", "error"), [("sandbox", "SandboxError: gone"), ("bug", "KeyError: 'gone'")]
)
def test_what_breaks_in_a_turn_has_no_verdict(kind, error):
    episode = run(SAY, render_call("fail", kind=kind))
    assert (episode.stop, episode.verdict, episode.error) == (Stop.ERROR, None, error)
    assert len(episode.turns) == 2
    assert episode.tools


def test_what_breaks_at_the_start_has_no_verdict():
    episode = run(SAY, task=STUCK)
    assert (episode.stop, episode.verdict) == (Stop.ERROR, None)
    assert episode.error == "SandboxError: no free box"
    assert episode.segments == ()


def test_what_breaks_in_the_policy_has_no_verdict():
    def broken(chat):
        raise RuntimeError("out of memory")

    episode = play(Lab(), ScriptedPolicy(broken), GO)
    assert (episode.stop, episode.error) == (Stop.ERROR, "RuntimeError: out of memory")


def test_an_environment_that_cannot_decide_has_no_verdict():
    env = Undecided()
    episode = play(env, ScriptedPolicy(["x"]), env.tasks("train", 0)[0])
    assert (episode.stop, episode.verdict) == (Stop.ERROR, None)
    assert episode.error == "the verifier gave no verdict"


def test_a_task_of_another_environment_has_no_verdict():
    episode = run(SAY, task=Task("train/0/x", "train", 0, "f", "p"))
    assert episode.stop is Stop.ERROR
    assert "train/0/x" in episode.error


def test_an_interrupt_passes():
    with pytest.raises(KeyboardInterrupt):
        run(render_call("fail", kind="ctrl-c"))


def test_the_next_episode_of_a_broken_environment_is_whole():
    env = Lab()
    play(env, ScriptedPolicy([render_call("fail", kind="sandbox")]), GO)
    play(env, ScriptedPolicy([SAY]), STUCK)
    episode = play(env, ScriptedPolicy([SAY, GOOD]), GO)
    assert episode.verified is True
    assert episode.malformed == 0


@pytest.mark.parametrize("field", ["turn_tokens", "episode_tokens"])
def test_a_budget_of_no_tokens_is_refused(field):
    with pytest.raises(ValueError, match=f"Limits.{field} must be at least 1, got 0"):
        Limits(**{field: 0})


def test_a_conversation_is_closed_whatever_happens():
    closed = []

    class Closing:
        version = 3

        def begin(self, messages, tools, *, limits, seed):
            return self

        prompt = Segment("prompt", "p")

        def generate(self):
            raise KeyError("x")

        def append(self, reply):
            return Segment("env", reply)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            closed.append(True)

    episode = play(Lab(), Closing(), GO)
    assert closed == [True]
    assert episode.policy_version == 3


def test_each_turn_has_the_state_that_it_started_from_and_the_score_after_it():
    episode = run(SAY, "what?", GOOD)
    assert len(set(episode.states)) == 1  # Lab's state never changes
    assert len(episode.states) == 3
    assert episode.progress == (None, None, 1.0)

    class Scored(Lab):
        """Tells how many turns it has had, as sub-scores."""

        def checks(self):
            return {"half": self._turn / 2, "none": 0.0}

        def situation(self):
            return {"turn": self._turn}

    scored = play(Scored(), ScriptedPolicy([SAY, "what?", BAD]), GO)
    assert scored.progress == (0.25, 0.5, 0.0)
    assert len(set(scored.states)) == 3
    spent = play(Scored(), ScriptedPolicy([SAY]), GO)
    assert spent.progress == (0.25,)
    assert scored.states[0] == spent.states[0]


def test_each_turn_has_the_version_of_the_policy_that_it_began_with():
    policy = ScriptedPolicy([SAY, "what?", GOOD])

    class Updated(Lab):
        """The policy learns while the first turn is answered."""

        def step(self, action):
            if action == SAY:
                policy.version += 3
            return super().step(action)

    policy.version = 2
    episode = play(Updated(), policy, GO)
    assert episode.policy_version == 2
    assert episode.versions == (2, 5, 5)


class Tokens(ScriptedPolicy):
    """A script whose prompt has as many tokens as characters."""

    def begin(self, messages, tools, *, limits, seed):
        conversation = super().begin(messages, tools, limits=limits, seed=seed)
        text = conversation.prompt.text
        conversation._prompt = Segment("prompt", text, tuple(range(len(text))))
        return conversation


def test_a_prompt_without_room_for_a_turn_is_no_failure_and_no_error():
    env, policy = Lab(), Tokens([render_call("submit", good=True)])
    task = env.tasks("train", 0)[0]
    # "Obey.", two line ends and "go".
    fits = play(env, policy, task, limits=Limits(4, 10))
    assert fits.verified
    assert not fits.prompt_too_long
    long = play(env, policy, task, limits=Limits(4, 9))
    assert long.prompt_too_long
    assert not long.errored
    assert (long.verdict, long.verified, long.turns) == (None, None, ())
    assert "the prompt has 9 tokens" in long.error
    assert "limits.episode_tokens=9" in long.error


def test_what_breaks_is_an_error_and_no_long_prompt():
    env = Lab()
    episode = play(env, ScriptedPolicy([]), env.tasks("train", 0)[1])
    assert episode.errored
    assert not episode.prompt_too_long


def test_the_name_of_the_error_marks_the_episode():
    assert PromptTooLongError.__name__ == PROMPT_TOO_LONG


class Odd(TextEnv):
    """Hands over the value that the turn names, at the place that it names."""

    name = "odd"

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def tasks(self, split, level):
        return [Task(f"{split}/{level}/0", split, level, split, "?", {"seen": []})]

    def checks(self):
        return self.values.get("checks", {"near": np.float32(0.5)})

    def situation(self):
        return self.values.get("situation", {})

    def reply(self, text):
        """The value for the turn "reply"; else a verdict with the odd value in its field."""
        if text == "count":
            self.malformed = self.values["malformed"]
            return "counted"
        if text == "reply":
            return self.values["reply"]
        if text == "spoil":
            self.task.payload["seen"].append({1})
            return "spoiled"
        fields = {"passed": False, "score": 0.0, "parts": {}} | self.values
        return Verdict(**{name: fields[name] for name in ("passed", "score", "parts")})


def played(*turns: str, **values: object):
    env = Odd(**values)
    task = env.tasks("train", 0)[0]
    env.tasks = lambda split, level: [task]
    return play(env, ScriptedPolicy(turns), task)


def test_scalars_of_numpy_are_numbers_in_the_record():
    episode = played(
        "reply",
        "count",
        "end",
        reply=np.str_("so far"),
        malformed=np.int64(2),
        passed=np.bool_(False),
        score=np.float32(0.25),
        parts={"n": np.int8(1), "m": np.array(0.5)},
    )
    assert episode.verdict == Verdict(False, 0.25, parts={"n": 1.0, "m": 0.5})
    assert episode.progress == (0.5, 0.5, 0.0)
    assert (type(episode.malformed), episode.malformed) == (int, 2)
    assert from_json(to_json(episode)) == episode


@pytest.mark.parametrize(
    ("turn", "values", "field"),
    [
        ("end", {"parts": {"near": math.inf}}, r"Verdict\.parts\['near'\] is inf"),
        ("end", {"parts": {"near": {1}}}, r"Verdict\.parts\['near'\] must be a number"),
        ("end", {"parts": None}, r"Verdict\.parts must be a mapping"),
        ("end", {"score": 1.5}, r"Verdict\.score must be in \[0, 1\], got 1\.5"),
        ("end", {"score": math.nan}, r"Verdict\.score.* is nan"),
        ("end", {"score": np.zeros(2)}, r"Verdict\.score.* must be a number"),
        ("end", {"passed": np.zeros(2)}, r"Verdict\.passed"),
        ("reply", {"reply": None}, r"Odd\.reply must return str or Verdict, got None"),
        ("reply", {"reply": b"x"}, r"Odd\.reply must return .*, got bytes: b'x'"),
        ("reply", {"reply": "a\ud800"}, "the reply is no UTF-8: character 1"),
        ("count", {"malformed": 0.5}, "malformed must be a whole number, got 0.5"),
        ("count", {"malformed": None}, "malformed must be a whole number, got None"),
        ("spoil", {}, r"Task\.payload\['seen'\]\[0\]: set is not JSON"),
        ("end", {"checks": {"near": math.nan}}, r"parts\['near'\] is nan"),
        ("end", {"checks": None}, "parts must be a mapping of numbers, got None"),
        (
            "reply",
            {"reply": "", "checks": {"a": 1.7e308, "b": 1.7e308}},
            "mean of parts",
        ),
        ("end", {"situation": {1: 1, "a": 2}}, r"situation\(\) is not JSON"),
    ],
)
def test_values_that_no_file_can_hold_end_their_episode_by_name(turn, values, field):
    episode = played(turn, **values)
    assert (episode.stop, episode.verdict) == (Stop.ERROR, None)
    assert re.search(rf"^\w+: Odd: .*{field}", episode.error)
    assert from_json(to_json(episode)) == episode


def test_the_other_episodes_of_an_odd_environment_count():
    env = Odd(score=7, reply="so far")
    task = env.tasks("train", 0)[0]
    assert play(env, ScriptedPolicy(["end"]), task).errored
    env.values["score"] = 1
    env.values["passed"] = True
    assert play(env, ScriptedPolicy(["reply", "end"]), task).verified


def other_make(info, reward=0.0, messages=None):
    """The episode of an environment that is no TextEnv and hands `info` over at its end."""

    class Other(Undecided):
        def reset(self, **kwargs):
            text, first = super().reset(**kwargs)
            return text, first | ({} if messages is None else {"messages": messages})

        def step(self, action):
            return "", reward, True, False, info

    env = Other()
    return play(env, ScriptedPolicy(["x"]), env.tasks("train", 0)[0])


@pytest.mark.parametrize(
    ("info", "reward", "messages", "error"),
    [
        ({"verified": True}, None, None, "the reward must be a number, got None"),
        ({"verified": True}, math.nan, None, "the reward is nan"),
        (
            {"verified": True},
            2.0,
            None,
            r"Verdict\.score must be in \[0, 1\], got 2\.0",
        ),
        ({"verified": "no"}, 0.0, None, r"Verdict\.passed must be true or false"),
        (
            {"verified": True, "detail": 3},
            1.0,
            None,
            r"Verdict\.detail must be text, got int",
        ),
        ({}, 0.0, ["hi"], r"messages\[0\] must be a mapping, got str"),
        (
            {},
            0.0,
            [{"role": "user", "content": 3}],
            r"messages\[0\]\['content'\] must be",
        ),
        ({}, 0.0, [{"content": "hi"}], r"messages\[0\]\['role'\] must be text"),
    ],
)
def test_odd_values_of_an_environment_of_another_make_are_named(
    info, reward, messages, error
):
    episode = other_make(info, reward, messages)
    assert (episode.stop, episode.verdict) == (Stop.ERROR, None)
    assert re.search(f"^\\w+: Other: .*{error}", episode.error)


def test_an_environment_of_another_make_may_use_scalars_of_numpy():
    episode = other_make({"verified": np.bool_(True)}, np.float32(1))
    assert episode.verdict == Verdict(True, 1.0)
    assert episode.progress == (1.0,)


def test_an_exception_that_cannot_be_printed_ends_its_episode_alone():
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError

    class Rude(Odd):
        def reply(self, text):
            raise Silent

    env = Rude()
    episode = play(env, ScriptedPolicy(["x"]), env.tasks("train", 0)[0])
    assert episode.error == "Silent: it cannot be printed"


def test_the_last_progress_is_a_number_however_an_episode_ends():
    class Silent(Odd):
        def checks(self):
            return {}

    env = Silent(reply="so far")
    policy = ScriptedPolicy(["reply"])
    episode = play(env, policy, env.tasks("train", 0)[0])
    assert episode.stop is Stop.MAX_TOKENS
    assert episode.progress == (0.0,)
