"""Several engines, and engines that go away: a second address of one daemon stands for another.

A daemon that restarts is stood in for by a proxy before its socket, which ends every connection,
refuses new ones for a while and comes back. The daemon itself is shared with whatever else runs on
the machine, and a second one beside it would delete their bridge.
"""

from __future__ import annotations

import errno
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from sandboxes import Isolation, SandboxConfig, SandboxError, open_pool
from sandboxes.image.images import image_name

pytestmark = [
    pytest.mark.docker,
    # The SDK leaves the sockets of requests that failed to the garbage collector, which closes them
    # (docker/transport/unixconn.py makes them and keeps no hold).
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
    ),
]
ENGINE = "/var/run/docker.sock"
HELLO = ["python", "-c", "print('hello')"]
SLEEP = ["python", "-c", "import time; time.sleep(60)"]


class Proxy:
    """Passes connections on to the engine until it is stopped."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._port = path, 0
        self._pairs: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.begin()
        self.url = f"unix://{path}" if path else f"tcp://127.0.0.1:{self._port}"

    def begin(self) -> None:
        """Listens, at the same address as before."""
        if self._path:
            self._path.unlink(missing_ok=True)
            self._server = socket.socket(socket.AF_UNIX)
            self._server.bind(str(self._path))
        else:
            self._server = socket.create_server(("127.0.0.1", self._port))
            self._port = self._server.getsockname()[1]
        self._server.listen(64)
        self._thread(self._serve, self._server)

    def drop(self) -> None:
        """Ends all connections, as a daemon that restarts does."""
        pairs, self._pairs = self._pairs, []
        for end in pairs:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Ends all connections and takes no more."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()
        for thread in self._threads:
            thread.join(10)

    def _thread(self, action: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=action, args=arguments))
        self._threads[-1].start()

    def _serve(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(ENGINE)
                self._pairs += [near, far]
                self._thread(self._both, near, far)

    def _both(self, near: socket.socket, far: socket.socket) -> None:
        with near, far:
            back = threading.Thread(target=self._copy, args=(far, near))
            back.start()
            self._copy(near, far)
            back.join()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end, how in ((sink, socket.SHUT_WR), (source, socket.SHUT_RD)):
            with suppress(OSError):
                end.shutdown(how)


@pytest.fixture
def proxies(client, alone, tmp_path: Path) -> Iterator[tuple[Proxy, Proxy]]:
    """Two addresses of the engine: a socket in the file system and a port of loopback."""
    both = Proxy(tmp_path / "engine.sock"), Proxy(None)
    yield both
    for proxy in both:
        proxy.stop()
    # Here, and not in a later test, which has no filter for it.
    gc.collect()


def config(*proxies: Proxy, size: int = 2) -> SandboxConfig:
    return SandboxConfig(
        backend="docker", size=size, hosts=tuple(proxy.url for proxy in proxies)
    )


def works(sandbox) -> bool:
    return sandbox.run(HELLO, timeout_s=20).stdout == b"hello\n"


def test_sandboxes_are_spread_over_the_engines(proxies):
    with open_pool(config(*proxies, size=4)) as pool, ExitStack() as leases:
        assert "4 containers on 2 engines" in pool.description
        sandboxes = [leases.enter_context(pool.lease()) for _ in range(4)]
        assert all(works(sandbox) for sandbox in sandboxes)
        proxies[0].stop()
        for sandbox in (sandboxes[0], sandboxes[2]):
            with pytest.raises(SandboxError):
                sandbox.run(HELLO, timeout_s=5)
        assert works(sandboxes[1])
        assert works(sandboxes[3])


def test_an_engine_that_dies_voids_its_leases_and_is_skipped_until_it_is_back(
    proxies, capsys, monkeypatch
):
    monkeypatch.setattr("sandboxes.backends.engines.SKIP_S", 0.0)
    first, second = proxies
    with open_pool(config(first, second)) as pool:
        with ExitStack() as leases:
            sandboxes = [leases.enter_context(pool.lease()) for _ in range(2)]
            first.stop()
            with pytest.raises(SandboxError):
                sandboxes[0].run(HELLO, timeout_s=5)
            assert works(sandboxes[1])
        with pool.lease() as one, pool.lease() as other:
            assert works(one)
            assert works(other)
        assert (
            f"engine {first.url} is skipped: no engine answers"
            in capsys.readouterr().err
        )
        second.stop()
        first.begin()
        with pool.lease() as sandbox:
            assert works(sandbox)
        assert f"engine {first.url} answers again" in capsys.readouterr().err


def test_all_engines_gone_is_an_error_that_names_each(proxies):
    first, second = proxies
    with open_pool(config(first, second)) as pool:
        first.stop()
        second.stop()
        with pytest.raises(SandboxError) as caught:
            pool.lease(timeout_s=30)
        assert first.url in str(caught.value)
        assert second.url in str(caught.value)


def test_an_engine_that_cannot_be_reached_is_named_at_the_start(tmp_path):
    url = f"unix://{tmp_path}/none.sock"
    with pytest.raises(SandboxError, match=f"{url}: no engine answers"):
        open_pool(SandboxConfig(hosts=(url,)))


def test_connections_lost_under_load_are_errors_and_never_answers(proxies, own_ids):
    engine = proxies[0]
    lost, wrong = [], []
    ready = threading.Barrier(3)

    def work() -> None:
        for run in range(3):
            try:
                with pool.lease() as sandbox:
                    if not run:
                        assert works(sandbox)
                        ready.wait(30)
                        result = sandbox.run(SLEEP, timeout_s=30)
                        wrong.append(result)
                    elif not works(sandbox):
                        wrong.append(run)
            except SandboxError as error:
                lost.append(str(error))

    with open_pool(config(engine)) as pool:
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        ready.wait(60)
        engine.drop()
        for thread in threads:
            thread.join(60)
        with pool.lease() as sandbox:
            assert works(sandbox)
    assert wrong == []
    assert len(lost) >= 2


def test_a_daemon_that_restarts_under_load_voids_what_ran_and_serves_again(
    proxies, own_ids
):
    """More threads than sandboxes; no answer is wrong, none comes from a dead engine."""
    engine, before = proxies[0], own_ids()
    right: list[float] = []
    lost: list[float] = []
    wrong: list[object] = []
    over = threading.Event()

    def work(name: int) -> None:
        number = 0
        while not over.is_set():
            try:
                with pool.lease(timeout_s=20) as sandbox:
                    for _ in range(5):
                        number += 1
                        said = sandbox.run(
                            ["python", "-c", f"print({name}, {number})"], timeout_s=10
                        )
                        if said.stdout != f"{name} {number}\n".encode():
                            wrong.append(said)
                        if sandbox.isolation is not Isolation.CONTAINER:
                            wrong.append(sandbox.isolation)
                        right.append(time.monotonic())
            except SandboxError:
                lost.append(time.monotonic())
                over.wait(0.1)

    with open_pool(config(engine, size=2)) as pool:
        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        assert waited(lambda: len(right) >= 20)
        engine.stop()
        down = time.monotonic()
        time.sleep(1)
        up = time.monotonic()
        engine.begin()
        assert waited(lambda: sum(at > up for at in right) >= 20)
        over.set()
        for thread in threads:
            thread.join(60)
    assert wrong == []
    assert len(lost) >= 2
    # An answer that had come before the connections ended may be counted a moment later.
    assert not [at for at in right if down + 0.3 < at < up]
    assert waited(lambda: own_ids() <= before)


def waited(there: Callable[[], bool], patience_s: float = 60.0) -> bool:
    """Whether it came true in time."""
    until = time.monotonic() + patience_s
    while not there() and time.monotonic() < until:
        time.sleep(0.05)
    return there()


def test_a_full_workspace_is_an_error_to_the_writer_and_the_next_lease_is_empty(
    client, alone
):
    whole = b"\0" * (1 << 20)
    with open_pool(SandboxConfig(backend="docker", size=1)) as pool:
        with pool.lease() as sandbox:
            with pytest.raises(OSError, match="No space left") as caught:
                sandbox.write({f"part_{number}": whole for number in range(2000)})
            assert caught.value.errno == errno.ENOSPC
        with pool.lease() as sandbox:
            sandbox.write({"one": whole})
            assert works(sandbox)


def test_an_image_that_was_replaced_is_looked_for_anew(client, alone, monkeypatch):
    gone = client.images.get(image_name())
    with monkeypatch.context() as patch, ExitStack() as stack:
        patch.setattr(type(gone), "id", "sha256:" + "0" * 64)
        pool = stack.enter_context(open_pool(SandboxConfig(backend="docker", size=1)))
        patch.undo()
        with pool.lease() as sandbox:
            assert works(sandbox)
