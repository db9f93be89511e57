import pytest
import torch

from envs.types import Episode, Segment, Stop, Task, Verdict
from scgrpo.batch import collate, mini_batches

TASK = Task(id="train/0/a", split="train", level=0, family="f", prompt="p")


def episode(*segments: Segment, passed: bool | None = True) -> Episode:
    return Episode(
        task=TASK,
        messages=({"role": "user", "content": "p"},),
        tools=(),
        segments=segments,
        stop=Stop.ERROR if passed is None else Stop.FINISHED,
        verdict=None if passed is None else Verdict(passed=passed, score=float(passed)),
        error="SandboxError: gone" if passed is None else "",
    )


LONG = episode(
    Segment("prompt", "p", (5, 6)),
    Segment("policy", "a", (7, 8), (-0.5, -0.25)),
    Segment("env", "o", (9,)),
    Segment("policy", "b", (10,), (-2.0,)),
)
SHORT = episode(
    Segment("prompt", "p", (5,)), Segment("policy", "a", (1,), (-1.0,)), passed=False
)


def test_every_entry_is_about_the_token_in_its_place():
    batch = collate([LONG, SHORT], [4, 4], pad_id=0)
    assert batch.token_ids.tolist() == [[5, 6, 7, 8, 9, 10], [5, 1, 0, 0, 0, 0]]
    assert batch.real.tolist() == [[True] * 6, [True, True] + [False] * 4]
    assert batch.action_mask.int().tolist() == [[0, 0, 1, 1, 0, 1], [0, 1, 0, 0, 0, 0]]
    assert batch.old_logprobs.tolist() == [
        [0, 0, -0.5, -0.25, 0, -2],
        [0, -1, 0, 0, 0, 0],
    ]
    assert batch.rewards.tolist() == [1.0, 0.0]
    assert batch.verified.tolist() == [True, False]
    assert batch.group.tolist() == [4, 4]
    assert batch.lengths.tolist() == [3, 1]


def test_dtypes_are_those_that_the_losses_expect():
    batch = collate([LONG], [0], pad_id=0)
    assert (
        batch.token_ids.dtype == batch.group.dtype == batch.lengths.dtype == torch.int64
    )
    assert (
        batch.real.dtype
        == batch.action_mask.dtype
        == batch.verified.dtype
        == torch.bool
    )
    assert batch.old_logprobs.dtype == batch.rewards.dtype == torch.float32


def test_a_pad_id_that_is_also_sampled_does_not_hide_the_token():
    batch = collate([LONG, SHORT], [0, 0], pad_id=1)
    assert batch.real[1].tolist() == [True, True, False, False, False, False]
    assert batch.lengths.tolist() == [3, 1]


def test_the_reward_is_the_verdict_and_not_the_score():
    partial = Episode(
        task=TASK,
        messages=(),
        tools=(),
        segments=LONG.segments,
        stop=Stop.FINISHED,
        verdict=Verdict(passed=False, score=0.75),
    )
    assert collate([partial], [0], pad_id=0).rewards.tolist() == [0.0]


def test_an_episode_without_a_verdict_is_refused_by_name():
    with pytest.raises(
        ValueError, match=r"episode 1 .*train/0/a.*no verdict.*SandboxError: gone"
    ):
        collate([LONG, episode(*LONG.segments, passed=None)], [0, 0], pad_id=0)


@pytest.mark.parametrize(
    ("episodes", "group"), [([], []), ([LONG], []), ([LONG], [0, 0])]
)
def test_groups_that_do_not_match_the_episodes_are_refused(episodes, group):
    with pytest.raises(
        ValueError, match=f"got {len(episodes)} episodes and {len(group)} groups"
    ):
        collate(episodes, group, pad_id=0)


def test_an_episode_that_never_acted_is_a_row_of_length_zero():
    silent = episode(Segment("prompt", "p", (5, 6)), passed=False)
    batch = collate([silent, SHORT], [0, 0], pad_id=0)
    assert batch.lengths.tolist() == [0, 1]
    assert batch.real[0].all()


def test_episodes_of_a_policy_without_tokens_make_an_empty_time_axis():
    scripted = episode(Segment("prompt", "p"), Segment("policy", "a"))
    batch = collate([scripted], [0], pad_id=0)
    assert batch.token_ids.shape == (1, 0)
    assert batch.lengths.tolist() == [0]


def test_groups_are_dealt_whole_and_those_with_both_outcomes_evenly():
    group = [7, 7, 1, 1, 5, 5, 2, 2, 7]
    mixed = [True, True, False, False, True, True, False, False, True]
    assert mini_batches(group, mixed, 1) == [list(range(9))]
    assert mini_batches(group, mixed, 2) == [[0, 1, 2, 3, 8], [4, 5, 6, 7]]
    # More parts than groups are as many as there are groups.
    assert mini_batches([3, 4, 3], [True, False, True], 9) == [[0, 2], [1]]
