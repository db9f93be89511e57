"""An agent of one's own: a loop over the `openai` client that runs one command a turn.

pip install openai 'scgrpo[agent]'
scgrpo train env=swe_lite agent.command="python $PWD/examples/shell_agent.py"
"""

import os
import re

import openai  # pyright: ignore[reportMissingImports]
import scgrpo_sandbox  # pyright: ignore[reportMissingImports]

RULES = (
    "You repair code with a shell. Reply with one command in a block of ```bash, "
    "or with DONE once the tests pass."
)


def main() -> None:
    """Works on the task of SCGRPO_PROMPT until the model says DONE."""
    client = openai.OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY lead to the policy
    messages = [
        {"role": "system", "content": RULES},
        {"role": "user", "content": os.environ["SCGRPO_PROMPT"]},
    ]
    for _ in range(20):
        completion = client.chat.completions.create(model="policy", messages=messages)
        reply = completion.choices[0].message.content or ""
        messages.append({"role": "assistant", "content": reply})
        if reply.strip() == "DONE":
            return
        block = re.search(r"```(?:bash|sh)?\n(.*?)```", reply, re.DOTALL)
        if block is None:
            output = "No command found."
        else:
            output = scgrpo_sandbox.run(block[1])["output"][-2000:]
        messages.append({"role": "user", "content": output or "(no output)"})


if __name__ == "__main__":
    main()
