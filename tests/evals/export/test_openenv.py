"""An environment as an OpenEnv package: what is in it, what their validator says, its image."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker
import pytest
import yaml
from docker.errors import DockerException

from envs.interop.sessions import TaskCatalogue
from evals.export.openenv import main, write_package
from tests.evals.export.images import python_archive

ROOT = Path(__file__).resolve().parents[3]
START_S = 240.0


def exported(folder: Path, name: str, *options: str) -> Path:
    main([name, "--out", str(folder), *options])
    return folder


def dockerfile(package: Path) -> list[str]:
    """Its instructions, one a line."""
    text = (package / "Dockerfile").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_package_has_what_a_server_needs_and_no_secrets(tmp_path):
    package = exported(tmp_path / "store", "tool_store", "--levels", "0", "1")
    manifest = yaml.safe_load((package / "openenv.yaml").read_text())
    catalogue = TaskCatalogue("tool_store", (0, 1))
    declared = manifest["validation"]["capabilities"]["declared_task_count"]
    assert declared == {split: catalogue.count(split) for split in catalogue.splits}
    assert (package / "envs/interop/serve.py").is_file()
    assert (package / "sandboxes/__init__.py").is_file()
    assert not list(package.rglob("__pycache__"))
    pins = (package / "requirements.txt").read_text().split()
    assert all("==" in pin for pin in pins)
    plays = json.loads((package / "validation/oracle.json").read_text())
    assert plays[0]["turns"] == catalogue.env.oracle(catalogue.task("train", 0))
    command = json.loads(dockerfile(package)[-1].removeprefix("CMD "))
    assert command[-3:] == ["--levels", "0", "1"]
    with pytest.raises(SystemExit) as stopped:
        main(["tool_store", "--out", str(package)])
    assert stopped.value.code == 2


def test_only_an_environment_that_runs_code_installs_a_sandbox(tmp_path):
    without = exported(tmp_path / "a", "toy_guess")
    with_code = exported(tmp_path / "b", "swe_lite", "--image", "python:3.13-slim")
    assert not any("bubblewrap" in line for line in dockerfile(without))
    assert any("bubblewrap" in line for line in dockerfile(with_code))
    assert dockerfile(with_code)[0] == "FROM python:3.13-slim"
    # Every step but the sandbox's is a program and its arguments: a base needs no shell.
    for line in dockerfile(without):
        word, _, rest = line.partition(" ")
        if word in ("RUN", "CMD"):
            assert isinstance(json.loads(rest), list)


def test_code_of_one_s_own_comes_along(tmp_path, monkeypatch):
    source = tmp_path / "my_words.py"
    text = (ROOT / "examples/reverse_words.py").read_text()
    # A namespace of its own: other tests register the example.
    source.write_text(text.replace('namespace="acme"', 'namespace="own"'))
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "package"
    write_package(package, "my_words:own/reverse", sources=[source])
    assert (package / "my_words.py").read_text() == source.read_text()
    missing = tmp_path / "gone.py"
    with pytest.raises(FileNotFoundError, match="given by --source"):
        write_package(tmp_path / "other", "toy_guess", sources=[missing])
    # Nothing is left of a package that was not finished.
    assert not (tmp_path / "other").exists()


@pytest.mark.daily(1)
@pytest.mark.parametrize("name", ["toy_guess", "tool_store", "swe_lite"])
def test_their_validator_finds_the_package_sound(name, tmp_path):
    pytest.importorskip("openenv.validation", reason="the extra `openenv` is missing")
    package = exported(tmp_path / name, name)
    command = [sys.executable, "-m", "openenv.cli", "validate", str(package)]
    done = subprocess.run(
        [*command, "--level", "static"], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def image_of(package: Path) -> Iterator[tuple[docker.DockerClient, str]]:
    """The image of a package, built by Docker's command; its base has all that pip would fetch."""
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException as error:
        pytest.skip(f"no Docker engine answers: {error}")
    pins = (package / "requirements.txt").read_text().split()
    name = f"scgrpo-served-{uuid4().hex[:8]}"
    with closing(client):
        base = f"{name}-base"
        archive = python_archive(pins)
        client.api.import_image_from_data(
            archive, repository=base, tag="1", changes=["ENV PATH=/usr/bin"]
        )
        try:
            text = (package / "Dockerfile").read_text()
            lines = [
                f"FROM {base}:1" if line.startswith("FROM ") else line
                for line in text.splitlines()
            ]
            (package / "Dockerfile").write_text("\n".join([*lines, ""]))
            command = ["docker", "build", "--network", "none", "-t", name, str(package)]
            built = subprocess.run(command, capture_output=True, text=True, timeout=600)
            assert built.returncode == 0, built.stdout + built.stderr
            yield client, name
        finally:
            for image in (name, f"{base}:1"):
                client.images.remove(image, force=True)


@contextmanager
def container_of(client: docker.DockerClient, image: str) -> Iterator[str]:
    """The address of a container that serves."""
    container = client.containers.run(
        image, detach=True, ports={"8000/tcp": ("127.0.0.1", None)}
    )
    try:
        yield address_of(container)
    finally:
        container.remove(force=True)


def address_of(container: Any) -> str:
    """The address, once the server answers there."""
    import httpx2

    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        container.reload()
        assert container.status in ("created", "running"), container.logs().decode()
        ports = container.ports.get("8000/tcp")
        if ports:
            url = f"http://127.0.0.1:{ports[0]['HostPort']}"
            try:
                if httpx2.get(f"{url}/health", timeout=2).status_code == 200:
                    return url
            except httpx2.HTTPError:
                # Not yet.
                pass
        time.sleep(0.2)
    raise AssertionError(f"it did not start: {container.logs().decode()}")


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.daily(0)
def test_the_image_is_built_and_serves_and_is_validated(tmp_path):
    core = pytest.importorskip("openenv.core", reason="the extra `openenv` is missing")
    package = exported(tmp_path / "store", "tool_store", "--levels", "0")
    with image_of(package) as (client, image), container_of(client, image) as url:
        catalogue = TaskCatalogue("tool_store", (0,))
        with core.GenericEnvClient(base_url=url).sync() as env:
            result = env.reset(split="id", index=3)
            assert result.observation["text"] == catalogue.task("id", 3).prompt
            for turn in catalogue.env.oracle(catalogue.task("id", 3)):
                result = env.step({"text": turn})
            assert (result.done, result.reward) == (True, 1.0)
        # What `openenv validate --url` asks.
        validation = importlib.import_module("openenv.cli._validation")
        report = validation.validate_running_environment(url)
        assert report["passed"], report

        # The health check is a program of the image itself.
        (healthy,) = client.containers.list(filters={"ancestor": image})
        check = healthy.attrs["Config"]["Healthcheck"]["Test"]
        assert check[0] == "CMD"
        assert healthy.exec_run(check[1:]).exit_code == 0
