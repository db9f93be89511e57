"""Linear layers with weights laid out as a CPU's products read them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["PrepackedLinear", "has_bf16_products", "has_hooks"]

ROWS = 32
"""What the layout is made for; it serves fewer and more as well."""


class PrepackedLinear:
    """Linear layers of one input as one product, without gradients. (N, D) -> (N, sum of outputs).

    oneDNN brings a weight into blocks before each product, which costs as much as a product of few
    rows; here that is done once for each version of the weights. Raises ValueError for what is more
    than a linear layer (an adapter, a shard, a quantized weight), for weights other than bf16, and
    where oneDNN or the processor has none of that type.
    """

    def __init__(self, linears: Sequence[nn.Module]) -> None:
        self._linears = [_plain_linear(linear) for linear in linears]
        self._versions: list[tuple[int, int]] = []
        self._weight = self._bias = None
        self._prepack()

    @torch.no_grad()
    def __call__(self, states: Tensor) -> Tensor:
        # A step of the optimizer counts a weight's version up; loading may move it.
        if self._versions != self._current_versions():
            self._prepack()
        return torch.ops.mkldnn._linear_pointwise(
            states, self._weight, self._bias, "none", [], ""
        )

    def clear(self) -> None:
        """Frees the prepacked weight until the next product."""
        self._versions = []
        self._weight = self._bias = None

    def _current_versions(self) -> list[tuple[int, int]]:
        weights = [linear.weight for linear in self._linears]
        return [(weight.data_ptr(), weight._version) for weight in weights]

    @torch.no_grad()
    def _prepack(self) -> None:
        weight = torch.cat([linear.weight for linear in self._linears])
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS)
        self._bias = None
        if any(linear.bias is not None for linear in self._linears):
            self._bias = torch.cat([_bias(linear) for linear in self._linears])
        self._versions = self._current_versions()


def _bias(linear: nn.Linear) -> Tensor:
    """(outputs,), zeros for a layer without a bias."""
    if linear.bias is None:
        return linear.weight.new_zeros(linear.out_features)
    return linear.bias


def has_bf16_products() -> bool:
    """Whether oneDNN multiplies in bfloat16 on this processor, which takes AVX-512 or newer."""
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()


def has_hooks(module: nn.Module) -> bool:
    """Whether something else runs when the module does."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _plain_linear(module: nn.Module) -> nn.Linear:
    """The module, if all it does is a product on this machine's CPU. Raises ValueError."""
    if type(module) is not nn.Linear or has_hooks(module):
        raise ValueError(f"{type(module).__name__} is more than a linear layer")
    weight = module.weight
    if type(weight) is not nn.Parameter:
        raise ValueError(f"its weight is a {type(weight).__name__}")
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        raise ValueError(f"oneDNN has no products on {weight.device}")
    # In fp32 products are MKL's, which take weights as they are.
    if weight.dtype != torch.bfloat16:
        raise ValueError(f"weights of {weight.dtype} are not prepacked")
    if not has_bf16_products():
        raise ValueError("this processor has no products in bfloat16")
    return module
