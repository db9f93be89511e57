"""An environment outside the project: spell a word backwards, four tries.

`make("reverse_words:acme/reverse")` with this folder on PYTHONPATH, or `make("acme/reverse")`
once the pyproject.toml beside this file is installed, which names it as an entry point.
"""

from envs.base import TextEnv
from envs.registry import register
from envs.types import Task, Verdict

WORDS = {"train": ["river", "stone", "cloud"], "id": ["light", "bread", "house"]}


class Reverse(TextEnv):
    name = "reverse"
    max_turns = 4

    def tasks(self, split, level):
        ask = "Spell {!r} backwards.".format
        return [
            Task(f"{split}/{level}/{w}", split, level, w, ask(w)) for w in WORDS[split]
        ]

    def reply(self, text):
        right = text.strip() == self.task.family[::-1]
        return Verdict(passed=True, score=1.0) if right else "Not that. Try again."


register(Reverse, namespace="acme")
