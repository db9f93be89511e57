"""Text stays text in Markdown."""

from __future__ import annotations

import pytest

from scgrpo.runs.markdown import markdown_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b é", r"a\|b é"),
        ("base[lr1e-3]", "base[lr1e-3]"),
        ("[a](http://x)", r"[a\](http://x)"),
        ("toy_guess level 0", "toy_guess level 0"),
        ("_all_", r"\_all\_"),
        ("<b>&amp; R&D", r"\<b>\&amp; R&D"),
        ("`code` a*b*", r"\`code\` a\*b*"),
        ("~~gone~~ ~5", r"\~\~gone\~\~ ~5"),
        ("a\nb", "a b"),
        (r"C:\x", r"C:\\x"),
    ],
)
def test_what_markdown_would_read_as_its_own_is_escaped(text, expected):
    assert markdown_text(text) == expected
