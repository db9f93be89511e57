"""The image, and the base that is made where no registry answers."""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
from pathlib import Path

import pytest

from sandboxes import SandboxError, base_image, build, prepare_image


@pytest.fixture(scope="module")
def base() -> dict[str, tarfile.TarInfo]:
    """Members of the base's archive by their path."""
    with tarfile.open(fileobj=io.BytesIO(base_image.base_archive())) as archive:
        return {member.name: member for member in archive}


def test_the_base_holds_python_its_loader_and_no_other_program(base):
    programs = [
        Path(name).name
        for name, member in base.items()
        if member.isfile() and member.mode & 0o111 and ".so" not in name and "/python3." not in name
    ]
    programs += [name for name in base if "/bin/" in name and base[name].isfile()]
    assert {Path(name).name for name in programs} == {Path(sys.executable).resolve().name}
    assert any("ld-linux" in name for name in base)
    assert base["usr/bin/python3"].issym() or base["usr/bin/python3"].isfile()


def test_the_base_belongs_to_root_and_changes_nobodys_user(base):
    assert {member.uid for member in base.values()} == {0}
    assert not any(member.mode & 0o6000 for member in base.values())
    writable = [m.name for m in base.values() if not m.issym() and m.mode & 0o022]
    assert writable == ["tmp"]


def test_the_base_has_the_library_and_not_its_own_tests(base):
    assert any(name.endswith("/unittest/case.py") for name in base)
    for folder in ("/test/", "/site-packages/", "/ensurepip/", "/idlelib/"):
        assert not any(folder in name for name in base), folder


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the image's inputs that may be changed."""
    for path in build.CONTEXT.iterdir():
        if path.is_file():
            shutil.copy(path, tmp_path)
    monkeypatch.setattr(build, "CONTEXT", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["Dockerfile", "hidden_modules.txt", "runner.py"])
def test_a_changed_input_changes_the_hash(context, name):
    before = build.inputs_hash()
    with (context / name).open("a") as file:
        file.write("# more\n")
    assert build.inputs_hash() != before


def test_a_file_that_is_no_input_changes_nothing(context):
    before = build.inputs_hash()
    (context / "README").write_text("more")
    assert build.inputs_hash() == before


def test_a_missing_input_is_named(context):
    (context / "runner.py").unlink()
    with pytest.raises(SandboxError, match=r"runner\.py"):
        build.inputs_hash()


def test_hiding_takes_the_compiled_module_along(tmp_path: Path):
    cache = tmp_path / "__pycache__"
    cache.mkdir()
    kept = [tmp_path / "shlexer.py", cache / "shlexer.cpython-311.pyc"]
    gone = [tmp_path / "shlex.py", cache / "shlex.cpython-311.pyc", cache / "shlex.x.opt-1.pyc"]
    for path in (*kept, *gone):
        path.write_bytes(b"")
    prepare_image.hide(tmp_path, ["shlex"])
    assert [path.exists() for path in (*kept, *gone)] == [True, True, False, False, False]
    with pytest.raises(ValueError, match="'shlex'"):
        prepare_image.hide(tmp_path, ["shlex"])


@pytest.mark.docker
def test_the_image_is_made_once(client):
    image = build.prepare_image(client)
    assert build.prepare_image(client).id == image.id


@pytest.mark.docker
def test_an_image_of_other_inputs_is_not_taken(client, context):
    assert build.image_now(client) is not None
    (context / "runner.py").write_text("")
    assert build.image_now(client) is None
