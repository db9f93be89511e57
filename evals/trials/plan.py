"""What a trial declares before it runs: cells, methods, seeds, budget and comparisons."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal

from envs import registry
from envs.identity import Identity, identity
from scgrpo.config import TrainConfig
from scgrpo.settings import parse as settings
from scgrpo.settings.keys import SettingsError

__all__ = [
    "BranchOptions",
    "Cell",
    "Panel",
    "Shard",
    "SmallModel",
    "Stage",
    "TrialPlan",
    "environment",
    "load_plan",
]

Stage = Literal["tune", "trial", "again"]
AGAIN = 1000
"""What is added to the trial's seeds for a second run."""
METHOD_VERSION = 1
"""Raised by a change of the trainer or of the panel that makes old rows incomparable."""


@dataclass(frozen=True)
class SmallModel:
    """A Llama that is taught the cells' format, and to read references, from random weights.

    | field | meaning |
    |---|---|
    | start | folder, next to the plan's, of a small model that is taught further; its shape and |
    | | tokenizer are kept, and it can copy. Empty: random weights |
    | hidden, layers, heads | its shape |
    | vocabulary | tokens of its tokenizer, which is trained on the cells' episodes |
    | copy_steps | optimizer steps that teach to copy, on random tokens |
    | episodes | random episodes of each cell to learn from |
    | steps | optimizer steps on them |
    | tasks_per_step | of each cell, without and again with a reference |
    | lr | peak learning rate |
    | seed | of weights and draws |
    """

    start: str = ""
    hidden: int = 128
    layers: int = 4
    heads: int = 4
    vocabulary: int = 1024
    copy_steps: int = 1500
    episodes: int = 2000
    steps: int = 1500
    tasks_per_step: int = 3
    lr: float = 2e-3
    seed: int = 0


@dataclass(frozen=True)
class Panel:
    """The fixed tasks that every trained model is measured on.

    | field | meaning |
    |---|---|
    | tasks | of `id` and of every `ood/<shift>`, drawn once |
    | rollouts | episodes of each task: avg@k and pass@k are of these |
    """

    tasks: int = 48
    rollouts: int = 8


@dataclass(frozen=True)
class Tuning:
    """How each method's learning rate is chosen, on seeds that the trial does not use.

    A control, named after its method as in `sc_grpo/shuffled`, has its method's.

    | field | meaning |
    |---|---|
    | lrs | the grid, the same for all methods; with one value nothing is tuned |
    | cells | where; all of the plan's if empty |
    | seeds | runs of each learning rate in each cell |
    """

    lrs: tuple[float, ...] = (3e-4,)
    cells: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (100, 101)


@dataclass(frozen=True)
class BranchOptions:
    """Groups of the starting model that are played on from before their tokens.

    | field | meaning |
    |---|---|
    | tasks | groups that are played, of `train` |
    | groups | of those, at most so many with both outcomes are branched |
    | continuations | from before each token, an even number |
    | certain | tokens that had at least this probability are not branched |
    | seeds | each draws such groups anew: a rule that was chosen on some is confirmed on others |
    """

    tasks: int = 32
    groups: int = 16
    continuations: int = 16
    certain: float = 0.98
    seeds: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class TrialPlan:
    """A trial, as its YAML file declares it.

    | field | meaning |
    |---|---|
    | title | what the trial asks |
    | model | `small`, taught as `small` says, or a model's name, warm-started in each cell |
    | small | the small model |
    | cells | environment and level, such as tool_store/0 |
    | methods | name -> settings of `scgrpo train` that make it, such as algo=grpo |
    | comparisons | declared differences, such as `sc_grpo - grpo`; Holm is over these |
    | seeds | of the trial's runs, the same for all methods |
    | tuning | of the learning rates |
    | settings | settings of every run, and of the groups that are branched |
    | training | further settings of the training runs |
    | panel | of the evaluation |
    | branches | of the truth that credit is held against |
    """

    title: str = ""
    model: str = "small"
    small: SmallModel = field(default_factory=SmallModel)
    cells: tuple[str, ...] = ()
    methods: Mapping[str, str] = field(default_factory=dict)
    comparisons: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6, 7)
    tuning: Tuning = field(default_factory=Tuning)
    settings: str = ""
    training: str = ""
    panel: Panel = field(default_factory=Panel)
    branches: BranchOptions = field(default_factory=BranchOptions)

    def __post_init__(self) -> None:
        if not self.cells or not self.methods or not self.seeds:
            raise ValueError(
                "a plan needs cells, methods and seeds, "
                f"got {len(self.cells)}, {len(self.methods)} and {len(self.seeds)}"
            )
        if shared := set(self.seeds) & set(self.tuning.seeds):
            raise ValueError(
                f"tuning.seeds {sorted(shared)} are seeds of the trial: a learning rate must be "
                "chosen on others"
            )
        for cell in self.cells:
            Cell.of(cell)
        if others := set(self.tuning.cells) - set(self.cells):
            raise ValueError(
                f"tuning.cells {sorted(others)} are not of the plan, expected some of "
                f"{', '.join(self.cells)}"
            )
        for comparison in self.comparisons:
            self.sides(comparison)
        for method in self.methods:
            # What a run refuses is refused before the first one.
            self.config(Shard(Cell.of(self.cells[0]), method, self.seeds[0]))

    def sides(self, comparison: str) -> tuple[str, str]:
        """The two methods of `a - b`. Raises ValueError for another form or unknown names."""
        sides = tuple(part.strip() for part in comparison.split(" - "))
        if len(sides) != 2 or not set(sides) <= set(self.methods):
            raise ValueError(
                f"got the comparison {comparison!r}, expected `a - b` of {', '.join(self.methods)}"
            )
        return sides

    def shards(self, stage: Stage = "trial") -> Iterator[Shard]:
        """All runs of a stage: every method of a cell before the next seed, cell by cell.

        So a trial that is cut off has whole comparisons with fewer seeds.
        """
        if stage == "tune":
            tuned = dict.fromkeys(map(self.tuning_method, self.methods))
            for seed in self.tuning.seeds:
                for name in self.tuning_cells:
                    for method in tuned:
                        for lr in self.tuning.lrs:
                            yield Shard(Cell.of(name), method, seed, lr, "tune")
            return
        for seed in self.seeds:
            for name in self.cells:
                for method in self.methods:
                    yield Shard(Cell.of(name), method, seed, None, stage)

    @property
    def tuning_cells(self) -> tuple[str, ...]:
        """The cells whose runs choose the learning rates."""
        return self.tuning.cells or self.cells

    def tuning_method(self, method: str) -> str:
        """The method whose tuning gives this one's learning rate."""
        base = method.partition("/")[0]
        return base if base in self.methods else method

    def again(self, cell: Cell, method: str) -> Iterator[Shard]:
        """A second run of a cell's method, with as many new seeds."""
        if str(cell) not in self.cells or method not in self.methods:
            raise ValueError(
                f"got {cell} {method}, expected one of {', '.join(self.cells)} and of "
                f"{', '.join(self.methods)}"
            )
        for seed in self.seeds:
            yield Shard(cell, method, AGAIN + seed, None, "again")

    def config(self, shard: Shard) -> TrainConfig:
        """The settings of a shard's run, but for its model and its folder."""
        return settings.read(TrainConfig, self._words(shard))

    def digest(self, shard: Shard) -> str:
        """What the plan declares of a run: rows of another digest are not this plan's.

        It holds the settings that the plan names, not those it leaves to their defaults, and the
        environment's version, not its code: rows outlive commits that change neither. What made a
        row is in the row: commit, code and versions.
        """
        values = settings.flat(self.config(shard))
        names = [word.partition("=")[0] for word in self._words(shard)]
        declared = {name: values[name] for name in names}
        return self._digest(shard.cell, asdict(self.panel), declared)

    def branch_digest(self, cell: Cell) -> str:
        """What the plan declares of a cell's branches: as `digest`, of all methods."""
        options = replace(self.branches, seeds=())
        return self._digest(cell, asdict(options), self.settings, dict(self.methods))

    def start_digest(self, cell: Cell) -> str:
        """What the plan declares of a cell's starting model, and of how it plays: as `digest`."""
        return self._digest(cell, self.settings)

    def _digest(self, cell: Cell, *parts: object) -> str:
        start = asdict(self.small) if self.model == "small" else {}
        # Not in the digest of the first rows, whose models were taught from random weights.
        if not self.small.start:
            start.pop("start", None)
        cells = self.cells if self.model == "small" else ()
        env = environment(cell.env).env
        whole = [METHOD_VERSION, self.model, start, cells, env, cell.level, *parts]
        text = json.dumps(whole, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _words(self, shard: Shard) -> list[str]:
        words = [
            *self.settings.split(),
            *self.training.split(),
            *self.methods[shard.method].split(),
            f"env={shard.cell.env}",
            f"levels={shard.cell.level}",
            f"seed={shard.seed}",
            "warm_start.mode=never",
        ]
        if shard.lr is not None:
            words.append(f"lr={shard.lr}")
        return words


@dataclass(frozen=True)
class Cell:
    """An environment at a level."""

    env: str
    level: int

    @classmethod
    def of(cls, text: str) -> Cell:
        """The cell that `env/level` names. Raises ValueError for another form."""
        env, slash, level = text.rpartition("/")
        if not slash or not level.isdecimal():
            raise ValueError(
                f"got the cell {text!r}, expected one such as tool_store/0"
            )
        return cls(env, int(level))

    def __str__(self) -> str:
        return f"{self.env}/{self.level}"


@dataclass(frozen=True)
class Shard:
    """One run of the trial, and the measurement of what it learned.

    | field | meaning |
    |---|---|
    | lr | its learning rate; None takes the plan's, or the tuned one |
    | stage | `tune`, `trial`, or `again`: a second run of a cell that was drawn at random |
    """

    cell: Cell
    method: str
    seed: int
    lr: float | None = None
    stage: Stage = "trial"

    def __str__(self) -> str:
        name = f"{self.stage} {self.cell} {self.method} seed {self.seed}"
        return name if self.lr is None else f"{name} lr {self.lr:g}"

    @property
    def folder(self) -> str:
        """A plain name of its run."""
        return str(self).replace("/", "-").replace(" ", "_")


@cache
def environment(name: str) -> Identity:
    """Which version of an environment, and which code of it, runs are of."""
    with closing(registry.make(name)) as env:
        return identity(env)


def load_plan(path: Path) -> TrialPlan:
    """The plan in a YAML file. Raises ValueError for what cannot run, naming the file."""
    try:
        return settings.load(TrialPlan, path)
    except SettingsError:
        raise
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
