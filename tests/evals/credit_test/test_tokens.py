"""Texts of tokens are those of the run's tokenizer, without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evals.credit_test.tokens import run_tokenizer, token_texts
from scgrpo.models.sources.folders import cache_folder
from scgrpo.models.tiny import make_tiny

DEFAULT = sorted(cache_folder().glob("SmolLM2*/tokenizer.json"))


@pytest.fixture(params=["tiny", "default"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run with a checkpoint, of which the tokenizer's files count."""
    folder = tmp_path / "checkpoints" / "step-000002"
    if request.param == "tiny":
        make_tiny(folder, hidden=8, layers=1, heads=1)
    elif DEFAULT:
        folder.mkdir(parents=True)
        for file in DEFAULT[0].parent.glob("*.json"):
            shutil.copy(file, folder)
    else:
        pytest.skip("the default model is not in the cache")
    return tmp_path


def test_every_token_has_the_text_that_transformers_gives_it(run: Path):
    tokenizer = run_tokenizer(run)
    assert tokenizer is not None
    text_of = token_texts(run)
    # One beyond the last: a model may have more rows than the tokenizer has tokens.
    for i in range(len(tokenizer) + 1):
        assert text_of(i) == tokenizer.decode([i], clean_up_tokenization_spaces=False)


def test_a_slow_tokenizer_is_read_by_transformers(run: Path, monkeypatch):
    class Slow:
        def decode(self, ids: list[int], **_: bool) -> str:
            return f"slow {ids}"

    (run / "checkpoints/step-000002/tokenizer.json").unlink()
    monkeypatch.setattr("evals.credit_test.tokens.run_tokenizer", lambda _: Slow())
    assert token_texts(run)(7) == "slow [7]"


def test_a_run_without_tokenizer_shows_numbers(tmp_path: Path):
    assert run_tokenizer(tmp_path) is None
    assert token_texts(tmp_path)(7) == "[7]"


def test_texts_need_no_torch(run: Path):
    script = (
        "import sys; from pathlib import Path; from evals.credit_test.tokens import token_texts; "
        "token_texts(Path(sys.argv[1]))(5); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, run], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "False\n", done.stderr
