"""Which answers AgentBench's checks take."""

from __future__ import annotations

import pytest

from envs.published.agentbench_os.rows import Row, is_right


@pytest.mark.parametrize(
    ("check", "expected", "answer", "right"),
    [
        ("integer-match", "3\n", "3", True),
        ("integer-match", "3\n", " +3 ", True),
        ("integer-match", "3\n", "03", True),
        ("integer-match", "3\n", "4", False),
        ("integer-match", "3\n", "three", False),
        ("integer-match", "3\n", "", False),
        ("integer-match", "3\n", "9" * 5000, False),
        ("integer-match", "find: no such file", "0", None),
        ("integer-match", "", "", None),
        ("string-match", "a.txt\n", "a.txt", True),
        ("string-match", "a\nb\n", "a\r\nb", True),
        ("string-match", "a.txt\n", "b.txt", False),
        ("string-match", "\n", "", None),
        ("size-match", "2K", "2048", True),
        ("size-match", "1MB", "1024 kB", True),
        ("size-match", "12", "12B", True),
        ("size-match", "2K", "2000", False),
        ("size-match", "2K", "2 miles", False),
        ("size-match", "much", "2", None),
    ],
)
def test_answers_are_compared_as_the_check_has_it(check, expected, answer, right):
    assert is_right(check, expected, answer) is right


def test_a_commands_comments_do_not_count():
    row = Row("q", "", "# Count them\nls | wc -l\n  # end", "integer-match")
    assert row.command == "ls | wc -l"
