"""The page of the worked comparison says what its commands print."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from evals.compare import main

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.daily(0)
@pytest.mark.timeout(900)  # where others use the cores too
def test_the_page_shows_what_its_commands_print(tmp_path, capsys, monkeypatch):
    pytest.importorskip("inspect_ai", reason="the extra `inspect` is not installed")
    page = (ROOT / "docs/compare.md").read_text()
    example, compare = re.search(r"```bash\n(.*?)```", page, re.DOTALL)[1].splitlines()
    assert example.startswith("python examples/inspect_logs.py ")
    subprocess.run(
        [sys.executable, str(ROOT / "examples/inspect_logs.py")],
        cwd=tmp_path,
        check=True,
        timeout=600,
    )
    monkeypatch.chdir(tmp_path)
    words = compare.split()
    assert words[:2] == ["scgrpo", "compare"]
    main(words[2:])
    printed = capsys.readouterr().out
    shown = re.search(r"```text\n(.*?)```", page, re.DOTALL)[1]
    for line in shown.splitlines():
        assert line.split() == [] or line.split() in [
            other.split() for other in printed.splitlines()
        ], line

    (path,) = (tmp_path / "logs/carries").parent.rglob("comparisons/*.json")
    sources = json.loads(path.read_text())["sources"]
    assert len(sources) == 2
    for log, digest in sources.items():
        assert hashlib.sha256(Path(log).read_bytes()).hexdigest() == digest
