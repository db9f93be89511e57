"""Two sound environments, and unsound ones that each differ from one of them in a single thing."""

from __future__ import annotations

import dataclasses
import json
import random
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from gymnasium.envs.registration import register as register_with_gymnasium

from envs.base import TextEnv
from envs.registry import register
from envs.tool_env import ToolEnv, tool
from envs.toolspec import render_call
from envs.types import Task, Verdict

RIGHT, WRONG = Verdict(passed=True, score=1.0), Verdict(passed=False, score=0.0)


class Sums(TextEnv):
    """Two sums with four choices each, one after the other; a wrong answer ends the episode."""

    name = "sums"
    splits = ("train", "id")
    max_turns = 3
    lows = {"train": range(10, 22), "id": range(30, 36)}

    def __init__(self):
        super().__init__()
        self.answered = 0

    def tasks(self, split, level):
        return [self.problem(split, low) for low in self.lows[split]]

    def problem(self, split, low, shift=0):
        answers = [str(2 * low + shift), str(3 * low + 1 + shift)]
        return Task(
            id=f"{split}/0/{low}+{shift}",
            split=split,
            level=0,
            family=f"low {low}",
            prompt=f"{low} + {low + shift} of {self.choices(low)}, then {2 * low} + "
            f"{low + 1 + shift} of {self.choices(low, 1)}",
            payload={"low": low, "answers": answers},
        )

    def choices(self, low, which=0):
        right = (2 * low, 3 * low + 1)[which]
        return [str(right + i) for i in range(2)]

    def begin(self, task):
        self.answered = 0

    def reply(self, text):
        if text.strip() != self.task.payload["answers"][self.answered]:
            return WRONG
        self.answered += 1
        return "next" if self.answered < 2 else RIGHT

    def oracle(self, task):
        return list(task.payload["answers"])

    def critical(self, task):
        return list(task.payload["answers"])

    def twin(self, task):
        return self.problem(task.split, task.payload["low"], shift=1)

    def chance(self, level):
        return 0.25

    def random_turn(self, rng):
        return str(
            rng.choice(self.choices(self.task.payload["low"], min(self.answered, 1)))
        )

    def get_state(self):
        return {**super().get_state(), "answered": self.answered}

    def set_state(self, state):
        super().set_state(state)
        self.answered = state["answered"]


class Unseeded(Sums):
    name = "unseeded"

    def tasks(self, split, level):
        return random.sample(super().tasks(split, level), 6)


class HashSeeded(Sums):
    name = "hash_seeded"

    def tasks(self, split, level):
        return sorted(super().tasks(split, level), key=lambda task: hash(task.id))


class Overlapping(Sums):
    name = "overlapping"
    lows = {"train": range(10, 22), "id": range(21, 26)}


class Unreachable(Sums):
    name = "unreachable"

    def reply(self, text):
        return RIGHT if text == self.task.payload["low"] else WRONG


class EchoAccepted(Sums):
    name = "echo_accepted"

    def reply(self, text):
        return (
            RIGHT
            if all(answer in text for answer in self.task.payload["answers"])
            else "no"
        )


class ChanceTooLow(Sums):
    name = "chance_too_low"

    def random_turn(self, rng):
        return str(rng.integers(100))

    def chance(self, level):
        return 0.0001


class ChanceOverstated(Sums):
    name = "chance_overstated"

    def chance(self, level):
        return 0.75


class HalfIsEnough(Sums):
    name = "half_is_enough"

    def reply(self, text):
        return RIGHT if text.strip() in self.task.payload["answers"] else WRONG


class PartialCreditPasses(Sums):
    name = "partial_credit_passes"

    def reply(self, text):
        right = text.strip() == self.task.payload["answers"][0]
        return Verdict(passed=right, score=0.5 * right)


class RewardForParts(Sums):
    name = "reward_for_parts"

    def step(self, action):
        reply, reward, terminated, truncated, info = super().step(action)
        return reply, max(reward, self.answered / 2), terminated, truncated, info


class Crashing(Sums):
    name = "crashing"

    def reply(self, text):
        return super().reply(str(int(text)))


class Forgetful(Sums):
    name = "forgetful"

    def set_state(self, state):
        super().set_state(state)
        self.answered = 0


class SameTwin(Sums):
    name = "same_twin"

    def twin(self, task):
        return self.problem(task.split, task.payload["low"])


class OneAnswer(Sums):
    name = "one_answer"

    def problem(self, split, low, shift=0):
        fixed = {"low": low, "answers": ["7", "8"]}
        return Task(f"{split}/0/{low}", split, 0, f"low {low}", f"problem {low}", fixed)


class Unpicklable(Sums):
    name = "unpicklable"

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Mislabelled(Sums):
    name = "mislabelled"

    def problem(self, split, low, shift=0):
        return super().problem("train", low, shift)


class LenientReset(Sums):
    name = "lenient_reset"

    def reset(self, *, seed=None, options=None):
        known = {
            k: v
            for k, v in (options or {}).items()
            if v in (*self.splits, *self.levels)
        }
        return super().reset(seed=seed, options=known)


class Patient(Sums):
    name = "patient"

    def reply(self, text):
        self.answered += 1
        return RIGHT if self.answered == 2 else "again"


class AnyNumberCounts(Sums):
    """Takes any right number of a turn for the answer."""

    name = "any_number_counts"

    def reply(self, text):
        words = text.replace(",", " ").split()
        wanted = self.task.payload["answers"][self.answered]
        return super().reply(wanted if wanted in words else "")


class TellsTheAnswer(Sums):
    """One sum; a wrong answer is told the right one, and another may follow."""

    name = "tells_the_answer"

    def problem(self, split, low, shift=0):
        task = super().problem(split, low, shift)
        return dataclasses.replace(task, prompt=f"{low} + {low + shift}")

    def reply(self, text):
        wanted = self.task.payload["answers"][0]
        return RIGHT if text.strip() == wanted else f"no, it is {wanted}."

    def oracle(self, task):
        return task.payload["answers"][:1]


class NoText(Sums):
    name = "no_text"

    def step(self, action):
        return (3, *super().step(action)[1:])


class Endless(Sums):
    name = "endless"

    def step(self, action):
        reply, reward, terminated, truncated, info = super().step(action)
        self._live = True
        return reply, reward, terminated, False, {**info, "verified": None}


class Files(ToolEnv):
    """Write the word backwards to answer.txt and submit; the files are kept as text."""

    name = "files"
    splits = ("train", "id")
    max_turns = 4
    words = {
        "train": ("river", "stone", "cloud", "green"),
        "id": ("light", "bread", "house"),
    }

    def __init__(self):
        super().__init__()
        self.files = {}

    def begin(self, task):
        self.files = {}

    def tasks(self, split, level):
        say = "Write {!r} backwards to answer.txt.".format
        return [
            Task(f"{split}/0/{word}", split, 0, word, say(word), {"answer": word[::-1]})
            for word in self.words[split]
        ]

    @tool
    def write(self, path: str, text: str) -> str:
        """Write a file."""
        self.files[path[:100]] = text[:1000]
        return f"wrote {path[:100]!r}"

    @tool
    def pick(self, line: int) -> str:
        """Show the letter at a place."""
        word = self.task.family
        return word[line] if 0 <= line < len(word) else f"no letter {line}"

    @tool
    def submit(self) -> Verdict:
        """Finish."""
        return RIGHT if self.solved() else WRONG

    def solved(self):
        return self.files.get("answer.txt", "").strip() == self.task.payload["answer"]

    def oracle(self, task):
        answer = task.payload["answer"]
        return [
            render_call("write", path="answer.txt", text=answer),
            render_call("submit"),
        ]

    def critical(self, task):
        return [task.payload["answer"]]

    def get_state(self):
        return {**super().get_state(), "files": dict(self.files)}

    def set_state(self, state):
        super().set_state(state)
        self.files = dict(state["files"])


class ReadsTheReport(Files):
    """The verifier believes a file that the policy may write."""

    name = "reads_the_report"

    def solved(self):
        report = json.loads(self.files.get("result.json", "{}") or "{}")
        return super().solved() or bool(report.get("passed"))


class ReadsItsOwnReport(Files):
    """As before, with a name that only the prompt tells."""

    name = "reads_its_own_report"

    def tasks(self, split, level):
        tasks = super().tasks(split, level)
        return [
            Task(t.id, split, 0, t.family, f"{t.prompt} See grade.log.", t.payload)
            for t in tasks
        ]

    def solved(self):
        return super().solved() or self.files.get("grade.log") == "PASS"


class OwnTests(Files):
    """Runs the tests that lie beside the answer, where the policy may overwrite them."""

    name = "own_tests"

    def solved(self):
        with tempfile.TemporaryDirectory() as folder:
            test = (
                f"assert open('answer.txt').read() == {self.task.payload['answer']!r}\n"
            )
            for path, text in {
                "answer.txt": "",
                "test_all.py": test,
                **self.files,
            }.items():
                if "/" not in path and "\0" not in path:
                    Path(folder, path or "x").write_text(text, "utf-8", "replace")
            done = subprocess.run(
                [sys.executable, "test_all.py"], cwd=folder, capture_output=True
            )
        return done.returncode == 0

    def tasks(self, split, level):
        tasks = super().tasks(split, level)
        return [
            Task(
                t.id, split, 0, t.family, f"{t.prompt} test_all.py tests it.", t.payload
            )
            for t in tasks
        ]


class Indexing(Files):
    name = "indexing"

    @tool
    def pick(self, line: int) -> str:
        """Show the letter at a place."""
        return self.task.family[line]


class OwnParser(Files):
    """Reads calls by itself and believes the types in them."""

    name = "own_parser"

    def reply(self, text):
        with suppress(ValueError, RecursionError):
            call = json.loads(text)
            if isinstance(call, dict) and call.get("name") == "pick":
                given = call.get("arguments")
                if isinstance(given, dict) and "line" in given:
                    return f"the letter after {given['line'] - 1}"
        return super().reply(text)


class OnThisMachine(Files):
    """Writes where the path says, on the machine that the checker runs on."""

    name = "on_this_machine"

    @tool
    def write(self, path: str, text: str) -> str:
        """Write a file."""
        place = Path(path.replace("\0", "") or "answer.txt")
        if str(place.resolve()).startswith(("/tmp/", tempfile.gettempdir())):
            place.write_text(text, "utf-8", "replace")
            self.files[path] = text
        return "wrote it"


class Code(ToolEnv):
    """Write `f`, which doubles a number and adds a secret; judged without running anything."""

    name = "code"
    splits = ("train", "id")
    max_turns = 3
    adds = {"train": range(1, 6), "id": range(6, 9)}

    def tasks(self, split, level):
        return [
            Task(
                f"{split}/0/{n}",
                split,
                0,
                f"add {n}",
                f"Write f(x) = 2x + {n}.",
                {"n": n},
            )
            for n in self.adds[split]
        ]

    @tool
    def submit(self, code: str) -> Verdict:
        """Hand in the function."""
        return RIGHT if self.works(code) else WRONG

    def works(self, code):
        return code == self.program(self.task)

    def program(self, task):
        return f"def f(x):\n    return 2 * x + {task.payload['n']}\n"

    def oracle(self, task):
        return [render_call("submit", code=self.program(task))]

    def critical(self, task):
        return [f"+ {task.payload['n']}"]


class InOneProcess(Code):
    """Runs the code in its own process."""

    name = "in_one_process"

    def works(self, code):
        space = {}
        with suppress(Exception):
            exec(code, space)
            return space["f"](10) == 20 + self.task.payload["n"]
        return False


class ExitCodeDecides(Code):
    """Believes the exit code of a process that the submission can end."""

    name = "exit_code_decides"
    limit_s = 20

    def works(self, code):
        test = f"{code}\nassert f(10) == {20 + self.task.payload['n']}\n"
        command = [
            sys.executable,
            "-c",
            test.encode("utf-8", "replace").replace(b"\0", b""),
        ]
        done = subprocess.run(
            command, capture_output=True, timeout=self.limit_s, check=False
        )
        return done.returncode == 0


class LastLineDecides(Code):
    """Believes the last line of what a process prints that the submission can outlast."""

    name = "last_line_decides"

    def works(self, code):
        wanted = repr(str(20 + self.task.payload["n"]))
        test = f"{code}\nprint('passed' if repr(f(10)) == {wanted} else 'failed')\n"
        command = [
            sys.executable,
            "-c",
            test.encode("utf-8", "replace").replace(b"\0", b""),
        ]
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        return done.stdout.endswith(b"\npassed\n") or done.stdout == b"passed\n"


class ReusesItsFolder(Code):
    """Runs the code first, and then the tests where a process of it may still write."""

    name = "reuses_its_folder"

    def works(self, code):
        wanted = repr(str(20 + self.task.payload["n"]))
        test = f"from code_ import f\nif repr(f(10)) != {wanted}:\n    raise SystemExit(1)\n"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            Path(folder, "code_.py").write_text(
                code.replace("\0", ""), "utf-8", "replace"
            )
            quiet = {"cwd": folder, "capture_output": True, "timeout": 20}
            subprocess.run([sys.executable, "-c", "import code_"], **quiet)
            Path(folder, "test_all.py").write_text(test)
            time.sleep(0.3)
            nonce = secrets.token_hex()
            run = f"import runpy; runpy.run_path('test_all.py'); print({nonce!r})"
            done = subprocess.run([sys.executable, "-c", run], **quiet)
        return done.stdout.decode().strip() == nonce


for found in list(globals().values()):
    if (
        isinstance(found, type)
        and issubclass(found, TextEnv)
        and found.__module__ == __name__
    ):
        register(found, "planted")
# What Gymnasium can make and is no TextEnv.
register_with_gymnasium(
    "planted/foreign-v0", "gymnasium.envs.toy_text.frozen_lake:FrozenLakeEnv"
)
