"""Decoder layers in few calls, for generation on a CPU.

Most families build their layers as Llama does, and a step of generation spends long on calls and on
weights in a layout that products do not want. This is that layer without its modules, and with
prepacked weights. Values are those of the model's own forward pass to rounding; `choose_path` tries
that, so a model whose modules have the same names but compute something else keeps its modules.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from scgrpo.models.attention import Layout, Scoring
from scgrpo.models.decoder import body_of
from scgrpo.models.layers.lean import MLP_PARTS
from scgrpo.models.layers.prepacked import PrepackedLinear, has_hooks

__all__ = ["FusedForward", "fused_forward"]

BODY_PARTS = {"embed_tokens", "layers", "norm", "rotary_emb"}
LAYER_PARTS = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
ATTENTION_PARTS = {"q_proj", "k_proj", "v_proj", "o_proj"}
HEAD_NORMS = {"q_norm", "k_norm"}


def fused_forward(model: PreTrainedModel) -> FusedForward | None:
    """The fused forward pass of the model as it is now; None if it has none."""
    try:
        return FusedForward(model)
    except ValueError:
        return None


class FusedForward:
    """Last hidden states of packed tokens, without gradients; see `last_hidden_states`.

    Holds a second copy of the layers' weights, made again when they have changed. Raises ValueError
    for a model whose layers are not built as Llama's, or whose weights cannot be prepacked.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        body = body_of(model)
        _require_parts(body, BODY_PARTS)
        self._embed: Any = body.get_submodule("embed_tokens")
        self._rotary: Any = body.get_submodule("rotary_emb")
        self._norm = body.get_submodule("norm")
        parts: Any = body.get_submodule("layers")
        self._layers = [_Layer(index, part) for index, part in enumerate(parts)]

    @torch.no_grad()
    def __call__(self, ids: Tensor, layout: Layout) -> Tensor:
        """(N,) ids -> (N, D)."""
        states = self._embed(ids)
        cos, sin = self._rotary(states[None], layout.positions[None])  # (1, N, d)
        angles = (cos[0].unsqueeze(1), sin[0].unsqueeze(1))
        for layer in self._layers:
            states = layer(states, angles, layout)
        return self._norm(states)

    def clear(self) -> None:
        """Frees the prepacked weights until the next pass."""
        for layer in self._layers:
            for linear in layer.linears:
                linear.clear()


class _Layer:
    """One decoder layer: attention and feed-forward part, each behind a norm."""

    def __init__(self, index: int, layer: Any) -> None:
        attention = layer.self_attn
        mlp = layer.mlp
        _require_parts(layer, LAYER_PARTS)
        _require_parts(attention, ATTENTION_PARTS, HEAD_NORMS)
        _require_parts(mlp, MLP_PARTS)
        inputs = [attention.q_proj, attention.k_proj, attention.v_proj]
        self._inputs = PrepackedLinear(inputs)
        self._output = PrepackedLinear([attention.o_proj])
        self._gates = PrepackedLinear([mlp.gate_proj, mlp.up_proj])
        self._down = PrepackedLinear([mlp.down_proj])
        self.linears = self._inputs, self._output, self._gates, self._down

        self._index = index
        self._norms = layer.input_layernorm, layer.post_attention_layernorm
        self._activation: Callable[[Tensor], Tensor] = mlp.act_fn
        self._width: int = attention.head_dim
        self._heads = [linear.out_features // self._width for linear in inputs]
        self._head_norms = [
            part for name, part in attention.named_children() if name in HEAD_NORMS
        ]
        self._attention = attention

    @property
    def _scoring(self) -> Scoring:
        attention = self._attention
        # Mistral's layers have it from the configuration. Read each time: a trial makes it small.
        shared = getattr(attention.config, "sliding_window", None)
        window = getattr(attention, "sliding_window", shared)
        return Scoring(attention.scaling, window or None)

    def __call__(
        self, states: Tensor, angles: tuple[Tensor, Tensor], layout: Layout
    ) -> Tensor:
        """(N, D) -> (N, D)."""
        before_attention, before_mlp = self._norms
        mixed = self._attend(before_attention(states), angles, layout)
        states = states + self._output(mixed)

        gate, up = self._gates(before_mlp(states)).chunk(2, dim=-1)
        return states + self._down(self._activation(gate) * up)

    def _attend(
        self, states: Tensor, angles: tuple[Tensor, Tensor], layout: Layout
    ) -> Tensor:
        """(N, D) -> (N, H * d)."""
        count = states.shape[0]
        heads = self._inputs(states).view(count, -1, self._width)
        value = heads[:, -self._heads[2] :]
        turned = heads[:, : -self._heads[2]]
        if self._head_norms:
            parts = turned.split(self._heads[:2], dim=1)
            turned = torch.cat(
                [
                    norm(part)
                    for norm, part in zip(self._head_norms, parts, strict=True)
                ],
                dim=1,
            )

        query, key = _turn(turned, *angles).split(self._heads[:2], dim=1)
        mixed = layout.attend(
            self._index,
            query.transpose(0, 1),
            key.transpose(0, 1),
            value.transpose(0, 1),
            self._scoring,
        )
        return mixed.reshape(count, -1)


def _require_parts(
    module: nn.Module, names: Set[str], optional: Set[str] = frozenset()
) -> None:
    """Raises ValueError for a module of other parts, or with weights of its own or hooks."""
    parts = {name for name, _ in module.named_children()}
    own = [name for name, _ in module.named_parameters(recurse=False)]
    if not names <= parts <= names | optional or own or has_hooks(module):
        raise ValueError(f"{type(module).__name__} is not built as Llama's")


def _turn(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions. (N, H, d), (N, 1, d), (N, 1, d) -> (N, H, d)."""
    first, second = heads.chunk(2, dim=-1)
    quarter_turn = torch.cat((-second, first), dim=-1)
    return heads * cos + quarter_turn * sin
