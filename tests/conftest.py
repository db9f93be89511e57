"""How the tests run: samples of the day, tests that share the machine, common fixtures."""

from __future__ import annotations

import fcntl
import inspect
import os
import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, suppress
from datetime import UTC, date, datetime
from typing import Any

import docker
import hypothesis
import pytest
from docker.errors import DockerException

from envs import registry
from envs.base import TextEnv
from sandboxes import SandboxConfig, SandboxError, open_pool
from sandboxes.image.images import prepare_image
from tests.daily import Day

DAY = pytest.StashKey[Day]()
MACHINE = pytest.StashKey[int]()
"""A lock that every test shares, and that a test which needs the machine alone holds alone."""
ALONE = "alone"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Says how much is tested."""
    group = parser.getgroup("how much is tested")
    group.addoption(
        "--all", action="store_true", help="everything; else a sample of large sets"
    )
    group.addoption(
        "--day", metavar="YYYY-MM-DD", help="the samples of that day, not of today's"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Fixes the day of this run; workers get the controller's, also past midnight."""
    # Several processes test at the same time, and the models are too small for more threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    config.option.day = config.option.day or str(datetime.now(UTC).date())
    try:
        config.stash[DAY] = Day(
            date.fromisoformat(config.option.day), config.option.all
        )
    except ValueError as error:
        raise pytest.UsageError(
            f"--day: {error}, expected a day such as 2026-11-28"
        ) from error
    # No deadline: how long an example takes depends on what else the machine does.
    examples = config.stash[DAY].count(25, 100)
    hypothesis.settings.register_profile("here", deadline=None, max_examples=examples)
    hypothesis.settings.load_profile("here")


def pytest_report_header(config: pytest.Config) -> str:
    """Says what is tested, and how to repeat it."""
    return f"tested: {config.stash[DAY]}" + repeat_hint(config)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Says after a failure how to repeat the same sample."""
    if terminalreporter.stats.get("failed") and (hint := repeat_hint(config)):
        terminalreporter.write_line(f"this run tested {config.stash[DAY]}{hint}")


def repeat_hint(config: pytest.Config) -> str:
    """How to repeat the sample; empty if everything is tested."""
    day = config.stash[DAY]
    return "" if day.whole else f"; to repeat it: --day {day.date}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Adds the day to a failure that depends on it."""
    report = yield
    sampled = item.get_closest_marker("daily") or "day" in getattr(
        item, "fixturenames", ()
    )
    if report.failed and sampled:
        report.sections.append(
            ("sample", f"{item.config.stash[DAY]}{repeat_hint(item.config)}")
        )
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Deselects other days' cases; slow files come first, tests that run alone last."""
    left_out = _of_other_days(config.stash[DAY], items)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        remaining = set(items) - set(left_out)
        items[:] = [item for item in items if item in remaining]
    for item in items:
        if item.get_closest_marker(ALONE):
            item.add_marker(pytest.mark.xdist_group(ALONE))
    if config.getoption("dist", "no") != "no" or hasattr(config, "workerinput"):
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(
            key=lambda item: (
                bool(item.get_closest_marker(ALONE)),
                item.path not in long,
            )
        )


def _of_other_days(day: Day, items: list[pytest.Item]) -> list[pytest.Item]:
    """Cases of tests marked `daily(count, per=...)` whose turn is another day."""
    cases: defaultdict[tuple[str, ...], list[pytest.Item]] = defaultdict(list)
    counts: dict[tuple[str, ...], int] = {}
    for item in items:
        if mark := item.get_closest_marker("daily"):
            assert isinstance(item, pytest.Function), item
            per = mark.kwargs.get("per")
            shown = repr(item.callspec.params[per]) if per else ""
            key = (item.nodeid.partition("[")[0], shown)
            cases[key].append(item)
            counts[key] = mark.args[0]
    left_out: list[pytest.Item] = []
    for key, parameters in cases.items():
        chosen = day.some(parameters, counts[key], " ".join(key))
        left_out += [item for item in parameters if item not in chosen]
    return left_out


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Gives one worker the tests that share an environment's tasks or a file's fixtures."""
    from xdist.scheduler import LoadGroupScheduling

    environment_name = re.compile(rf"[\[-]({'|'.join(registry.names())})[\]-]")

    class Scheduling(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            group = super()._split_scope(nodeid)
            if group != nodeid:
                return group
            # Each process draws an environment's tasks once, which takes seconds.
            match = environment_name.search(nodeid)
            return match[1] if match else nodeid.partition("::")[0]

    config.option.loadscopereorder = False
    return Scheduling(config, log)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, Any, Any]:
    """Lets a test that needs the machine alone wait until nothing else is tested."""
    if not hasattr(item.config, "workerinput"):
        return (yield)
    stash, alone = item.config.stash, bool(item.get_closest_marker(ALONE))
    if MACHINE not in stash:
        stash[MACHINE] = os.open(item.config.rootpath, os.O_RDONLY)
    # Has no effect from the second of several tests that run alone, which share their fixtures.
    fcntl.flock(stash[MACHINE], fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
    try:
        return (yield)
    finally:
        if not (alone and nextitem and nextitem.get_closest_marker(ALONE)):
            fcntl.flock(stash[MACHINE], fcntl.LOCK_UN)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Makes the sandboxes' image, which several processes would make at once."""
    if not session.config.getoption("numprocesses", None):
        return
    with (
        # Without an engine, or without the image, tests say so themselves.
        suppress(DockerException, OSError, SandboxError),
        closing(docker.from_env(timeout=120)) as client,
    ):
        prepare_image(client)


@pytest.fixture(scope="session")
def day(request: pytest.FixtureRequest) -> Day:
    """Which part of a large set is tested today."""
    return request.config.stash[DAY]


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[Any]:
    """One pool of real sandboxes for the whole run, of the kind that this machine offers."""
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
            env = registry.make(name).unwrapped
            assert isinstance(env, TextEnv)
            stack.callback(env.close)
            if "sandboxes" not in inspect.signature(type(env)).parameters:
                return env
            with_sandboxes = registry.make(
                name, sandboxes=request.getfixturevalue("sandboxes")
            ).unwrapped
            assert isinstance(with_sandboxes, TextEnv)
            stack.callback(with_sandboxes.close)
            return with_sandboxes

        yield make
