"""Which environment, and which code of it, an episode was played with.

One digest says so everywhere: in episodes, in what an evaluation or a table of baselines may use
again, and in the cache of warm starts.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from uuid import uuid4

import gymnasium

from envs.parsing import parse

__all__ = ["Identity", "code_digest", "identity", "base_id"]

_NOT_OURS = ("builtins", "gymnasium", "typing")
_OURS = ("envs", "sandboxes", "scgrpo", "evals")
# Counts of tasks for a list, which no verdict depends on.
_NO_VERDICT = ("envs/data/catalogue.json",)
MAX_NAME = 200


@dataclass(frozen=True)
class Identity:
    """An environment: its Gymnasium id with the version, and the SHA-256 of its code.

    `env` is empty for an environment that was not made by Gymnasium; `source` is `code_digest`.
    """

    env: str
    source: str


def identity(env: gymnasium.Env[str, str]) -> Identity:
    """The identity of an environment, wrapped or not."""
    name = "" if env.spec is None else env.spec.id
    return Identity(name, code_digest(env))


def base_id(env_id: str) -> str:
    """Gymnasium's id without its version, such as `scgrpo/tool_store`; empty without one."""
    return env_id.rpartition("-v")[0]


def code_digest(env: gymnasium.Env[str, str]) -> str:
    """Hex SHA-256 of the code and data that a verdict of the environment depends on.

    | part | what of it |
    |---|---|
    | its class and bases | in a package within a package, such as `envs.code.swe_lite`, the whole |
    | | family below `envs/code`, but for `build` folders; in a top-level package the modules of |
    | | that folder; without a package the module; without a file the text of the class |
    | imports | from anywhere in the code and however deep, of this project's environments, of the |
    | | class's own distribution, and of all that is not installed |
    | data | `envs/data`; of classes from outside, files below the folder of their package, and |
    | | those that a module names by a path from its own folder |
    | installed packages | the versions of those that modules from outside this project import |
    | sandbox | all of `sandboxes/` |

    A class whose text is not known gives a digest that no other process gives.
    """
    return _source(type(env.unwrapped))


@cache
def _source(env_class: type) -> str:
    classes = [
        part for part in env_class.__mro__ if _top(part.__module__) not in _NOT_OURS
    ]
    files: dict[str, Path] = {}
    texts: list[str] = []
    for part in classes:
        modules = dict(_modules_of(part))
        files.update(modules)
        if not modules:
            texts.append(_text(part))
    imports = _Imports([part.__module__ for part in classes])
    files.update(imports.files)
    files.update(_project_files())
    texts += imports.versions()

    digest = hashlib.sha256()
    for name, path in sorted(files.items()):
        digest.update(name.encode())
        # A zero byte is in no name: it keeps name and content apart.
        digest.update(b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for text in texts:
        digest.update(b"\0" + text.encode())
    return digest.hexdigest()


def _text(part: type) -> str:
    """The code of a class whose module has no file, as in a notebook."""
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):
        return uuid4().hex


@cache
def _project_files() -> dict[str, Path]:
    """The sandbox, which runs what is judged, and the data of this project's tasks."""
    here = Path(__file__).parent
    files = dict(_below(here.parent / "sandboxes", "sandboxes"))
    files.update(_below(here / "data", "envs/data"))
    for name in _NO_VERDICT:
        files.pop(name, None)
    return files


def _modules_of(part: type) -> Iterator[tuple[str, Path]]:
    """The files that count as those of a class, each with its path from above its top package."""
    module = sys.modules.get(part.__module__)
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).is_file():
        return
    path = Path(file)
    package = getattr(module, "__package__", "")
    if not package:
        yield path.name, path
        return

    packages = package.split(".")
    if packages[0] not in _OURS:
        for name, member in _below(path.parent, "/".join(packages)):
            if member.suffix != ".py":
                yield name, member
    if len(packages) == 1:
        for sibling in path.parent.glob("*.py"):
            yield f"{package}/{sibling.name}", sibling
        return

    # `path` lies as many folders below the family's as there are packages after the first two.
    family = path.parents[len(packages) - 2]
    for name, member in _below(family, "/".join(packages[:2])):
        if member.suffix == ".py":
            yield name, member


def _below(folder: Path, name: str) -> Iterator[tuple[str, Path]]:
    """The files below a folder, with names that begin with `name`; none of caches and builds."""
    for path in folder.rglob("*"):
        inner = path.relative_to(folder)
        left_out = any(
            part in ("__pycache__", "build") or part.startswith(".")
            for part in inner.parts
        )
        if not left_out and path.is_file():
            yield f"{name}/{inner.as_posix()}", path


class _Imports:
    """Modules and what they import, from anywhere in their code and however deep.

    | attribute | meaning |
    |---|---|
    | files | a module's path from above its top package -> its file |
    | installed | top-level names that modules from outside this project import besides |
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.files: dict[str, Path] = {}
        self.installed: set[str] = set()
        self._own = _own_packages({_top(name) for name in names})
        waiting, seen = [(name, True) for name in names], set[str]()
        while waiting:
            name, in_project = waiting.pop()
            if not self._is_followed(_top(name)):
                if not in_project:
                    self.installed.add(_top(name))
            elif name not in seen:
                seen.add(name)
                path = _path_of(name)
                if path is not None:
                    in_project = _top(name) in _OURS
                    waiting += [(other, in_project) for other in self._add(name, path)]

    def versions(self) -> list[str]:
        """The installed packages with their versions."""
        if self.installed <= sys.stdlib_module_names:
            return []
        distributions = packages_distributions()
        names = {name for top in self.installed for name in distributions.get(top, ())}
        return [f"{name}=={version(name)}" for name in sorted(names)]

    def _is_followed(self, top: str) -> bool:
        if top in self._own or top in _OURS:
            return top in self._own
        place = _place_of(top)
        return place is not None and not _is_installed(place)

    def _add(self, name: str, path: Path) -> Iterator[str]:
        """Adds a module and files that it names; gives its packages and what it imports."""
        is_package = path.stem == "__init__"
        folders = name.split(".") if is_package else name.split(".")[:-1]
        self.files["/".join([*folders, path.name])] = path
        if folders:
            yield ".".join(folders)
        if path.suffix != ".py":
            return
        tree = parse(path.read_bytes())
        yield from _imported_names(tree, ".".join(folders))
        if _top(name) not in _OURS:
            for file in _named_files(tree, path.parent):
                self.files["/".join([*folders, file.name])] = file


def _imported_names(tree: ast.Module, package: str) -> Iterator[str]:
    """Names of all that a module imports, of attributes too, which may be modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            if node.level:
                name = resolve_name(name, package)
            yield name
            for alias in node.names:
                yield f"{name}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            function = node.func
            called = getattr(function, "attr", getattr(function, "id", ""))
            name = _text_of(node.args[0])
            if called in ("import_module", "__import__") and name:
                yield name.lstrip(".")


def _named_files(tree: ast.Module, folder: Path) -> Iterator[Path]:
    """Files that a module names by a path from its own folder, such as `words.txt`."""
    for node in ast.walk(tree):
        name = _text_of(node)
        if 0 < len(name) < MAX_NAME and name.isprintable():
            path = folder / name
            if path.is_file():
                yield path


def _text_of(node: ast.AST) -> str:
    """The text of a literal; empty for any other node."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def _own_packages(tops: Set[str]) -> Set[str]:
    """The top-level names that come with those of an environment's classes."""
    own = tops | {"sandboxes"}
    outside = [_place_of(top) for top in tops if top not in _OURS]
    # Of one that is not installed all is followed that is not installed either.
    if not any(place is not None and _is_installed(place) for place in outside):
        return own
    distributions = packages_distributions()
    names = {name for top in tops for name in distributions.get(top, ())}
    return own | {top for top, of in distributions.items() if names.intersection(of)}


def _path_of(name: str) -> Path | None:
    """The file of a module, imported or not; None for a name that is no module with a file."""
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        spec = _spec(name)
        file = spec.origin if spec is not None and spec.has_location else None
    return Path(file) if file is not None and Path(file).is_file() else None


def _place_of(top: str) -> Path | None:
    """The file of a top-level module, or the folder of a package without one."""
    path = _path_of(top)
    spec = _spec(top) if path is None else None
    if spec is None or not spec.submodule_search_locations:
        return path
    return Path(next(iter(spec.submodule_search_locations)))


def _spec(name: str) -> ModuleSpec | None:
    """Where a module would come from. Nothing is imported for it."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is not None:
        return spec
    top, *rest = name.split(".")
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    for count in range(len(rest)):
        folders = spec.submodule_search_locations if spec is not None else None
        if not folders:
            return None
        spec = PathFinder.find_spec(".".join([top, *rest[: count + 1]]), folders)
    return spec


def _is_installed(place: Path) -> bool:
    """Whether a file belongs to Python or to an installed package, which have versions."""
    if {"site-packages", "dist-packages"}.intersection(place.parts):
        return True
    folders = [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    return any(folder in place.parents for folder in folders)


def _top(name: str) -> str:
    return name.partition(".")[0]
