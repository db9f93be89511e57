"""An environment of your own: `env=reverse_words:acme/reverse` with this folder on PYTHONPATH.

Once the folder is installed, `env=acme/reverse`: pyproject.toml names it as an entry point.
"""

from envs import Task, ToolEnv, Verdict, register, tool

WORDS = {"train": ["river", "stone", "cloud"], "id": ["light", "bread", "house"]}


class Reverse(ToolEnv):
    name = "reverse"
    max_turns = 4

    def tasks(self, split, level):
        ask = "Spell {!r} backwards.".format
        return [
            Task(f"{split}/{level}/{word}", split, level, word, ask(word))
            for word in WORDS[split]
        ]

    @tool
    def spell(self, letters: str) -> str | Verdict:
        """Hands in a spelling."""
        right = letters == self.task.family[::-1]
        return Verdict(passed=True, score=1.0) if right else "Not that. Try again."


register(Reverse, namespace="acme")
