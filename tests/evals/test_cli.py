"""The command `scgrpo` calls modules by words."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from envs.store import write_episodes
from envs.types import Episode, Segment, Stop, Task, Verdict
from evals.cli import COMMANDS, main
from scgrpo.models.tiny import make_tiny

ROOT = Path(__file__).resolve().parents[2]


def exit_of(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    return stop.value.code, *capsys.readouterr()


def test_every_command_is_a_module_with_a_main():
    for module, about in COMMANDS.values():
        assert callable(importlib.import_module(module).main)
        assert about


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_under_its_own_name(name, capsys):
    code, printed, errors = exit_of(capsys, *name.split(), "--help")
    assert code == 0, errors
    assert f"scgrpo {name}" in printed


def test_the_words_after_a_command_are_its_arguments(capsys):
    main(["envs", "list"])
    assert "code_fn" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "code"), [(["--help"], None), ([], 2)])
def test_help_lists_the_commands(capsys, words, code):
    if code is None:
        main(words)
        printed = capsys.readouterr().out
    else:
        got, printed, _ = exit_of(capsys, *words)
        assert got == code
    for name in COMMANDS:
        assert f"scgrpo {name}" in printed


def test_a_group_lists_its_own_commands(capsys):
    main(["sandbox", "--help"])
    printed = capsys.readouterr().out
    assert "scgrpo sandbox doctor" in printed
    assert "scgrpo train" not in printed


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["envs", "atack", "code_fn"], "did you mean 'envs attack'?"),
        (["check"], "did you mean 'envs check'?"),
        (["zzz"], "`scgrpo --help` lists them"),
    ],
)
def test_an_unknown_word_gets_a_near_one(capsys, words, hint):
    code, _, printed = exit_of(capsys, *words)
    assert code == 2
    assert printed == f"scgrpo: unknown command {' '.join(words[:2])!r}; {hint}\n"


def test_an_environment_of_the_current_folder_is_known_to_the_command(tmp_path):
    """The installed script does not have that folder on its path by itself."""
    example = ROOT / "examples" / "reverse_words.py"
    (tmp_path / "my_words.py").write_text(example.read_text())
    name = "my_words:acme/reverse"
    script = "import sys; sys.path.remove(''); from evals.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", script, "envs", "check", name, "--only", "labels"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "acme/reverse labels ok" in done.stdout


def test_importing_the_command_imports_no_other_package():
    script = (
        "import sys, evals.cli; "
        "print([name for name in ('torch', 'numpy', 'gymnasium', 'docker') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "[]\n", done.stderr


WITHOUT_TORCH = """
import contextlib, io, json, sys
from evals.cli import main

HEAVY = ("torch", "transformers", "datasets", "peft", "accelerate")
for words in json.load(sys.stdin):
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        try:
            main(words)
            code = 0
        except SystemExit as stop:
            code = stop.code
    print(json.dumps([code, errors.getvalue(), [x for x in HEAVY if x in sys.modules]]))
"""


def answers(commands, folder):
    """Exit code, standard error and heavy packages by then, after each command in one process."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_command_helps_without_torch(tmp_path):
    commands = [["--help"], *([*name.split(), "--help"] for name in COMMANDS)]
    for words, answer in zip(commands, answers(commands, tmp_path), strict=True):
        assert answer == [0, "", []], words


REFUSED = {
    "train env=nope": "environment 'nope' does not exist",
    "train env=swe_lite nope=1": "unknown setting 'nope'",
    "train max_steps=many": "max_steps: got 'many', expected",
    "train algo=nope": "unknown algorithm algo='nope'",
    "train env=toy_guess levels=77": "levels [77] are not among toy_guess's",
    "train env=toy_guess model=./nope": "there is no folder nope",
    "train resume=true name=nope": "there is no run runs/nope",
    "eval nope": "there is no run runs/nope",
    "eval --envs nope --model auto": "environment 'nope' does not exist",
    "eval --envs toy_guess --levels 77 --model MODEL": "got --levels 77",
    "eval --model ./nope": "unknown model './nope'",
    "eval --greedy --rollouts 2 --model MODEL": "expected 1 rollout",
    "eval --envs toy_guess --model MODEL --chat nope=1": "nope",
    "twins --envs nope": "environment 'nope' does not exist",
    "gap nope": "there is no run runs/nope",
    "gap --model MODEL --controls nope": "invalid choice: 'nope'",
    "gap --envs toy_guess --levels 77 --model MODEL": "got --levels 77",
    "compare nope other": "there is no run runs/nope",
    "report nope": "there is no run runs/nope",
    "show nope": "there is no run runs/nope",
    "credit nope": "there is no run runs/nope",
    "baselines --envs nope": "environment 'nope' does not exist",
    "model check ./nope": "unknown model './nope'",
    "model check auto nope=1": "unknown setting 'nope'",
    "envs list nope": "environment 'nope' does not exist",
}


def test_bad_input_is_refused_without_torch(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).touch()
    commands = [text.replace("MODEL", str(model)).split() for text in REFUSED]
    results = zip(REFUSED.items(), answers(commands, tmp_path), strict=True)
    for (command, message), (code, errors, heavy) in results:
        assert (code, heavy) == (2, []), (command, errors)
        assert message in errors, command


def test_catalogue_and_settings_are_printed_without_torch(tmp_path):
    commands = [["envs", "list"], ["settings"], ["envs", "list", "toy_guess"]]
    assert answers(commands, tmp_path) == [[0, "", []]] * 3


def test_a_run_is_shown_and_reported_without_torch(tmp_path):
    run = tmp_path / "runs" / "first"
    make_tiny(run / "checkpoints" / "step-000001", hidden=8, layers=1, heads=1)
    (run / "config.yaml").write_text("env: toy_guess\n")
    (run / "metrics.jsonl").write_text('{"step": 1, "episodes/success": 0.5}\n')
    task = Task("train/0/1-3/2", "train", 0, "1-3", "Guess 1-3.")
    turn = Segment("policy", "2", (21, 2), (-0.5, -0.1))
    solved = Episode(
        task, (), (), (Segment("prompt", "p"), turn), Stop.FINISHED, Verdict(True, 1.0)
    )
    write_episodes(run / "episodes" / "step-000001.jsonl", [solved])

    show, report = answers([["show", "first"], ["report", "first"]], tmp_path)
    assert show == [0, "", []]
    code, printed, heavy = report
    assert (code, heavy) == (0, [])
    assert "report: runs/first/evals/report.html" in printed


def test_the_project_installs_it():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["scripts"]["scgrpo"] == "evals.cli:main"
