"""Fixtures that several packages' tests share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest

from envs import registry
from envs.base import TextEnv

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


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
            boxed = registry.make(
                name, sandboxes=request.getfixturevalue("sandboxes")
            ).unwrapped
            assert isinstance(boxed, TextEnv)
            stack.callback(boxed.close)
            return boxed

        yield make
