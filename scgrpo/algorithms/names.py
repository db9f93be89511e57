"""What `algo=` may say. Without torch, so that a command refuses a wrong name at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

__all__ = [
    "ALGORITHM_NAMES",
    "DESCRIPTIONS",
    "check_name",
    "list_of_names",
    "near_name",
]

DESCRIPTIONS: Mapping[str, str] = {
    "grpo": "the group's z-score at every token",
    "dapo": "grpo, clipped higher, summed over tokens, groups of one outcome replaced",
    "dr_grpo": "grpo without std and length in its divisors",
    "gspo": "grpo with the ratio of whole episodes",
    "rloo": "the reward less the mean of the group's others",
    "reinforce_pp": "the batch's z-score",
    "entropy_80_20": "dapo at the fifth of the tokens with the highest entropy",
    "sc_grpo": "grpo weighted by what a verified sibling moves, and the n = 0 branch",
    "sc_grpo_weights": "sc_grpo without the n = 0 branch: the weight alone",
    "sc_grpo_above_noise": "sc_grpo_weights, its percentile over tokens above rounding errors",
    "sc_grpo_per_turn": "sc_grpo_weights, its percentile over each turn",
    "grpo_mean_w": "grpo times the mean weight of sc_grpo_weights in the step",
    "sc_grpo_plus": "grpo times the odds that right siblings, not wrong ones, speak for a token",
    "contrastive": "RLCSD: a verified sibling against failed ones moves the advantage",
    "rlsd": "grpo times a verified sibling's clipped likelihood ratio",
    "signed": "after ICSD: a turn's credit goes where sibling and verdict agree",
    "turn_belief": "after AgentOPSD: turns weigh by how they revise a belief in success",
    "disagreement": "weight where verified siblings agree and failed ones differ",
    "process_grpo": "the environment's score of each turn and those after it",
    "gigpo": "grpo plus the returns of turns from the same state compared",
    "graph": "GraphGPO: grpo plus how near to success turns from the same state lead",
    "distill_forward": "grpo plus KL(with a verified sibling || without)",
    "distill_reverse": "grpo plus KL(without || with a verified sibling)",
    "distill_both": "grpo plus the mean of both",
    "opsd": "KL from the policy that is shown the solution",
    "opsd_jsd": "the same with the Jensen-Shannon divergence",
    "opd": "the log-ratio of another model, teacher=MODEL, as the advantage",
}
"""The presets of `presets.ALGORITHMS`, in its order, and what each learns from."""

ALGORITHM_NAMES = tuple(DESCRIPTIONS)


def list_of_names() -> str:
    """What `algo.help` prints: a line for each preset."""
    width = max(map(len, DESCRIPTIONS))
    lines = [f"algo={name:<{width}}  {what}" for name, what in DESCRIPTIONS.items()]
    lines += [
        "",
        "or algo=module:NAME for one of your own; docs/algorithms.md has formulas",
    ]
    return "\n".join(lines)


def check_name(name: str) -> None:
    """Raises ValueError for a name that is neither a preset's nor of the form `module:NAME`."""
    if ":" not in name:
        if name not in ALGORITHM_NAMES:
            raise ValueError(
                f"unknown algorithm algo={name!r}; {near_name(name, ALGORITHM_NAMES)}known: "
                f"{', '.join(sorted(ALGORITHM_NAMES))}; or module:NAME for one of your own"
            )
        return

    module, _, attribute = name.partition(":")
    if not all(map(str.isidentifier, [*module.split("."), attribute])):
        raise ValueError(
            f"got algo={name!r}, expected module:NAME as in my_rules:MINE: a module as "
            "`import` takes it, without .py, and a name in it"
        )


def near_name(name: str, known: Iterable[str]) -> str:
    """`did you mean X? ` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {near[0]}? " if near else ""
