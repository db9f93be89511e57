"""What a report says of episodes without a verdict: causes, and how far they can shift a rate.

A score of an earlier version has no causes, and nothing is said of it.
"""

from __future__ import annotations

from evals.evaluation.suites import Suite
from evals.report.scores import Score
from evals.report.tables import number
from scgrpo.training.causes import describe_causes

__all__ = ["causes_line", "error_notes", "long_prompt_line", "warning"]

MIN_EPISODES = 3
MIN_SHARE = 0.02


def error_notes(label: str, suite: Suite, score: Score) -> list[str]:
    """What to know of the episodes without a verdict; empty if there are none.

    Prompts that are too long, the causes of errored episodes, and a warning if those are many.
    """
    notes = [
        long_prompt_line(label, suite, score),
        causes_line(label, suite, score),
        warning(label, suite, score),
    ]
    return [note for note in notes if note]


def long_prompt_line(label: str, suite: Suite, score: Score) -> str:
    """The episodes whose prompt left no room for a turn, with the first of them."""
    if not score.long_prompt:
        return ""
    return (
        f"Prompts too long for {label} on {suite}: {score.prompts_too_long:.0f} episodes, which no "
        f"other number counts. The first: {score.long_prompt}."
    )


def causes_line(label: str, suite: Suite, score: Score) -> str:
    """The errored episodes of a model on a suite by cause; empty for none."""
    if not score.causes:
        return ""
    total = sum(score.causes.values())
    episodes = score.episodes + score.errors
    causes = describe_causes(score.causes)
    line = f"Errored episodes of {label} on {suite}: {causes}, of {episodes}."
    if later := total - score.errors:
        line += f" For {later} of these {total} a later try counts."
    return line


def warning(label: str, suite: Suite, score: Score) -> str:
    """If one cause has at least 3 episodes and over 2 % of all: what that does to the rate.

    With a bound: the success if every errored episode had failed.
    """
    episodes = score.episodes + score.errors
    many = {}
    for cause, count in score.causes.items():
        if count >= MIN_EPISODES and count > MIN_SHARE * episodes:
            many[cause] = count
    if not many:
        return ""

    shares = ", ".join(
        f"{100 * n / episodes:.1f} % by {why}" for why, n in many.items()
    )
    success, bound = _percent(score.success.value), _percent(score.success_bound)
    return (
        f"Warning: of {episodes} episodes of {label} on {suite} many errored: {shares}. Success "
        "and differences leave them out, or count a later try, so they are too high if such "
        "episodes would have failed, as with a policy that breaks its sandbox instead of failing. "
        f"With all {sum(score.causes.values())} errored episodes as failures success is {bound}, "
        f"not {success}."
    )


def _percent(value: float) -> str:
    text = number(100 * value)
    return "unknown" if text == "-" else f"{text} %"
