"""An agent that runs what the model says until it says `done`. Standard library only."""

import json
import os
import sys
import urllib.error
import urllib.request

import scgrpo_sandbox  # pyright: ignore[reportMissingImports]

MAX_TURNS = 6


def complete(messages: list[dict[str, str]]) -> str:
    request = urllib.request.Request(
        f"{os.environ['OPENAI_BASE_URL']}/chat/completions",
        data=json.dumps({"model": "any", "messages": messages}).encode(),
        headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
    )
    with urllib.request.urlopen(request) as response:
        return json.load(response)["choices"][0]["message"]["content"]


def main() -> None:
    messages = [{"role": "user", "content": os.environ["SCGRPO_PROMPT"]}]
    for _ in range(MAX_TURNS):
        command = complete(messages)
        if command == "done":
            return
        if command == "crash":
            sys.exit("it crashed")
        result = scgrpo_sandbox.run(command)
        messages += [
            {"role": "assistant", "content": command},
            {"role": "user", "content": f"{result['returncode']}: {result['output']}"},
        ]


if __name__ == "__main__":
    main()
