"""Names to environments: ours by alias, anybody's by module or entry point."""

from __future__ import annotations

import difflib
import importlib
import threading
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.envs.registration import find_highest_version, get_env_id, parse_env_id
from gymnasium.error import NameNotFound, RegistrationError, VersionNotFound

from envs.base import TextEnv

if TYPE_CHECKING:
    # At run time it would bring the sandboxes along.
    from envs.releases import PublishedFile

__all__ = [
    "ENTRY_POINT_GROUP",
    "benchmark_files",
    "benchmark_names",
    "benchmark_path",
    "make",
    "names",
    "register",
    "register_own",
    "served_names",
]

NAMESPACE = "scgrpo"
ENTRY_POINT_GROUP = "scgrpo.envs"
OPENENV = "openenv"
MIXTURE_MARKS = ("+", "@")

_LOCK = threading.Lock()
_OWN = {
    "scgrpo/code_debug-v0": "envs.code.debug.env:CodeDebug",
    "scgrpo/code_fn-v0": "envs.code.fn.env:CodeFn",
    "scgrpo/math_chain-v0": "envs.math.chain:MathChain",
    "scgrpo/math_gym-v0": "envs.math.gym.env:MathGym",
    "scgrpo/math_search-v0": "envs.math.search:MathSearch",
    "scgrpo/math_word-v0": "envs.math.word:MathWord",
    "scgrpo/swe_lite-v0": "envs.code.swe_lite.env:SweLite",
    "scgrpo/tool_files-v0": "envs.tools.files.env:ToolFiles",
    "scgrpo/tool_store-v0": "envs.tools.store.env:ToolStore",
    "scgrpo/toy_guess-v0": "envs.toy.guess:ToyGuess",
}
# Apart: their data is others', and must be fetched before one of them can be played.
_BENCHMARKS = {
    "scgrpo/agentbench_os-v0": "envs.published.agentbench_os.env:AgentBenchOs",
    "scgrpo/aime24-v0": "envs.math.published.named:Aime24",
    "scgrpo/aime24_python-v0": "envs.math.published.named:Aime24Python",
    "scgrpo/aime25-v0": "envs.math.published.named:Aime25",
    "scgrpo/aime25_python-v0": "envs.math.published.named:Aime25Python",
    "scgrpo/gsm8k-v0": "envs.math.published.named:Gsm8k",
    "scgrpo/gsm8k_python-v0": "envs.math.published.named:Gsm8kPython",
    "scgrpo/hmmt25-v0": "envs.math.published.named:Hmmt25",
    "scgrpo/hmmt25_python-v0": "envs.math.published.named:Hmmt25Python",
    "scgrpo/livecodebench-v0": "envs.published.coding.livecodebench:LiveCodeBench",
    "scgrpo/livecodebench_feedback-v0": (
        "envs.published.coding.livecodebench:LiveCodeBenchFeedback"
    ),
    "scgrpo/livecodebench_halves-v0": (
        "envs.published.coding.livecodebench:LiveCodeBenchHalves"
    ),
    "scgrpo/math500-v0": "envs.math.published.named:Math500",
    "scgrpo/math500_python-v0": "envs.math.published.named:Math500Python",
    "scgrpo/mbpp_plus-v0": "envs.published.coding.mbpp_plus:MbppPlus",
    "scgrpo/mbpp_plus_feedback-v0": "envs.published.coding.mbpp_plus:MbppPlusFeedback",
    "scgrpo/scienceworld-v0": "envs.published.scienceworld.env:ScienceWorld",
    "scgrpo/tau_retail_solo-v0": "envs.published.tau_retail.env:TauRetailSolo",
    "scgrpo/textcraft-v0": "envs.published.textcraft.env:TextCraft",
}
# Played by a server of the user's, without which not even their tasks can be counted.
_SERVED = {
    "scgrpo/appworld-v0": "envs.published.served.appworld:AppWorld",
    "scgrpo/webshop-v0": "envs.published.served.webshop:WebShop",
}


def names() -> list[str]:
    """Aliases of our own environments, sorted."""
    return sorted({parse_env_id(env_id)[1] for env_id in _OWN})


def benchmark_names() -> list[str]:
    """Aliases of published benchmarks, sorted."""
    return sorted({parse_env_id(env_id)[1] for env_id in _BENCHMARKS})


def served_names() -> list[str]:
    """Aliases of published benchmarks that a server of the user's plays, sorted."""
    return sorted({parse_env_id(env_id)[1] for env_id in _SERVED})


def benchmark_path(name: str) -> str:
    """Module and class of a published benchmark, as `module:class`."""
    return _BENCHMARKS[f"{NAMESPACE}/{name}-v0"]


def benchmark_files(name: str) -> Sequence[PublishedFile]:
    """The files that a published benchmark reads; none if its data comes with a package."""
    module, _, class_name = benchmark_path(name).partition(":")
    return getattr(importlib.import_module(module), class_name).files()


def make(name: str, **kwargs: Any) -> gymnasium.Env[str, str]:
    """An environment by name; `kwargs` go to its constructor.

    | name | meaning |
    |---|---|
    | `swe_lite` | ours or a benchmark, newest version unless `-v<n>` is added |
    | `module:namespace/name` | imports the module, which registers it |
    | `namespace/name` | registered already, or the entry point of that key in group `scgrpo.envs` |
    | `openenv:http://HOST:PORT` | the one that an OpenEnv server plays; see `envs.interop` |
    | `swe_lite+tool_store@weight=2` | several as one, to train on; see `envs.mixtures` |

    Raises gymnasium.error.NameNotFound or VersionNotFound. An error inside the author's module or
    entry point comes through as it is.
    """
    if any(mark in name for mark in MIXTURE_MARKS):
        # Only those who use one need its code.
        from envs.mixtures.env import mixture

        return mixture(name, _make_unwrapped, **kwargs)
    module, colon, rest = name.partition(":")
    if colon and module == OPENENV:
        # Only those who use it need its code.
        from envs.interop.openenv_client import registered_id

        env_id, arguments = registered_id(rest)
        return gymnasium.make(env_id, **arguments, **kwargs)
    if colon:
        return gymnasium.make(_from_module(name, module, rest), **kwargs)
    if "/" not in name:
        name = f"{NAMESPACE}/{name}"
    if name.startswith(f"{NAMESPACE}/"):
        register_own()
        env_id = _newest(name)
        if env_id is None:
            known = [*names(), *benchmark_names(), *served_names()]
            raise _name_error(name.removeprefix(f"{NAMESPACE}/"), known)
        return gymnasium.make(env_id, **kwargs)
    return gymnasium.make(_newest(name) or _from_entry_point(name), **kwargs)


def _make_unwrapped(name: str, **kwargs: Any) -> Any:
    return make(name, **kwargs).unwrapped


def register(env_class: type[TextEnv], namespace: str) -> str:
    """Registers an author's environment with Gymnasium and returns its id.

    A second registration of the same class changes nothing. Raises
    gymnasium.error.RegistrationError if the id belongs to another.
    """
    if not getattr(env_class, "name", ""):
        raise ValueError(f"{env_class.__name__} needs a class attribute `name`")
    # Gymnasium loads a dotted path by one getattr: a nested class goes in as itself.
    nested = "." in env_class.__qualname__
    path = f"{env_class.__module__}:{env_class.__qualname__}"
    env_id = get_env_id(namespace, env_class.name, env_class.version)
    _register(env_id, env_class if nested else path)
    return env_id


def register_own() -> None:
    """Registers ours and the benchmarks, so that `gymnasium.make("scgrpo/...")` works.

    Importing `envs` does it. A second call registers again what has been removed since.
    """
    for env_id, path in (_OWN | _BENCHMARKS | _SERVED).items():
        _register(env_id, path)


def _register(env_id: str, entry_point: Any) -> None:
    with _LOCK:
        present = gymnasium.registry.get(env_id)
        if present is None:
            # Without wrappers: TextEnv enforces the order itself, and the tests run the checker.
            gymnasium.register(
                env_id,
                entry_point=entry_point,
                order_enforce=False,
                disable_env_checker=True,
            )
        elif present.entry_point != entry_point:
            raise RegistrationError(
                f"environment id {env_id} belongs to {present.entry_point} already, "
                f"so {entry_point} needs another name or version"
            )


def _from_module(name: str, module: str, rest: str) -> str:
    """The id that importing the module has registered."""
    if not all(part.isidentifier() for part in module.split(".")):
        raise NameNotFound(
            f"{name!r} must be module:namespace/name, and {module!r} is no module"
        )
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that the author's own module misses is the author's error.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise NameNotFound(
            f"module {module!r} of environment {name!r} cannot be imported: "
            "is its folder on PYTHONPATH, or its package installed?"
        ) from error

    env_id = _newest(rest)
    if env_id is None:
        namespace = rest.partition("/")[0] + "/"
        near = [known for known in gymnasium.registry if known.startswith(namespace)]
        raise _name_error(rest, near)
    return env_id


def _from_entry_point(name: str) -> str:
    """Loads the entry point of that key alone, registers what it gives, and returns the id."""
    group = entry_points(group=ENTRY_POINT_GROUP)
    values = {point.value: point for point in group if point.name == name}
    if not values:
        raise _name_error(
            name,
            [*names(), *benchmark_names(), *served_names(), *(p.name for p in group)],
        )
    if len(values) > 1:
        raise RegistrationError(
            f"environment {name!r} has several entry points: {sorted(values)}"
        )

    (point,) = values.values()
    env_class = point.load()
    if not (isinstance(env_class, type) and issubclass(env_class, TextEnv)):
        raise RegistrationError(
            f"entry point {name!r} must be a class derived from TextEnv, got {env_class!r}"
        )
    namespace, class_name = name.rsplit("/", 1)
    if env_class.name != class_name:
        raise RegistrationError(
            f"entry point {name!r} gives a class whose name is {env_class.name!r}; they must agree"
        )
    return register(env_class, namespace)


def _newest(name: str) -> str | None:
    """The registered id for a name with or without version; None if there is none."""
    # First of all: it refuses a malformed name.
    namespace, base_name, version = parse_env_id(name)
    if name in gymnasium.registry:
        return name
    newest = find_highest_version(namespace, base_name)
    if newest is None:
        return None
    newest_id = get_env_id(namespace, base_name, newest)
    if version is not None:
        raise VersionNotFound(
            f"environment {name} does not exist; the newest is {newest_id}"
        )
    return newest_id


def _name_error(name: str, candidates: Iterable[str]) -> NameNotFound:
    known = sorted(candidates)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"Known: {', '.join(known) or 'none'}."
    if near:
        hint = f"Did you mean {near[0]!r}?"
    return NameNotFound(f"environment {name!r} does not exist. {hint}")
