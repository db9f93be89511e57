"""Fixtures that several packages' tests share."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import gymnasium
import pytest

from envs import registry
from envs.base import TextEnv


@pytest.fixture(autouse=True)
def own_gymnasium_registry() -> Iterator[None]:
    """Leaves Gymnasium's registry, and the modules of outside environments, as they were."""
    before, modules = dict(gymnasium.registry), set(sys.modules)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith(("reverse_words", "plug")):
            del sys.modules[name]


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[Any]:
    """One pool of real sandboxes for the whole run, of the kind that this machine offers."""
    from sandboxes import SandboxConfig, SandboxError, open_pool

    with ExitStack() as stack:
        try:
            pool = stack.enter_context(open_pool(SandboxConfig(size=2)))
        except SandboxError as error:
            pytest.skip(f"no sandbox on this machine: {error}")
        yield pool


@pytest.fixture
def make_env(request: pytest.FixtureRequest) -> Iterator[Callable[[str], TextEnv]]:
    """Makes registered environments by alias, with sandboxes where they take them; closes them."""
    with ExitStack() as stack:

        def make(name: str) -> TextEnv:
            plain = registry.make(name).unwrapped
            assert isinstance(plain, TextEnv)
            stack.callback(plain.close)
            if "sandboxes" not in inspect.signature(type(plain)).parameters:
                return plain
            boxed = registry.make(name, sandboxes=request.getfixturevalue("sandboxes")).unwrapped
            assert isinstance(boxed, TextEnv)
            stack.callback(boxed.close)
            return boxed

        yield make
