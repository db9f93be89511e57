"""Names to algorithms: ours by name, anybody's by module."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable

from scgrpo.algorithms.presets import ALGORITHMS, Algorithm

__all__ = ["find_algorithm"]


def find_algorithm(name: str) -> Algorithm:
    """The algorithm that `algo=name` means.

    | name | algorithm |
    |---|---|
    | `sc_grpo` | the preset of that name |
    | `module:NAME` | the `Algorithm` that the module calls NAME |

    Raises ValueError for a name that is neither, saying what is near. An error inside the author's
    module is raised as it is.
    """
    module, colon, attribute = name.partition(":")
    if colon:
        return _from_module(name, module, attribute)
    if name not in ALGORITHMS:
        raise ValueError(
            f"unknown algorithm algo={name!r}; {_hint(name, ALGORITHMS)}"
            f"known: {', '.join(sorted(ALGORITHMS))}; or module:NAME for one of your own"
        )
    return ALGORITHMS[name]


def _from_module(name: str, module: str, attribute: str) -> Algorithm:
    if not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise ValueError(
            f"got algo={name!r}, wanted module:NAME as in my_rules:MINE: a module as `import` "
            "takes it, without .py, and a name in it"
        )
    values = _contents(name, module)
    value = values.get(attribute)
    if isinstance(value, Algorithm):
        return value

    # Presets that the module imports to start from are not its own.
    presets = set(map(id, ALGORITHMS.values()))
    algorithms = {key for key, other in values.items() if isinstance(other, Algorithm)}
    own = sorted(key for key in algorithms if id(values[key]) not in presets)
    got = f"a {type(value).__name__}" if attribute in values else "nothing of that name"
    raise ValueError(
        f"algo={name!r} wants an Algorithm, got {got} in {values.get('__file__', module)}; "
        + _hint(attribute, own)
        + (
            f"it has {', '.join(own)}"
            if own
            else "make one: replace(GRPO, credit=my_rule)"
        )
    )


def _contents(name: str, module: str) -> dict[str, object]:
    """What the module defines, by name."""
    try:
        return vars(importlib.import_module(module))
    except ModuleNotFoundError as error:
        # A module that the author's own module misses is the author's error.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ValueError(
            f"module {module!r} of algo={name!r} cannot be found: "
            "is its folder on PYTHONPATH, or its package installed?"
        ) from error


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"did you mean {near[0]}? " if near else ""
