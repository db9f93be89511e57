"""Why training ends before its last step, in words for the user."""

from __future__ import annotations

from sandboxes.commands import CommandError

__all__ = ["TrainingError", "out_of_memory"]


class TrainingError(CommandError):
    """Training cannot go on; the message says why and what to do."""


def out_of_memory(step: int, reason: str) -> TrainingError:
    """The error of a step that a GPU's memory does not suffice for; `reason` is torch's."""
    return TrainingError(
        f"step {step} does not fit into the GPU's memory: {reason}. Lower max_tokens_per_pack or "
        "limits.episode_tokens, or set activation_checkpointing=true, lora.rank=16 or "
        "optimizer=adamw_8bit, or share the model by `accelerate launch --use_fsdp --fsdp_version "
        "2`; plan=true says what each takes. A run goes on with its own settings, so this wants a "
        "new one: model=CHECKPOINT starts from the last saved step"
    )
