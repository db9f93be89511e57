"""A policy behind real HTTP servers: one that answers, and one with every fault."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager

import pytest

from envs.rollout import Limits
from envs.toolspec import Call, parse_call
from envs.types import Stop
from scgrpo.policies.completions import Completions, Server, ServerError
from scgrpo.policies.server import ServerPolicy, model_names
from scgrpo.rollouts import Rollouts
from tests.scgrpo.policies.small_server import Answer, Scripted, completion

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "guess",
            "description": "Guess.",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "integer"}},
            },
        },
    }
]
LIMITS = Limits()
MESSAGES = [{"role": "user", "content": "Guess 2-4."}]


@contextmanager
def policy(scripted: Scripted, **options):
    with scripted.running() as address:
        options = {"timeout_s": 5.0, "tries": 3, "wait_s": 0.05, **options}
        temperature = options.pop("temperature", 1.0)
        variables = options.pop("template_variables", None)
        with ServerPolicy(
            Server(address, "m", **options),
            temperature=temperature,
            template_variables=variables,
        ) as opened:
            yield opened


def say(opened: ServerPolicy, *, limits=LIMITS, tools=(), seed=0):
    with opened.begin(MESSAGES, tools, limits=limits, seed=seed) as conversation:
        return conversation.generate()


def test_a_turn_asks_for_the_whole_distribution_at_the_seed_and_counts_tokens():
    scripted = Scripted(
        lambda n, body: (200, {}, completion("4", tokens=7, finish="length"))
    )
    with policy(scripted) as opened:
        turn = say(opened, limits=Limits(turn_tokens=7), seed=2**40 + 5)
    assert (turn.text, turn.length, turn.cut, turn.token_ids) == ("4", 7, True, ())
    assert scripted.bodies == [
        {
            "model": "m",
            "messages": MESSAGES,
            "temperature": 1.0,
            "top_p": 1.0,
            "top_k": 0,
            "min_p": 0.0,
            "max_tokens": 7,
            "seed": (2**40 + 5) % 2**31,
        }
    ]


def test_tools_are_text_that_stops_at_a_call_and_replies_are_the_user_s():
    call = '<tool_call>{"name": "guess"}'
    scripted = Scripted(lambda n, body: (200, {}, completion(call)))
    with (
        policy(scripted) as opened,
        opened.begin(MESSAGES, TOOLS, limits=LIMITS, seed=0) as chat,
    ):
        assert "guess(number: integer): Guess." in chat.prompt.text
        assert chat.generate().text == f"{call}</tool_call>"
        chat.append("too low")
        chat.generate()
    assert "tools" not in scripted.bodies[0]
    assert scripted.bodies[0]["stop"] == ["</tool_call>"]
    system, *rest = scripted.bodies[1]["messages"]
    assert system["content"] == "guess(number: integer): Guess."
    assert rest == [
        *MESSAGES,
        {"role": "assistant", "content": f"{call}</tool_call>"},
        {"role": "user", "content": "too low"},
    ]
    assert scripted.bodies[1]["seed"] == 1


def test_a_server_that_stopped_inside_a_thought_is_asked_for_all_of_the_turn():
    draft = '<think>Perhaps <tool_call>{"name": "guess", "arguments": {"number": 1}}'
    call = '<tool_call>{"name": "guess", "arguments": {"number": 3}}</tool_call>'
    whole = f"{draft}</tool_call>? No.</think>{call}"
    after = f"{whole} and {call}"
    texts = [draft, after, after]
    scripted = Scripted(lambda n, body: (200, {}, completion(texts[n - 1])))
    with (
        policy(scripted) as opened,
        opened.begin(MESSAGES, TOOLS, limits=LIMITS, seed=0) as chat,
    ):
        turn = chat.generate()
        chat.append("too low")
        chat.generate()
    # It is not asked to stop again, and what it wrote behind the call is not its turn.
    assert ["stop" in body for body in scripted.bodies] == [True, False, False]
    assert (turn.text, turn.thought + turn.text) == (call, whole)
    assert scripted.bodies[2]["messages"][-2]["content"] == whole


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "guess", "parameters": {"number": 3}}',
        "<tool_call>\n<function=guess>\n<parameter=number>\n3\n</parameter>\n</function>\n"
        "</tool_call>",
        '[TOOL_CALLS] [{"name": "guess", "arguments": {"number": 3}, "id": "abcdefghi"}]',
        '[TOOL_CALLS]guess[ARGS]{"number": 3}',
        '<tool_call>{"name": "guess", "arguments": "{\\"number\\": 3}"}</tool_call>',
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>guess\n```json\n"
        '{"number": 3}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.guess:0"
        '<|tool_call_argument_begin|>{"number": 3}<|tool_call_end|><|tool_calls_section_end|>',
        '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "guess", "parameters": {"number": 3}}]'
        "<|END_ACTION|>",
        '<minimax:tool_call>\n<invoke name="guess">\n<parameter name="number">3</parameter>\n'
        "</invoke>\n</minimax:tool_call>",
    ],
)
def test_calls_that_a_server_leaves_in_the_text_are_read(text):
    scripted = Scripted(lambda n, body: (200, {}, completion(text)))
    with (
        policy(scripted) as opened,
        opened.begin(MESSAGES, TOOLS, limits=LIMITS, seed=0) as chat,
    ):
        turn = chat.generate()
    assert parse_call(turn.text) == Call("guess", {"number": 3})


def test_options_of_the_template_are_sent_along():
    scripted = Scripted(lambda n, body: (200, {}, completion()))
    options = {"template_variables": {"enable_thinking": False}}
    with (
        policy(scripted, **options) as opened,
        opened.begin(MESSAGES, (), limits=LIMITS, seed=0) as chat,
    ):
        chat.generate()
    assert scripted.bodies[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_native_tools_are_schemas_and_their_calls_become_text():
    calls = [{"id": "c1", "type": "function"}]
    calls[0]["function"] = {"name": "guess", "arguments": '{"number": 3}'}
    scripted = Scripted(lambda n, body: (200, {}, completion(None, calls=calls)))
    with (
        policy(scripted, native_tools=True) as opened,
        opened.begin(MESSAGES, TOOLS, limits=LIMITS, seed=0) as chat,
    ):
        turn = chat.generate()
        chat.append("too low")
        chat.generate()
    assert (
        turn.text
        == '<tool_call>{"name": "guess", "arguments": {"number": 3}}</tool_call>'
    )
    assert scripted.bodies[0]["tools"] == TOOLS
    assert scripted.bodies[0]["messages"] == MESSAGES
    said, answered = scripted.bodies[1]["messages"][1:]
    assert (said["role"], said["tool_calls"]) == ("assistant", calls)
    assert answered == {"role": "tool", "tool_call_id": "c1", "content": "too low"}


def test_the_episode_s_budget_shortens_the_last_turn_and_then_ends_it():
    scripted = Scripted(lambda n, body: (200, {}, completion(prompt=10 * n, tokens=5)))
    with policy(scripted) as opened:
        limits = Limits(turn_tokens=8, episode_tokens=18)
        with opened.begin(MESSAGES, (), limits=limits, seed=0) as chat:
            assert chat.generate() is not None
            chat.append("?")
            assert chat.generate() is not None
            chat.append("?")
            assert chat.generate() is None
    assert [body["max_tokens"] for body in scripted.bodies] == [8, 3]


def refusing(*names):
    """A first answer that refuses options as stricter servers do."""

    def hello(body):
        for name in names:
            if name in body:
                return (
                    400,
                    {},
                    json.dumps({"error": {"message": f"unknown argument: {name}"}}),
                )
        return 200, {}, completion()

    return hello


@pytest.mark.parametrize(
    ("refused", "wanted"),
    [(("top_k",), "max_tokens"), (("top_k", "max_tokens"), "max_completion_tokens")],
)
def test_options_that_a_server_refuses_are_left_out(refused, wanted):
    scripted = Scripted(lambda n, body: (200, {}, completion()), refusing(*refused))
    with policy(scripted, temperature=0.0) as opened:
        say(opened)
    (body,) = scripted.bodies
    assert not body.keys() & set(refused)
    assert body[wanted] == 64
    assert body["temperature"] == 0.0


def test_what_passes_is_asked_for_again():
    faults: list[Answer] = [
        (500, {}, "boom"),
        "close",
        (200, {}, '{"choices": [{"mess'),
        None,
        (503, {}, "loading"),
    ]

    def answer(n, body):
        return faults[n - 1] if n <= len(faults) else (200, {}, completion("at last"))

    scripted = Scripted(answer)
    with policy(scripted, timeout_s=0.3, tries=6) as opened:
        begun = time.monotonic()
        assert say(opened).text == "at last"
    assert time.monotonic() - begun < 6
    assert len(scripted.bodies) == 6
    assert all(body == scripted.bodies[0] for body in scripted.bodies)


def test_a_busy_server_is_left_alone_as_long_as_it_asks_by_every_thread():
    scripted = Scripted(
        lambda n, body: (
            (429, {"retry-after": "1"}, "slow down")
            if n == 1
            else (200, {}, completion())
        )
    )
    with policy(scripted, tries=1) as opened:
        say_first = threading.Thread(target=say, args=(opened,))
        say_first.start()
        while not scripted.times:
            time.sleep(0.01)
        time.sleep(0.2)
        others = [threading.Thread(target=say, args=(opened,)) for _ in range(3)]
        for thread in others:
            thread.start()
        for thread in [say_first, *others]:
            thread.join()
    first, *rest = scripted.times
    # With one try a busy answer that counted as a fault would have ended it.
    assert len(rest) == 4
    assert min(rest) - first >= 0.99


def test_a_date_to_come_again_is_understood():
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))
    scripted = Scripted(
        lambda n, body: (
            (429, {"retry-after": date}, "") if n == 1 else (200, {}, completion())
        )
    )
    with policy(scripted) as opened:
        say(opened)
    assert scripted.times[1] - scripted.times[0] >= 0.9


def test_a_wait_beyond_patience_is_an_error_now():
    scripted = Scripted(lambda n, body: (429, {"retry-after": "3600"}, "quota"))
    begun = time.monotonic()
    with (
        policy(scripted) as opened,
        pytest.raises(ServerError, match="again in 3600 s"),
    ):
        say(opened)
    assert time.monotonic() - begun < 5


def test_a_server_that_is_gone_is_given_up_once_for_all():
    scripted = Scripted(lambda n, body: "close")
    with policy(scripted, tries=2) as opened:
        with pytest.raises(
            ServerError, match=r"gave no answer in \d+ s: RemoteProtocolError"
        ):
            say(opened)
        assert "gave no answer" in opened.failure
        asked = len(scripted.bodies)
        with pytest.raises(ServerError, match="gave no answer"):
            say(opened)
    assert len(scripted.bodies) == asked == 2


def test_one_request_that_breaks_a_server_is_not_the_server_s_end():
    def answer(n, body):
        return (500, {}, "boom") if body["seed"] == 9 else (200, {}, completion())

    with policy(Scripted(answer), tries=3) as opened:
        ended = []

        def bad():
            with pytest.raises(ServerError, match="HTTP 500: boom"):
                say(opened, seed=9)
            ended.append(True)

        thread = threading.Thread(target=bad)
        thread.start()
        while thread.is_alive():
            say(opened)
            time.sleep(0.05)
        thread.join()
        assert ended == [True]
        assert opened.failure == ""


def test_a_refused_request_is_not_asked_again():
    scripted = Scripted(lambda n, body: (400, {}, "the context is full"))
    with (
        policy(scripted) as opened,
        pytest.raises(ServerError, match="HTTP 400: the context is full"),
    ):
        say(opened)
    assert len(scripted.bodies) == 1
    assert opened.failure == ""


def test_an_answer_without_a_completion_is_an_error():
    with (
        policy(Scripted(lambda n, body: (200, {}, '{"choices": []}'))) as opened,
        pytest.raises(ServerError, match=r'no chat completion: {"choices": \[\]}'),
    ):
        say(opened)


def test_half_a_character_at_a_token_limit_is_a_question_mark():
    half = completion("I say 🙂")[:-1].replace("\\ude42", "") + "}"
    with policy(Scripted(lambda n, body: (200, {}, half))) as opened:
        turn = say(opened)
    assert turn.text == "I say ?"


def test_closing_ends_a_request_that_hangs():
    scripted = Scripted(lambda n, body: None)
    with policy(scripted, timeout_s=60.0) as opened:
        threading.Timer(0.3, opened.close).start()
        begun = time.monotonic()
        with pytest.raises(ServerError, match="the policy was closed"):
            say(opened)
        assert time.monotonic() - begun < 5
        opened.close()
        with pytest.raises(ServerError, match="the policy was closed"):
            say(opened)


def test_the_key_is_sent_and_a_wrong_one_is_named_but_never_shown(monkeypatch):
    monkeypatch.setenv("KEY_OF_TEST", "sk-secret")
    scripted = Scripted(lambda n, body: (200, {}, completion()))
    with policy(scripted, api_key_env="KEY_OF_TEST") as opened:
        say(opened)
    assert scripted.headers[0]["Authorization"] == "Bearer sk-secret"
    wrong = Scripted(lambda n, body: None, hello=(401, {}, "bad key sk-secret"))
    with (
        pytest.raises(
            ValueError, match="HTTP 401: bad key .*. The key in KEY_OF_TEST is"
        ) as said,
        policy(wrong, api_key_env="KEY_OF_TEST"),
    ):
        pass
    assert "sk-secret" not in str(said.value)
    assert wrong.hellos == 1


def test_a_key_that_is_asked_for_and_not_there_is_said():
    wrong = Scripted(lambda n, body: None, hello=(401, {}, "who are you"))
    with pytest.raises(ValueError, match="Name a key by --api-key-env"), policy(wrong):
        pass
    with pytest.raises(
        ValueError, match="the environment variable NO_KEY_1 is not set"
    ):
        Completions(Server("http://h/v1", api_key_env="NO_KEY_1"))


def test_a_server_without_counts_or_without_the_model_is_refused():
    uncounted = json.dumps({"choices": [{"message": {"content": "x"}}]})
    with (
        pytest.raises(ValueError, match="does not count tokens"),
        policy(Scripted(lambda n, body: None, hello=(200, {}, uncounted))),
    ):
        pass
    scripted = Scripted(lambda n, body: None)
    with (
        scripted.running() as address,
        pytest.raises(ValueError, match="'other'; it serves m"),
    ):
        ServerPolicy(Server(address, "other"))


def test_the_served_names_are_listed_and_nobody_there_is_said_soon():
    with Scripted(lambda n, body: None).running() as address:
        assert model_names(Server(address)) == ["m"]
    begun = time.monotonic()
    with pytest.raises(ValueError, match="cannot list the models: .* ConnectError"):
        model_names(Server(address))
    assert time.monotonic() - begun < 5


def test_a_server_that_dies_half_way_leaves_episodes_without_a_verdict():
    call = '{"name": "guess", "arguments": {"number": 3}}'

    def answer(n, body):
        return (200, {}, completion(call, tokens=4)) if n <= 9 else "close"

    with (
        policy(Scripted(answer), tries=2) as opened,
        Rollouts("toy_guess", LIMITS, threads=2) as play,
    ):
        episodes = play(opened, play.env.tasks("id", 1)[:6], group=4, seed=0)
    void = [e for e in episodes if e.stop is Stop.ERROR]
    assert 0 < len(void) < 24
    assert all("gave no answer in" in e.error for e in void)
    assert all(turn.length == 4 for e in episodes for turn in e.turns)


def test_a_prompt_beyond_the_budget_is_no_failure_once_the_server_has_counted_it():
    """The case of a server: only its first answer says how long the prompt is."""
    scripted = Scripted(lambda n, body: (200, {}, completion("x", prompt=500)))
    with policy(scripted) as opened, Rollouts("toy_guess", Limits(5, 500)) as rollouts:
        task = rollouts.env.tasks("train", 0)[0]
        (episode,) = rollouts(opened, [task], group=1, seed=0)
    assert episode.prompt_too_long
    assert "the prompt has 500 tokens" in episode.error
    assert len(scripted.bodies) == 1
