"""An OpenAI-compatible server on loopback that answers what a test wants, faults included."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# A handler's answer: status, headers and body; None hangs, "close" ends the connection.
Answer = tuple[int, dict[str, str], str] | None | str


def completion(text="3", *, finish="stop", prompt=10, tokens=1, calls=None) -> str:
    message = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = calls
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": tokens,
        "total_tokens": prompt + tokens,
    }
    return json.dumps(
        {"choices": [{"message": message, "finish_reason": finish}], "usage": usage}
    )


class Scripted:
    """An HTTP server whose answers a function of (number of the request, its body) chooses.

    The first request of a policy, which asks for one token, is answered apart.
    """

    def __init__(
        self, answer: Callable[[int, dict], Answer], hello: Answer = None
    ) -> None:
        self.bodies: list[dict] = []
        self.times: list[float] = []
        self.headers: list[dict[str, str]] = []
        self.hellos = 0
        self._answer, self._hello = answer, hello or (200, {}, completion())
        self._lock, self._ended = threading.Lock(), threading.Event()

    def reply(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("content-length") or 0)
        body = json.loads(handler.rfile.read(length) or "{}")
        with self._lock:
            if handler.path.endswith("/models"):
                said: Answer = (200, {}, json.dumps({"data": [{"id": "m"}]}))
            elif body["messages"] == [{"role": "user", "content": "Hi"}]:
                self.hellos += 1
                said = self._hello if not callable(self._hello) else self._hello(body)
            else:
                self.bodies.append(body)
                self.times.append(time.monotonic())
                self.headers.append(dict(handler.headers))
                said = self._answer(len(self.bodies), body)
        if said is None:
            self._ended.wait()
        elif isinstance(said, str):
            handler.close_connection = True
        else:
            status, headers, text = said
            handler.send_response(status)
            for name, value in {**headers, "content-length": str(len(text))}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(text.encode())

    @contextmanager
    def running(self):
        """Yields its address."""
        reply = self.reply

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            do_GET = do_POST = lambda self: reply(self)  # noqa: E731

            def log_message(self, format, *args):
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A client that went away is what some tests are about."""

        with Quiet(("127.0.0.1", 0), Handler) as httpd:
            thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
            thread.start()
            try:
                yield f"http://127.0.0.1:{httpd.server_port}/v1"
            finally:
                self._ended.set()
                httpd.shutdown()
                thread.join()
