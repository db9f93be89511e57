"""Small servers on loopback that speak AppWorld's and WebShop's protocols."""

from __future__ import annotations

import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Answer = Callable[[str, dict[str, Any]], Any]


@contextmanager
def json_server(answer: Answer) -> Iterator[str]:
    """The address of a server that answers a path and the fields of a request; KeyError is 404."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(dict(parse_qsl(urlsplit(self.path).query)))

        def do_POST(self) -> None:
            size = int(self.headers["Content-Length"])
            self.answer(json.loads(self.rfile.read(size)))

        def answer(self, fields: dict[str, Any]) -> None:
            try:
                body = json.dumps(answer(urlsplit(self.path).path, fields)).encode()
                self.send_response(200)
            except KeyError:
                body = b"{}"
                self.send_response(404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class SmallAppWorld:
    """AppWorld's environment server, for tasks that are done once `answer` is 7."""

    SUPERVISOR = {
        "first_name": "Ann",
        "last_name": "Lee",
        "email": "ann@example.com",
        "phone_number": "123",
    }

    def __init__(self) -> None:
        self.task_id = ""
        self.opened: list[str] = []
        self.experiments: set[str] = set()
        self.space: dict[str, Any] = {}

    def __call__(self, path: str, fields: dict[str, Any]) -> Any:
        """The answer of an endpoint."""
        if path.startswith("/tasks/"):
            return {"output": self._about(path.rpartition("/")[2])}
        if path == "/initialize":
            self.task_id = fields["task_id"]
            self.opened.append(self.task_id)
            self.experiments.add(fields["experiment_name"])
            self.space = {"answer": None, "done": False}
            return {"output": self._about(self.task_id)}
        if fields["task_id"] != self.task_id:
            raise KeyError(path)
        return {"output": self._output(path, fields)}

    def _output(self, path: str, fields: dict[str, Any]) -> Any:
        if path == "/execute":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(fields["code"], self.space)
            return out.getvalue() or "Execution successful."
        if path == "/task_completed":
            return self.space["done"]
        assert path == "/evaluate"
        success = self.space["answer"] == 7
        passes = [{}, {}] if success else [{}]
        return {"success": success, "num_tests": 2, "passes": passes, "failures": []}

    def _about(self, task_id: str) -> dict[str, Any]:
        return {
            "task_id": task_id,
            "instruction": f"What is the number of {task_id}?",
            "supervisor": self.SUPERVISOR,
            "datetime": "2023-05-18T12:00:00",
        }


class SmallWebShop:
    """AgentGym's server of WebShop, for a shop of two mugs; even goals want the red one."""

    def __init__(self, *, old: bool = False) -> None:
        self.goals: dict[int, int] = {}
        self.pages: dict[int, str] = {}
        self.closed: list[int] = []
        self._old = old

    def __call__(self, path: str, fields: dict[str, Any]) -> Any:
        """The answer of an endpoint."""
        if path == "/create":
            session = len(self.goals) + 100
            self.goals[session] = 0
            return session
        session = int(fields["env_idx"])
        if path == "/close":
            if self._old:
                raise KeyError(path)
            self.closed.append(session)
            return {"closed": True}
        if path == "/reset":
            self.goals[session], self.pages[session] = fields["session_id"], "start"
            return ["WebShop", None]
        if path == "/instruction_text":
            return f"Instruction: Find me goal {self.goals[session]}, a {self._color(session)} mug"
        if path == "/available_actions":
            clickables = {"start": ["search"], "results": ["red mug", "blue mug"]}
            names = clickables.get(self.pages[session], ["buy now"])
            return {
                "has_search_bar": self.pages[session] == "start",
                "clickables": names,
            }
        assert path == "/step"
        return self._step(session, fields["action"])

    def _color(self, session: int) -> str:
        return "blue" if self.goals[session] % 2 else "red"

    def _step(self, session: int, action: str) -> dict[str, Any]:
        page = self.pages[session]
        if action == "click[buy now]" and page.endswith("mug"):
            reward = 1.0 if page.startswith(self._color(session)) else 0.5
            return {"state": "Thank you", "reward": reward, "done": True, "info": None}
        if action.startswith("search["):
            self.pages[session] = "results"
        elif action in ("click[red mug]", "click[blue mug]"):
            self.pages[session] = action[6:-1]
        state = f"Page: {self.pages[session]}"
        return {"state": state, "reward": 0.0, "done": False, "info": None}
