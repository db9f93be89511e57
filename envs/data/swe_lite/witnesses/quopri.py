"""What quopri gives; expected values stay outside.

The strings follow CPython's Lib/test/test_quopri.py, PSF licence.
"""

import quopri

_HIGH = b"".join(bytes(range(start, start + 8)) + b"\n" for start in range(0xA0, 0x100, 8))

_PLAIN = [
    b"hello",
    b"hello\n        there\n        world",
    b"hello\n        there\n        world\n",
    b"\201\202\203",
    b"hello ",
    b"hello\t",
    b"x" * 50 + bytes(range(0xD8, 0xE0)) + b"x" * 50,
    b"y" * 76,
    b"z" * 77,
    b"z" * 151,
    b"y" * 151 + b"\n" + b"z" * 76,
    b"Here's a bunch of special \n\n" + _HIGH + b"\ncharacters... have fun!\n",
]

_ENCODED = [
    b"goodbye",
    b"some\n        lines\n        of text\n",
    b"v" * 76,
    b"goodbye=20",
    b"goodbye=09",
    b"=84=85=C3=a6",
    b"good=20bye",
    b"good=09bye",
    b"123==four",
    b"v" * 50 + b"=C8=C9=CA=CB=CC=CD=CE=CFv=\n" + b"v" * 49,
    b"v" * 75 + b"=\n" + b"v" * 76 + b"\n" + b"w" * 76,
    b"Some special=20\n\n=A1=A2=A3\n=AB=BC=CD=EF\n\ncharacters...\n",
]


def _both(function, *arguments, **options):
    """What it gives with the help of binascii, and without."""
    yield function(*arguments, **options)
    helpers = quopri.a2b_qp, quopri.b2a_qp
    quopri.a2b_qp = quopri.b2a_qp = None
    try:
        yield function(*arguments, **options)
    finally:
        quopri.a2b_qp, quopri.b2a_qp = helpers


def encoded():
    for text in _PLAIN:
        yield from _both(quopri.encodestring, text)


def text_that_is_encoded_already():
    for text in _ENCODED[3:]:
        yield from _both(quopri.encodestring, text)


def decoded():
    for text in _ENCODED:
        yield from _both(quopri.decodestring, text)


def with_quoted_tabs():
    for text in (b"hello world", b"hello\tworld"):
        yield from _both(quopri.encodestring, text, quotetabs=True)


def headers():
    for text in (b"hello world", b"hello_world"):
        yield from _both(quopri.encodestring, text, header=True)
    for text in (b"good_bye", b"good=5Fbye"):
        yield from _both(quopri.decodestring, text, header=True)
