"""D of a model's own episodes against references of their tasks, and its numerical noise."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from envs.types import Episode
from scgrpo.batch import collate
from scgrpo.config import TrainConfig
from scgrpo.credit.divergence import divergence_log, noise_log
from scgrpo.models.forward import BatchForward
from scgrpo.models.packing import ids_to_read
from scgrpo.policies.chat import Chat
from scgrpo.policies.conditioned import Condition
from scgrpo.preflight.positions import within_positions

__all__ = ["MAX_EPISODES", "divergence_numbers"]

MAX_EPISODES = 64
NOISE_ROWS = 16


def divergence_numbers(
    model: PreTrainedModel,
    chat: Chat,
    groups: Sequence[Sequence[Episode]],
    conditions: Sequence[Condition | None],
    config: TrainConfig,
) -> dict[str, float]:
    """Quantiles of D and its share above noise, by the keys of a run's log; `tokens` counts them.

    `groups` are the episodes that the model played without a reference, by task, and `conditions`
    what a teacher of each task reads. At most `MAX_EPISODES` episodes are read: the first of each
    task, then the second ones. Empty without an episode to read.
    """
    limits = within_positions(config.shown_reference, model.config)
    rounds = max(map(len, groups), default=0)
    episodes: list[Episode] = []
    group: list[int] = []
    prompts: dict[int, tuple[int, ...]] = {}
    for number in range(rounds):
        for task, of_task in enumerate(groups):
            condition = conditions[task]
            if condition is None or number >= len(of_task):
                continue
            episode = of_task[number]
            if episode.verdict is None or not episode.turns:
                continue
            _, ids = chat.prompt(condition(episode.messages), episode.tools)
            completion, _ = ids_to_read(episode)
            if len(ids) + len(completion) > limits.input_tokens:
                continue
            if len(episodes) < MAX_EPISODES:
                prompts[len(episodes)] = tuple(ids)
                episodes.append(episode)
                group.append(task)
    if not episodes:
        return {}

    forward = BatchForward(
        model,
        episodes,
        collate(episodes, group, pad_id=0),
        chat=chat,
        limits=limits,
        max_tokens_per_pack=config.max_tokens_per_pack,
        cached_forward_tokens=0,
    )
    rows = list(prompts)
    divergence = forward.divergence(rows, prompts)[forward.batch.action_mask]
    noise = forward.numerical_noise(rows, NOISE_ROWS)
    numbers = {"tokens": float(len(divergence))}
    return numbers | divergence_log(divergence) | noise_log(divergence, noise)
