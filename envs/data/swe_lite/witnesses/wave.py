"""What wave gives; expected values stay outside.

The files follow CPython's Lib/test/test_wave.py, PSF licence.
"""

import io
import struct
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import wave

_DATA = b"data" + struct.pack("<L", 0)


def _format(tag=1, channels=1, bits=8):
    return b"fmt " + struct.pack("<LHHLLHH", 16, tag, channels, 11025, 11025, 1, bits)


def _riff(*chunks, form=b"WAVE"):
    body = form + b"".join(chunks)
    return b"RIFF" + struct.pack("<L", len(body)) + body


def _refused(data):
    try:
        wave.open(io.BytesIO(data))
    except wave.Error as error:
        return str(error)
    except EOFError:
        return EOFError.__name__


def headers():
    yield _refused(b"SPAM")
    yield _refused(b"SPAM" + struct.pack("<L", 0))
    yield _refused(_riff(form=b"SPAM"))


def missing_chunks():
    yield _refused(_riff())
    yield _refused(_riff(_format()))
    yield _refused(_riff(_DATA))


def formats():
    yield _refused(_riff(_format(tag=2, bits=1), _DATA))
    yield _refused(_riff(_format(channels=0), _DATA))
    yield _refused(_riff(_format(bits=0), _DATA))
