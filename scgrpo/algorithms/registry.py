"""Names and settings to algorithms: ours by name, anybody's by module."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

from scgrpo.algorithms.names import check_name, near_name
from scgrpo.algorithms.presets import ALGORITHMS, Algorithm
from scgrpo.config import TrainConfig
from scgrpo.credit.options import CreditOptions, ReferenceLimits
from scgrpo.credit.rule import read_options, reads_references

__all__ = ["algorithm_of", "find_algorithm"]


def find_algorithm(name: str) -> Algorithm:
    """The algorithm that `algo=name` means.

    | name | algorithm |
    |---|---|
    | `sc_grpo` | the preset of that name |
    | `module:NAME` | the `Algorithm` that the module calls NAME |

    Raises ValueError for a name that is neither, saying what is near. An error inside the author's
    module is raised as it is.
    """
    check_name(name)
    if ":" not in name:
        return ALGORITHMS[name]
    module, _, attribute = name.partition(":")
    return _from_module(name, module, attribute)


def algorithm_of(config: TrainConfig) -> Algorithm:
    """The algorithm that `algo` names, with the run's credit options over its own.

    Raises ValueError for an unknown name, and for settings that the algorithm would ignore.
    """
    algorithm = _with_credit_options(find_algorithm(config.algo), config)
    distill = algorithm.distill
    needs_model = distill is not None and distill.teacher == "model"
    if needs_model and not config.teacher:
        raise ValueError(
            f"algo={config.algo} learns from another model: give teacher=MODEL"
        )
    if config.teacher and not needs_model:
        raise ValueError(
            f"teacher={config.teacher} has no effect with algo={config.algo}; use algo=opd"
        )

    shows_episode = distill is not None and not needs_model
    shows_episode = shows_episode or reads_references(algorithm.credit)
    if not shows_episode and config.reference != ReferenceLimits():
        raise ValueError(
            f"reference.* has no effect with algo={config.algo}, whose teacher is shown nothing; "
            "use algo=sc_grpo"
        )
    return algorithm


def _with_credit_options(algorithm: Algorithm, config: TrainConfig) -> Algorithm:
    """The algorithm with those of the run's credit options that are not the defaults."""
    defaults = vars(CreditOptions())
    options = vars(config.credit)
    changed = {key: options[key] for key in options if options[key] != defaults[key]}
    if not changed:
        return algorithm
    read = read_options(algorithm.credit)
    if not read:
        raise ValueError(
            f"credit.* has no effect with algo={config.algo}; use algo=sc_grpo"
        )
    unread = [f"credit.{key}" for key in changed if key not in read]
    if unread:
        known = ", ".join(f"credit.{key}" for key in sorted(read))
        raise ValueError(
            f"{', '.join(unread)} has no effect with algo={config.algo}, which reads {known}"
        )

    # An author's own options stay where the run's settings say nothing.
    rule: Any = algorithm.credit
    merged = replace(rule.options, **changed)
    return replace(algorithm, credit=replace(rule, options=merged))


def _from_module(name: str, module: str, attribute: str) -> Algorithm:
    values = _module_contents(name, module)
    value = values.get(attribute)
    if isinstance(value, Algorithm):
        return value

    # Presets that the module imports to start from are not its own.
    presets = set(map(id, ALGORITHMS.values()))
    own: list[str] = []
    for key, candidate in sorted(values.items()):
        if isinstance(candidate, Algorithm) and id(candidate) not in presets:
            own.append(key)
    got = f"a {type(value).__name__}" if attribute in values else "nothing of that name"
    file = values.get("__file__", module)
    if own:
        advice = f"{near_name(attribute, own)}it has {', '.join(own)}"
    else:
        advice = "make one: replace(GRPO, credit=my_rule)"
    raise ValueError(
        f"algo={name!r}: expected an Algorithm, got {got} in {file}; {advice}"
    )


def _module_contents(name: str, module: str) -> dict[str, object]:
    """What the module defines, by name."""
    try:
        return vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        # A module that the author's own module misses is the author's error.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"module {module!r} of algo={name!r} cannot be imported: "
            "is its folder on PYTHONPATH, or its package installed?"
        ) from error
