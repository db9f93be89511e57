"""States to logits: the output layer, with whatever else the model does to its logits."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from scgrpo.models.decoder import body_of, transformers_model

__all__ = ["LogitsMap", "output_layer"]


def output_layer(model: PreTrainedModel) -> nn.Module:
    """The layer that makes logits. Raises ValueError for a model without one."""
    head = model.get_output_embeddings()
    if head is None:
        raise ValueError(
            f"{type(model).__name__} has no output layer; expected a causal language model"
        )
    return head


class LogitsMap(nn.Module):
    """The model's own way from states to logits, caps and scales included. (A, D) -> (A, V).

    It is the model's own `forward`, run on a shallow copy whose body returns the states that it is
    given. The copy shares the output layer's weights with the model.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        inner = transformers_model(model)
        body = body_of(inner)
        shell = copy.copy(inner)
        shell._modules = dict(inner._modules)
        for name, part in inner._modules.items():
            if part is body:
                shell._modules[name] = _GivenStates(body)
        self.shell = shell

    def forward(self, states: Tensor) -> Tensor:
        """(A, D) -> (A, V)."""
        out = self.shell(inputs_embeds=states[None], use_cache=False)
        return out.logits[0]


class _GivenStates(nn.Module):
    """Stands for a body and its parts: returns its input embeddings as last hidden states.

    Some models scale their logits by an attribute of the body, so it has all that are no parts.
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        # Not as a part, so that the body's parameters are not the head's.
        self.__dict__["body"] = body

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.__dict__["body"], name)
        return self if isinstance(value, nn.Module) else value

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **options: Any,
    ) -> _States:
        return _States(last_hidden_state=inputs_embeds)


class _States(BaseModelOutputWithPast):
    """States, and None for whatever else a body may return."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)
