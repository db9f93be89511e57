"""Runs commands in the sandbox of an agent's task. Standard library only.

The folder of this file is on the PYTHONPATH of every agent that scgrpo starts:

    import scgrpo_sandbox
    result = scgrpo_sandbox.run("python -m unittest test_x.py")
    print(result["returncode"], result["output"])

and from a shell, with the command's own exit code:

    python -m scgrpo_sandbox "python -m unittest test_x.py"

mini-swe-agent takes the class below as its environment:

    mini -c mini.yaml -c environment.environment_class=scgrpo_sandbox.MiniSweEnvironment
"""

from __future__ import annotations

import json
import os
import platform
import sys
import urllib.request
from typing import Any

__all__ = ["MiniSweEnvironment", "run"]

ADDRESS = "SCGRPO_SANDBOX_URL"
MARGIN_S = 60.0
"""Seconds that an answer may take beside the command itself."""
LONGEST_S = 3600.0
SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"


def run(command: str, timeout_s: float | None = None) -> dict[str, Any]:
    """What a shell command did: `output`, `returncode` and `timed_out`.

    Files stay from command to command, processes, the working directory and variables do not.
    Raises KeyError outside a session, and URLError if the sandbox broke.
    """
    body = {"command": command}
    if timeout_s is not None:
        body["timeout_s"] = timeout_s  # pyright: ignore[reportArgumentType]
    request = urllib.request.Request(
        os.environ[ADDRESS],
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    # The environment's proxies are for other machines.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    patience_s = (timeout_s or LONGEST_S) + MARGIN_S
    with opener.open(request, timeout=patience_s) as response:
        return json.load(response)


class MiniSweEnvironment:
    """The sandbox as an environment of mini-swe-agent 2 (`environment_class`).

    `timeout` is in seconds, `env` are variables of every command; other settings have no meaning
    here and are refused.
    """

    def __init__(
        self, *, timeout: float = 60.0, env: dict[str, str] | None = None
    ) -> None:
        self.config = {"timeout": timeout, "env": dict(env or {})}

    def execute(self, action: dict[str, Any], cwd: str = "") -> dict[str, Any]:
        """What a command did, in mini-swe-agent's terms. Raises its Submitted at the end."""
        import shlex

        lines = [f"export {k}={shlex.quote(v)}" for k, v in self.config["env"].items()]
        if cwd:
            lines.append(f"cd {shlex.quote(cwd)}")
        result = run(
            "\n".join([*lines, action.get("command", "")]), self.config["timeout"]
        )
        problem = (
            "the command was killed: it took too long" if result["timed_out"] else ""
        )
        output = {
            "output": result["output"],
            "returncode": result["returncode"],
            "exception_info": problem,
        }
        _raise_if_submitted(output)
        return output

    def get_template_vars(self, **variables: Any) -> dict[str, Any]:
        """What its prompts may name: the settings, and `system`, `release` and the like."""
        return {**self.config, **platform.uname()._asdict(), **variables}

    def serialize(self) -> dict[str, Any]:
        """What is saved of it with a trajectory."""
        kind = f"{type(self).__module__}.{type(self).__name__}"
        config = {"environment": self.config, "environment_type": kind}
        return {"info": {"config": config}}


def _raise_if_submitted(output: dict[str, Any]) -> None:
    """Ends mini-swe-agent's run if the command was its submission."""
    from minisweagent.exceptions import (  # pyright: ignore[reportMissingImports]
        Submitted,
    )

    first, _, submission = output["output"].lstrip().partition("\n")
    if first.strip() != SUBMIT or output["returncode"] != 0:
        return
    extra = {"exit_status": "Submitted", "submission": submission}
    raise Submitted({"role": "exit", "content": submission, "extra": extra})


def main() -> None:
    """Runs the command of the arguments, prints its output and ends with its exit code."""
    if len(sys.argv) < 2 or ADDRESS not in os.environ:
        sys.exit(
            "usage: python -m scgrpo_sandbox COMMAND, in an agent that scgrpo starts "
            f"({ADDRESS} is set there)"
        )
    result = run(" ".join(sys.argv[1:]))
    sys.stdout.write(result["output"])
    sys.exit(result["returncode"] % 256)


if __name__ == "__main__":
    main()
