"""The processes of a run on a Ray cluster: placed together, and ended together.

Ray places and watches; what is computed goes by the processes' own group, as under `accelerate
launch`. Each trainer is a process of its own below an actor, so that one that is killed takes no
state of Ray with it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandboxes.commands import CommandError
from scgrpo.cluster.connection import ADDRESS
from scgrpo.policies.engines.network import free_port

__all__ = ["Gang", "GangLostError", "Shape", "trainer_environment"]

PR_SET_PDEATHSIG = 1
TAIL = 2000


class GangLostError(CommandError):
    """A process of the gang is gone; the message says which, and with which words."""


@dataclass(frozen=True)
class Shape:
    """What a run asks of a cluster.

    | field | meaning |
    |---|---|
    | trainers | processes that train together |
    | engines | vLLM servers |
    | cpus | cores of each trainer, and of each engine |
    | trainer_gpus, engine_gpus | GPUs of each |
    | fsdp | trainers share the model's layers |
    | wait_s | longest wait for the cluster to have all of this |
    """

    trainers: int = 1
    engines: int = 0
    cpus: float = 1.0
    trainer_gpus: float = 0.0
    engine_gpus: int = 0
    fsdp: bool = False
    wait_s: float = 600.0

    @property
    def bundles(self) -> list[dict[str, float]]:
        """What each process takes: trainers first, then engines."""
        trainer = {"CPU": self.cpus, "GPU": self.trainer_gpus}
        engine = {"CPU": self.cpus, "GPU": float(self.engine_gpus)}
        bundles = [trainer] * self.trainers + [engine] * self.engines
        return [{k: v for k, v in bundle.items() if v} for bundle in bundles]


def trainer_environment(
    nodes: Sequence[str], address: str, port: int, *, fsdp: bool
) -> list[dict[str, str]]:
    """What `accelerate launch` sets for each trainer; `nodes` are where they run.

    Ranks of a node follow each other, and the first trainer is rank 0.
    """
    by_node = sorted(range(len(nodes)), key=lambda place: nodes.index(nodes[place]))
    environments: list[dict[str, str]] = []
    for place, node in enumerate(nodes):
        variables = {
            "RANK": by_node.index(place),
            "WORLD_SIZE": len(nodes),
            "LOCAL_RANK": nodes[:place].count(node),
            "LOCAL_WORLD_SIZE": nodes.count(node),
            "MASTER_ADDR": address,
            "MASTER_PORT": port,
        }
        environment = {name: str(value) for name, value in variables.items()}
        if fsdp:
            environment |= {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
        environments.append(environment)
    return environments


@dataclass
class Gang:
    """Trainers and engines in one placement group. A context manager: all end with it.

    Raises GangLostError if the cluster has no room for it in time.
    """

    shape: Shape
    _group: Any = None
    _actors: list[Any] = field(default_factory=list)

    def __enter__(self) -> Gang:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.exceptions import GetTimeoutError  # pyright: ignore[reportMissingImports]
        from ray.util.placement_group import placement_group  # pyright: ignore[reportMissingImports]

        self._group = placement_group(self.shape.bundles, strategy="PACK")
        try:
            ray.get(self._group.ready(), timeout=self.shape.wait_s)
        except GetTimeoutError as error:
            self.__exit__()
            raise GangLostError(
                f"the cluster has no room for {self.shape.bundles} within {self.shape.wait_s:g} s; "
                "it has " + str(ray.cluster_resources())
            ) from error
        return self

    def __exit__(self, *exc: object) -> None:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.util.placement_group import remove_placement_group  # pyright: ignore[reportMissingImports]

        for actor in self._actors:
            with suppress(Exception):
                ray.kill(actor)
        self._actors.clear()
        remove_placement_group(self._group)

    def engines(self, settings: Sequence[str]) -> list[str]:
        """Starts the engines for a run with these settings; where they answer."""
        first = self.shape.trainers
        places = range(first, first + self.shape.engines)
        actors = [self._actor(place, self.shape.engine_gpus) for place in places]
        return self._all([actor.serve.remote(list(settings)) for actor in actors])

    def train(self, command: Sequence[str], folder: Path) -> None:
        """Runs the command on all trainers, in `folder`, until all have ended.

        Raises GangLostError as soon as one of them fails or is lost.
        """
        import ray  # pyright: ignore[reportMissingImports]

        count = self.shape.trainers
        actors = [self._actor(place, self.shape.trainer_gpus) for place in range(count)]
        where = self._all([actor.where.remote() for actor in actors])
        address, port = where[0][1], self._all([actors[0].port.remote()])[0]
        environments = trainer_environment(
            [node for node, _ in where], address, port, fsdp=self.shape.fsdp
        )
        # By which a trainer finds its rollout workers.
        cluster = {ADDRESS: ray.get_runtime_context().gcs_address}
        pairs = zip(actors, environments, strict=True)
        waiting = [
            actor.run.remote(list(command), env | cluster, str(folder))
            for actor, env in pairs
        ]
        self._all(waiting)

    def _all(self, results: list[Any]) -> list[Any]:
        """The values of all results, as soon as one fails its error instead."""
        import ray  # pyright: ignore[reportMissingImports]
        from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

        left = list(results)
        try:
            while left:
                done, left = ray.wait(left, num_returns=1)
                ray.get(done)
            return ray.get(results)
        except RayError as error:
            cause = getattr(error, "cause", None) or error
            raise GangLostError(str(cause).strip()) from error

    def _actor(self, place: int, gpus: float) -> Any:
        import ray  # pyright: ignore[reportMissingImports]
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy  # pyright: ignore[reportMissingImports]

        strategy = PlacementGroupSchedulingStrategy(
            self._group, placement_group_bundle_index=place
        )
        options = {"num_cpus": self.shape.cpus, "num_gpus": gpus}
        remote = ray.remote(max_restarts=0, scheduling_strategy=strategy, **options)
        actor = remote(_Place).remote()
        self._actors.append(actor)
        return actor


class _Place:
    """A place on a node of the cluster, and the process that runs there."""

    def __init__(self) -> None:
        self._server: Any = None

    def where(self) -> tuple[str, str]:
        """The node's id, and its address."""
        import ray  # pyright: ignore[reportMissingImports]
        from ray.util import get_node_ip_address  # pyright: ignore[reportMissingImports]

        return ray.get_runtime_context().get_node_id(), get_node_ip_address()

    def port(self) -> int:
        """A free port of the node."""
        return free_port()

    def run(
        self, command: Sequence[str], environment: Mapping[str, str], folder: str
    ) -> None:
        """Runs a command to its end. Raises GangLostError if it fails."""
        libc = ctypes.CDLL(None)
        done = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, **environment},
            cwd=folder,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # It ends with this actor, however that ends.
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
        sys.stderr.write(done.stderr)
        if done.returncode:
            raise GangLostError(
                f"trainer {environment['RANK']} ended with {done.returncode}: "
                f"{done.stderr[-TAIL:]}"
            )

    def serve(self, settings: Sequence[str]) -> str:
        """Starts a vLLM server for a run with these settings; where it answers."""
        from scgrpo.config import TrainConfig
        from scgrpo.models.sources.folders import resolve_model
        from scgrpo.policies.engines.started import server_start, start_servers
        from scgrpo.settings import parse

        _, address = self.where()
        config = parse.read(TrainConfig, settings)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        start = server_start(
            config,
            resolve_model(config.model),
            port=self.port(),
            host=address,
            gpus=[gpu for gpu in visible.split(",") if gpu],
        )
        log = config.runs / ".engines" / f"{address}-{os.getpid()}.log"
        engine = config.engine
        (self._server,) = start_servers(
            [start], [log], start_s=engine.start_s, stall_s=engine.stall_s
        )
        return start.url
