"""The book itself: enough attacks, each of them code that runs as it is meant."""

from __future__ import annotations

import ast
import re
from collections import Counter

import pytest

from envs.attack.book import BOOK, select_attacks
from envs.attack.compose import in_lines, one_line, stub_functions, wrong_with
from envs.attack.model import KINDS
from sandboxes import SandboxConfig, SandboxPool, open_pool


def test_there_are_far_more_than_sixty_attacks_on_grading_each_of_its_own_kind():
    kinds = Counter(one.kind for one in BOOK)
    assert set(kinds) == set(KINDS)
    assert kinds["evidence"] + kinds["reach"] >= 140
    assert kinds["lease"] >= 20
    assert (
        len({one.name for one in BOOK}) == len({one.code for one in BOOK}) == len(BOOK)
    )


def test_every_attack_says_what_it_steals_and_is_python():
    for one in BOOK:
        ast.parse(one.code)
        assert re.match(r"[a-z].{15,120}$", one.steals), one.name


OUTSIDE = re.compile(
    r"tempfile|/tmp|/etc|/home|/root|/usr|/proc|/dev/shm|getppid|environ|os\.walk|os\.fork|\*\*/"
    r"|symlink|os\.link|setxattr|shmget|flock|prlimit"
)


def test_attacks_that_may_run_without_a_sandbox_stay_in_their_folder():
    """An environment of somebody else's may run them on the machine itself."""
    leaving = []
    for one in BOOK:
        if not one.strong and not one.name.startswith(
            ("exec of", "a program in place")
        ):
            leaving += [(one.name, word) for word in OUTSIDE.findall(one.code)]
    assert leaving == []


def test_attacks_are_chosen_by_kind_by_name_and_by_a_word():
    assert {one.kind for one in select_attacks(["lease"])} == {"lease"}
    assert [one.name for one in select_attacks(["KeyboardInterrupt"])] == [
        "KeyboardInterrupt"
    ]
    assert len(select_attacks(["keyboardinterrupt", "recursion"])) > 2
    assert select_attacks([]) == list(BOOK)
    with pytest.raises(
        ValueError, match="got 'leese', expected a kind.*did you mean 'lease'"
    ):
        select_attacks(["leese"])


def test_code_fits_in_lines_and_runs_from_them():
    code = "value = '" + "ab" * 400 + "'\nfor n in range(3):\n    value += str(n)\n"
    for longest in (100, 200):
        lines = in_lines(code * 3, longest)
        assert all(len(line) <= longest and "\n" not in line for line in lines)
        space: dict[str, object] = {}
        exec("\n".join(lines), space)
        assert space["value"] == "ab" * 400 + "012"
    exec(one_line("done = 1"), space := {})
    assert space["done"] == 1


def test_attacks_stand_behind_a_wrong_solution_whose_functions_they_wrap():
    wrong = stub_functions(
        "class C:\n    def m(self, x):\n        return x + 1\ndef f(x):\n    return 2\n"
    )
    for first in (False, True):
        space: dict[str, object] = {}
        codes = [
            "seen = 1\n",
            "def on_call(function, a, k):\n    return [function(*a, **k)]\n",
        ]
        exec(wrong_with(wrong, [*codes, codes[1]], first=first), space)
        assert space["f"](7) == [[7]]  # pyright: ignore[reportCallIssue]
        assert space["C"]().m(5) == [[5]]  # pyright: ignore[reportCallIssue]


MARK = "print('began', flush=True)\n"
MISTAKES = (
    "NameError",
    "SyntaxError",
    "ImportError",
    "ModuleNotFoundError",
    "UnboundLocalError",
)


@pytest.fixture(scope="module")
def pool():
    from sandboxes.backends import bubblewrap as local

    if reason := local.available():
        pytest.skip(reason)
    with open_pool(SandboxConfig(backend="local", size=1)) as opened:
        yield opened


def test_every_attack_runs_as_it_is_meant(pool: SandboxPool):
    """A misspelt attack would gain nothing anywhere, and prove nothing."""
    wrong = "def f(x):\n    return x\n"
    wrong_ones = []
    for one in BOOK:
        if one.slow:
            continue
        text = MARK + wrong_with(wrong, [one.code], tests=["T.test"])
        with pool.lease() as sandbox:
            sandbox.write({"solution.py": text.encode(errors="surrogatepass")})
            script = "from solution import f\nfor n in range(8):\n    f(n)\n"
            done = sandbox.run(["python", "-c", script], timeout_s=5)
        said = done.stderr.decode("utf-8", "replace")
        last = said.strip().rpartition("\n")[2]
        if (
            last.startswith(MISTAKES)
            or b"began" not in done.stdout
            and not done.truncated
        ):
            wrong_ones.append((one.name, last))
    assert wrong_ones == []
