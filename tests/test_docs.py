"""Every command of the README and of the other pages runs, in a small size."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from evals import cli
from scgrpo.models.sources.folders import resolve_model

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")),
]

SMALL: dict[str, Sequence[str]] = {
    "train": (
        *("max_steps=1", "tasks_per_step=1", "group_size=2", "warm_start.mode=never"),
        *("levels=0", "limits.turn_tokens=4", "device=cpu", "validation.tasks=2"),
    ),
    "eval": ("--tasks", "1", "--rollouts", "1", "--levels", "0"),
    "gap": ("--tasks", "2", "--levels", "0"),
    "twins": ("--tasks", "2", "--rollouts", "1"),
    "baselines": ("--no-model", "--random", "20", "--oracle", "2"),
    "envs check": ("--quick",),
    "envs attack": ("--only", "KeyboardInterrupt", "--backend", "local"),
    "sandbox soak": ("--backends", "local"),
    "bench": ("--help",),
}
"""What makes a command small; a setting of the page that it names is replaced."""

ELSEWHERE = {
    r"make (train|test|test-(all|interop|vllm)|report|bench|soak|doctor|check|setup)\b": "dry run",
    r"scgrpo (envs serve|envs grade|export openenv) ": "make test-interop",
    r".*openenv:http": "make test-interop",
    r"scgrpo (train|eval) .*(--agent |agent\.command=)": "tests/scgrpo/agents/test_others.py",
    r"scgrpo agent serve ": "tests/scgrpo/agents/test_serve.py",
    r"(pip install 'scgrpo\[agent\]'|export MSWEA_)": "make test-interop",
    r"scgrpo compare (logs|job|samples|table)": "tests/evals/comparison/test_formats.py",
    r"python examples/inspect_logs\.py": "tests/evals/comparison/test_page.py",
    r"(openenv validate|vf-validate|vf-eval|docker (build|run)) ": "make test-interop",
    r"make gpu-check": "tests/scripts/test_gpu_check.py",
    r"\. \.venv/bin/activate": "made by `make setup`",
    r"(appworld|webshop|APPWORLD_SERVERS=.*|WEBSHOP_SERVER=.*) ": "tests/envs/published/served",
    r"docker compose up ": "tests/sandboxes/test_compose.py",
    r"\.venv/bin/python -m pytest ": "this suite",
    r"accelerate launch --multi_gpu ": "tests/scgrpo/distributed/test_ranks.py",
    r"srun ": "needs Slurm; tests/scgrpo/distributed/test_ranks.py runs what it starts",
    r"scgrpo launch ": "tests/scgrpo/cluster/test_gang.py",
    r"RAY_ADDRESS=": "tests/scgrpo/cluster/test_workers.py, tests/evals/evaluation/test_workers.py",
    r"VLLM_SERVER_DEV_MODE=1 |.*engine\.kind=vllm": "make test-vllm",
    r"scgrpo envs attack vulnerable:": "tests/envs/attack/test_vulnerable.py",
    r"scgrpo court ": "tests/evals/test_court.py, on a plan of minutes instead of hours",
    r"scgrpo credit": "tests/evals/test_credit.py: an untrained model has no success to learn from",
    r"scgrpo model table": "tests/evals/test_model_table.py, a sixth of the families a day",
    r"scgrpo envs play ": "tests/envs/test_play_by_hand.py, which types the turns",
    r"python -m envs\.code\.swe_lite\.build\.main ": "tests/envs/code/swe_lite/build",
    r"scgrpo export inspect ": "tests/evals/export/test_inspect_log.py",
}
"""Commands that this module does not run, and where they are run or why they are not."""


def blocks(page: str) -> list[list[str]]:
    """The commands in each fenced block of a page, without comments, in their order."""
    text = (ROOT / page).read_text()
    result = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        words = [re.sub(r"\s+#\s.*", "", line).strip() for line in lines]
        result.append([command for command in words if command])
    return result


def commands(page: str) -> list[str]:
    """All commands of a page."""
    return [command for block in blocks(page) for command in block]


def run_here(block: Sequence[str]) -> list[str]:
    """The commands that this module runs."""
    return [
        command
        for command in block
        if not any(re.match(pattern, command) for pattern in ELSEWHERE)
    ]


FRONT_PAGE = [block for block in map(run_here, blocks("README.md")) if block]


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of one layer with the tokenizer of the default model."""
    folder = tmp_path_factory.mktemp("model") / "small"
    tokenizer = AutoTokenizer.from_pretrained(resolve_model("auto"))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(900)  # where others use the cores too
@pytest.mark.daily(1)
@pytest.mark.parametrize("block", FRONT_PAGE, ids=lambda block: block[-1])
def test_the_commands_of_a_block_of_the_front_page_run_by_themselves(
    block: list[str],
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    run_commands("README.md", block, small_model, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(900)  # where others use the cores too
@pytest.mark.daily(1)
@pytest.mark.parametrize(
    "page", [page for page in PAGES[1:] if run_here(commands(page))]
)
def test_the_commands_of_a_page_run_in_their_order(
    page: str, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here = run_here(commands(page))
    run_commands(page, here, small_model, tmp_path, monkeypatch)


def run_commands(
    page: str,
    here: Sequence[str],
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Runs commands of a page in a folder of their own; the first that fails ends the test."""
    for example in (ROOT / "examples").glob("*.py"):
        shutil.copy(example, tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    for command in here:
        words = small(command, small_model)
        code = exit_code(words)
        assert code in (0, None), (
            f"{page}: {command!r} ended with {code}; run as {shlex.join(words)}"
        )


def small(command: str, model: Path) -> list[str]:
    """The words after `scgrpo`, with what makes them small."""
    words = [word for word in shlex.split(command) if not re.match(r"[A-Z]+=", word)]
    if ">" in words:
        words = words[: words.index(">")]
    if words[:2] == ["python", "-m"]:
        words = [*_verb_of(words[2]).split(), *words[3:]]
    else:
        assert words[0] == "scgrpo", f"{command!r} is run by nothing; see ELSEWHERE"
        words = words[1:]
    words = [part for word in words for part in _paths(word)]
    verb = next(
        name for name in cli.COMMANDS if words[: len(name.split())] == name.split()
    )
    if "resume=true" in words:
        return words
    extra = list(SMALL.get(verb, ()))
    if verb == "train":
        extra.append(f"model={model}")
    keys = {word.partition("=")[0] for word in extra if "=" in word}
    return [word for word in words if word.partition("=")[0] not in keys] + extra


def _verb_of(module: str) -> str:
    return next(name for name, (path, _) in cli.COMMANDS.items() if path == module)


def _paths(word: str) -> Iterator[str]:
    """What a shell makes of a pattern of files."""
    matches = sorted(str(path) for path in Path().glob(word)) if "*" in word else []
    yield from matches or [word]


def exit_code(words: Sequence[str]) -> int | str | None:
    """How a command ends; in this process, which has loaded what most of them need."""
    if words[0] == "envs":
        # These start processes and count them, so they get a process without our threads.
        command = [sys.executable, "-m", "evals.cli", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, env=environment, timeout=250).returncode
    try:
        cli.main(words)
    except SystemExit as stop:
        return stop.code
    return 0


@pytest.mark.parametrize("page", PAGES)
def test_every_command_that_is_not_run_here_is_run_elsewhere(page: str):
    for command in commands(page):
        if not command.startswith(
            ("scgrpo ", "PYTHONPATH=examples scgrpo ", "python -m ")
        ):
            assert any(re.match(pattern, command) for pattern in ELSEWHERE), command


def test_the_tests_that_run_the_other_commands_exist():
    for place in ELSEWHERE.values():
        for path in re.findall(r"tests/[\w./]+", place):
            assert (ROOT / path.rstrip(".")).exists(), place


@pytest.mark.parametrize("page", PAGES)
def test_commands_within_a_sentence_exist(page: str):
    text = " ".join((ROOT / page).read_text().split())
    for words in re.findall(r"`scgrpo ([a-z]+(?: [a-z]+)?)", text):
        verbs = (words, words.partition(" ")[0])
        assert any(verb in cli.COMMANDS for verb in verbs), f"{page}: scgrpo {words}"
    for module in re.findall(r"`python -m ([\w.]+)", text):
        assert importlib.util.find_spec(module) is not None, f"{page}: {module}"


@pytest.mark.parametrize("page", ["README.md", "docs/environments.md"])
def test_the_gymnasium_examples_of_a_page_run(page: str):
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S
    )
    examples = [block for block in blocks if block.startswith("import gymnasium")]
    assert examples
    for example in examples:
        exec(compile(example, page, "exec"), {})


def test_every_target_of_make_that_a_page_names_exists():
    targets = set()
    for page in PAGES:
        targets |= set(re.findall(r"`?make ([a-z-]+)\b", " ".join(commands(page))))
        targets |= set(re.findall(r"`make ([a-z-]+)", (ROOT / page).read_text()))
    assert {"train", "test"} <= targets
    for target in sorted(targets):
        done = subprocess.run(
            ["make", "--dry-run", "--assume-old=.venv/.ready", target],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"make {target}: {done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_exist(page: str):
    """Paths in code marks that start with one of our folders."""
    pattern = (
        r"`((?:scgrpo|envs|evals|sandboxes|tests|examples|scripts|docs)/[\w./-]+)`"
    )
    for path in re.findall(pattern, (ROOT / page).read_text()):
        assert (ROOT / path).exists(), f"{page}: {path}"


def test_prose_is_wrapped_at_100_columns():
    for page in PAGES:
        fenced = False
        for number, line in enumerate((ROOT / page).read_text().splitlines(), 1):
            fenced ^= line.startswith("```")
            prose = not fenced and not line.startswith(("|", "```", "!["))
            assert not prose or len(line) <= 100, (
                f"{page}:{number}: {len(line)} columns"
            )


def test_the_front_page_is_short():
    assert len((ROOT / "README.md").read_text().split()) < 1200
