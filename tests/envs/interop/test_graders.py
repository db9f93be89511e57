"""The named checks of OpenEnv's validator: green on a sound package, red on a planted fault."""

from __future__ import annotations

import importlib
import json
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from envs import registry
from envs.interop.graders import GRADERS
from envs.interop.sessions import TaskCatalogue
from envs.toy.guess import ToyGuess
from envs.types import Verdict
from evals.export.openenv import write_package
from tests.envs.interop.servers import served

pytestmark = pytest.mark.filterwarnings("ignore")
ROOT = Path(__file__).resolve().parents[3]
BY_ID = {grader.check_id: grader for grader in GRADERS}


class Planted(ToyGuess):
    """A guessing game with one fault, which `fault` names."""

    name = "planted"
    fault = ""
    count = 0

    def begin(self, task):
        super().begin(task)
        Planted.count += 1

    def reply(self, text: str) -> str | Verdict:
        answer = super().reply(text)
        if self.fault == "nothing passes" and not text.strip():
            return Verdict(passed=True, score=1.0)
        if self.fault == "never passes" and isinstance(answer, Verdict):
            return Verdict(passed=False, score=0.0)
        if self.fault == "counts" and isinstance(answer, str):
            return f"{answer} ({Planted.count} episodes so far)"
        if self.fault == "moody" and isinstance(answer, Verdict):
            good = answer.passed and Planted.count % 5 == 0
            return Verdict(passed=good, score=float(good))
        return answer


registry.register(Planted, "interop")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    openenv = pytest.importorskip(
        "openenv.validation", reason="the extra `openenv` is missing"
    )
    assert openenv
    folder = tmp_path_factory.mktemp("package") / "planted"
    write_package(folder, "interop/planted")
    return folder


def subject(folder: Path, url: str | None) -> Any:
    runner = importlib.import_module("openenv.validation.runner")
    graders = importlib.import_module("openenv.validation.graders")
    signature = importlib.import_module("openenv.validation.signature")
    parser = runner.default_parser_registry().parser_for(
        signature.detect_signature(folder)
    )
    return graders.Subject(
        root=folder,
        manifest=parser.parse(folder),
        image_ref=None,
        running=None if url is None else SimpleNamespace(base_url=url),
        outputs_dir=folder / "outputs",
    )


def statuses(folder: Path, fault: str, monkeypatch) -> dict[str, str]:
    """Check id -> status, as their scheduler runs the graders."""
    from envs.interop.openenv_server import openenv_app

    scheduler = importlib.import_module("openenv.validation.runtime.scheduler")
    monkeypatch.setattr(Planted, "fault", fault)
    with served(openenv_app(TaskCatalogue("interop/planted"))) as url:
        results = scheduler.execute_graders(list(GRADERS), subject(folder, url))
    return {result.check_id: result.status.value for result in results}


def test_every_grader_is_an_entry_point_and_named_by_their_policy():
    text = (ROOT / "pyproject.toml").read_text()
    points = tomllib.loads(text)["project"]["entry-points"][
        "openenv.validation.graders"
    ]
    assert points == {
        id_.replace(".", "_"): f"envs.interop.graders:{id_.replace('.', '_')}"
        for id_ in BY_ID
    }
    module = importlib.import_module("envs.interop.graders")
    for name in points:
        assert getattr(module, name) in GRADERS
    policy = pytest.importorskip(
        "openenv.validation.policy", reason="the extra `openenv` is missing"
    )
    entries = policy.load_policy("v2").entries
    semantic = {e.check_id for e in entries if e.check_id.startswith("semantic.")}
    assert len(semantic) == 8
    assert semantic <= BY_ID.keys()
    assert BY_ID.keys() <= {entry.check_id for entry in entries}
    assert len(BY_ID) >= 16
    registry_ = importlib.import_module("openenv.validation.graders").GraderRegistry()
    for grader in GRADERS:
        registry_.register(grader)


def test_a_sound_package_is_green(package, monkeypatch):
    found = statuses(package, "", monkeypatch)
    # A guess is a number: too short to leak, and no tools are declared.
    skipped = {"semantic.no_solution_leakage", "runtime.tool_declaration_accuracy"}
    assert {id_ for id_, status in found.items() if status == "skip"} == skipped
    assert {id_ for id_, status in found.items() if status == "pass"} == (
        BY_ID.keys() - skipped
    )


@pytest.mark.parametrize(
    ("fault", "red"),
    [
        ("nothing passes", {"semantic.canary_floor", "semantic.floor_gap"}),
        ("never passes", {"semantic.oracle_max"}),
        ("counts", {"semantic.replayability", "runtime.episode_determinism"}),
        ("moody", {"semantic.verifier_determinism", "semantic.oracle_max"}),
    ],
)
def test_a_planted_fault_is_red(package, fault, red, monkeypatch):
    found = statuses(package, fault, monkeypatch)
    assert red <= {id_ for id_, status in found.items() if status == "fail"}, found


def test_a_package_s_files_are_read(package, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(package, folder)
    (folder / "Dockerfile").write_text("FROM python\n")
    (folder / "requirements.txt").write_text("numpy>=2\nrich==15.0.0\n")
    (folder / "server/app.py").unlink()
    one = subject(folder, None)
    red = {
        grader.check_id
        for grader in GRADERS
        if grader.check_id.startswith("static.")
        and grader.run(one).status.value == "fail"
    }
    assert red == {
        "static.reproducible_build",
        "static.dependency_pinning",
        "static.layout",
    }
    # Without a server nothing is measured, and nothing is called good.
    assert BY_ID["semantic.oracle_max"].run(one).status.value == "skip"
    oracle = json.loads((folder / "validation/oracle.json").read_text())
    assert oracle[0]["turns"]


def test_the_command_starts_the_package_and_fails_for_a_fault(tmp_path, capfd):
    pytest.importorskip("openenv.validation", reason="the extra `openenv` is missing")
    from envs.interop.grade import main

    folder = tmp_path / "guess"
    write_package(folder, "toy_guess", levels=(0,))
    with pytest.raises(SystemExit) as ended:
        main([str(folder)])
    out = capfd.readouterr().out
    assert ended.value.code == 0, out
    assert "pass  semantic.oracle_max" in out
    (folder / "Dockerfile").write_text("FROM python\n")
    oracle = folder / "validation/oracle.json"
    oracle.write_text('[{"split": "train", "index": 0, "turns": ["nothing"]}]')
    with pytest.raises(SystemExit) as ended:
        main([str(folder)])
    out = capfd.readouterr().out
    assert ended.value.code == 1
    assert "fail  semantic.oracle_max" in out
    assert "starts from python, of any version" in out
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path)])
    assert ended.value.code == 2
    assert "holds no openenv.yaml" in capfd.readouterr().err
