"""What plistlib gives; expected values stay outside.

The values follow CPython's Lib/test/test_plistlib.py, PSF licence.
"""

import base64
import datetime
import plistlib
import struct

from observe import outcome

_WHEN = datetime.datetime(2004, 10, 26, 10, 33, 33)

_VALUES = [
    *[None, False, True, 12345, 123.45, "abcde", "\u0430\u0431\u0432\u0433\u0434", b"abcde", _WHEN],
    *[bytearray(b"abcde"), [12, 345], (12, 345), {"12": 345}],
]

_ARCHIVE = base64.b64decode(
    "YnBsaXN0MDDUAQIDBAUGHB1YJHZlcnNpb25YJG9iamVjdHNZJGFyY2hpdmVyVCR0b3ASAAGGoKMHCA9VJG51bGzTCQoL"
    "DA0OVnB5dHlwZVYkY2xhc3NZTlMuc3RyaW5nEAGAAl8QE0tleUFyY2hpdmUgVUlEIFRlc3TTEBESExQZWiRjbGFzc25h"
    "bWVYJGNsYXNzZXNbJGNsYXNzaGludHNfEBdPQ19CdWlsdGluUHl0aG9uVW5pY29kZaQVFhcYXxAXT0NfQnVpbHRpblB5"
    "dGhvblVuaWNvZGVfEBBPQ19QeXRob25Vbmljb2RlWE5TU3RyaW5nWE5TT2JqZWN0ohobXxAPT0NfUHl0aG9uU3RyaW5n"
    "WE5TU3RyaW5nXxAPTlNLZXllZEFyY2hpdmVy0R4fVHJvb3SAAQAIABEAGgAjAC0AMgA3ADsAQQBIAE8AVgBgAGIAZAB6"
    "AIEAjACVAKEAuwDAANoA7QD2AP8BAgEUAR0BLwEyATcAAAAAAAACAQAAAAAAAAAgAAAAAAAAAAAAAAAAAAABOQ=="
)

# Objects and table of offsets; then sizes of offsets and of references, how many objects, which one is
# the top, and where the table is.
_INVALID = [
    *[("00 08", 1, 1, 1, 0, 0x2A), ("00 000008", 3, 1, 1, 0, 0x2C), ("00 08", 1, 1, 1, 0, 2**64 - 1)],
    *[("00 08", 1, 1, 1, 1, 9), ("00 08", 1, 1, 1, 2**64 - 1, 9), ("00 08", 1, 1, 255, 0, 9)],
    *[("00 000008", 3, 1, 255, 0, 9), ("00 08", 1, 1, 0x7FFFFFFF, 0, 9), ("00 08", 1, 1, 2**40 - 1, 0, 9)],
    *[("00 08", 1, 1, 2**64 - 1, 0, 9), ("00 08", 0, 1, 1, 0, 9), ("a101 00 080a", 1, 0, 2, 0, 11)],
    *[("00 2a", 1, 1, 1, 0, 9), ("00 ffffffffffffffff", 8, 1, 1, 0, 9)],
    *[("af0001ff 00 080c", 1, 1, 2, 0, 13), ("af027fffffff01 00 080f", 1, 1, 2, 0, 16)],
    *[("af03000000ffffffffff01 00 0813", 1, 1, 2, 0, 20), ("af03ffffffffffffffff01 00 0813", 1, 1, 2, 0, 20)],
    *[("a102 00 080a", 1, 1, 2, 0, 11), ("a1ffffffffffffffff 00 0811", 1, 8, 2, 0, 18)],
    *[("4f002341 08", 1, 1, 1, 0, 12), ("4f027fffffff41 08", 1, 1, 1, 0, 15)],
    *[("4f03000000ffffffffff41 08", 1, 1, 1, 0, 19), ("4f03ffffffffffffffff41 08", 1, 1, 1, 0, 19)],
    *[("5f002341 08", 1, 1, 1, 0, 12), ("5f027fffffff41 08", 1, 1, 1, 0, 15)],
    *[("5f03000000ffffffffff41 08", 1, 1, 1, 0, 19), ("5f03ffffffffffffffff41 08", 1, 1, 1, 0, 19)],
    *[("51ff 08", 1, 1, 1, 0, 10), ("6f001320ac00 08", 1, 1, 1, 0, 14)],
    *[("6f024fffffff20ac00 08", 1, 1, 1, 0, 17), ("6f03000000ffffffffff20ac00 08", 1, 1, 1, 0, 21)],
    *[("6f03ffffffffffffffff20ac00 08", 1, 1, 1, 0, 21), ("61d800 08", 1, 1, 1, 0, 11)],
    *[("d10101 a0 080b", 1, 1, 2, 0, 12), ("334250000000000000 08", 1, 1, 1, 0, 17)],
    *[("3342e0000000000000 08", 1, 1, 1, 0, 17), ("337ff0000000000000 08", 1, 1, 1, 0, 17)],
    *[("337ff8000000000000 08", 1, 1, 1, 0, 17)],
]


def _plain(value):
    """The value with what is no plain data as its fields."""
    if isinstance(value, datetime.datetime):
        return "date", value.isoformat()
    if isinstance(value, plistlib.UID):
        return "UID", value.data
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _dumped(value, **options):
    return plistlib.dumps(value, fmt=plistlib.FMT_BINARY, **options)


def _loaded(data):
    return _plain(plistlib.loads(data, fmt=plistlib.FMT_BINARY))


def _decoded(*objects, offset_size=1, ref_size=1):
    """What is loaded from a file made of the objects, the first of which is the top one."""
    data = b"bplist00" + b"".join(objects)
    offset = 8
    table = b""
    for one in objects:
        table += offset.to_bytes(offset_size, "big")
        offset += len(one)
    tail = struct.pack(">6xBBQQQ", offset_size, ref_size, len(objects), 0, offset)
    return _loaded(data + table + tail)


def dumped():
    for value in _VALUES:
        yield outcome(_dumped, [value] * 2)


def sizes_with_duplicates():
    for value in _VALUES:
        yield outcome(lambda: len(_dumped([value] * 1000)))


def identity():
    for value in _VALUES:
        pair = outcome(lambda: plistlib.loads(_dumped([value] * 2)))
        yield outcome(lambda: (*_plain(pair), pair[0] is pair[1]))


def cycles():
    in_list, in_tuple, in_dict = [], ([],), {}
    in_list.append(in_list)
    in_tuple[0].append(in_tuple)
    in_dict["x"] = in_dict
    for value in (in_list, in_tuple, in_dict):
        yield outcome(_dumped, value)
    yield outcome(lambda: (loaded := plistlib.loads(_dumped(in_list)))[0] is loaded)
    yield outcome(lambda: (loaded := plistlib.loads(_dumped(in_tuple)))[0][0] is loaded)
    yield outcome(lambda: (loaded := plistlib.loads(_dumped(in_dict)))["x"] is loaded)


def nested():
    parts = [b"\xa1" + (i + 1).to_bytes(4, "big") for i in range(30)]
    return _decoded(*parts, b"\x54seed", offset_size=4, ref_size=4)


def dates_beyond_32_bits():
    for seconds in (-(2**31) - 1, 2**31):
        data = outcome(_dumped, datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds))
        yield data
        yield outcome(_loaded, data)
    yield _decoded(struct.pack(">Bd", 0x33, 3e9))


def singletons():
    for token in (b"\x00", b"\x08", b"\x09", b"\x0f"):
        yield outcome(_decoded, token)


def integers():
    for written in ("1000", "10fe", "11fedc", "12fedcba98", "130123456789abcdef", "13fedcba9876543210"):
        yield outcome(_decoded, bytes.fromhex(written))


def references_of_three_bytes():
    data = b"bplist00\xd1\x00\x00\x01\x00\x00\x02QaQb\x00\x00\x08\x00\x00\x0f\x00\x00\x11"
    return outcome(plistlib.loads, data + struct.pack(">6xBBQQQ", 3, 3, 3, 0, 0x13))


def unsupported_tokens():
    for token in [1, 7, 10, 14, 0x20, 0x21, 0x24, 0x32, 0x34, 0x3F]:
        yield outcome(_decoded, bytes([token]) + bytes(16))
    for high in (0x70, 0x90, 0xB0, 0xC0, 0xE0, 0xF0):
        yield outcome(_decoded, bytes([high]) + bytes(16))
        yield outcome(_decoded, bytes([high + 15]) + bytes(16))


def invalid_files():
    yield outcome(_loaded, b"bplist00")
    for body, *numbers in _INVALID:
        yield outcome(_loaded, b"bplist00" + bytes.fromhex(body) + struct.pack(">6xBBQQQ", *numbers))


def archive():
    return _plain(plistlib.loads(_ARCHIVE))
