"""Which weights, from where: a name becomes a folder of weights, a folder becomes a model."""

from __future__ import annotations

import difflib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging as transformers_logging

from scgrpo.models.default import WHEEL, unpack, weights_from_wheel
from scgrpo.models.tiny import make_tiny
from scgrpo.runs.disk import atomic_folder

__all__ = [
    "cache_folder",
    "default_device",
    "default_dtype",
    "is_model",
    "load",
    "make_tiny",
    "recompute_activations",
    "resolve",
]

DEFAULT_REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"
FROM_HUB = "SmolLM2-135M-Instruct"
FROM_WHEEL = "SmolLM2-135M-Instruct-Q4_1"
HUB_TIMEOUT_S = 4.0
WANTED_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]

logger = logging.getLogger(__name__)


def resolve(name: str, *, cache: Path | None = None) -> Path:
    """The folder with the weights that `name` means: `auto`, a local folder or a hub id.

    `auto` is SmolLM2-135M-Instruct: the hub's own weights where the hub answers within a few
    seconds, else the 4-bit copy in a wheel, taken through pip and kept in `cache`.
    Raises ValueError that names the nearest known models and says what was tried.
    """
    if name == "auto":
        return _default_model(cache or cache_folder())
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _checked_folder(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(_unknown(name, f"there is no folder {folder}"))
    found = _from_hub(name)
    if isinstance(found, Path):
        return _checked_folder(found)
    raise ValueError(_unknown(name, f"there is no folder {folder}; hub: {found}"))


def load(
    path: Path | str,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model (in eval mode, on the CPU) and tokenizer of a folder that `resolve` returned.

    A folder with a LoRA adapter gives a trainable `PeftModel` on the adapter's base model.
    `attention` is transformers' `attn_implementation`.
    """
    folder = _checked_folder(Path(path))
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if not (folder / "adapter_config.json").is_file():
            return _load_weights(folder, dtype, attention), tokenizer
        from peft import PeftModel

        base = _load_weights(_adapter_base(folder), dtype, attention)
        return PeftModel.from_pretrained(
            base, folder, is_trainable=True
        ).eval(), tokenizer


def recompute_activations(model: PreTrainedModel) -> None:
    """Makes decoder layers keep their inputs alone, and compute the rest again for a gradient.

    Raises ValueError for a model that cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise ValueError(
            f"{type(model).__name__} knows no activation_checkpointing; leave it false"
        )
    model.activation_checkpointing_enable({"use_reentrant": False})
    for layer in model.modules():
        # The layers look at their own mode; their parts stay in eval mode, without dropout.
        if isinstance(layer, GradientCheckpointingLayer):
            layer.training = True


def default_device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device: torch.device | None = None) -> torch.dtype:
    """bfloat16 where the device computes in it natively, else float32."""
    if (device or default_device()).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        flags = (
            torch.cpu.get_capabilities()
            if hasattr(torch.cpu, "get_capabilities")
            else {}
        )
        native = any(flags.get(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    return torch.bfloat16 if native else torch.float32


def cache_folder() -> Path:
    """Where downloaded models are kept: $SCGRPO_CACHE, else scgrpo in the user's cache folder."""
    if own := os.environ.get("SCGRPO_CACHE"):
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "scgrpo"


def is_model(folder: Path) -> bool:
    """Whether the folder holds weights: a whole model or a LoRA adapter."""
    config = (folder / "config.json").is_file() or (
        folder / "adapter_config.json"
    ).is_file()
    return config and any(folder.glob("*.safetensors"))


def _default_model(cache: Path) -> Path:
    for known in (FROM_HUB, FROM_WHEEL):
        if is_model(cache / known):
            return cache / known
    started = time.monotonic()
    snapshot = _from_hub(DEFAULT_REPOSITORY)
    if isinstance(snapshot, Path):
        with atomic_folder(cache / FROM_HUB) as folder:
            for file in snapshot.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
        return _say("the hub", cache / FROM_HUB, started)
    with tempfile.TemporaryDirectory(prefix="scgrpo-") as scratch:
        try:
            gguf = weights_from_wheel(Path(scratch))
        except RuntimeError as error:
            raise ValueError(
                f"model=auto: the hub did not serve {DEFAULT_REPOSITORY} ({snapshot}) and pip did "
                f"not serve {WHEEL} ({error}). Connect one of them, or give model=FOLDER."
            ) from error
        with atomic_folder(cache / FROM_WHEEL) as folder:
            unpack(gguf, folder)
    return _say(f"the wheel {WHEEL} (hub: {snapshot})", cache / FROM_WHEEL, started)


def _say(source: str, folder: Path, started: float) -> Path:
    seconds = time.monotonic() - started
    logger.info("model auto: from %s in %.0f s, kept in %s", source, seconds, folder)
    return folder


def _from_hub(repository: str) -> Path | str:
    """The local snapshot of a hub repository, or the reason why there is none."""
    from huggingface_hub import snapshot_download

    silent = _hub_silence(repository)
    try:
        snapshot = snapshot_download(
            repository,
            allow_patterns=WANTED_FILES,
            ignore_patterns=["*/*"],
            local_files_only=bool(silent),
        )
    except (OSError, ValueError) as error:
        return silent or _first_sentence(error)
    return Path(snapshot)


def _hub_silence(repository: str) -> str:
    """Why the hub does not serve the repository now; empty when it does.

    Asked in a thread, because name resolution on a machine without network obeys no time-out.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = f"{constants.ENDPOINT}/api/models/{quote(repository)}"
    outcome: list[str] = []

    def ask() -> None:
        try:
            urlopen(
                Request(address, headers=build_hf_headers()), timeout=HUB_TIMEOUT_S
            ).close()
            outcome.append("")
        except HTTPError as error:
            outcome.append(f"HTTP {error.code}: unknown, or private and no token")
        except (OSError, ValueError) as error:
            outcome.append(_first_sentence(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_S)
    return outcome[0] if outcome else f"no answer within {HUB_TIMEOUT_S:.0f} s"


def _first_sentence(error: BaseException) -> str:
    error = getattr(error, "reason", error)  # what urllib wraps
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def _checked_folder(folder: Path) -> Path:
    if is_model(folder):
        return folder
    steps = sorted((folder / "checkpoints").glob("step-*"))
    hint = (
        f"its newest checkpoint is {steps[-1]}: name that"
        if steps
        else "it needs config.json (or adapter_config.json) and *.safetensors beside it"
    )
    raise ValueError(f"model={folder}: the folder holds no model; {hint}")


def _load_weights(
    folder: Path, dtype: torch.dtype, attention: str | None
) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder)
    wanted = {"attn_implementation": attention} if attention else {}
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=dtype, **wanted
    )
    return model.eval()


def _adapter_base(folder: Path) -> Path:
    base = json.loads((folder / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ]
    # The default model lies elsewhere on another machine; its folder's name says what it was.
    moved = not Path(base).is_dir() and Path(base).name in (FROM_HUB, FROM_WHEEL)
    return resolve("auto" if moved else base)


def _unknown(name: str, tried: str) -> str:
    known = _known_models(name)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known[:3]
    return f"unknown model {name!r}: {tried}. Nearest known: {', '.join(near)}"


def _known_models(name: str) -> list[str]:
    """`auto`, the models in folders beside the one that was asked for, and those of the hub's
    local cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    beside = Path(name).expanduser().parent
    local = [
        str(folder)
        for folder in beside.glob("*")
        if folder.is_dir() and is_model(folder)
    ]
    hub = Path(HF_HUB_CACHE).glob("models--*")
    cached = [folder.name.removeprefix("models--").replace("--", "/") for folder in hub]
    return list(
        dict.fromkeys(["auto", *sorted(local), *sorted(cached), DEFAULT_REPOSITORY])
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Holds back transformers' progress bars, which flood a log file."""
    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
