"""Test files of the library lose what a box lacks, and nothing else."""

import pytest

from envs.code.swe_lite.adapt import adapt

TEXT = """\
import subprocess
import unittest
from test import support
from test.support import os_helper

NAME = os_helper.TESTFN
SIZE = 3


class Kept(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(SIZE, 3)

    @support.cpython_only
    def test_helped(self):
        pass

    def test_process(self):
        subprocess.run([NAME])


class Lost(support.Base):
    def test_lost(self):
        pass


class Emptied(unittest.TestCase):
    def test_file(self):
        open(NAME)


def load_tests(*arguments):
    return Lost
"""


def test_what_uses_the_test_package_goes_with_its_decorators():
    left = adapt(TEXT)
    names: dict[str, object] = {}
    exec(compile(left, "left", "exec"), names)
    assert {name for name in names if not name.startswith("__")} == {
        "unittest",
        "SIZE",
        "Kept",
    }
    assert [name for name in vars(names["Kept"]) if name.startswith("test")] == [
        "test_plain"
    ]


def test_deprecated_modules_are_imported_plainly():
    text = (
        "from test.support import warnings_helper\n"
        "uu = warnings_helper.import_deprecated('uu')\n"
    )
    assert adapt(text) == "import uu\n"


def test_backslashes_that_escape_nothing_are_doubled_and_the_text_stays_the_same():
    text = "A = '\\/ \\n \\\\d \\\\\\w', r'\\d'\nC = b'\\d'\n"
    before, after = {}, {}
    with pytest.warns(match="invalid escape sequence"):
        exec(compile(text, "before", "exec"), before)
    exec(compile(adapt(text), "after", "exec"), after)
    assert [before[name] for name in "AC"] == [after[name] for name in "AC"]
    assert before["A"][0] == "\\/ \n \\d \\\\w"
