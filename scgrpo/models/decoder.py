"""What a run needs of a decoder: states that predict given tokens, and slots that grow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

__all__ = ["Decoder", "Feed", "Slots", "body_of", "transformers_model"]


class Feed(NamedTuple):
    """New tokens of a slot, behind the `start` that it holds already."""

    slot: int
    start: int
    ids: Sequence[int]


class Slots(Protocol):
    """Sequences that grow side by side, one in each of `count` slots."""

    count: int

    def feed(self, feeds: Sequence[Feed]) -> Tensor:
        """States of the last token of each feed, which predict the next. R feeds -> (R, D).

        A feed that starts at 0 replaces what the slot held. At most one for each slot.
        """
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Gives `target` the first tokens of `source`: all but the last of those fed from 0.

        It may be the same slot, which then forgets what it was fed since.
        """
        ...

    def clear(self) -> None:
        """Forgets all sequences, and frees what they took; the next feeds start at 0."""
        ...


class Decoder(Protocol):
    """How hidden states of a model are computed; it holds no model itself."""

    shares_prefixes: bool
    """Whether a prefix is computed once for all of its branches."""

    def predicting_states(
        self,
        model: PreTrainedModel,
        prefix: Sequence[int],
        branches: Sequence[Sequence[int]],
        masks: Sequence[Sequence[bool]],
    ) -> Tensor:
        """Hidden states that predict the masked tokens of each branch. -> (A, D).

        A counts True entries of `masks`, branch after branch. Each branch follows the same prefix.
        """
        ...

    def slots(self, model: PreTrainedModel, count: int, length: int) -> Slots:
        """Empty slots of at most `length` tokens each."""
        ...


def transformers_model(model: nn.Module) -> PreTrainedModel:
    """The model itself, or the one that adapters were put on, which runs with them."""
    unwrap = getattr(model, "get_base_model", None)
    inner = model if unwrap is None else unwrap()
    assert isinstance(inner, PreTrainedModel)
    return inner


def body_of(model: PreTrainedModel) -> nn.Module:
    """What computes the last hidden states: the model without its output layer.

    Raises ValueError for a model that is all in one.
    """
    inner = transformers_model(model)
    if inner.base_model is not inner:
        return inner.base_model
    # Some name their body unlike their `base_model_prefix`.
    embeddings = inner.get_input_embeddings()
    for part in inner.children():
        if part is not embeddings and embeddings in part.modules():
            return part
    raise ValueError(
        f"{type(inner).__name__} has no body apart from an output layer; "
        "expected a causal language model"
    )
