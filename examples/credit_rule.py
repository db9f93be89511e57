"""A credit rule outside the project: the less certain the policy was, the more a token counts.

`python -m scgrpo.train algo=credit_rule:HESITATION` with this folder on PYTHONPATH.
"""

from dataclasses import replace

from scgrpo.algorithms.presets import GRPO
from scgrpo.credit.rule import Credit


def hesitation(forward, advantage, rng):
    """Weight H / (H + mean H), of the entropy H of the policy's own distribution."""
    mask = forward.batch.action_mask
    entropy = forward.entropy(range(len(mask)))
    middle = entropy[mask].mean().clamp_min(1e-4)
    weight = entropy / (entropy + middle)
    return Credit(weight, advantage, log={"credit/mean_entropy": float(middle)})


HESITATION = replace(
    GRPO, name="hesitation", source="examples/credit_rule.py", credit=hesitation
)
