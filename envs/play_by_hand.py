"""`scgrpo envs play NAME`: play an environment by hand, which is how to learn what it is."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from rich.console import Console
from rich.text import Text

from envs import registry
from envs.base import TextEnv
from envs.toolspec import render_call
from envs.types import Message
from sandboxes import SandboxError
from sandboxes.commands import CommandError, exit_codes
from sandboxes.terminal import terminal

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
LEFT = "stopped before the end: no verdict"

Tool = Mapping[str, Any]


def shorthand(line: str, tools: Sequence[Tool]) -> str:
    """The call that a line such as `apply 2` means; the line itself if it begins with no tool.

    `tools` are OpenAI functions. Values that do not fit their type go in as text, for the
    environment to refuse.
    """
    name, _, rest = line.strip().partition(" ")
    tool = next((tool for tool in tools if tool["name"] == name), None)
    if tool is None:
        return line

    properties: Mapping[str, Any] = tool["parameters"]["properties"]
    arguments: dict[str, Any] = {}
    rest = rest.strip()
    while rest:
        key, rest = _next_argument(rest, properties, arguments)
        if not key:
            # More words than the tool has arguments: plain text after all.
            return line
        kind = properties[key]["type"]
        # The last text takes the rest of the line.
        is_last = len(arguments) == len(properties) - 1
        if is_last and kind in ("string", "array", "object"):
            value, rest = rest, ""
        else:
            value, _, rest = rest.partition(" ")
        arguments[key] = _value(value, kind)
        rest = rest.lstrip()
    return render_call(name, **arguments)


def _next_argument(
    rest: str, properties: Mapping[str, Any], arguments: Mapping[str, Any]
) -> tuple[str, str]:
    """The argument that is named, else the next one ("" if there is none), and the rest."""
    named = re.match(r"(\w+)=", rest)
    if named and named[1] in properties and named[1] not in arguments:
        return named[1], rest[named.end() :]
    return next((key for key in properties if key not in arguments), ""), rest


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
    """Plays one episode with turns from standard input; the verdict, None if it was left."""
    console = terminal(soft_wrap=True)
    _, info = env.reset(seed=seed, options=dict(options))
    tools = [tool["function"] for tool in info["tools"]]
    messages = info["messages"]
    budget = env.turn_budget(env.task)
    console.print(f"task {env.task.id}, {budget} turns")
    _show_task(console, messages, tools)

    turn = 0
    while (line := _read(console, turn + 1)) is not None:
        word = line.strip()
        if word == ":quit":
            break
        if word == "?":
            console.print(HELP)
            _show_tools(console, tools)
        elif word == ":task":
            _show_task(console, messages, tools)
        elif word == ":oracle":
            console.print(_solution(env))
        else:
            turn += 1
            # Shown as the model would have to write it.
            action = shorthand(line, tools)
            if action != line:
                console.print(Text(f"= {action}", "dim"))
            observation, reward, terminated, truncated, info = env.step(action)
            if terminated or truncated:
                _show_verdict(console, observation, float(reward), turn, info)
                return info["verified"]
            console.print(observation)
    console.print(LEFT)
    return None


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = _parser().parse_args(argv)
    with exit_codes(PROG, interrupted=LEFT, bad_input=(ImportError,)):
        options = _options(arguments)
        env = registry.make(arguments.name).unwrapped
        if not isinstance(env, TextEnv):
            raise ValueError(f"got {type(env).__name__}, expected a TextEnv")
        with closing(env):
            try:
                play_by_hand(env, options, arguments.seed)
            except SandboxError as error:
                raise CommandError(f"the sandbox broke: {error}") from error


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Reset options: those of the command line, and the split and level of the task's id."""
    options = _split_and_level(arguments.task) if arguments.task else {}
    for key, value in (
        ("split", arguments.split),
        ("level", arguments.level),
        ("task_id", arguments.task),
    ):
        if value is not None:
            options[key] = value
    return options


def _split_and_level(task_id: str) -> dict[str, Any]:
    match = re.match(r"(train|id|ood/\w+)/(\d+)/", task_id)
    if match is None:
        raise ValueError(f"got --task {task_id!r}, expected <split>/<level>/<key>")
    return {"split": match[1], "level": int(match[2])}


def _read(console: Console, turn: int) -> str | None:
    """A turn from standard input, None at its end."""
    if sys.stdin.isatty():
        console.print(f"{turn}> ", end="")
    line = sys.stdin.readline()
    if not line:
        return None
    if line.strip() != QUOTES:
        return line.rstrip("\n")
    lines: list[str] = []
    while (line := sys.stdin.readline()) and line.strip() != QUOTES:
        lines.append(line)
    return "".join(lines).rstrip("\n")


def _show_task(
    console: Console, messages: Sequence[Message], tools: Sequence[Tool]
) -> None:
    for message in messages:
        console.print(Text(f"{message['role']}:", "bold"))
        console.print(message["content"])
    _show_tools(console, tools)
    console.print("? for help", style="dim")


def _show_tools(console: Console, tools: Sequence[Tool]) -> None:
    if not tools:
        console.print("no tools: a turn is plain text")
    for tool in tools:
        required = tool["parameters"]["required"]
        words = [tool["name"]]
        for name, schema in tool["parameters"]["properties"].items():
            shown = name if name in required else f"[{name}]"
            words.append(f"{shown}:{schema['type']}")
        console.print(f"  {' '.join(words)}  - {tool['description']}")


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
        console.print(observation)
    if info["detail"] and info["detail"] != observation:
        console.print(info["detail"])
    passed = info["verified"]
    word = {None: "no verdict", True: "passed", False: "failed"}[passed]
    style = "bold green" if passed else "bold red"
    console.print(Text(f"{word}: reward {reward:g} after {turn} turns", style))
    for name, value in info["parts"].items():
        console.print(f"  {name}: {value:g}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROG,
        description="Plays one task of an environment by hand and shows the verdict.",
        epilog=f"{EXAMPLES}\nin the game:\n{HELP}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("name", metavar="NAME", help="an environment, as `env=` takes it")
    add("--split", help="train, id or ood/<shift>; default: the environment's first")
    add("--level", type=int, help="default: the environment's first")
    add(
        "--task",
        metavar="ID",
        help="a task by its id, which begins with its split and level",
    )
    add("--seed", type=int, help="which task is drawn; default: a new one every time")
    return parser


if __name__ == "__main__":
    main()
