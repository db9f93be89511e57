"""The name of a warm start in the cache: a digest of all that its weights depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from envs.base import TextEnv
from envs.identity import code_digest
from scgrpo.config import LoraConfig, WarmStartConfig
from scgrpo.credit.options import ReferenceLimits
from scgrpo.models.sources.folders import adapter_base, is_adapter
from scgrpo.policies.chat_options import ChatOptions

__all__ = ["LAYOUT_VERSION", "cache_key"]

LAYOUT_VERSION = 4
"""Of the examples and their order, which change the weights."""


def cache_key(
    model: Path,
    env: TextEnv,
    level: int,
    config: WarmStartConfig,
    dtype: str,
    seed: int,
    chat_options: ChatOptions | None = None,
    reference: ReferenceLimits | None = None,
    lora: LoraConfig | None = None,
) -> str:
    """Hex digest over everything that the stage's result depends on."""
    digest = hashlib.sha256()
    folders = [model, adapter_base(model)] if is_adapter(model) else [model]
    files = [path for folder in folders for path in sorted(folder.iterdir())]
    for file in filter(Path.is_file, files):
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").digest()
        digest.update(file.name.encode() + content)
    for task in env.tasks("train", level):
        digest.update(task.content_hash.encode())
    # The environment's random policy and its replies.
    digest.update(code_digest(env).encode())

    # Only what changes the weights: a threshold or a mode does not.
    options = asdict(config)
    keys = ("episodes", "steps", "tasks_per_step", "lr")
    learned = {key: options[key] for key in keys}
    parts = [
        env.name,
        env.version,
        env.instructions,
        level,
        learned,
        dtype,
        seed,
        asdict(chat_options or ChatOptions()),
        reference and asdict(reference),
        LAYOUT_VERSION,
    ]
    if lora is not None and lora.rank:
        parts.append(asdict(lora))
    digest.update(json.dumps(parts).encode())
    return digest.hexdigest()[:16]
