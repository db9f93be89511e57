"""Engines that follow the trainer's weights, and a check that they do."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from sandboxes.commands import CommandError
from scgrpo.distributed.ranks import SINGLE_PROCESS, Ranks
from scgrpo.distributed.sharding import full_tensor, local_part, stream_weights
from scgrpo.models.decoder import transformers_model
from scgrpo.models.head import output_layer
from scgrpo.policies.engines import probe
from scgrpo.policies.engines.base import Engine
from scgrpo.policies.engines.digests import (
    adapter_digests,
    differences,
    missing_matrices,
    norm_digests,
)
from scgrpo.policies.engines.fleet import Fleet
from scgrpo.policies.engines.handover import Handover, version_folder

__all__ = ["StaleWeightsError", "WeightSync"]

NAME_LENGTH = 100


class StaleWeightsError(CommandError):
    """The engine computes with other weights than the trainer; the message says what to do."""


class _Digests(NamedTuple):
    """What the digests of an engine's workers are compared with.

    | field | meaning |
    |---|---|
    | norms | by `norm_digests` |
    | adapter | of each matrix, the keys by `adapter_digests` that it may have; empty without one |
    """

    norms: Mapping[str, str]
    adapter: Sequence[Collection[str]]


class WeightSync:
    """Hands the model's weights to engines, and compares what each engine then says of them.

    That is: digests of its workers, and its log-probabilities of a fixed text. An engine with
    others leaves the fleet; raises the error of the first if none is left. At the start draws are
    compared too, and engines that have the weights already are not handed them. Of a PeftModel the
    adapter alone is handed over.

    The main process alone hands over; the others hand it their parts of a sharded model.

    | argument | meaning |
    |---|---|
    | fleet | the engines that this process samples from |
    | handover | how they get weights; closed with this |
    | run | names the run's versions |
    | targets | the engines of all processes, on the main process; without it those of `fleet` |
    | sleeps | engines free their memory while a step learns |
    | pauses | conversations are open while weights are handed over: they wait, and go on |

    | attribute | meaning |
    |---|---|
    | version | how many times `follow` was called |
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        fleet: Fleet,
        handover: Handover,
        *,
        run: str,
        targets: Fleet | None = None,
        ranks: Ranks = SINGLE_PROCESS,
        sleeps: bool = False,
        pauses: bool = False,
    ) -> None:
        self.version = 0
        self._model, self._ranks = model, ranks
        self._fleet, self._targets = fleet, targets or fleet
        self._handover = handover
        self._run = re.sub(r"[^\w.-]", "_", run, flags=re.ASCII)[-NAME_LENGTH:]
        self._sleeps, self._pauses = sleeps, pauses
        self._is_asleep = False
        self._probe_ids = tokenizer.encode(probe.TEXT, add_special_tokens=False)

    @property
    def name(self) -> str:
        """What the version is called: by this run, since engines outlive it.

        The cache's salt too, of which vLLM takes 128 characters and no slash.
        """
        return f"{self._run}-{self.version}"

    @property
    def adapter(self) -> str:
        """The name of the adapter that the engines sample from; empty for a model."""
        is_adapter = isinstance(self._model, PeftModel)
        return version_folder(self.version) if is_adapter else ""

    def begin(self) -> None:
        """The first hand-over, unless all engines have the weights; then looks at the draws.

        Raises StaleWeightsError or `probe.OtherDistributionError`. All ranks must call it.
        """
        expected, scores = self._digests(), self._scores()
        have_weights = False
        if not isinstance(self._model, PeftModel):
            have_weights = self._ranks.broadcast_object(
                lambda: self._have_weights(expected, scores)
            )
        if have_weights:
            self._share_state(lambda: self._targets.confirm(self.name))
        else:
            self._hand_over(expected)
            self._confirm(scores)
        self._check_draws()

    def follow(self) -> None:
        """Raises the version and hands the weights over; returns when the engines have them.

        Raises as `begin` does. All ranks must call it.
        """
        expected, scores = self._digests(), self._scores()
        # Open conversations wait until the engines have the weights that the version says.
        with self._pause():
            self.version += 1
            self._hand_over(expected)
        # An engine that is paused scores nothing either.
        self._confirm(scores)

    def sleep(self) -> None:
        """Frees the engines' memory until the next hand-over, if they are to sleep."""
        if not self._sleeps or self._is_asleep:
            return
        # Weights that are handed over again need no copy; the base of adapters is not.
        keep = isinstance(self._model, PeftModel)
        if self._ranks.is_main_process:
            self._targets.check(lambda engine: engine.sleep(keep_weights=keep))
        self._is_asleep = True

    def close(self) -> None:
        """Closes the engines of all processes and the hand-over. Safe to call twice."""
        self._targets.close()
        if self._ranks.is_main_process:
            self._handover.close()

    def _have_weights(self, expected: _Digests, scores: Sequence[float]) -> bool:
        """Whether all engines have the trainer's weights already."""
        try:
            for engine in self._targets.engines:
                self._check_digests(expected, engine)
                self._check_scores(scores, engine)
        except CommandError:
            return False
        return True

    def _hand_over(self, expected: _Digests) -> None:
        """Gives the engines the model's weights, and compares their digests."""
        weights: Iterator[tuple[str, Tensor]] = iter(())
        if self._ranks.sharded or self._handover.streams:
            weights = stream_weights(self._model, self._model.dtype)
        if not self._ranks.is_main_process:
            _exhaust(weights)
        self._ranks.broadcast_object(lambda: self._push(weights, expected))
        self._is_asleep = False

    def _push(self, weights: Iterator[tuple[str, Tensor]], expected: _Digests) -> None:
        """The main process's part of a hand-over."""
        try:
            self._wake("weights")
            self._handover.push(weights, self._targets, self.version)
        finally:
            # The other ranks step through the weights as well.
            _exhaust(weights)
        self._wake("kv_cache")
        self._targets.check(partial(self._check_digests, expected))

    def _confirm(self, scores: Sequence[float]) -> None:
        """Compares the engines' log-probabilities, and calls their weights by the version."""

        def confirm() -> None:
            self._targets.check(partial(self._check_scores, scores))
            self._targets.confirm(self.name)

        self._share_state(confirm)

    def _wake(self, what: str) -> None:
        if self._is_asleep:
            self._targets.check(lambda engine: engine.wake(what))

    def _check_draws(self) -> None:
        """Raises OtherDistributionError if an engine draws from another distribution."""

        def turns() -> dict[str, list[list[int]]]:
            return {
                engine.name: probe.drawn_turns(
                    engine, self._probe_ids, salt=self.name, adapter=self.adapter
                )
                for engine in self._targets.working
            }

        # Scored by all, since each holds a part of a sharded model; they come to the same end.
        for name, ids in self._ranks.broadcast_object(turns).items():
            draws = probe.draws(self._model, self._probe_ids, ids)
            probe.check_draws(name, draws)

    def _share_state(self, work: Callable[[], None]) -> None:
        """Does `work` on the main process, and tells the others which engines work after it."""

        def result() -> list[str]:
            work()
            return [engine.name for engine in self._targets.working]

        working = self._ranks.broadcast_object(result)
        self._fleet.adopt(working, self.name)

    @contextmanager
    def _pause(self) -> Iterator[None]:
        """Engines write no token in the block, if conversations may be open.

        On no rank it begins before they have stopped: what another rank samples by older weights
        must not be called by the newer version.
        """
        if not self._pauses:
            yield
            return
        targets = self._targets
        self._ranks.broadcast_object(lambda: targets.check(lambda e: e.pause()))
        try:
            yield
        finally:
            if self._ranks.is_main_process:
                targets.check(lambda engine: engine.resume())

    def _check_digests(self, expected: _Digests, engine: Engine) -> None:
        """Raises StaleWeightsError for an engine with other weights."""
        head: Any = output_layer(self._model)
        for worker, digests in enumerate(engine.weight_digests()):
            others = differences(digests, expected.norms, head.weight)
            missing = missing_matrices(digests, expected.adapter)
            if others or missing or not digests:
                problem = (
                    f"lacks {missing} of {len(expected.adapter)} matrices of the adapter"
                    if missing
                    else f"differs in {len(others)} of {len(digests)} digests "
                    f"({', '.join(others[:3])})"
                )
                raise StaleWeightsError(
                    f"the engine {engine.name} computes with other weights than the trainer's "
                    f"version {self.version}: worker {worker} {problem}: restart the engine, and "
                    "see that it can read what is handed over"
                )

    def _check_scores(self, scores: Sequence[float], engine: Engine) -> None:
        """Raises OtherDistributionError for an engine with other log-probabilities."""
        probe.check_scores(engine, self._probe_ids, scores, adapter=self.adapter)

    def _digests(self) -> _Digests:
        """Digests of the model's norms, and of its adapter. All ranks must call it.

        The norms of a PeftModel are those of its base: the engine holds the adapter apart from it.
        """
        weights = transformers_model(self._model).named_parameters()
        norms = norm_digests(
            (name, _whole(weight)) for name, weight in weights if weight.dim() == 1
        )
        adapter: list[set[str]] = []
        for layer in self._model.modules():
            if isinstance(layer, LoraLayer):
                for name, scale in layer.scaling.items():
                    matrices: list[Any] = [layer.lora_A[name], layer.lora_B[name]]
                    first, second = (_whole(matrix.weight) for matrix in matrices)
                    # The engine scales it in its own type, which may be bfloat16.
                    scaled = [second * scale, second.to(torch.bfloat16) * scale]
                    adapter += [
                        set(adapter_digests([first])),
                        set(adapter_digests(scaled)),
                    ]
        return _Digests(norms, adapter)

    def _scores(self) -> list[float]:
        """The model's log-probabilities of the fixed text. All ranks must call it."""
        return probe.prompt_scores(self._model, self._probe_ids)


def _whole(weight: Tensor) -> Tensor:
    """A weight that may be sharded. All ranks must call it."""
    return full_tensor(weight, local_part(weight.detach()))


def _exhaust(weights: Iterator[tuple[str, Tensor]]) -> None:
    for _ in weights:
        pass
