"""Runs in vLLM's own Python: its engine in this process follows all weights, or an adapter.

Arguments: the model's folder, a scratch folder, and 1 for adapters. Prints a JSON line: for the
first weights and the moved ones, how far vLLM's log-probabilities are from transformers'.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from scgrpo.models.load import load_model
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.engines.handover import ByDisk
from scgrpo.policies.engines.probe import prompt_scores
from scgrpo.policies.engines.vllm import VLLMEngine
from scgrpo.policies.remote import RemotePolicy
from scgrpo.policies.weight_sync import WeightSync

RANK = 8


def gap(policy: RemotePolicy, model: Any, prompt: list[int]) -> float:
    """The largest difference over a turn, in nats."""
    ids, logprobs, _ = policy.turn(prompt, room=6, seed=1)
    own = prompt_scores(model, [*prompt, *ids])[-len(ids) :]
    return max(abs(a - b) for a, b in zip(own, logprobs, strict=True))


def main(folder: Path, scratch: Path, adapters: bool) -> None:
    torch.manual_seed(0)
    model, tokenizer = load_model(folder, dtype=torch.float32)
    options = {"max_model_len": 256, "enforce_eager": True, "dtype": "float32"}
    if adapters:
        # Not the usual start, which changes nothing.
        lora = LoraConfig(r=RANK, target_modules="all-linear", init_lora_weights=False)
        model = get_peft_model(model, lora)
        options |= {"enable_lora": True, "max_lora_rank": RANK}
    model.eval()
    fleet = Fleet([VLLMEngine(folder, **options)])
    handover = ByDisk(model, tokenizer, scratch)
    sync = WeightSync(model, tokenizer, fleet, handover, run="run")
    prompt = tokenizer.encode("The capital of France is")
    with RemotePolicy(model, tokenizer, fleet, sync, cache_tokens=256) as policy:
        gaps = [gap(policy, model, prompt)]
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight.mul_(1.01 if not adapters else 1.5)
        policy.sync_weights()
        gaps.append(gap(policy, model, prompt))
    print(json.dumps(gaps), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "1")
