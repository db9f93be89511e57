"""Which of an episode's ids the model reads, and which rows it reads together."""

from __future__ import annotations

import pytest

from envs.types import Episode, Segment, Stop, Task, Verdict
from scgrpo.models.packing import completion_ids, ids_to_read, pack_cost, pack_rows

TASK = Task("train/0/0", "train", 0, "f", "?")
PROMPT = Segment("prompt", "?", (1, 2))


def turn(*ids: int) -> Segment:
    return Segment("policy", "x", ids, (-1.0,) * len(ids))


def episode(*segments: Segment) -> Episode:
    verdict = Verdict(False, 0.0)
    return Episode(TASK, (), (), (PROMPT, *segments), Stop.MAX_TOKENS, verdict)


def test_a_reply_that_no_turn_follows_is_not_read():
    """It is written before anyone knows that the budget is spent, and may be of any length."""
    long = episode(turn(3, 4), Segment("env", "..", (5,)), turn(6), env_of(1000))
    assert ids_to_read(long) == ([3, 4, 5, 6], [True, True, False, True])
    assert len(completion_ids(long)[0]) == 1004


def test_an_episode_that_ends_with_a_turn_is_read_whole():
    whole = episode(turn(3), Segment("env", ".", (5,)), turn(6, 7))
    assert ids_to_read(whole) == completion_ids(whole)


def test_an_episode_without_a_turn_has_nothing_to_read():
    assert ids_to_read(episode()) == ([], [])


def test_packs_are_filled_by_what_is_read():
    rows = [episode(turn(3, 4), env_of(1000)), episode(turn(5, 6), env_of(1000))]
    prompts = dict.fromkeys(range(2), (1, 2))
    # A prompt of two and two turns of two tokens.
    assert pack_rows(rows, prompts, 6) == [((1, 2), [0, 1])]
    assert pack_rows(rows, prompts, 5) == [((1, 2), [0]), ((1, 2), [1])]


def test_a_pack_costs_its_tokens_and_the_pairs_that_see_each_other():
    # 10 + 4 + 2 tokens; 50 pairs of the prompt, 4 * 10 + 8 and 2 * 10 + 2 of the rows.
    assert pack_cost(10, [4, 2], width=5) == pytest.approx(16 + 120 / 30)
    # Read twice: 20 + 6 tokens and 100 + 70 pairs.
    plain = pack_cost(10, [4, 2], width=5, shares_prompts=False)
    assert plain == pytest.approx(26 + 170 / 30)
    # A row of 12,288 tokens costs more than sixteen of 1,000, with fewer tokens in all.
    assert pack_cost(0, [12_288], 2048) > pack_cost(0, [1000] * 16, 2048)


def env_of(count: int) -> Segment:
    return Segment("env", "." * count, (9,) * count)
