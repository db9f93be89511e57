"""The image, and the base that is made where no registry answers."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.errors import ImageNotFound

from sandboxes import SandboxError
from sandboxes.image import base_image, images, prepare_image
from sandboxes.inside.settings import START, Settings
from sandboxes.limits import compose_limits


@pytest.fixture(scope="module")
def base() -> dict[str, tarfile.TarInfo]:
    """Members of the base's archive by their path."""
    with tarfile.open(fileobj=io.BytesIO(base_image.base_archive())) as archive:
        return {member.name: member for member in archive}


def test_the_base_holds_python_its_loader_and_no_other_program(base):
    programs = [
        Path(name).name
        for name, member in base.items()
        if member.isfile()
        and member.mode & 0o111
        and ".so" not in name
        and "/python3." not in name
    ]
    programs += [name for name in base if "/bin/" in name and base[name].isfile()]
    assert {Path(name).name for name in programs} == {
        Path(sys.executable).resolve().name
    }
    assert any("ld-linux" in name for name in base)
    assert base["usr/bin/python3"].issym() or base["usr/bin/python3"].isfile()


def test_the_image_starts_the_runner_in_the_environment_of_commands():
    text = (Path(images.__file__).parent / "Dockerfile").read_text()
    words = text.replace("\\\n", " ").split()
    environment = Settings.of(compose_limits().runner).environment
    for name, value in environment.items():
        assert f"{name}={value}" in words
    entry = re.search(r"^ENTRYPOINT (.*)$", text, re.MULTILINE)
    assert entry is not None
    assert json.loads(entry[1]) == ["python3", "-c", START]


def test_the_base_belongs_to_root_and_changes_nobodys_user(base):
    assert {member.uid for member in base.values()} == {0}
    assert not any(member.mode & 0o6000 for member in base.values())
    writable = [m.name for m in base.values() if not m.issym() and m.mode & 0o022]
    assert writable == ["tmp"]


def test_the_base_has_the_library_and_not_its_own_tests(base):
    assert any(name.endswith("/unittest/case.py") for name in base)
    for folder in ("/test/", "/site-packages/", "/ensurepip/", "/idlelib/"):
        assert not any(folder in name for name in base), folder


def test_the_base_has_the_locale_of_its_environment_and_each_time_zone_once(base):
    if not any(base_image.locale_files()) or not any(base_image.time_zone_files()):
        pytest.skip(
            "this machine has none to take along; `scgrpo sandbox doctor` says so"
        )
    assert any(
        re.fullmatch(r"usr/lib/locale/C\.(utf8|UTF-8)/LC_CTYPE", name) for name in base
    )
    assert base["usr/share/zoneinfo/Europe/Berlin"].size > 500
    assert "usr/share/zoneinfo/tzdata.zi" in base
    assert not any(name.startswith("usr/share/zoneinfo/posix/") for name in base)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the image's inputs that may be changed."""
    for name in images.INPUTS:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(images.CONTEXT / name, path)
    monkeypatch.setattr(images, "CONTEXT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["image/Dockerfile", "inside/hidden_modules.txt", "inside/runner.py"]
)
def test_a_changed_input_changes_the_hash(context, name):
    before = images.inputs_hash()
    with (context / name).open("a") as file:
        file.write("# more\n")
    assert images.inputs_hash() != before


def test_a_file_that_is_no_input_changes_nothing(context):
    before = images.inputs_hash()
    (context / "README").write_text("more")
    assert images.inputs_hash() == before


def test_a_missing_input_is_named(context):
    (context / "inside" / "runner.py").unlink()
    with pytest.raises(SandboxError, match=r"runner\.py"):
        images.inputs_hash()


def test_hiding_takes_the_compiled_module_along(tmp_path: Path):
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    kept = [tmp_path / "shlexer.py", cache / "shlexer.cpython-311.pyc"]
    gone = [
        tmp_path / "shlex.py",
        cache / "shlex.cpython-311.pyc",
        cache / "shlex.x.opt-1.pyc",
    ]
    for path in (*kept, *gone):
        path.write_bytes(b"")
    prepare_image.hide(tmp_path, ["shlex"])
    assert [path.exists() for path in (*kept, *gone)] == [
        True,
        True,
        False,
        False,
        False,
    ]
    with pytest.raises(ValueError, match="'shlex'"):
        prepare_image.hide(tmp_path, ["shlex"])


@pytest.mark.docker
def test_the_image_is_made_once(client):
    image = images.prepare_image(client)
    assert images.prepare_image(client).id == image.id


@pytest.mark.docker
def test_an_image_of_other_inputs_is_not_taken(client, context):
    assert images.image_now(client) is not None
    (context / "inside" / "runner.py").write_text("")
    assert images.image_now(client) is None


@pytest.fixture
def other_checkout(client, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Runs code in a checkout whose runner differs by a line; what it printed."""
    shutil.copytree(
        images.CONTEXT, tmp_path / "sandboxes", ignore=lambda *_: {"__pycache__"}
    )
    shutil.copy(images.COMPOSE_FILE, tmp_path)
    with (tmp_path / "sandboxes" / "inside" / "runner.py").open("a") as file:
        file.write(f"# the runner of {tmp_path}\n")

    def run(code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    yield run
    name = run(
        "from sandboxes.image.images import image_name; print(image_name())"
    ).strip()
    with suppress(ImageNotFound):
        client.images.remove(name)


WORKS = (
    "from sandboxes import SandboxConfig, open_pool\n"
    "with open_pool(SandboxConfig(backend='docker', size=1)) as pool, pool.lease() as sandbox:\n"
    "    print(sandbox.run(['python', '-c', 'print(7)'], timeout_s=20).stdout)"
)


@pytest.mark.docker
def test_two_checkouts_with_other_code_have_an_image_each(
    client, alone, other_checkout, tmp_path
):
    ours = images.prepare_image(client)
    assert other_checkout(WORKS) == "b'7\\n'\n"
    theirs = re.findall(
        "^SCGRPO_SANDBOX_IMAGE=(.*)$", (tmp_path / ".env").read_text(), re.M
    )
    assert theirs
    assert theirs != [images.image_name()]
    assert (
        client.images.get(images.image_name()).id
        == ours.id
        != client.images.get(theirs[0]).id
    )
    assert images.variable("SCGRPO_SANDBOX_IMAGE") == images.image_name()


def test_what_compose_is_told_replaces_its_own_line_alone(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    monkeypatch.setattr(images, "ENV_FILE", file)
    file.write_text("A=1\nSCGRPO_SANDBOX_IMAGE=old\nB=2\n")
    file.chmod(0o640)
    images.set_variable("SCGRPO_SANDBOX_IMAGE", "new")
    assert file.read_text() == "A=1\nB=2\nSCGRPO_SANDBOX_IMAGE=new\n"
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
    assert images.variable("SCGRPO_SANDBOX_IMAGE") == "new"
    assert images.variable("C") == ""
