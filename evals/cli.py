"""`scgrpo`: the one command. A verb names a module; the module is imported when it is called.

Arguments, help, messages and exit codes (see `sandboxes.commands`) are the module's own.
`python -m MODULE` is the same command.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence

from sandboxes.commands import BAD_INPUT

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("scgrpo.train", "learn from verified episodes"),
    "launch": ("scgrpo.cluster.launch", "train on a Ray cluster that may lose nodes"),
    "eval": ("evals.run", "measure a run, a model or a server on splits"),
    "compare": ("evals.compare", "is B better than A? paired by task"),
    "report": ("evals.page", "one HTML page of curves, tables and credit"),
    "show": ("evals.show", "a run in the terminal"),
    "runs": ("evals.runs", "all runs in one table: settings, success, tokens, money"),
    "credit": ("evals.credit", "does credit fall on the critical tokens?"),
    "gap": ("evals.gap", "does the model read references? success with and without"),
    "court": ("evals.court", "a declared trial of methods, with controls and seeds"),
    "twins": ("evals.twins", "minimal pairs: is a small edit of a task noticed?"),
    "baselines": ("evals.baselines", "random, oracle and base model everywhere"),
    "replay": ("evals.replay", "execute saved episodes again"),
    "export hf": ("scgrpo.export", "a checkpoint as a Hugging Face folder"),
    "export inspect": ("evals.export.inspect_log", "episodes from and to Inspect logs"),
    "export harbor": ("evals.export.harbor", "tasks in Harbor's format"),
    "export openenv": (
        "evals.export.openenv",
        "an environment as an OpenEnv package with a Dockerfile",
    ),
    "model check": (
        "scgrpo.preflight.check_model",
        "what a model can do here, and what to set for it",
    ),
    "model table": ("evals.model_table", "every family of models, tried, as a page"),
    "agent serve": (
        "scgrpo.agents.serve",
        "a model for agents of your own, whose runs become episodes",
    ),
    "settings": ("scgrpo.config", "every setting of train, as Markdown"),
    "envs list": ("envs.list", "the catalogue of environments"),
    "envs play": ("envs.play_by_hand", "play an environment by hand"),
    "envs check": ("envs.check", "prove an environment sound"),
    "envs attack": (
        "envs.attack.__main__",
        "try to steal reward from code environments",
    ),
    "envs serve": (
        "envs.interop.serve",
        "an environment for others' trainers, by OpenEnv's protocol",
    ),
    "envs grade": (
        "envs.interop.grade",
        "an OpenEnv package by its validator's named checks",
    ),
    "envs releases": (
        "envs.releases.__main__",
        "fetch the data that environments are made of",
    ),
    "sandbox doctor": ("sandboxes.doctor", "what this machine can isolate"),
    "sandbox build": ("sandboxes.image.build", "make the sandbox's image"),
    "sandbox soak": ("sandboxes.soak", "a thousand leases that leave nothing behind"),
    "bench": ("benchmarks.__main__", "speed and memory, as ratios to peers"),
}
"""The words of a command, the module whose `main(argv)` it calls, and what it does."""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command that the first words name; the words after them are its arguments."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = next((name for name in COMMANDS if _names(words, name)), None)
    if name is None:
        _help_or_refuse(words)
        return
    module, _ = COMMANDS[name]

    # As `python -m` does, so that environments and algorithms of the current folder are found.
    # By its full path, which processes that this one starts find as well.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        _refuse(f"`scgrpo {name}` runs in the root of a checkout of the repository")
    importlib.import_module(module).main(words[len(name.split()) :])


def _names(words: Sequence[str], name: str) -> bool:
    parts = name.split()
    return list(words[: len(parts)]) == parts


def _help_or_refuse(words: Sequence[str]) -> None:
    """Prints the commands, all or those of a group, or ends with a hint for a wrong word."""
    verbs = [word for word in words if not word.startswith("-")][:2]
    group = [name for name in COMMANDS if name.split()[: len(verbs)] == verbs]
    if not group:
        _refuse(f"unknown command {' '.join(verbs)!r}; {_hint(verbs)}")
    print(_help(group))
    if not {"-h", "--help"} & set(words):
        sys.exit(BAD_INPUT)


def _refuse(message: str) -> None:
    print(f"scgrpo: {message}", file=sys.stderr)
    sys.exit(BAD_INPUT)


def _hint(verbs: Sequence[str]) -> str:
    near = difflib.get_close_matches(" ".join(verbs), COMMANDS, n=1, cutoff=0.5)
    # `scgrpo check` is a likely slip for `scgrpo envs check`.
    last_words = {name.split()[-1]: name for name in COMMANDS}
    last = difflib.get_close_matches(verbs[-1], last_words, n=1)
    near = near or [last_words[word] for word in last]
    return f"did you mean {near[0]!r}?" if near else "`scgrpo --help` lists them"


def _help(names: Sequence[str]) -> str:
    lines = [f"  scgrpo {name:15} {COMMANDS[name][1]}" for name in names]
    return "\n".join(
        ["usage: scgrpo COMMAND [ARGUMENT ...]", "", *lines, "", "Each takes --help."]
    )


if __name__ == "__main__":
    main()
