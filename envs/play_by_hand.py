"""`scgrpo envs play NAME`: play an environment by hand, which is how to learn what it is."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
from rich.console import Console
from rich.text import Text

from envs import registry
from envs.base import TextEnv
from envs.toolspec import render_call
from envs.types import Message
from sandboxes import SandboxError

__all__ = ["main", "play_by_hand", "shorthand"]

PROG = "scgrpo envs play"
EXAMPLES = f"""\
examples:
  {PROG} toy_guess                          a random task of the first split and level
  {PROG} swe_lite --level 1 --seed 3        another one, the same at every call
  {PROG} swe_lite --split ood/domain        what training never saw
  {PROG} toy_guess --task train/0/1-3/2     this task
  printf '2\\n' | {PROG} toy_guess           turns from a file or a pipe
"""
HELP = """\
A line is a turn, as a model would write it. More than one line: begin and end with a line \"\"\".
A tool's name and its arguments in order make a call; the last text takes the rest of the line, and
name=value names an argument: `apply 2`, `edit 12 return x + 1`, `read line=40`.
?  this help and the tools     :task  the prompt again     :oracle  a solution     :quit  stop"""
QUOTES = '"""'

Tool = Mapping[str, Any]


def shorthand(line: str, tools: Sequence[Tool]) -> str:
    """The call that a line such as `apply 2` means; the line itself where it begins with no tool.

    `tools` are OpenAI functions. Values that do not fit their type go in as text, for the
    environment to refuse.
    """
    name, _, rest = line.strip().partition(" ")
    tool = next((tool for tool in tools if tool["name"] == name), None)
    if tool is None:
        return line
    properties: Mapping[str, Any] = tool["parameters"]["properties"]
    given: dict[str, Any] = {}
    rest = rest.strip()
    while rest:
        named = re.match(r"(\w+)=", rest)
        if named and named[1] in properties and named[1] not in given:
            key, rest = named[1], rest[named.end() :]
        else:
            key = next((key for key in properties if key not in given), "")
            if not key:
                return line
        last = len(given) == len(properties) - 1
        whole = properties[key]["type"] in ("string", "array", "object") and last
        value, _, rest = (rest, "", "") if whole else rest.partition(" ")
        given[key] = _value(value, properties[key]["type"])
        rest = rest.lstrip()
    return render_call(name, **given)


def _value(text: str, kind: str) -> Any:
    if kind == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def play_by_hand(
    env: TextEnv, options: Mapping[str, Any], seed: int | None
) -> bool | None:
    """Plays one episode with turns from standard input; the verdict, None where it was left."""
    console = Console(highlight=False, soft_wrap=True)
    _, info = env.reset(seed=seed, options=dict(options))
    tools = [tool["function"] for tool in info["tools"]]
    messages = info["messages"]
    console.print(
        f"task {env.task.id}, {env.turn_budget(env.task)} turns", markup=False
    )
    _show_task(console, messages, tools)
    turn = 0
    while (line := _read(console, turn + 1)) is not None:
        if line.strip() == "?":
            console.print(HELP, markup=False)
            _show_tools(console, tools)
        elif line.strip() == ":task":
            _show_task(console, messages, tools)
        elif line.strip() == ":oracle":
            console.print(_solution(env), markup=False)
        elif line.strip() == ":quit":
            break
        else:
            turn += 1
            action = shorthand(line, tools)
            if action != line:
                console.print(Text(f"= {action}", "dim"))
            observation, reward, terminated, truncated, info = env.step(action)
            if terminated or truncated:
                _show_verdict(console, observation, reward, turn, info)
                return info["verified"]
            console.print(Text(observation))
    console.print("stopped before the end: no verdict")
    return None


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _parser().parse_args(argv)
    named = {
        "split": arguments.split,
        "level": arguments.level,
        "task_id": arguments.task,
    }
    options = {key: value for key, value in named.items() if value is not None}
    try:
        if arguments.task:
            options = {**_cell_of(arguments.task), **options}
        env = registry.make(arguments.name).unwrapped
        if not isinstance(env, TextEnv):
            raise ValueError(f"got {type(env).__name__}, wanted a TextEnv")
        try:
            play_by_hand(env, options, arguments.seed)
        finally:
            env.close()
    except (ValueError, ImportError, gymnasium.error.Error) as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        sys.exit(2)
    except SandboxError as error:
        print(f"{PROG}: the sandbox broke: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nstopped before the end: no verdict", file=sys.stderr)
        sys.exit(130)


def _cell_of(task_id: str) -> dict[str, Any]:
    """The split and level that an id begins with."""
    found = re.match(r"(train|id|ood/\w+)/(\d+)/", task_id)
    if found is None:
        raise ValueError(f"got --task {task_id!r}, wanted <split>/<level>/<key>")
    return {"split": found[1], "level": int(found[2])}


def _read(console: Console, turn: int) -> str | None:
    """A turn from standard input, None at its end."""
    if sys.stdin.isatty():
        console.print(f"{turn}> ", end="")
    line = sys.stdin.readline()
    if not line:
        return None
    if line.strip() != QUOTES:
        return line.rstrip("\n")
    lines = []
    while (line := sys.stdin.readline()) and line.strip() != QUOTES:
        lines.append(line)
    return "".join(lines).rstrip("\n")


def _show_task(
    console: Console, messages: Sequence[Message], tools: Sequence[Tool]
) -> None:
    for message in messages:
        console.print(Text(f"{message['role']}:", "bold"))
        console.print(Text(message["content"]))
    _show_tools(console, tools)
    console.print("? for help", style="dim")


def _show_tools(console: Console, tools: Sequence[Tool]) -> None:
    if not tools:
        console.print("no tools: a turn is plain text")
    for tool in tools:
        required = tool["parameters"]["required"]
        words = [
            (name if name in required else f"[{name}]") + f":{schema['type']}"
            for name, schema in tool["parameters"]["properties"].items()
        ]
        console.print(
            Text(f"  {' '.join([tool['name'], *words])}  - {tool['description']}")
        )


def _solution(env: TextEnv) -> str:
    try:
        return "\n".join(env.oracle(env.task))
    except NotImplementedError as error:
        return str(error)


def _show_verdict(
    console: Console,
    observation: str,
    reward: float,
    turn: int,
    info: Mapping[str, Any],
) -> None:
    if observation:
        console.print(Text(observation))
    if info["detail"] and info["detail"] != observation:
        console.print(Text(info["detail"]))
    passed = info["verified"]
    word = "no verdict" if passed is None else "passed" if passed else "failed"
    style = "bold green" if passed else "bold red"
    console.print(Text(f"{word}: reward {reward:g} after {turn} turns", style))
    for name, value in info["parts"].items():
        console.print(Text(f"  {name}: {value:g}"))


def _parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=PROG,
        description="Plays one task of an environment by hand and shows the verdict.",
        epilog=f"{EXAMPLES}\nin the game:\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("name", metavar="NAME", help="an environment, as `env=` takes it")
    add("--split", help="train, id or ood/<shift>; default: the environment's first")
    add("--level", type=int, help="default: the environment's first")
    add(
        "--task",
        metavar="ID",
        help="a task by its id, which begins with its split and level",
    )
    add("--seed", type=int, help="which task is drawn; default: a new one every time")
    return made


if __name__ == "__main__":
    main()
