"""Whether the device computes what it should."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from common import Setup, qwen3, seconds, synchronize
from torch import Tensor, nn

from scgrpo.models import scoring
from scgrpo.models.attention import Scoring, TreeLayout
from scgrpo.models.decoder import Feed
from scgrpo.models.head import output_layer
from scgrpo.models.kernels.flex import FlexTreeLayout
from scgrpo.models.kernels.varlen import VarlenTreeLayout
from scgrpo.models.paths import choose_path
from scgrpo.models.scoring import divergence, predicting_states, token_scores
from scgrpo.policies.hf import _sample
from scgrpo.training.optimizer import MasterAdamW

FP32_NATS = 1e-3
BF16_NATS = 0.01
TREES = {"dense": TreeLayout, "varlen": VarlenTreeLayout, "flex": FlexTreeLayout}
TREE_ERRORS = {torch.float32: 1e-4, torch.bfloat16: 1e-2}
"""Largest relative error of a tree's attention or gradient; bf16 rounds to 4e-3."""


def basics(setup: Setup) -> dict[str, Any]:
    """Loss, gradient norm and step of a tiny model on the device and on the CPU, in fp32."""
    values: list[list[float]] = []
    for device in (torch.device("cpu"), setup.device):
        model = qwen3(Setup(torch.device("cpu"), True), "1.7B").to(device)
        choose_path(model)
        optimizer = MasterAdamW(model.parameters(), lr=1e-3)
        row: list[float] = []
        for _ in range(3):
            states = predicting_states(
                model, [3, 4, 5], [[6, 7, 8], [9]], [[True] * 3, [True]]
            )
            targets = torch.tensor([6, 7, 8, 9], device=device)
            loss = -token_scores(output_layer(model), states, targets).logprobs.sum()
            loss.backward()
            row += [float(loss.detach()), optimizer.step(lr=1e-3, max_norm=1.0)]
        values.append(row)
    gap = max(abs(a - b) / abs(a) for a, b in zip(*values, strict=True))
    return {"passed": gap < 1e-3, "relative_gap": gap, "expected": "below 1e-3"}


def layouts(setup: Setup) -> dict[str, Any]:
    """Log-probabilities of both layouts and of the model's own forward pass, KL in nats."""
    result: dict[str, Any] = {
        "expected": f"fp32 below {FP32_NATS} nats at most, bf16 below {BF16_NATS} in the mean"
    }
    layers = 2 if setup.tiny else 8
    passed = True
    for dtype in (torch.float32, torch.bfloat16):
        model = qwen3(setup, "1.7B", layers=layers).to(dtype)
        prefix, branches = _ids(setup, model)
        own = [_own_logprobs(model, prefix + branch, branch) for branch in branches]
        path = choose_path(model)
        masks = [[True] * len(branch) for branch in branches]
        head = output_layer(model)
        with torch.no_grad():
            states = predicting_states(model, prefix, branches, masks)
            targets = torch.tensor(sum(branches, []), device=setup.device)
            tree = token_scores(head, states, targets).logprobs
            longest = len(prefix) + max(map(len, branches))
            slots = path.decoder.slots(model, len(branches), longest)
            sampled: list[Tensor] = []
            for slot, branch in enumerate(branches):
                states = slots.feed([Feed(slot, 0, prefix)])
                target = torch.tensor(branch[:1], device=setup.device)
                sampled.append(token_scores(head, states, target).logprobs)
        tree_gap = (tree - torch.cat(own)).abs()
        slot_gap = (torch.cat(sampled) - torch.stack([row[0] for row in own])).abs()
        name = str(dtype).removeprefix("torch.")
        result |= {
            f"{name}_path": path.kind,
            f"{name}_tree": getattr(path.decoder, "tree", type(path.decoder)).__name__,
            f"{name}_tree_mean_nats": float(tree_gap.mean()),
            f"{name}_tree_max_nats": float(tree_gap.max()),
            f"{name}_slots_max_nats": float(slot_gap.max()),
        }
        if dtype == torch.float32:
            passed &= float(tree_gap.max()) < FP32_NATS
        else:
            passed &= float(tree_gap.mean()) < BF16_NATS
        del model, states, slots
    return {"passed": passed, **result}


def _ids(setup: Setup, model: Any) -> tuple[list[int], list[list[int]]]:
    """A prefix of 1,000 tokens, and branches of 3 to 4,000."""
    lengths = (8, 3, 12) if setup.tiny else (3, 500, 4000)
    generator = torch.Generator().manual_seed(0)
    rows = int(model.config.vocab_size)

    def drawn(count: int) -> list[int]:
        return torch.randint(3, rows, (count,), generator=generator).tolist()

    return drawn(setup.size(1000, 10)), [drawn(length) for length in lengths]


@torch.no_grad()
def _own_logprobs(model: Any, row: list[int], branch: list[int]) -> Tensor:
    """Of the branch at a row's end, by the model itself. (len(branch),)."""
    ids = torch.tensor([row], device=model.device)
    body = model.get_decoder()
    states = body(input_ids=ids, use_cache=False).last_hidden_state[0]
    predictors = states[len(row) - len(branch) - 1 : -1]
    targets = torch.tensor(branch, device=model.device)
    return token_scores(output_layer(model), predictors, targets).logprobs


def trees(setup: Setup) -> dict[str, Any]:
    """Error of a tree's attention and gradients by each kernel, and seconds of both passes."""
    result: dict[str, Any] = {
        "expected": "varlen in bf16 and flex in both types, with errors like the dense one's"
    }
    tree = (
        setup.size(1000, 150),
        [setup.size(count, count // 50 + 1) for count in (3000, 500, 3, 900)],
        setup.device,
    )
    passed = True
    for dtype in TREE_ERRORS:
        inputs = _attention_inputs(setup, tree[0] + sum(tree[1]), dtype)
        for window in (None, setup.size(700, 20)):
            weighing = Scoring(0.1, window)
            expected = _attention(
                TreeLayout(*tree), [part.float() for part in inputs], weighing
            )
            for kernel, make in TREES.items():
                name = f"{kernel}_{str(dtype).removeprefix('torch.')}"
                name += "" if window is None else "_window"
                try:
                    work = partial(_attention, make(*tree), inputs, weighing)
                    error = _relative_error(work(), expected)
                    result[name] = {"error": error, "seconds": seconds(setup, work)}
                    passed &= error < TREE_ERRORS[dtype]
                except (ValueError, RuntimeError, NotImplementedError) as error:
                    result[name] = f"refused: {str(error).splitlines()[0]}"
                    # Flash attention has half precision alone.
                    is_known = kernel == "varlen" and dtype == torch.float32
                    passed &= is_known or setup.device.type == "cpu"
    return {"passed": passed, **result}


def _attention_inputs(setup: Setup, tokens: int, dtype: torch.dtype) -> list[Tensor]:
    """Random query, key, value, and the gradient of the output. (32 or 4 heads, N, width)."""
    torch.manual_seed(0)
    heads, groups, width = (4, 2, 16) if setup.tiny else (32, 8, 128)
    return [
        torch.randn(count, tokens, width, device=setup.device, dtype=dtype)
        for count in (heads, groups, groups, heads)
    ]


def _attention(layout: Any, inputs: list[Tensor], scoring: Scoring) -> list[Tensor]:
    """The output, and on a GPU the gradients of query, key and value."""
    *values, towards = inputs
    # PyTorch has no gradient of FlexAttention on a CPU.
    if towards.device.type == "cpu":
        return [layout.attend(0, *values, scoring)]
    leaves = [value.detach().requires_grad_() for value in values]
    out = layout.attend(0, *leaves, scoring)
    return [out, *torch.autograd.grad(out, leaves, towards.transpose(0, 1))]


def _relative_error(results: list[Tensor], expected: list[Tensor]) -> float:
    """The largest of the norms of differences, as a share of the norm."""
    shares: list[float] = []
    for own, exact in zip(results, expected, strict=True):
        shares.append(float((own.double() - exact).norm() / exact.norm()))
    return max(shares)


def head(setup: Setup) -> dict[str, Any]:
    """Error and seconds of the output layer's gradient in bf16, by the rows of a chunk."""
    rows, width, words = (
        setup.size(12_288, 64),
        setup.size(4096, 16),
        setup.size(151_936, 64),
    )
    torch.manual_seed(0)
    states = torch.randn(rows, width, device=setup.device, dtype=torch.bfloat16)
    targets = torch.randint(0, words, (rows,), device=setup.device)
    exact: Tensor | None = None
    result: dict[str, Any] = {"expected": "errors near 3e-3, whatever the chunk"}
    for chunk in (2048, 256):
        scoring.CHUNK = setup.size(chunk, chunk // 64)
        layer = nn.Linear(width, words, bias=False, device=setup.device)
        torch.manual_seed(1)
        nn.init.normal_(layer.weight, std=0.02)
        layer = layer.bfloat16()

        def once(layer: nn.Linear = layer) -> None:
            layer.weight.grad = None
            token_scores(layer, states, targets).logprobs.sum().backward()

        result[f"seconds_{chunk}"] = seconds(setup, once)
        assert layer.weight.grad is not None
        gradient = layer.weight.grad.float()
        if exact is None:
            exact = _exact_gradient(layer, states, targets)
        result[f"error_{chunk}"] = float((gradient - exact).norm() / exact.norm())
    passed = max(result["error_2048"], result["error_256"]) < 6e-3
    return {"passed": passed, **result}


def _exact_gradient(layer: nn.Linear, states: Tensor, targets: Tensor) -> Tensor:
    """Of the summed log-probabilities by the weight, in fp32: (onehot - p)^T states."""
    total = torch.zeros_like(layer.weight, dtype=torch.float32)
    weight = layer.weight.detach().float()
    for part, ids in zip(states.split(256), targets.split(256), strict=True):
        p = torch.softmax(part.float() @ weight.T, dim=-1)
        p[torch.arange(len(ids), device=p.device), ids] -= 1
        total -= p.T @ part.float()
    return total


def sampling(setup: Setup) -> dict[str, Any]:
    """Chi-square of draws from one distribution, and the last draw below 1."""
    words, rows = setup.size(1024, 16), setup.size(4096, 256)
    repeats = setup.size(250, 8)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(words, generator=generator).to(setup.device)
    probabilities = torch.softmax(logits.double(), dim=-1)
    counts = torch.zeros(words, device=setup.device, dtype=torch.float64)
    for _ in range(repeats):
        draws = torch.rand(rows, generator=generator, dtype=torch.float64)
        ids, _ = _sample(logits.expand(rows, -1), draws.to(setup.device), greedy=False)
        counts += torch.bincount(ids, minlength=words)
    expected = probabilities * rows * repeats
    chi_square = float(((counts - expected).square() / expected).sum())
    # Its mean is words - 1, its variance twice that.
    deviations = (chi_square - (words - 1)) / (2 * (words - 1)) ** 0.5

    almost_one = torch.tensor([1 - 2.0**-53], dtype=torch.float64, device=setup.device)
    peaked = torch.full((1, words), -80.0, device=setup.device)
    peaked[0, 0] = 0.0
    last, logprob = _sample(peaked, almost_one, greedy=False)
    synchronize(setup.device)
    kl, _ = divergence(
        nn.Identity(),
        logits[None],
        logits[None],
        torch.zeros(1, dtype=torch.long, device=setup.device),
    )
    return {
        "passed": abs(deviations) < 4 and int(last) == 0,
        "deviations": deviations,
        "token_of_the_last_draw": int(last),
        "its_nats": float(logprob),
        "divergence_of_itself": float(kl),
        "expected": "less than 4 deviations; token 0 of the last draw below 1",
    }
