"""What uu gives; expected values stay outside.

The texts follow CPython's Lib/test/test_uu.py, PSF licence.
"""

import io
import sys
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import uu

from observe import outcome

_PLAIN = b"The symbols on top of your keyboard are !@#$%^&*()_+|~\n"
_LINES = b"""\
M2&]W('9E>&EN9VQY('%U:6-K(&1A9G0@>F5B<F%S(&IU;7`A(#P]/B!;74`B
$(R0E"@``
"""


def _encoded(*arguments, **options):
    out = io.BytesIO()
    raised = outcome(uu.encode, io.BytesIO(_PLAIN), out, *arguments, **options)
    return raised, out.getvalue()


def _decoded(text, **options):
    out = io.BytesIO()
    raised = outcome(uu.decode, io.BytesIO(text), out, **options)
    return raised, out.getvalue()


def _message(function, *arguments):
    try:
        function(*arguments)
    except uu.Error as error:
        return str(error)


def _with_streams(function, text, *arguments):
    """What a call writes to the standard output, where the text is the standard input."""
    streams = sys.stdin, sys.stdout
    sys.stdin, sys.stdout = io.TextIOWrapper(io.BytesIO(text)), io.TextIOWrapper(io.BytesIO())
    try:
        raised = outcome(function, "-", "-", *arguments)
        sys.stdout.flush()
        return raised, sys.stdout.buffer.getvalue()
    finally:
        sys.stdin, sys.stdout = streams


def encoded():
    yield _encoded("t1")
    yield _encoded("t1", 0o644)
    yield _encoded("t1", backtick=True)
    yield _encoded("t1", 0o644, True)


def lines_in_the_name():
    return _encoded("test.txt\n\roverflow.txt")


def decoded():
    for end in (b" \nend\n", b"`\nend\n"):
        yield _decoded(b"begin 644 t1\n" + _LINES + end)


def garbage_in_the_padding():
    for end in (b" \nend\n", b"`\nend\n"):
        yield _decoded(b"begin 644 file\n!,___\n" + end, quiet=True)


def incomplete_input():
    for text in (b"begin 644 t1\n" + _LINES, b""):
        yield _message(uu.decode, io.BytesIO(text), io.BytesIO())


def names_in_other_directories():
    for name in (b"../../../../../../../../tmp/test1", b"/tmp/test2"):
        message = _message(uu.decode, io.BytesIO(b"begin 644 " + name + b'\n$86)C"@``\n`\nend\n'))
        yield message and "directory" in message


def standard_streams():
    yield _with_streams(uu.encode, _PLAIN, "t1", 0o666)
    yield _with_streams(uu.decode, b"begin 666 t1\n" + _LINES + b" \nend\n")
