"""Modules that are loaded before commands ask for them, and look as if they were not.

After `put_aside`, `sys.modules` is that of a fresh interpreter. A command's import searches as
ever, so a file of its own may stand before a module of the standard library. If the search ends at
a module that is loaded already, that one is taken, together with all that its body imports; else
its body is run, as always.

What is imported while a `Recorder` is active is recorded, so this module is loaded before all
others and imports only what is built in. Standard library only.
"""

from __future__ import annotations

import _frozen_importlib  # pyright: ignore[reportMissingImports]
import atexit
import builtins
import sys
from _frozen_importlib_external import (  # pyright: ignore[reportMissingImports]
    ExtensionFileLoader,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

__all__ = ["PRELOADED", "Recorder", "has_new_extensions", "preload", "put_aside"]

PRELOADED = (
    *("abc", "ast", "bisect", "collections", "contextlib", "copy", "dataclasses"),
    *("datetime", "decimal", "enum", "fractions", "functools", "heapq"),
    *("importlib.util", "inspect", "io", "itertools", "json", "math", "operator"),
    *("pathlib", "random", "re", "statistics", "string", "tempfile", "textwrap"),
    *("time", "traceback", "types", "typing", "unittest"),
)
"""What commands are likely to import."""

_RUNNER = "sandboxes"
"""The package of the runner, which commands do not see."""

_bootstrap: Any = _frozen_importlib
_run_body = _bootstrap._load_unlocked
_known: dict[str, ModuleType] = {}
"""All modules that are loaded before the first command."""


def preload(hidden: Collection[str]) -> None:
    """Imports what commands are likely to import, and nothing that is hidden from them."""
    for name in PRELOADED:
        if name.partition(".")[0] not in hidden:
            __import__(name)


class Recorder:
    """Records which module's body imports what, and which exit functions it registers.

    | attribute | meaning |
    |---|---|
    | imports | module -> what its body imports, in order |
    | exit_functions | module -> arguments of `atexit.register`, which is not called |
    """

    def __init__(self) -> None:
        self.imports: dict[str, list[str]] = {}
        self.exit_functions: dict[str, list[tuple[Any, ...]]] = {}
        self._bodies: list[str] = []
        self._import, self._register = builtins.__import__, atexit.register

    def __enter__(self) -> None:
        builtins.__import__ = self._record_import
        atexit.register = self._record_exit  # type: ignore[assignment]
        _bootstrap._load_unlocked = self._record_body

    def __exit__(self, *exc: object) -> None:
        builtins.__import__, atexit.register = self._import, self._register
        _bootstrap._load_unlocked = _run_body

    def _record_body(self, spec: ModuleSpec) -> ModuleType:
        self._add(spec.name)
        self.imports[spec.name] = []
        before = set(sys.modules)
        self._bodies.append(spec.name)
        try:
            module = _run_body(spec)
            # A body may also enter modules itself, by names of its own choice.
            for name in sys.modules:
                if name not in before and name not in self.imports:
                    self._add(name)
            return module
        finally:
            self._bodies.pop()

    def _record_import(
        self,
        name: str,
        names: Mapping[str, Any] | None = None,
        local_names: Mapping[str, Any] | None = None,
        items: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        module = self._import(name, names, local_names, items or (), level)
        if level and names:
            package = names["__package__"].rsplit(".", level - 1)[0]
            name = f"{package}.{name}" if name else package
        for full_name in (name, *(f"{name}.{item}" for item in items or ())):
            if full_name in sys.modules:
                self._add(full_name)
        return module

    def _add(self, name: str) -> None:
        if self._bodies:
            self.imports[self._bodies[-1]].append(name)

    def _record_exit(self, function: Any, *arguments: Any) -> Any:
        if not self._bodies:
            return self._register(function, *arguments)
        calls = self.exit_functions.setdefault(self._bodies[-1], [])
        calls.append((function, *arguments))
        return function


def put_aside(
    recorder: Recorder, modules: Collection[str], paths: Collection[str]
) -> None:
    """Makes `sys.modules` that of a fresh interpreter, and has imports take what is loaded.

    `modules` are the names in it, and `paths` those in `sys.path_importer_cache`, before any module
    of the runner but the first was loaded.
    """
    aside = {}
    for name in list(sys.modules):
        if name.partition(".")[0] == _RUNNER:
            del sys.modules[name]
        elif name not in modules:
            aside[name] = sys.modules.pop(name)
    folder = __file__.rsplit("/", 3)[0]
    for path in list(sys.path_importer_cache):
        if path not in paths or path.startswith(folder):
            del sys.path_importer_cache[path]

    _known.update(sys.modules, **aside)
    # Each program has one of its own.
    del _known["__main__"]
    # A failed import's traceback is shown without the frames of the import system's own files.
    code = _Shelf.load.__code__
    _Shelf.load.__code__ = code.replace(co_filename=_run_body.__code__.co_filename)
    _bootstrap._load_unlocked = _Shelf(aside, recorder).load


class _Shelf:
    """Loaded modules that no import has taken yet."""

    def __init__(self, modules: dict[str, ModuleType], recorder: Recorder) -> None:
        self._modules, self._exit_functions = modules, recorder.exit_functions
        self._fresh = {name: _known[name] for name in sys.modules if name in _known}
        self._search = ([*sys.meta_path], [*sys.path_hooks])
        self._library = _known["os"].__file__.rpartition("/")[0]  # type: ignore[union-attr]
        self._closures = {
            name: tuple(self._closure(name, recorder.imports)) for name in modules
        }
        self._files = {name: self._names(self._closures[name]) for name in modules}
        self._detached = {name for name in modules if self._detach(name)}

    def _closure(
        self, name: str, imports: Mapping[str, Sequence[str]]
    ) -> Iterator[str]:
        """All modules that an import would load, in the order of `sys.modules`."""
        seen = set[str]()
        waiting = [name]
        while waiting:
            module = waiting.pop()
            if module in seen or module not in self._modules:
                continue
            parent = module.rpartition(".")[0]
            if parent in self._modules and parent not in seen:
                waiting += [module, parent]
                continue
            seen.add(module)
            yield module
            waiting += reversed(imports.get(module, ()))

    def _names(self, modules: Sequence[str]) -> frozenset[str]:
        """Those of the modules that are searched for in `sys.path`."""
        specs = {name: getattr(_known[name], "__spec__", None) for name in modules}
        return frozenset(
            name
            for name, spec in specs.items()
            if "." not in name and spec is not None and spec.has_location
        )

    def _detach(self, name: str) -> bool:
        """Takes a module's name out of its package, unless the package imports it itself.

        False if the package does not have it.
        """
        parent, _, child = name.rpartition(".")
        package = _known.get(parent)
        if package is None or vars(package).get(child) is not _known[name]:
            return False
        if name not in self._closures.get(parent, ()):
            delattr(package, child)
        return True

    def load(self, spec: ModuleSpec) -> ModuleType:
        """The module that a search has led to; takes the place of the import system's function."""
        if not self._holds(spec):
            return _run_body(spec)
        for name in self._closures[spec.name]:
            if name not in sys.modules:
                self._take(name)
        return sys.modules[spec.name]

    def _take(self, name: str) -> None:
        module = self._modules.pop(name)
        sys.modules[name] = module
        if name in self._detached:
            parent, _, child = name.rpartition(".")
            setattr(sys.modules[parent], child, module)
        for arguments in self._exit_functions.get(name, ()):
            atexit.register(*arguments)

    def _holds(self, spec: ModuleSpec) -> bool:
        """Whether running the body would give what is loaded already."""
        own_spec = getattr(self._modules.get(spec.name), "__spec__", None)
        if own_spec is None or own_spec.origin != spec.origin:
            return False
        if (sys.meta_path, sys.path_hooks) != self._search:
            return False

        for name, module in self._fresh.items():
            if sys.modules.get(name) is not module:
                return False
        for name in self._closures[spec.name]:
            # A module that was taken and removed again has to be made anew.
            current = sys.modules.get(name, self._modules.get(name))
            if current is not _known[name]:
                return False
        return not self._is_shadowed(self._files[spec.name])

    def _is_shadowed(self, names: frozenset[str]) -> bool:
        """Whether the search for one of the names may end before the standard library."""
        listdir = _known["os"].listdir
        for folder in sys.path:
            if folder == self._library:
                return False
            try:
                entries = listdir(folder or ".")
            except FileNotFoundError:
                continue
            except OSError:
                return True
            if not names.isdisjoint([entry.partition(".")[0] for entry in entries]):
                return True
        return True


def has_new_extensions() -> bool:
    """Whether modules in C are loaded that were not before the first command."""
    # Not a difference of sets, which writes to all keys of both, so that their pages are copied.
    new = [name for name in sys.modules if name not in _known]
    loaders = [getattr(sys.modules[name], "__loader__", None) for name in new]
    return any(isinstance(loader, ExtensionFileLoader) for loader in loaders)
