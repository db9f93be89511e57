"""The base of every environment: Gymnasium's contract outside, `tasks` and `reply` inside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import gymnasium
import numpy as np
from gymnasium.error import CustomSpaceError, ResetNeeded
from gymnasium.spaces import Text
from gymnasium.vector.utils import create_shared_memory

from envs.plain import UnstorableTypeError, plain_parts
from envs.splits import check_split
from envs.supply import TaskSource, TaskTable
from envs.thoughts import after_thought
from envs.types import Task, Verdict, as_messages

__all__ = ["AnyText", "TextEnv"]

MAX_CHARS = 1_000_000
OPTIONS = frozenset({"split", "level", "task_id"})
BOOKKEEPING = ("turn", "malformed", "live", "np_random")


class AnyText(Text):
    """All strings up to a length, the empty one included; Gymnasium's `Text` needs an alphabet.

    Samples are short, printable ASCII and a few characters that are not.
    """

    ALPHABET = "".join(map(chr, range(32, 127))) + "\n\té漢🙂"
    SAMPLE_LENGTH = 64

    def __init__(
        self,
        max_length: int = MAX_CHARS,
        *,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(max_length, min_length=0, charset=self.ALPHABET, seed=seed)

    def contains(self, x: Any) -> bool:
        """True for a string that is not too long."""
        return isinstance(x, str) and len(x) <= self.max_length

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short string. Raises ValueError for a mask, which needs a closed alphabet."""
        if mask is not None or probability is not None:
            raise ValueError(
                "AnyText has no closed alphabet, so it takes no mask or probability"
            )
        longest = min(self.max_length, self.SAMPLE_LENGTH)
        length = int(self.np_random.integers(longest + 1))
        places = self.np_random.integers(len(self.ALPHABET), size=length)
        return "".join(self.ALPHABET[place] for place in places)

    @property
    def is_np_flattenable(self) -> bool:
        """False: there is no alphabet to index."""
        return False

    def __repr__(self) -> str:
        return f"AnyText({self.max_length})"

    def __eq__(self, other: object, /) -> bool:
        return isinstance(other, AnyText) and self.max_length == other.max_length


@create_shared_memory.register(AnyText)
def _no_shared_memory(space: AnyText, n: int = 1, ctx: Any = None) -> NoReturn:
    """Makes AsyncVectorEnv refuse shared memory, from which `Text` comes back as other text."""
    raise CustomSpaceError(
        f"{space} cannot live in shared memory: pass shared_memory=False"
    )


class TextEnv(gymnasium.Env[str, str]):
    """A verified multi-turn environment; an author writes `tasks` and `reply`.

    | class attribute | meaning |
    |---|---|
    | name, version | registered as `<namespace>/<name>-v<version>` |
    | splits | `train`, `id` or `ood/<shift>`; the first is the default |
    | levels | difficulties, easiest first; the first is the default |
    | max_turns | turns until the episode is truncated |
    | instructions | system message; none if empty |

    `reset(options={"split", "level", "task_id"})` takes the named task, or draws one with
    `np_random`. Its info holds `messages` (the chat to start from) and `tools`. Every info holds
    `verified` and `score` (None until the end), `parts`, `detail`, and `malformed` (turns so far
    without a valid tool call). The reward is 1.0 for a verdict that passed, else 0.0, whatever the
    verdict's score. SandboxError passes through.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    name: ClassVar[str]
    version: ClassVar[int] = 0
    splits: ClassVar[tuple[str, ...]] = ("train", "id")
    levels: ClassVar[tuple[int, ...]] = (0,)
    max_turns: ClassVar[int] = 8
    instructions: ClassVar[str] = ""

    def __init__(self) -> None:
        for split in self.splits:
            check_split(split)
        self.action_space = AnyText()
        self.observation_space = AnyText()
        self.malformed = 0
        self._task: Task | None = None
        self._by_id: dict[tuple[str, int], dict[str, Task]] = {}
        self._turn = self._budget = 0
        self._live = False
        self._begun = False

    def tasks(self, split: str, level: int) -> Sequence[Task]:
        """The tasks of a split at a level: the same ones in every process.

        They are counted often, so many are best a `TaskSource` or a `TaskTable` of `envs.supply`,
        which know their number before they make one.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define tasks(split, level)"
        )

    def reply(self, text: str) -> str | Verdict:
        """The answer to the policy's turn on `self.task`; a Verdict ends the episode."""
        raise NotImplementedError(f"{type(self).__name__} must define reply(text)")

    def begin(self, task: Task) -> None:
        """Called as an episode starts, for example to lease a sandbox."""

    def end(self) -> None:
        """Undoes `begin`: called once after it, at the episode's end, the next reset or `close`.

        Also called if `begin` raised half-way.
        """

    def tools(self) -> Sequence[Mapping[str, Any]]:
        """OpenAI function schemas offered for `self.task`; new ones, which callers may change."""
        return ()

    def turn_budget(self, task: Task) -> int:
        """Turns until the episode is truncated."""
        return self.max_turns

    def find(self, split: str, level: int, task_id: str) -> Task | None:
        """The task of that id, None if the split and level have none."""
        by_id = self._by_id.setdefault((split, level), {})
        if task_id in by_id:
            return by_id[task_id]

        tasks = self.tasks(split, level)
        if isinstance(tasks, TaskSource | TaskTable):
            # They find a task without making all the others.
            task = tasks.find(task_id)
            if task is not None:
                by_id[task_id] = task
        elif not by_id:
            by_id |= {task.id: task for task in tasks}
        return by_id.get(task_id)

    def checks(self) -> Mapping[str, float]:
        """Sub-scores in [0, 1] of the episode so far, given as `parts` after every turn.

        For process rewards and for readers; never verification. None by default.
        """
        return {}

    def situation(self) -> Mapping[str, Any]:
        """What the next turn starts from, JSON-able: equal if the same turn does the same.

        The snapshot of `get_state`, without the counters and the random generator.
        """
        state = self.get_state()
        return {key: value for key, value in state.items() if key not in BOOKKEEPING}

    def state_hash(self) -> str:
        """A hash of `situation()`: the same one if the same turn does the same."""
        try:
            text = json.dumps(self.situation(), sort_keys=True, default=repr)
        except (TypeError, ValueError, RecursionError) as error:
            raise UnstorableTypeError(f"situation() is not JSON: {error}") from error
        return hashlib.sha256(text.encode()).hexdigest()

    def oracle(self, task: Task) -> list[str]:
        """Turns that solve the task."""
        raise NotImplementedError(f"{type(self).__name__} does not define oracle")

    def critical(self, task: Task) -> list[str]:
        """Substrings of the oracle's turns that decide the outcome."""
        raise NotImplementedError(f"{type(self).__name__} does not define critical")

    def twin(self, task: Task) -> Task:
        """The same task with one edit, so that what solves this one fails there."""
        raise NotImplementedError(f"{type(self).__name__} does not define twin")

    def chance(self, level: int) -> float:
        """Success rate of `random_turn` at every turn."""
        raise NotImplementedError(f"{type(self).__name__} does not define chance")

    def random_turn(self, rng: np.random.Generator) -> str:
        """A random but well-formed turn for the current state."""
        raise NotImplementedError(f"{type(self).__name__} does not define random_turn")

    @property
    def task(self) -> Task:
        """The current task. Raises ResetNeeded before the first reset."""
        if self._task is None:
            raise ResetNeeded("there is no task yet: call reset() first")
        return self._task

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Starts an episode. Raises ValueError for options that name no task."""
        super().reset(seed=seed)
        task = self._pick(options or {})
        self._start(task)
        # After `begin`, on whose state the tools may depend.
        return task.prompt[:MAX_CHARS], {
            "messages": as_messages(self.instructions, task.prompt),
            "tools": list(self.tools()),
            **self._info(None),
        }

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Plays one turn, of which `reply` sees what follows the thought (`envs.thoughts`).

        Raises ResetNeeded outside an episode, TypeError for other than a str.
        """
        if not isinstance(action, str):
            raise TypeError(
                f"an action must be a str, got {type(action).__name__}: {action!r:.80}"
            )
        if not self._live:
            raise ResetNeeded(
                "there is no episode to step: call reset() before the first turn"
            )

        # Off while the author's code runs: after an exception only a reset helps.
        self._live = False
        self._turn += 1
        answer = self.reply(after_thought(action))
        if isinstance(answer, Verdict):
            self._finish()
            reward = 1.0 if answer.passed else 0.0
            return answer.detail[:MAX_CHARS], reward, True, False, self._info(answer)

        if not isinstance(answer, str):
            raise UnstorableTypeError(
                f"{type(self).__name__}.reply must return str or Verdict, "
                f"got {type(answer).__name__}: {answer!r:.80}"
            )

        if self._turn >= self._budget:
            self._finish()
            spent = Verdict(passed=False, score=0.0, detail="the turn budget is spent")
            return answer[:MAX_CHARS], 0.0, False, True, self._info(spent)
        self._live = True
        return answer[:MAX_CHARS], 0.0, False, False, self._info(None)

    def close(self) -> None:
        """Ends the episode. Safe to call twice."""
        self._finish()
        super().close()

    def get_state(self) -> dict[str, Any]:
        """A snapshot of the episode as plain data, for `set_state` here or in another process.

        An author whose episodes have more state adds keys and reads them back after `super()`.
        """
        task = self.task
        return {
            "split": task.split,
            "level": task.level,
            "task_id": task.id,
            "turn": self._turn,
            "malformed": self.malformed,
            "live": self._live,
            # Each look at it gives a new dictionary, which callers may change.
            "np_random": self.np_random.bit_generator.state,
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Re-enters an episode where `get_state` left it."""
        options = {key: state[key] for key in ("split", "level", "task_id")}
        self._start(self._pick(options))
        self._turn, self.malformed = state["turn"], state["malformed"]
        self.np_random.bit_generator.state = state["np_random"]
        self._live = state["live"]

    def _pick(self, options: Mapping[str, Any]) -> Task:
        """The task that the options name, or a random one."""
        unknown = options.keys() - OPTIONS
        if unknown:
            raise ValueError(
                f"unknown reset option {min(unknown)!r}; expected split, level or task_id"
            )
        split = options.get("split", self.splits[0])
        level = options.get("level", self.levels[0])
        self._check_split_and_level(split, level)

        task_id = options.get("task_id")
        if task_id is None:
            tasks = self.tasks(split, level)
            if not tasks:
                raise ValueError(f"split {split!r} has no tasks at level {level}")
            return tasks[int(self.np_random.integers(len(tasks)))]

        # Not in other splits: a search of all of them would draw every task.
        task = self.find(split, level, task_id)
        if task is None:
            raise ValueError(
                f"task {task_id!r} is not in split {split!r} at level {level}; pass the split and "
                "level that its id begins with"
            )
        return task

    def _check_split_and_level(self, split: object, level: object) -> None:
        if split not in self.splits:
            raise ValueError(
                f"unknown split {split!r}; expected one of {', '.join(self.splits)}"
            )
        # True is no level, although it equals 1.
        if isinstance(level, bool) or level not in self.levels:
            levels = ", ".join(map(str, self.levels))
            raise ValueError(
                f"level {level!r} is out of range; expected one of {levels}"
            )

    def _start(self, task: Task) -> None:
        self._finish()
        self._task, self._turn, self.malformed = task, 0, 0
        self._begun = True
        self._budget = self.turn_budget(task)
        self.begin(task)
        self._live = True

    def _finish(self) -> None:
        self._live = False
        if self._begun:
            self._begun = False
            self.end()

    def _info(self, verdict: Verdict | None) -> dict[str, Any]:
        parts = self.checks() if verdict is None else verdict.parts
        return {
            "verified": None if verdict is None else verdict.passed,
            "score": None if verdict is None else verdict.score,
            "parts": plain_parts(parts, "parts"),
            "detail": "" if verdict is None else verdict.detail,
            "malformed": self.malformed,
        }
