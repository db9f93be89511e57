"""Log-probabilities for tests of the rules, in which a row's unconditioned ones are 0."""

from collections.abc import Sequence

import torch

from scgrpo.credit.siblings.rule import SiblingLogprobs

Rows = Sequence[Sequence[float]]


def logprobs_of(
    verified: Sequence[Rows],
    failed: Sequence[Rows] = (),
    *,
    advantage: Sequence[float],
    has_verified: Rows | None = None,
    has_failed: Rows | None = None,
    turn: Rows | None = None,
    active: Rows | None = None,
    success: float = 0.5,
) -> SiblingLogprobs:
    """(K, B, T) and (N, B, T) as given; all of them there and active, in one turn a row."""
    after = torch.tensor(verified)
    _, rows, tokens = after.shape
    failed_after = torch.tensor(failed) if failed else torch.zeros(1, rows, tokens)
    has_any = torch.full((len(failed_after), rows), bool(failed))
    numbers = torch.arange(rows)[:, None].expand(rows, tokens)
    return SiblingLogprobs(
        plain=torch.zeros(rows, tokens),
        verified=after,
        failed=failed_after,
        has_verified=torch.ones(len(after), rows).bool()
        if has_verified is None
        else torch.tensor(has_verified).bool(),
        has_failed=has_any if has_failed is None else torch.tensor(has_failed).bool(),
        advantage=torch.tensor(advantage),
        success=torch.full((rows,), success),
        active=torch.ones(rows, tokens).bool()
        if active is None
        else torch.tensor(active).bool(),
        turn=numbers if turn is None else torch.tensor(turn),
    )


def weights_of(rule, logprobs: SiblingLogprobs) -> torch.Tensor:
    """What the rule gives without a control."""
    return rule.weights(rule.evidence(logprobs), logprobs)
