"""The trainer's gradient is that of the written loss, whatever the packing, order or case."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scgrpo.credit.self_conditioned as self_conditioned_module
import scgrpo.gradient as gradient_module
import scgrpo.models.forward as forward_module
import scgrpo.teachers.prompt_ids as teachers_module
from envs.types import Branch, Episode, Segment, Stop, Task, Verdict
from scgrpo.algorithms.advantages import no_reward
from scgrpo.algorithms.distillation import DIVERGENCES, Distillation, Divergence
from scgrpo.algorithms.presets import (
    ALGORITHMS,
    DAPO,
    DISTILL_BOTH,
    DISTILL_FORWARD,
    GRPO,
    OPD,
    OPSD,
    OPSD_JSD,
    PROCESS_GRPO,
    SC_GRPO,
    Algorithm,
)
from scgrpo.batch import Batch, collate
from scgrpo.credit.options import CreditOptions, ReferenceLimits
from scgrpo.credit.references import Case
from scgrpo.credit.rule import Credit
from scgrpo.credit.self_conditioned import SelfConditioned
from scgrpo.credit.turns.process_rewards import process_advantages
from scgrpo.models.load import load_model
from scgrpo.models.paths import choose_path
from scgrpo.models.tiny import make_tiny
from scgrpo.policies.chat import Chat
from scgrpo.teachers.prompt_ids import gold_prompts
from scgrpo.update import PolicyUpdate
from scgrpo.warm_start.examples import with_token_ids

SINGLE = replace(SC_GRPO, credit=SelfConditioned(CreditOptions(weight_single=True)))


class Recorder:
    """Keeps each step's gradient instead of taking the step."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model
        self.gradients: list[torch.Tensor] = []

    def share_gradients(self) -> None:
        pass

    def step(self, *, lr: float, max_norm: float) -> float:
        grads = [
            torch.zeros_like(p) if p.grad is None else p.grad for p in self.weights()
        ]
        self.gradients.append(torch.cat([g.flatten() for g in grads]).clone())
        self.model.zero_grad(set_to_none=True)
        return float(self.gradients[-1].norm())

    def weights(self) -> list[torch.nn.Parameter]:
        return list(self.model.parameters())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = make_tiny(
        tmp_path_factory.mktemp("models") / "tiny", hidden=32, layers=2, heads=2
    )
    model, _ = load_model(path)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0)  # so that attention, hence a reference, makes a difference
    model.save_pretrained(path)
    return path


class Setup:
    """A trainer of a tiny model, and the same model as transformers runs it."""

    def __init__(self, folder: Path) -> None:
        self.model, tokenizer = load_model(folder)
        self.own, _ = load_model(folder)
        self.folder = folder
        choose_path(self.model)
        self.chat = Chat(tokenizer)

    def trainer(self, algorithm: Algorithm = SC_GRPO, **options: Any) -> PolicyUpdate:
        return PolicyUpdate(
            model=self.model,
            chat=self.chat,
            algorithm=algorithm,
            optimizer=Recorder(self.model),  # pyright: ignore[reportArgumentType]
            rng=np.random.default_rng(0),
            solution=lambda task: ["5", "66"],
            **options,
        )

    def episode(
        self,
        prompt: str,
        turns: Sequence[str],
        replies: Sequence[str],
        passed: bool | None,
    ) -> Episode:
        segments = [Segment("prompt", prompt)]
        for turn, reply in zip(turns, [*replies, None], strict=True):
            segments.append(Segment("policy", turn))
            segments += [] if reply is None else [Segment("env", reply)]
        made = Episode(
            task=Task(id=prompt, split="train", level=0, family="f", prompt=prompt),
            messages=({"role": "user", "content": prompt},),
            tools=(),
            segments=tuple(segments),
            stop=Stop.ERROR if passed is None else Stop.FINISHED,
            verdict=None
            if passed is None
            else Verdict(passed=passed, score=float(passed)),
        )
        return with_token_ids(made, self.chat)

    def group(self, prompt: str, passed: Sequence[bool | None]) -> list[Episode]:
        """Episodes of one task with different turns, replies and lengths."""
        words = ["5", "4", "66", "apply 7", "9", "12"]
        rows = []
        for i, result in enumerate(passed):
            turns = [words[(i + j) % len(words)] for j in range(1 + i % 3)]
            replies = ["higher", "it is lower"][: len(turns) - 1]
            rows.append(self.episode(prompt, turns, replies, result))
        return rows

    def gradient(
        self,
        algorithm: Algorithm,
        episodes: list[Episode],
        group: list[int],
        **options: Any,
    ) -> tuple[torch.Tensor, dict[str, float]]:
        trainer = self.trainer(algorithm, **options)
        log = trainer.update(episodes, group, lr=1.0).log
        return trainer.optimizer.gradients[0], log  # pyright: ignore[reportAttributeAccessIssue]

    def naive(
        self, episodes: list[Episode], weight: torch.Tensor, advantage: torch.Tensor
    ):
        """The gradient of sum weight * ratio * advantage, one plain forward pass per episode."""
        self.own.zero_grad(set_to_none=True)
        for row, episode in enumerate(episodes):
            ids = torch.tensor([episode.token_ids])
            logprobs = self.own(input_ids=ids).logits[0].log_softmax(-1)
            for t, acts in enumerate(episode.action_mask):
                if acts:
                    new = logprobs[t - 1, ids[0, t]]
                    mine = advantage[row] if advantage.dim() == 1 else advantage[row, t]
                    loss = -weight[row, t] * mine * (new - new.detach()).exp()
                    loss.backward(retain_graph=True)
        grads = [
            torch.zeros_like(p) if p.grad is None else p.grad
            for p in self.own.parameters()
        ]
        return torch.cat([g.flatten() for g in grads])


@pytest.fixture
def setup(folder: Path) -> Setup:
    return Setup(folder)


def close(one: torch.Tensor, two: torch.Tensor) -> None:
    scale = two.abs().max()
    assert scale > 0
    torch.testing.assert_close(one / scale, two / scale, rtol=0, atol=1e-5)


def credited(
    trainer: PolicyUpdate, rows: list[Episode], batch: Batch
) -> tuple[Credit, torch.Tensor]:
    credit = trainer.credit(trainer.forward(rows, batch.group.tolist()))
    return credit, credit.advantage


def mixed(setup: Setup) -> tuple[list[Episode], list[int]]:
    """A weighted group, one without success, one with a single success and a solved one."""
    rows: list[Episode] = []
    rows += setup.group("Guess 4-6.", [True, False, True, False])
    rows += setup.group("Guess 1-3.", [False] * 4)
    rows += setup.group("Guess 7-9.", [False, True, False, False])
    rows += setup.group("Guess 2-4.", [True] * 4)
    return rows, [g for g in range(4) for _ in range(4)]


def test_the_gradient_is_that_of_the_loss_with_the_weight_as_a_constant(setup: Setup):
    episodes, group = mixed(setup)
    found, log = setup.gradient(SC_GRPO, episodes, group)
    batch = collate(episodes, group, pad_id=0)
    given, advantage = credited(setup.trainer(), episodes, batch)
    assert not given.weight.requires_grad
    assert given.weight[:8][batch.action_mask[:8]].unique().numel() > 4
    scale = GRPO.weight(batch.action_mask) * given.weight
    close(found, setup.naive(episodes, scale, advantage))
    # Only what the policy wrote is learned from, in rows that have an advantage.
    acted = batch.lengths[advantage != 0].sum()
    assert log["train/tokens"] == acted
    assert log["train/skipped"] == 0.0


def test_tokens_of_the_environment_are_attended_to_but_not_learned(setup: Setup):
    """In the naive loss above they have no part; here their place shows in the output layer."""
    rows = [
        setup.episode("Guess 4-6.", ["5", "6"], ["~~~~"], True),
        setup.episode("Guess 4-6.", ["5", "4"], ["~~~~"], False),
    ]
    scored: list[list[int]] = []
    before = gradient_module.token_scores

    def spy(head, states, targets, **known):
        scored.append(targets.tolist())
        return before(head, states, targets, **known)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradient_module, "token_scores", spy)
        setup.gradient(GRPO, rows, [0, 0])
    written = [i for ids in scored for i in ids]
    assert written == [i for row in rows for turn in row.turns for i in turn.token_ids]
    assert setup.chat.ids("~")[0] not in written
    # They are context: another reply is another gradient.
    other = [setup.episode("Guess 4-6.", ["5", "6"], ["%%%%"], True), rows[1]]
    assert not torch.equal(
        setup.gradient(GRPO, rows, [0, 0])[0], setup.gradient(GRPO, other, [0, 0])[0]
    )


@pytest.mark.parametrize("passed", [[False, True, False, False], [True] * 4])
def test_groups_with_one_or_only_successes_are_bit_identical_to_grpo(
    setup: Setup, passed
):
    # The fourth group gives both algorithms something to learn.
    rows = setup.group("Guess 4-6.", passed) + setup.group(
        "Guess 7-9.", [True, False, False]
    )
    group = [0] * 4 + [1] * 3
    mine, log = setup.gradient(SC_GRPO, rows, group)
    theirs, _ = setup.gradient(GRPO, rows, group)
    assert torch.equal(mine, theirs)
    assert mine.abs().max() > 0
    assert log["credit/weighted_groups"] == 0.0


def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[int, ...], list, list]]:
    """Every (opening, branches, masks) that the trainer scores, in order."""
    seen: list[tuple[tuple[int, ...], list, list]] = []
    before = forward_module.predicting_states

    def spy(model, prefix, branches, masks):
        seen.append(
            (tuple(prefix), [tuple(b) for b in branches], [tuple(m) for m in masks])
        )
        return before(model, prefix, branches, masks)

    monkeypatch.setattr(forward_module, "predicting_states", spy)
    return seen


def test_teacher_and_student_read_the_same_response_ids(setup: Setup, monkeypatch):
    rows = setup.group("Guess 4-6.", [True, True, False, False])
    seen = calls(monkeypatch)
    given, _ = credited(setup.trainer(), rows, collate(rows, [0] * 4, pad_id=0))
    own = rows[0].segments[0].token_ids
    student = {
        b: m
        for prefix, bs, ms in seen
        if prefix == own
        for b, m in zip(bs, ms, strict=True)
    }
    teacher = [
        (p, b, m) for p, bs, ms in seen if p != own for b, m in zip(bs, ms, strict=True)
    ]
    assert len(teacher) == 4
    for prefix, branch, mask in teacher:
        row = next(
            i for i, r in enumerate(rows) if tuple(r.token_ids[len(own) :]) == branch
        )
        assert student[branch] == mask
        reference = rows[int(given.references.reference[row])]
        assert reference is not rows[row]
        shown = setup.chat.text(prefix)
        for turn in reference.turns:
            assert f"Action {reference.turns.index(turn) + 1}:\n{turn.text}" in shown
        # The teacher's prompt is the student's with a longer system message, then the same task.
        task = setup.chat.tokenizer.encode(
            "<|im_start|>user\nGuess 4-6.<|im_end|>\n<|im_start|>assistant\n"
        )
        assert list(prefix[-len(task) :]) == task
        assert list(own[-len(task) :]) == task


def test_an_unchanged_opening_diverges_nowhere(setup: Setup, monkeypatch):
    rows, group = mixed(setup)
    batch = collate(rows, group, pad_id=0)
    changed, _ = credited(setup.trainer(), rows, batch)
    assert changed.divergence.max() > 1e-3
    monkeypatch.setattr(
        teachers_module, "teacher_messages", lambda messages, *_, **__: list(messages)
    )
    given, _ = credited(setup.trainer(), rows, batch)
    assert given.references.weighted.any()
    assert given.divergence.max() < 1e-8
    weighted = batch.action_mask & given.references.weighted[:, None]
    assert given.weight[weighted].max() < 1e-3


@pytest.mark.parametrize("algorithm", [GRPO, SC_GRPO, DISTILL_BOTH, OPSD])
def test_packing_does_not_change_the_gradient(setup: Setup, algorithm: Algorithm):
    rows, group = mixed(setup)
    whole, _ = setup.gradient(algorithm, rows, group, max_tokens_per_pack=100_000)
    for max_tokens_per_pack in (1, 130):
        packed, _ = setup.gradient(
            algorithm, rows, group, max_tokens_per_pack=max_tokens_per_pack
        )
        close(packed, whole)


@pytest.mark.parametrize("max_tokens_per_pack", [130, 100_000])
def test_a_pass_that_is_kept_gives_the_gradient_of_one_that_is_computed_again(
    setup: Setup, max_tokens_per_pack: int
):
    rows, group = mixed(setup)
    again, log = setup.gradient(
        SC_GRPO,
        rows,
        group,
        cached_forward_tokens=0,
        max_tokens_per_pack=max_tokens_per_pack,
    )
    kept, same = setup.gradient(
        SC_GRPO, rows, group, max_tokens_per_pack=max_tokens_per_pack
    )
    close(kept, again)
    assert same == pytest.approx(log, rel=1e-4)


def test_the_order_of_rows_does_not_change_the_gradient(setup: Setup):
    # With a single success per group no reference is left to chance.
    rows = setup.group("Guess 4-6.", [True, False, False, False])
    rows += setup.group("Guess 7-9.", [False, False, True])
    group = [3, 3, 3, 3, 8, 8, 8]
    expected, _ = setup.gradient(SINGLE, rows, group)
    order = [5, 0, 6, 3, 1, 4, 2]
    found, _ = setup.gradient(
        SINGLE, [rows[i] for i in order], [group[i] for i in order]
    )
    close(found, expected)


def test_episodes_without_a_verdict_leave_their_group_and_n_is_counted_anew(
    setup: Setup,
):
    rows = setup.group("Guess 4-6.", [True, None, True, None, None])
    other = setup.group("Guess 7-9.", [True, False])
    found, log = setup.gradient(SC_GRPO, rows + other, [0] * 5 + [1] * 2)
    kept = [rows[0], rows[2], *other]
    expected, _ = setup.gradient(SC_GRPO, kept, [0, 0, 1, 1])
    assert torch.equal(found, expected)
    assert log["episodes/void"] == 3.0
    # Two of two are all of them: nothing is weighted and the group has no advantage.
    assert log["credit/weighted_groups"] == 0.0
    assert "credit/mean_w/plain_all" in log


def test_a_batch_without_any_verdict_takes_no_step(setup: Setup):
    trainer = setup.trainer()
    log = trainer.update(setup.group("Guess 4-6.", [None, None]), [0, 0], lr=1.0).log
    assert log == {"episodes/void": 2.0}
    assert not trainer.optimizer.gradients  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "limits", [ReferenceLimits(tokens=20), ReferenceLimits(input_tokens=120)]
)
def test_a_reference_that_does_not_fit_is_counted_and_the_row_is_plain(
    setup: Setup, limits
):
    rows = setup.group("Guess 4-6.", [True, False, True, False])
    found, log = setup.gradient(SC_GRPO, rows, [0] * 4, limits=limits)
    plain, _ = setup.gradient(GRPO, rows, [0] * 4)
    assert torch.equal(found, plain)
    assert log["credit/overflow"] == 4.0
    assert log["credit/mean_w/weighted"] == 1.0
    assert setup.gradient(SC_GRPO, rows, [0] * 4)[1]["credit/overflow"] == 0.0


CONTROLS = ["none", "shuffled", "constant", "entropy", "wrong_ref"]


@pytest.mark.parametrize("control", CONTROLS)
def test_every_control_gives_a_weight_and_a_gradient(setup: Setup, control):
    rows, group = mixed(setup)
    batch = collate(rows, group, pad_id=0)
    options = {c: CreditOptions(control=c) for c in CONTROLS}
    algorithm = replace(SC_GRPO, credit=SelfConditioned(options[control]))
    plain, _ = credited(setup.trainer(), rows, batch)
    given, advantage = credited(setup.trainer(algorithm), rows, batch)
    mask = batch.action_mask
    assert ((given.weight >= 0) & (given.weight <= 1)).all()
    assert (given.weight[~mask] == 0).all()
    # The sign of an advantage never flips, and groups in no need of a weight have none.
    assert torch.equal(advantage[:4].sign(), torch.tensor([1.0, -1.0, 1.0, -1.0]))
    assert (given.weight[8:][mask[8:]] == 1).all()
    weighted = given.references.weighted
    if control == "none":
        assert torch.equal(given.weight, plain.weight)
    else:
        assert not torch.equal(given.weight, plain.weight)
    if control in ("shuffled", "constant"):
        torch.testing.assert_close(given.weight.sum(1), plain.weight.sum(1))
    if control == "constant":
        assert all(
            w[m].unique().numel() == 1 for w, m in zip(given.weight, mask, strict=True)
        )
    if control == "wrong_ref":
        same = batch.group == batch.group[given.references.reference.clamp_min(0)]
        assert not same[weighted].any()
    found, _ = setup.gradient(algorithm, rows, group)
    assert found.isfinite().all()
    assert found.abs().max() > 0


def test_the_log_has_d_s_quantiles_and_the_share_above_the_noise_of_packing(
    setup: Setup,
):
    episodes, group = mixed(setup)
    _, log = setup.gradient(SC_GRPO, episodes, group)
    credit = setup.trainer().credit(forward := setup.trainer().forward(episodes, group))
    assert credit.divergence is not None
    assert credit.references is not None
    active = forward.batch.action_mask & credit.references.weighted[:, None]
    d = credit.divergence[active]
    assert log["credit/d_p50"] == pytest.approx(float(d.quantile(0.5)))
    assert log["credit/d_p99"] == pytest.approx(float(d.quantile(0.99)))
    # In float32 a reference moves this model by far more than rounding does.
    assert 0 <= log["credit/d_noise"] < 1e-4 < log["credit/d_p50"]
    # With one thread both passes may have the same bits: then there is no noise to be above.
    if log["credit/d_noise"] > 0:
        assert log["credit/d_above_noise"] > 0.9
    else:
        assert "credit/d_above_noise" not in log

    # GRPO reads no reference.
    _, plain = setup.gradient(GRPO, episodes, group)
    assert [key for key in plain if key.startswith("credit/d_")] == []


@pytest.mark.skipif(
    torch.get_num_threads() == 1, reason="one thread adds up in one order"
)
def test_noise_is_the_divergence_of_two_passes_over_one_row_that_are_packed_otherwise(
    setup: Setup, monkeypatch
):
    episodes, group = mixed(setup)
    forward = setup.trainer().forward(episodes, group)
    passes = calls(monkeypatch)
    noise = forward.numerical_noise([0, 1, 2, 3], 1)
    # The group's rows share a pass, then the first of them is read again by itself, with half of
    # the prompt in front of what stood behind it.
    (prompt, branches, masks), (half, again, again_masks) = passes
    assert len(branches) == 4
    assert len(half) == len(prompt) // 2
    assert [half + branch for branch in again] == [prompt + branches[0]]
    assert again_masks[0][-len(masks[0]) :] == masks[0]
    assert sum(again_masks[0]) == sum(masks[0])
    assert len(noise) == forward.batch.lengths[0]
    assert noise.abs().max() < 1e-4
    # Other arithmetic, not the same numbers again.
    assert noise.abs().max() > 0


def test_a_contrast_looks_at_a_failed_reference_too(setup: Setup):
    rows = setup.group("Guess 4-6.", [True, True, False, False])
    batch = collate(rows, [0] * 4, pad_id=0)
    algorithm = replace(
        SC_GRPO, credit=SelfConditioned(CreditOptions(contrastive=True))
    )
    given, _ = credited(setup.trainer(algorithm), rows, batch)
    wrong = given.references.negative_reference.tolist()
    assert wrong[2:] == [3, 2]
    assert set(wrong[:2]) <= {2, 3}
    one_sided, _ = credited(setup.trainer(), rows, batch)
    assert (given.weight <= one_sided.weight + 1).all()
    assert not torch.equal(given.weight, one_sided.weight)
    found, _ = setup.gradient(algorithm, rows, [0] * 4)
    assert found.isfinite().all()


def test_the_divergence_of_several_references_is_their_mean(setup: Setup):
    rows = setup.group("Guess 4-6.", [True, True, True, False])
    algorithm = replace(SC_GRPO, credit=SelfConditioned(CreditOptions(references=2)))
    trainer = setup.trainer(algorithm)
    forward = trainer.forward(rows, [0] * 4)
    credit = trainer.credit(forward)
    references, divergence = credit.references, credit.divergence
    assert references is not None
    assert divergence is not None
    expected = torch.zeros_like(divergence)
    for draw in references.verified_draws:
        assert (draw >= 0).all()
        prompts = forward.reference_prompts(references, draw)
        expected += forward.divergence(range(4), prompts) / 2
    torch.testing.assert_close(divergence, expected)


def test_noise_that_the_percentile_leaves_out_is_the_one_that_is_logged(
    setup: Setup, monkeypatch
):
    episodes, group = mixed(setup)
    noises: list[float] = []
    before = self_conditioned_module.weights

    def spy(*args, **options):
        noises.append(options["noise"])
        return before(*args, **options)

    monkeypatch.setattr(self_conditioned_module, "weights", spy)
    _, log = setup.gradient(ALGORITHMS["sc_grpo_above_noise"], episodes, group)
    assert noises == [log["credit/d_noise"]]
    _, log = setup.gradient(SC_GRPO, episodes, group)
    assert noises[1:] == [None]


def test_an_episode_that_never_acted_counts_and_teaches_nothing(setup: Setup):
    """Its opening alone spent the token budget."""
    rows = setup.group("Guess 4-6.", [True, False, True, False])
    silent = replace(rows[3], segments=rows[3].segments[:1])
    found, _ = setup.gradient(SC_GRPO, [*rows[:3], silent], [0] * 4)
    batch = collate([*rows[:3], silent], [0] * 4, pad_id=0)
    given, advantage = credited(setup.trainer(), [*rows[:3], silent], batch)
    close(
        found,
        setup.naive(rows[:3], GRPO.weight(batch.action_mask) * given.weight, advantage),
    )
    other = setup.group("Guess 7-9.", [False, False])
    quiet = [replace(e, segments=e.segments[:1]) for e in other]
    assert setup.gradient(SC_GRPO, quiet, [0, 0])[0].abs().max() == 0


def test_uniform_groups_can_be_left_out_of_the_denominator(setup: Setup):
    dropping = replace(GRPO, drop_uniform_groups=True)
    mixed_rows = setup.group("Guess 4-6.", [True, False])
    solved = setup.group("Guess 7-9.", [True, True])
    found, _ = setup.gradient(dropping, mixed_rows + solved, [0, 0, 1, 1])
    alone, _ = setup.gradient(GRPO, mixed_rows, [0, 0])
    assert torch.equal(found, alone)
    assert setup.trainer(dropping).update(solved, [0, 0], lr=1.0).log == {
        "episodes/void": 0.0
    }


def test_in_a_group_without_success_the_reference_row_learns_nothing(setup: Setup):
    rows = setup.group("Guess 4-6.", [False] * 4)
    given, advantage = credited(setup.trainer(), rows, collate(rows, [0] * 4, pad_id=0))
    assert set(given.references.case.tolist()) == {Case.DIVERSITY}
    r = int((~given.references.weighted).nonzero()[0, 0])
    assert advantage[r] == 0.0
    assert abs(float(advantage.sum())) < 1e-6
    assert advantage.abs().max() > 0


def test_the_record_names_episodes_by_their_place_among_all_of_the_step(setup: Setup):
    passed = [None, True, True, False, None, False, False]
    rows = setup.group("Guess 4-6.", passed)
    trainer = setup.trainer()
    update = trainer.update(rows, [0] * 4 + [1] * 3, lr=1.0)
    found = {row.episode: row for row in update.credit_rows}
    assert sorted(found) == list(range(7))
    assert [found[i].case for i in (0, 4)] == ["void", "void"]
    assert (found[4].group, found[4].advantage, found[4].weight) == (1, None, ())
    assert (found[1].reference, found[2].reference) == (2, 1)
    assert found[3].reference in (1, 2)
    # Without a success one of the two is the other's reference.
    assert {found[5].reference, found[6].reference} in ({None, 5}, {None, 6})
    batch = collate([rows[i] for i in (1, 2, 3, 5, 6)], [0, 0, 0, 1, 1], pad_id=0)
    given, advantage = credited(
        setup.trainer(), [rows[i] for i in (1, 2, 3, 5, 6)], batch
    )
    for row, place in enumerate((1, 2, 3, 5, 6)):
        mask = batch.action_mask[row]
        assert found[place].weight == given.weight[row][mask].tolist()
        assert found[place].divergence == given.divergence[row][mask].tolist()
        assert found[place].advantage == float(advantage[row])


def test_the_record_of_dropped_groups_has_no_credit(setup: Setup):
    rows = setup.group("Guess 4-6.", [True, True]) + setup.group(
        "Guess 7-9.", [True, False]
    )
    trainer = setup.trainer(DAPO)
    update = trainer.update(rows, [0, 0, 1, 1], lr=1.0)
    found = {row.episode: row for row in update.credit_rows}
    assert [found[i].case for i in range(4)] == ["dropped", "dropped", "none", "none"]
    assert (found[0].advantage, found[0].weight) == (None, ())
    assert set(found[3].weight) == {1.0}
    assert len(found[3].weight) == sum(len(turn.token_ids) for turn in rows[3].turns)


def test_the_recorded_entropy_is_that_of_the_plain_distribution(setup: Setup):
    rows, group = mixed(setup)
    trainer = setup.trainer()
    update = trainer.update(rows, group, lr=1.0)
    found = {row.episode: row for row in update.credit_rows}
    assert not found[12].entropy  # a group of successes alone needs no pass
    for place in (0, 3, 5, 9):
        ids = torch.tensor([rows[place].token_ids])
        own = torch.distributions.Categorical(
            logits=setup.own(input_ids=ids).logits[0]
        ).entropy()
        wanted = [
            own[t - 1].item() for t, acts in enumerate(rows[place].action_mask) if acts
        ]
        assert found[place].entropy == pytest.approx(wanted, abs=1e-4)


def pulled(
    setup: Setup,
    rows: list[Episode],
    openings: dict[int, tuple[int, ...]],
    weight: torch.Tensor,
    teacher: torch.nn.Module,
    kind: Divergence,
) -> torch.Tensor:
    """The gradient of sum weight * divergence, one plain forward pass per episode and side."""
    setup.own.zero_grad(set_to_none=True)
    for row, opening in openings.items():
        own, rest = rows[row].segments[0].token_ids, rows[row].token_ids
        rest = rest[len(own) :]
        log_s = (
            setup.own(input_ids=torch.tensor([[*own, *rest]])).logits[0].log_softmax(-1)
        )
        with torch.no_grad():
            log_t = (
                teacher(input_ids=torch.tensor([[*opening, *rest]]))
                .logits[0]
                .log_softmax(-1)
            )
        for t, acts in enumerate(rows[row].action_mask):
            if acts:
                place = t - len(own) + len(opening)
                ids = torch.tensor([rows[row].token_ids[t]])
                apart = DIVERGENCES[kind](
                    log_s[t - 1 : t], log_t[place - 1 : place], ids
                )
                (weight[row, t] * apart).sum().backward(retain_graph=True)
    grads = [
        torch.zeros_like(p) if p.grad is None else p.grad
        for p in setup.own.parameters()
    ]
    return torch.cat([g.flatten() for g in grads])


@pytest.mark.parametrize(("algorithm", "kind"), [(OPSD, "forward"), (OPSD_JSD, "jsd")])
def test_the_gradient_is_that_of_the_divergence_from_the_policy_with_the_solution(
    setup: Setup, algorithm: Algorithm, kind: Divergence
):
    rows, group = mixed(setup)
    found, log = setup.gradient(algorithm, rows, group)
    trainer = setup.trainer(algorithm)
    openings = gold_prompts(setup.chat, trainer.limits, rows, lambda task: ["5", "66"])
    assert len(openings) == len(rows)
    weight = algorithm.weight(collate(rows, group, pad_id=0).action_mask)
    teacher, _ = load_model(setup.folder)
    close(found, pulled(setup, rows, openings, weight, teacher, kind))
    assert log["distill/divergence"] > 0
    assert log["distill/overflow"] == 0.0
    assert log["train/logprob_mismatch"] > 0


def test_another_model_teaches_on_the_tokens_that_were_sampled(
    setup: Setup, tmp_path: Path
):
    rows, group = mixed(setup)
    path = make_tiny(tmp_path / "teacher", hidden=48, layers=1, heads=2)
    teacher, plain = load_model(path)[0], load_model(path)[0]
    choose_path(teacher)
    found, _ = setup.gradient(OPD, rows, group, teacher=teacher)
    openings = {row: episode.segments[0].token_ids for row, episode in enumerate(rows)}
    weight = OPD.weight(collate(rows, group, pad_id=0).action_mask)
    close(found, pulled(setup, rows, openings, weight, plain, "sampled"))


def test_self_distillation_adds_its_divergence_to_grpo_where_another_succeeded(
    setup: Setup,
):
    rows = setup.group("Guess 4-6.", [True, False, True]) + setup.group(
        "Guess 1-3.", [False] * 2
    )
    group = [0, 0, 0, 1, 1]
    both, log = setup.gradient(DISTILL_FORWARD, rows, group)
    plain, _ = setup.gradient(GRPO, rows, group)
    alone, _ = setup.gradient(
        replace(DISTILL_FORWARD, advantage=no_reward), rows, group
    )
    close(both, plain + alone)
    assert alone.abs().max() > 0
    # The two that nobody of their group can teach have no part in it.
    assert log["distill/tokens"] == sum(
        len(t.token_ids) for row in rows[:3] for t in row.turns
    )
    twice = replace(
        DISTILL_FORWARD, distill=Distillation("peer", "forward", coefficient=2.0)
    )
    close(setup.gradient(twice, rows, group)[0], plain + 2 * alone)


def test_a_reference_too_long_to_distil_from_is_counted(setup: Setup):
    rows = setup.group("Guess 4-6.", [True, False, True])
    found, log = setup.gradient(
        DISTILL_FORWARD, rows, [0] * 3, limits=ReferenceLimits(tokens=20)
    )
    assert log["distill/overflow"] == 3.0
    assert torch.equal(found, setup.gradient(GRPO, rows, [0] * 3)[0])


def test_a_turns_advantage_stands_at_its_tokens(setup: Setup):
    rows = setup.group("Guess 4-6.", [False, True, False])
    rows = [replace(e, progress=(0.2, 0.6, 1.0)[: len(e.turns)]) for e in rows]
    assert [len(e.turns) for e in rows] == [1, 2, 3]
    batch = collate(rows, [0] * 3, pad_id=0)
    _, advantage = credited(setup.trainer(PROCESS_GRPO), rows, batch)
    turns = process_advantages(rows, batch.group)
    for row, episode in enumerate(rows):
        spans = zip(turns[row].tolist(), episode.turns, strict=True)
        wanted = [value for value, turn in spans for _ in turn.token_ids]
        assert advantage[row][batch.action_mask[row]].tolist() == wanted
        assert (advantage[row][~batch.action_mask[row]] == 0).all()
    found, _ = setup.gradient(PROCESS_GRPO, rows, [0] * 3)
    close(found, setup.naive(rows, GRPO.weight(batch.action_mask), advantage))


def branched(setup: Setup) -> tuple[list[Episode], list[Episode]]:
    """Two episodes of which the first has a branch, and the three conversations of both."""
    first = setup.episode("Guess 4-6.", ["5", "6"], ["higher"], True)
    second = setup.episode("Guess 4-6.", ["4"], [], False)
    other = setup.episode("Guess 4-6.", ["5", "9"], ["lower"], True)
    # The branch shares the first turn, which belongs to its prompt.
    head, tail = other.segments[:3], other.segments[3:]
    ids = tuple(i for segment in head for i in segment.token_ids)
    branch = Branch(other.messages, (), (Segment("prompt", "", ids), *tail))
    alone = replace(other, segments=branch.segments)
    return [replace(first, branches=(branch,)), second], [first, second, alone]


def test_an_episode_of_two_conversations_counts_once_in_its_group(setup: Setup):
    episodes, conversations = branched(setup)
    found, log = setup.gradient(GRPO, episodes, [0, 0])
    batch = collate(conversations, [0] * 3, pad_id=0)
    # One of two episodes passed: 1 and -1, not what three rewards would give.
    advantage = torch.tensor([1.0, -1.0, 1.0])
    close(found, setup.naive(conversations, GRPO.weight(batch.action_mask), advantage))
    # The turn that both conversations have is learned from once.
    assert log["train/tokens"] == batch.lengths.sum()
    turns = [turn for row in conversations for turn in row.turns]
    assert len(turns) == 4


def test_the_record_of_credit_is_about_first_conversations(setup: Setup):
    episodes, _ = branched(setup)
    update = setup.trainer(GRPO).update(episodes, [0, 0], lr=1.0)
    assert [row.episode for row in update.credit_rows] == [0, 1]
    assert [len(row.weight) for row in update.credit_rows] == [
        sum(episode.action_mask) for episode in episodes
    ]
