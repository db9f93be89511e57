"""Generators of reasoning-gym, from its wheel: fetched once, pinned by hash, never vendored.

By the open-thought project, Apache-2.0. It is no dependency: importing all of it takes eleven other
packages, while the generators used here need sympy alone, which torch brings. Its own scorers are
not used: some give an echoed question full score.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType
from typing import Any

from envs.releases import Release

__all__ = ["MODULES", "RELEASES", "WHEEL", "dataset", "legs"]

WHEEL = Release(
    "reasoning-gym",
    "0.1.25",
    "reasoning_gym-0.1.25-py3-none-any.whl",
    "7f17a3eddb13c015d7d4a755ed576a061df889faf9468bcc2cca334ebe9e0435",
    reader="math_gym",
)
RELEASES = (WHEEL,)

MODULES: Mapping[str, str] = {
    "basic_arithmetic": "arithmetic.basic_arithmetic",
    "chain_sum": "arithmetic.chain_sum",
    "count_bits": "arithmetic.count_bits",
    "count_primes": "algorithmic.count_primes",
    "decimal_chain_sum": "arithmetic.decimal_chain_sum",
    "dice": "arithmetic.dice",
    "gcd": "arithmetic.gcd",
    "lcm": "arithmetic.lcm",
    "leg_counting": "arithmetic.leg_counting",
    "products": "arithmetic.products",
    "simple_equations": "algebra.simple_equations",
}
_ROOT = "reasoning_gym"
_LOCK = threading.Lock()


def dataset(name: str, **settings: Any) -> Any:
    """A generator; the item of an index is the same in every process.

    Raises ImportError: when the wheel is not cached and cannot be fetched.
    """
    return _modules()["factory"].create_dataset(name, seed=0, **settings)


def legs() -> Mapping[str, int]:
    """How many legs each animal of `leg_counting` has."""
    return _modules()[MODULES["leg_counting"]].ANIMALS


@cache
def _modules() -> Mapping[str, ModuleType]:
    """The wheel's modules. They leave no trace in `sys.modules`, where another one may be."""
    path = str(WHEEL.path())
    # factory and coaching import each other, and only this order works.
    names = ["coaching", "factory", *MODULES.values()]
    with _LOCK:
        installed = _pop_modules()
        try:
            for package in ("", ".algebra", ".algorithmic", ".arithmetic"):
                name = _ROOT + package
                sys.modules[name] = _empty_package(name, path)
            modules = {}
            for name in names:
                modules[name] = importlib.import_module(f"{_ROOT}.{name}")
            return modules
        finally:
            _pop_modules()
            sys.modules.update(installed)


def _empty_package(name: str, path: str) -> ModuleType:
    """A package without its `__init__`, which would import every generator."""
    spec = ModuleSpec(name, None, is_package=True)
    folder = name.replace(".", "/")
    spec.submodule_search_locations = [f"{path}/{folder}"]
    return module_from_spec(spec)


def _pop_modules() -> dict[str, ModuleType]:
    """Takes the package and its modules out of `sys.modules`."""
    names = [name for name in sys.modules if name.partition(".")[0] == _ROOT]
    return {name: sys.modules.pop(name) for name in names}
