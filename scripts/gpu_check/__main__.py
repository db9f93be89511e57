"""Checks of one GPU: what no test without one can know. Each runs in a process of its own.

    python scripts/gpu_check                  # all of them, into gpu_check.json
    python scripts/gpu_check layouts memory   # some
    python scripts/gpu_check --tiny           # a dry run on the CPU, in a minute

Needs no weights and no network; what needs vLLM or several GPUs is skipped where they are missing.
docs/gpu-check.md reads the result.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

TIMEOUT_S = 600
CHECKS = {
    "basics": (
        "numerics",
        "a tiny model computes on the device what it computes on the CPU",
    ),
    "layouts": ("numerics", "both layouts say what the model's own forward pass says"),
    "trees": (
        "numerics",
        "attention over a tree without padding is that with it, gradients too",
    ),
    "head": (
        "numerics",
        "the output layer's gradient, and the best size of its chunks",
    ),
    "sampling": ("numerics", "tokens are drawn with their probabilities"),
    "kernels": (
        "speed",
        "which kernel attends in a pass, and what a causal one would win",
    ),
    "decoding": ("speed", "milliseconds, launches and waits of a token"),
    "wide": ("speed", "tokens a second with many episodes at once"),
    "memory": ("memory", "an update's peak of memory, and what the plan says of it"),
    "fsdp": ("memory", "the peak of a sharded backward pass, with a root and without"),
    "offload": ("memory", "masters on the CPU take the same steps and leave the GPU"),
    "out_of_memory": ("memory", "a full GPU is said, and the last step is saved"),
    "lora": ("memory", "adapters on a model of 8 B parameters take a step"),
    "learning": ("runs", "a tiny model learns the toy, in float32 and in bfloat16"),
    "resume": ("runs", "a run that is killed goes on from its last checkpoint"),
    "engines": ("engines", "vLLM follows the weights, on the GPU that is trained on"),
    "two_gpus": ("engines", "several processes and GPUs, with engines and without"),
}
"""Name -> its module, and what it finds out."""


def main() -> int:
    """Runs the checks that were named; 0 if none failed."""
    args = _parser().parse_args()
    unknown = sorted(set(args.names) - set(CHECKS))
    if unknown:
        print(
            f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}",
            file=sys.stderr,
        )
        return 2
    if args.alone:
        print(json.dumps(_outcome(args.names[0], args.tiny)))
        return 0

    results = {"machine": machine(), "tiny": args.tiny, "checks": {}}
    for name in args.names or CHECKS:
        print(f"{name}: {CHECKS[name][1]} ...", flush=True)
        result = _in_process(name, args.tiny)
        results["checks"][name] = result
        print(f"    {result['verdict']}, {result['seconds']:.0f} s", flush=True)
        if reason := result.get("error") or result.get("skipped"):
            print(f"    {reason}", flush=True)
        # After each, so that a machine that is taken away leaves what was done.
        args.out.write_text(json.dumps(results, indent=2) + "\n")
    print(f"written: {args.out}")
    failed = [n for n, r in results["checks"].items() if r["verdict"] == "failed"]
    return 1 if failed else 0


def machine() -> dict[str, Any]:
    """The GPU and the versions, with which numbers must be read."""
    import torch
    import transformers

    about: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cuda": torch.version.cuda,
        "device": "cpu",
    }
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        about["device"] = torch.cuda.get_device_name()
        about["memory_gib"] = round(total / 2**30, 1)
        about["free_gib"] = round(free / 2**30, 1)
    return about


def _in_process(name: str, tiny: bool) -> dict[str, Any]:
    """What a check says, or how its process ended."""
    command = [sys.executable, str(HERE), name, "--alone"]
    if tiny:
        command.append("--tiny")
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        last = (done.stdout.strip().splitlines() or [""])[-1]
        result = json.loads(last)
    except subprocess.TimeoutExpired:
        result = {"verdict": "failed", "error": f"took longer than {TIMEOUT_S} s"}
    except ValueError:
        end = done.stderr.strip().splitlines()[-5:]
        result = {
            "verdict": "failed",
            "error": f"ended with {done.returncode}: {' / '.join(end)}",
        }
    return result | {"seconds": round(time.monotonic() - began, 1)}


def _outcome(name: str, tiny: bool) -> dict[str, Any]:
    """The verdict of a check, its numbers and what it expected."""
    import importlib

    import torch
    from common import Setup

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not tiny:
        return {
            "verdict": "failed",
            "error": "no CUDA device; --tiny is a dry run without",
        }
    check: Callable[[Setup], dict[str, Any]] = getattr(
        importlib.import_module(CHECKS[name][0]), name
    )
    try:
        result = check(Setup(device, tiny))
    except Exception as error:  # noqa: BLE001 - a check's failure is its result
        return {"verdict": "failed", "error": f"{type(error).__name__}: {error}"[:2000]}
    if "skipped" in result:
        return {"verdict": "skipped", **result}
    passed = result.pop("passed", None)
    verdict = "measured" if passed is None else "passed" if passed else "failed"
    return {"verdict": verdict, **result}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "scripts/gpu_check", description="Checks of one GPU, with a result in JSON."
    )
    parser.add_argument("names", nargs="*", metavar="CHECK", help=", ".join(CHECKS))
    parser.add_argument("--tiny", action="store_true", help="a dry run with tiny sizes")
    parser.add_argument("--out", type=Path, default=Path("gpu_check.json"))
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
