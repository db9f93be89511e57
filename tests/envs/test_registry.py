"""Names to environments, ours and anybody's."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import threading
import tomllib
from contextlib import closing
from pathlib import Path

import gymnasium
import pytest
from gymnasium.error import NameNotFound, RegistrationError, VersionNotFound
from gymnasium.utils.env_checker import check_env

import envs
from envs import registry
from envs.base import TextEnv
from envs.rollout import play
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.toy.guess import ToyGuess
from envs.types import Task, Verdict
from scgrpo.policies.scripted import ScriptedPolicy

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES, README = ROOT / "examples", ROOT / "README.md"


@pytest.fixture(autouse=True)
def own_gymnasium_registry():
    """Leaves Gymnasium's registry and the imported modules as they were."""
    before, modules = dict(gymnasium.registry), set(sys.modules)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith(("reverse_words", "plug")):
            del sys.modules[name]


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Installs modules with entry points, as a package manager would leave them on disk."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(points: dict[str, str], **modules: str) -> None:
        info = tmp_path / f"plug{len(list(tmp_path.iterdir()))}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {info.stem}\nVersion: 1.0\n"
        )
        lines = "".join(f"{key} = {value}\n" for key, value in points.items())
        (info / "entry_points.txt").write_text(
            f"[{registry.ENTRY_POINT_GROUP}]\n{lines}"
        )
        for name, source in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))

    return install


def assert_reverse_works(env):
    check_env(env.unwrapped)
    task = env.unwrapped.tasks("train", 0)[0]
    right, wrong = (render_call("spell", letters=word) for word in ("revir", "river"))
    assert play(env, ScriptedPolicy([right]), task).verified is True
    assert play(env, ScriptedPolicy([wrong] * 4), task).verified is False


def test_names_are_our_aliases():
    assert registry.names() == [
        "code_debug",
        "code_fn",
        "math_chain",
        "math_gym",
        "math_search",
        "math_word",
        "swe_lite",
        "tool_files",
        "tool_store",
        "toy_guess",
    ]


def test_benchmarks_stand_apart_from_ours():
    assert registry.benchmark_names() == [
        "agentbench_os",
        "aime24",
        "aime24_python",
        "aime25",
        "aime25_python",
        "gsm8k",
        "gsm8k_python",
        "hmmt25",
        "hmmt25_python",
        "livecodebench",
        "livecodebench_feedback",
        "livecodebench_halves",
        "math500",
        "math500_python",
        "mbpp_plus",
        "mbpp_plus_feedback",
        "scienceworld",
        "tau_retail_solo",
        "textcraft",
    ]
    assert registry.served_names() == ["appworld", "webshop"]
    for name in [*registry.benchmark_names(), *registry.served_names()]:
        env = registry.make(name)
        assert env.unwrapped.name == name
        assert env.spec is not None
        assert env.spec.id == f"scgrpo/{name}-v0"


@pytest.mark.parametrize("name", ["toy_guess", "toy_guess-v0", "scgrpo/toy_guess"])
def test_ours_are_made_by_alias(name):
    env = registry.make(name)
    assert isinstance(env, ToyGuess)
    assert env.spec is not None
    assert env.spec.id == "scgrpo/toy_guess-v0"


def test_the_package_gives_what_an_author_and_a_user_need():
    assert envs.ToolEnv is ToolEnv
    assert envs.tool is tool
    assert envs.play is play
    assert (envs.make, envs.register) == (registry.make, registry.register)
    assert (envs.TextEnv, envs.Task, envs.Verdict) == (TextEnv, Task, Verdict)
    assert all(hasattr(envs, name) for name in envs.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = envs.nothing


def test_ours_are_in_gymnasiums_registry_and_registering_again_changes_nothing():
    registry.register_own()
    assert isinstance(gymnasium.make("scgrpo/toy_guess-v0"), ToyGuess)
    with pytest.warns(UserWarning, match="latest versioned environment"):
        assert isinstance(gymnasium.make("scgrpo/toy_guess"), ToyGuess)


GYMNASIUM_ALONE = """
import gymnasium
made = gymnasium.make("envs:scgrpo/tool_store-v0")
print(made.spec.id, sum(env_id.startswith("scgrpo/") for env_id in gymnasium.registry))
gymnasium.pprint_registry()
"""


def test_gymnasium_alone_finds_ours_by_the_name_of_the_package():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", GYMNASIUM_ALONE],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith("scgrpo/tool_store-v0 31\n"), done.stderr
    assert "===== scgrpo =====" in done.stdout


def test_gymnasium_makes_ours_as_a_vector():
    with closing(gymnasium.make_vec("scgrpo/toy_guess-v0", num_envs=4)) as vector:
        observations, infos = vector.reset(seed=5)
        assert all(text.startswith("Guess ") for text in observations)
        assert len(infos["messages"]) == 4
        _, rewards, terminated, truncated, _ = vector.step(("", "5", "no", "1"))
    assert isinstance(vector, gymnasium.vector.SyncVectorEnv)
    assert rewards.shape == terminated.shape == truncated.shape == (4,)


def test_a_constructors_argument_that_does_not_exist_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'sandbox'"):
        registry.make("toy_guess", sandbox=1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("toy_gues", "Did you mean 'toy_guess'?"),
        ("gsm8", "Did you mean 'gsm8k'?"),
        ("swelite", "Did you mean 'swe_lite'?"),
        (
            "zzz",
            r"Known: agentbench_os, aime24, .*code_fn, gsm8k, .*math_gym, .*toy_guess, webshop\.",
        ),
        ("acme/nothing", "acme/nothing"),
        ("no_such_module:acme/reverse", "module 'no_such_module' .* PYTHONPATH"),
        ("json:acme/unheard_of", "'acme/unheard_of' does not exist"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, hint):
    with pytest.raises(NameNotFound, match=hint):
        registry.make(name)


@pytest.mark.parametrize(
    "name", ["", "a b", "a:b:c", "x:", ":x", ".x:a/b", "a/b/c", "toy_guess-v", "-v0"]
)
def test_a_malformed_name_is_a_gymnasium_error(name):
    with pytest.raises(gymnasium.error.Error):
        registry.make(name)


def test_an_unknown_version_is_answered_with_the_newest():
    with pytest.raises(VersionNotFound, match="the newest is scgrpo/toy_guess-v0"):
        registry.make("toy_guess-v7")


def test_an_outside_environment_is_made_by_module(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name in (
        "reverse_words:acme/reverse",
        "reverse_words:acme/reverse-v0",
        "acme/reverse",
    ):
        assert_reverse_works(registry.make(name))


def test_an_outside_environment_is_made_by_entry_point(plugins, monkeypatch):
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text())["project"]
    monkeypatch.syspath_prepend(str(EXAMPLES))
    plugins(project["entry-points"][registry.ENTRY_POINT_GROUP])
    for _ in range(2):
        assert_reverse_works(registry.make("acme/reverse"))


def test_the_outside_environment_takes_under_thirty_lines():
    assert len((EXAMPLES / "reverse_words.py").read_text().splitlines()) < 30


def test_the_readme_shows_the_outside_environment_as_it_is():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    shown = [block for block in blocks if "class Reverse(ToolEnv)" in block]
    assert shown == [(EXAMPLES / "reverse_words.py").read_text()]


def test_a_broken_plugin_breaks_only_its_own_name(plugins, monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    plugins(
        {"broken/env": "plug_broken:Env", "acme/reverse": "reverse_words:Reverse"},
        plug_broken="raise OSError('no disk')",
    )
    assert_reverse_works(registry.make("acme/reverse"))
    with pytest.raises(OSError, match="no disk"):
        registry.make("broken/env")
    with pytest.raises(NameNotFound, match="Did you mean 'acme/reverse'"):
        registry.make("acme/revers")


def test_a_missing_import_of_the_authors_module_is_the_authors_error(plugins):
    plugins({}, plug_needy="import plug_that_is_not_there")
    with pytest.raises(ModuleNotFoundError, match="plug_that_is_not_there"):
        registry.make("plug_needy:acme/needy")


def test_an_entry_point_must_be_an_environment_of_that_name(plugins):
    plugins(
        {"acme/other": "reverse_words:Reverse", "acme/number": "math:pi"},
        reverse_words=(EXAMPLES / "reverse_words.py").read_text(),
    )
    with pytest.raises(
        RegistrationError, match="whose name is 'reverse'; they must agree"
    ):
        registry.make("acme/other")
    with pytest.raises(
        RegistrationError, match="must be a class derived from TextEnv, got 3.14"
    ):
        registry.make("acme/number")


def test_two_plugins_with_one_name_are_refused(plugins):
    plugins({"acme/env": "plug_a:Env"})
    plugins({"acme/env": "plug_b:Env"})
    with pytest.raises(RegistrationError, match="'plug_a:Env', 'plug_b:Env'"):
        registry.make("acme/env")


def test_the_id_of_another_environment_is_refused():
    class Other(TextEnv):
        name = "other"

    class Rival(TextEnv):
        name = "other"

    assert registry.register(Other, "acme") == "acme/other-v0"
    assert registry.register(Other, "acme") == "acme/other-v0"
    assert isinstance(registry.make("acme/other"), gymnasium.Env)
    with pytest.raises(RegistrationError, match="acme/other-v0 belongs to .*Other"):
        registry.register(Rival, "acme")


def test_a_stranger_in_the_place_of_ours_is_refused():
    gymnasium.registry.clear()
    gymnasium.register("scgrpo/toy_guess-v0", entry_point="somewhere:Else")
    with pytest.raises(RegistrationError, match="belongs to somewhere:Else"):
        registry.make("toy_guess")


def test_an_environment_without_a_name_is_refused():
    class Nameless(TextEnv):
        pass

    with pytest.raises(ValueError, match="Nameless needs a class attribute `name`"):
        registry.register(Nameless, "acme")


def test_many_threads_register_the_same_environment_at_once():
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    failures = []

    def one(gate):
        gate.wait()
        try:
            registry.register_own()
        except Exception as error:  # noqa: BLE001 - handed to the main thread
            failures.append(error)

    try:
        for _ in range(50):
            for env_id in [i for i in gymnasium.registry if i.startswith("scgrpo/")]:
                del gymnasium.registry[env_id]
            gate = threading.Barrier(8)
            threads = [threading.Thread(target=one, args=(gate,)) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []


def test_the_example_runs_from_a_shell():
    code = "from envs.registry import make; print(make('reverse_words:acme/reverse').reset()[0])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={"PYTHONPATH": str(EXAMPLES)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "backwards" in done.stdout, done.stderr
