"""Public environments by name: how each is reset, stepped and solved by its own record."""

from __future__ import annotations

import importlib
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

__all__ = ["ENVIRONMENTS", "Game", "Listed"]

Solve = Callable[[Any], Sequence[str]]


class Game(Protocol):
    """One episode after the other of an environment of theirs."""

    def reset(self, seed: int) -> str:
        """Starts an episode, and returns what the policy reads first."""
        ...

    def step(self, text: str) -> tuple[str, float, bool]:
        """Plays a turn: the reply, the reward, and whether the episode is over."""
        ...

    def solution(self) -> list[str]:
        """Turns that solve the episode that was just reset, by the environment's own record.

        Raises NotImplementedError for an environment that keeps none.
        """
        ...


@dataclass(frozen=True)
class Listed:
    """A public environment.

    | field | meaning |
    |---|---|
    | name | its library's name, a space, and its own |
    | package | on the package index |
    | make | an environment for one session |
    | highest | the largest sum of rewards of an episode |
    """

    name: str
    package: str
    make: Callable[[], Game]
    highest: float = 1.0


class Exercise:
    """A dataset of reasoning-gym: one question, one answer, scored by its own scorer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._library = importlib.import_module("reasoning_gym")

    def reset(self, seed: int) -> str:
        """The question that the dataset makes of the seed."""
        self._dataset = self._library.create_dataset(self._name, seed=seed, size=1)
        self._entry = self._dataset[0]
        return self._entry["question"]

    def step(self, text: str) -> tuple[str, float, bool]:
        """The answer's score, which ends the episode."""
        score = float(self._dataset.score_answer(text, self._entry))
        return f"score {score}", score, True

    def solution(self) -> list[str]:
        """The entry's own answer."""
        return [str(self._entry["answer"])]


class TextArenaGame:
    """A game of TextArena for one player; `solve` reads the solution from the game."""

    def __init__(self, name: str, solve: Solve) -> None:
        self._library = importlib.import_module("textarena")
        self._name, self._solve = name, solve

    def reset(self, seed: int) -> str:
        """The game of a seed."""
        # A new one: its wrapper goes on showing what earlier games showed.
        self._env = self._library.make(self._name)
        self._env.reset(num_players=1, seed=seed)
        return str(self._env.get_observation()[1])

    def step(self, text: str) -> tuple[str, float, bool]:
        """A move; the rewards come at the end."""
        done, _ = self._env.step(text)
        if not done:
            return str(self._env.get_observation()[1]), 0.0, False
        rewards, about = self._env.close()
        return str(about), float((rewards or {}).get(0, 0.0)), True

    def solution(self) -> list[str]:
        """The moves that solve the game."""
        return list(self._solve(self._env))


class GemGame:
    """A game of GEM; `solve` reads the solution from the game."""

    def __init__(self, name: str, solve: Solve) -> None:
        self._env = importlib.import_module("gem").make(name)
        self._solve = solve

    def reset(self, seed: int) -> str:
        """The game of a seed."""
        return str(self._env.reset(seed=seed)[0])

    def step(self, text: str) -> tuple[str, float, bool]:
        """A move with its reward."""
        seen, reward, ended, truncated, _ = self._env.step(text)
        return str(seen), float(reward), bool(ended or truncated)

    def solution(self) -> list[str]:
        """The moves that solve the game."""
        return list(self._solve(self._env))


class SkyrlSum:
    """A verifier of SkyRL-gym, which has no tasks of its own: a sum is asked.

    It gets the truth under the name `given`, and wants it behind the words `mark`.
    """

    def __init__(self, name: str, given: str, mark: str) -> None:
        self._name, self._given, self._mark = name, given, mark
        self._library = importlib.import_module("skyrl_gym")

    def reset(self, seed: int) -> str:
        """A sum of the seed."""
        rng = random.Random(seed)
        a, b = rng.randint(100, 999), rng.randint(100, 999)
        self._total = a + b
        question = f"What is {a} + {b}? Give the final answer after {self._mark!r}."
        extras = {self._given: {"ground_truth": str(self._total)}}
        self._env = self._library.make(self._name, extras=extras)
        self._env.init([{"role": "user", "content": question}])
        return question

    def step(self, text: str) -> tuple[str, float, bool]:
        """The verifier's word."""
        result = self._env.step(text)
        seen = " ".join(str(one["content"]) for one in result["observations"])
        return seen, float(result["reward"]), bool(result["done"])

    def solution(self) -> list[str]:
        """The total as it wants it."""
        return [f"{self._mark} {self._total}"]


def _path(game: Any) -> list[str]:
    """The shortest way over a frozen lake, by its grid."""
    state = game.state.game_state
    grid, start, goal = state["grid"], state["player_pos"], state["goal_pos"]
    steps = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}
    waiting, seen = deque([(start, [])]), {start}
    while waiting:
        (row, column), moves = waiting.popleft()
        if (row, column) == goal:
            return moves
        for word, (down, right) in steps.items():
            place = (row + down, column + right)
            inside = all(0 <= one < len(grid) for one in place)
            if inside and place not in seen and grid[place[0]][place[1]] != "H":
                seen.add(place)
                waiting.append((place, [*moves, f"[{word}]"]))
    raise ValueError("no way leads to the goal")


def _hanoi(disks: int, start: str, end: str, spare: str) -> list[tuple[str, str]]:
    """The moves of a tower from peg to peg."""
    if not disks:
        return []
    before = _hanoi(disks - 1, start, spare, end)
    return [*before, (start, end), *_hanoi(disks - 1, spare, end, start)]


def _best_button(game: Any) -> list[str]:
    """The button with the highest mean, at all trials and as the answer."""
    means = game.state.game_state["ground_truth"]
    return [f"[{max(means, key=means.get)}]"] * (game.num_turns + 1)


def _blanks(board: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Rows and columns of the empty cells of a sudoku."""
    return [
        (i, j)
        for i, row in enumerate(board)
        for j, digit in enumerate(row)
        if not digit
    ]


_LETTERS = {"S": 9, "E": 5, "N": 6, "D": 7, "M": 1, "O": 0, "R": 8, "Y": 2}

EXERCISES = (
    "chain_sum",
    "spell_backward",
    "number_sorting",
    "caesar_cipher",
    "mini_sudoku",
    "countdown",
    "family_relationships",
    "tower_of_hanoi",
)
TEXTARENA: dict[str, Solve] = {
    "GuessTheNumber-v0": lambda game: [f"[{game.game_number}]"],
    "Mastermind-v0": lambda game: [
        f"[{' '.join(map(str, game.state.game_state['secret_code']))}]"
    ],
    "FrozenLake-v0": _path,
    "Bandit-v0": _best_button,
    "TowerOfHanoi-v0": lambda game: [
        f"[{start} {end}]" for start, end in _hanoi(game.num_disks, "A", "C", "B")
    ],
    "Sudoku-v0-very-easy": lambda game: [
        f"[{i + 1} {j + 1} {game.full_grid[i][j]}]" for i, j in _blanks(game.game_board)
    ],
    "Cryptarithm-v0": lambda _: [f"[{one} {digit}]" for one, digit in _LETTERS.items()],
}
GEM: dict[str, Solve] = {
    "GuessTheNumber-v0-easy": lambda game: [f"\\boxed{{{game.game_number}}}"],
    "Mastermind-v0-easy": lambda game: [
        f"\\boxed{{{' '.join(map(str, game.game_code))}}}"
    ],
    "TowerofHanoi-v0-easy": lambda game: [
        f"\\boxed{{{start} {end}}}"
        for start, end in _hanoi(game.num_disks, "A", "C", "B")
    ],
}
SKYRL = {"gsm8k": ("reward_spec", "####"), "aime": ("reward_model", "Answer:")}


def _listed() -> Iterator[Listed]:
    for name in EXERCISES:
        yield Listed(f"reasoning-gym {name}", "reasoning-gym", partial(Exercise, name))
    for name, solve in TEXTARENA.items():
        yield Listed(
            f"TextArena {name}", "textarena", partial(TextArenaGame, name, solve)
        )
    for name, solve in GEM.items():
        make = partial(GemGame, f"game:{name}", solve)
        yield Listed(f"GEM {name}", "gem-llm", make)
    for name, words in SKYRL.items():
        yield Listed(f"SkyRL-gym {name}", "skyrl-gym", partial(SkyrlSum, name, *words))


ENVIRONMENTS = {listed.name: listed for listed in _listed()}
