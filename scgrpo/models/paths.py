"""Which way a model is run: packed if that computes what the model does, else plainly.

One trial pass decides, on a few tokens: no list of architectures can know what the next one does.
Everything else reads the choice from the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from scgrpo.models.attention import TreeLayout, use_own, use_packed
from scgrpo.models.decoder import Decoder, Feed, Slots, body_of, transformers_model
from scgrpo.models.head import LogitsMap, output_layer
from scgrpo.models.kernels.flex import FlexTreeLayout
from scgrpo.models.kernels.varlen import VarlenTreeLayout
from scgrpo.models.layers.lean import use_lean_layers
from scgrpo.models.packed import PackedDecoder
from scgrpo.models.plain import OwnCaches, PlainDecoder, RereadSlots

__all__ = ["ModelPath", "choose_path", "logits_head"]

PREFIX_LENGTH = 12
BRANCH_LENGTHS = (9, 14)
FEEDS = ((1, 1), (3, 1), (1, 6), (1, 1), (2, 1))
"""Tokens that the two rows are fed in each step: replies are pieces, samples single tokens."""
SMALL_WINDOW = 5
"""Tokens that windows are cut to in the trial, as its rows are shorter than real windows."""
WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window_size")
TOLERANCE = 1e-4
"""Nats; more if the logits' own rounding is coarser, as in bf16."""
ROUNDINGS = 4

PLAIN_DECODERS = {
    "keeps the model's own cache": PlainDecoder(OwnCaches),
    "feeds the model's own cache token by token": PlainDecoder(
        partial(OwnCaches, token_by_token=True)
    ),
    "reads every token again": PlainDecoder(RereadSlots),
}
"""By what generation does, the fastest first."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelPath:
    """How a model is run.

    | field | meaning |
    |---|---|
    | kind | `packed`, or `plain`: the model's own forward pass, slower |
    | gap | nats, largest difference to the log-probabilities of the model's own forward pass |
    | reason | why, in one sentence |
    | decoder | computes its hidden states |
    | maps_logits | the model does more to its logits than its output layer does |
    """

    kind: Literal["packed", "plain"]
    gap: float
    reason: str
    decoder: Decoder
    maps_logits: bool


def choose_path(model: nn.Module) -> ModelPath:
    """How the model is run, by a trial pass the first time; logged in one line.

    Switches the model to packed attention if that is it. Raises ValueError for a model that cannot
    be run at all: without an output layer, or not causal.
    """
    inner = transformers_model(model)
    path = vars(inner).get("_scgrpo_path")
    if path is None:
        path = _tried_path(inner)
        use_lean_layers(inner)
        # On the model, whose life it shares; as it holds no model, nothing keeps that alive.
        vars(inner)["_scgrpo_path"] = path
        logger.info("%s: %s path, %s", type(inner).__name__, path.kind, path.reason)
    return path


def logits_head(model: PreTrainedModel) -> nn.Module:
    """What makes the model's logits of its last hidden states. (A, D) -> (A, V)."""
    if choose_path(model).maps_logits:
        return LogitsMap(model)
    return output_layer(model)


@torch.no_grad()
def _tried_path(model: PreTrainedModel) -> ModelPath:
    # A configuration may come from another model, with that one's attention.
    use_own(model)
    problem = ""
    with _small_windows(model):
        trial = _trial(model)
        attention = str(model.config._attn_implementation)
        for decoder in _packed_decoders(model.device):
            problem = trial.attempt(partial(_pack, model, decoder))
            if not problem:
                reason = f"equal to its own forward pass within {trial.gap:.1e} nats"
                return trial.path("packed", reason)

        model.set_attn_implementation(attention)
        why = f"since packed {problem}"
        for generation, decoder in PLAIN_DECODERS.items():
            problem = trial.attempt(lambda decoder=decoder: decoder)
            if not problem:
                return trial.path("plain", f"{why}; generation {generation}")
    raise ValueError(
        f"{type(model).__name__} cannot be run: reading rows side by side {problem}; expected a "
        "causal language model"
    )


def _trial(model: PreTrainedModel) -> _Trial:
    try:
        return _Trial(model)
    except (ValueError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f"{type(model).__name__} cannot be run: its own forward pass raises "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error


def _packed_decoders(device: torch.device) -> list[PackedDecoder]:
    """The packed ways to run a model on that device, the fastest first."""
    if device.type == "cuda":
        return [
            PackedDecoder(VarlenTreeLayout),
            PackedDecoder(FlexTreeLayout),
            PackedDecoder(TreeLayout),
        ]
    return [PackedDecoder(fused=True), PackedDecoder(fused=False)]


def _pack(model: PreTrainedModel, decoder: Decoder) -> Decoder:
    use_packed(model)
    return decoder


class _Trial:
    """A few tokens, and what the model's own forward pass says of them.

    Raises ValueError if the model cannot be run on them, or has no output layer.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model = model
        self.gap = float("nan")
        self._decoder: Decoder = PackedDecoder()
        self._prefix, *self._branches = _trial_ids(model)

        self._logprobs: list[Tensor] = []
        largest = 0.0
        for branch in self._branches:
            logits = self._own_logits(branch)
            predictions = logits[len(self._prefix) - 1 : -1]
            self._logprobs.append(_target_logprobs(predictions, branch))
            largest = max(largest, float(logits.abs().max()))

        rounding = torch.finfo(model.dtype).eps * largest
        self._tolerance = max(TOLERANCE, ROUNDINGS * rounding)
        # Rounding may send a token to another expert, whose difference says nothing.
        self._share = 1.0 if self._tolerance == TOLERANCE else 0.75
        self._head, self._maps_logits = self._tried_head()

    def _row(self, branch: list[int]) -> Tensor:
        return torch.tensor([[*self._prefix, *branch]], device=self._model.device)

    def _own_logits(self, branch: list[int]) -> Tensor:
        """(N, V) of the prefix and the branch, by the model itself."""
        return self._model(input_ids=self._row(branch), use_cache=False).logits[0]

    def path(self, kind: Literal["packed", "plain"], reason: str) -> ModelPath:
        """The path of the last decoder that was tried."""
        return ModelPath(kind, self.gap, reason, self._decoder, self._maps_logits)

    def attempt(self, make: Callable[[], Decoder]) -> str:
        """Tries a decoder; what is wrong with it, empty if nothing is."""
        try:
            self._decoder = make()
            gaps = [self._training_gaps(), self._sampling_gaps()]
        except torch.OutOfMemoryError:
            raise
        except ValueError as error:
            return f"it is refused: {_first_line(error)}"
        except Exception as error:  # noqa: BLE001 - whatever a model's code raises says that it cannot
            return f"it raises {type(error).__name__}: {_first_line(error)}"
        self.gap = float(torch.cat(gaps).max())
        if all(torch.quantile(part, self._share) <= self._tolerance for part in gaps):
            return ""
        return f"it differs from its own forward pass by {self.gap:.1e} nats"

    def _tried_head(self) -> tuple[nn.Module, bool]:
        """The head, and whether it is more than the output layer."""
        layer = output_layer(self._model)
        body = body_of(self._model)
        row = self._row(self._branches[0])
        states = body(input_ids=row, use_cache=False).last_hidden_state[0]
        head = LogitsMap(self._model)
        own = self._own_logits(self._branches[0]).float()
        if not torch.allclose(head(states).float(), own, rtol=1e-2, atol=1e-2):
            raise ValueError(
                f"{type(self._model).__name__} makes its logits of more than its last hidden "
                "states; expected a causal language model"
            )
        # Larger than any real state, so that a cap shows however high it is.
        large = states * 16
        is_layer = torch.equal(head(large).float(), layer(large).float())
        return (layer, False) if is_layer else (head, True)

    def _training_gaps(self) -> Tensor:
        """Differences of the tokens of both rows, read together. (A,) nats."""
        masks = [[True] * len(branch) for branch in self._branches]
        states = self._decoder.predicting_states(
            self._model, self._prefix, self._branches, masks
        )
        targets = [token for branch in self._branches for token in branch]
        logprobs = _target_logprobs(self._head(states), targets)
        return (logprobs - torch.cat(self._logprobs)).abs()

    def _sampling_gaps(self) -> Tensor:
        """Of two sequences that grow in slots as episodes do, the second from a copied prefix."""
        prefix = self._prefix
        rows = [[*prefix, *branch] for branch in self._branches]
        slots = self._decoder.slots(self._model, len(rows), max(map(len, rows)))
        gaps = [self._fed_gaps(slots, [Feed(0, 0, prefix)])]
        slots.copy(0, 1, len(prefix) - 1)

        held = [len(prefix), len(prefix) - 1]
        for sizes in FEEDS:
            feeds: list[Feed] = []
            for slot, size in enumerate(sizes):
                start = held[slot]
                held[slot] += size
                feeds.append(Feed(slot, start, rows[slot][start : held[slot]]))
            gaps.append(self._fed_gaps(slots, feeds))
        return torch.cat(gaps)

    def _fed_gaps(self, slots: Slots, feeds: Sequence[Feed]) -> Tensor:
        """Differences of the tokens that follow the feeds."""
        targets: list[int] = []
        expected: list[Tensor] = []
        for slot, start, ids in feeds:
            place = start + len(ids) - len(self._prefix)
            targets.append(self._branches[slot][place])
            expected.append(self._logprobs[slot][place])
        logprobs = _target_logprobs(self._head(slots.feed(feeds)), targets)
        return (logprobs - torch.stack(expected)).abs()


def _trial_ids(model: PreTrainedModel) -> list[list[int]]:
    """The prefix, and what follows it in two rows: ids that stand for text."""
    embeddings: Any = model.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    # Those of images and the like ask for inputs of their own.
    placeholders = {
        value
        for name, value in model.config.to_dict().items()
        if name.endswith(("token_id", "token_index")) and isinstance(value, int)
    }
    candidates = [token for token in range(rows) if token not in placeholders]
    generator = torch.Generator().manual_seed(0)
    ids: list[list[int]] = []
    for length in (PREFIX_LENGTH, *BRANCH_LENGTHS):
        places = torch.randint(len(candidates), (length,), generator=generator)
        ids.append([candidates[place] for place in places.tolist()])
    return ids


def _target_logprobs(logits: Tensor, targets: Sequence[int]) -> Tensor:
    """(A, V), A ids -> (A,), fp32 nats."""
    log_p = torch.log_softmax(logits.float(), dim=-1)
    index = torch.tensor(targets, device=logits.device).unsqueeze(1)
    return log_p.gather(1, index).squeeze(1)


@contextmanager
def _small_windows(model: PreTrainedModel) -> Iterator[None]:
    """Cuts the windows that layers see, for the model's own pass as for the others."""
    owners: list[object] = [model.config, model.config.get_text_config()]
    owners += model.modules()
    changed: list[tuple[object, str, int]] = []
    for owner in owners:
        for name in WINDOWS:
            size = getattr(owner, name, None)
            if isinstance(size, int) and size > SMALL_WINDOW:
                changed.append((owner, name, size))
                setattr(owner, name, SMALL_WINDOW)
    try:
        yield
    finally:
        for owner, name, size in changed:
            setattr(owner, name, size)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "").rstrip(".")
