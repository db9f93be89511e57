"""What xdrlib gives; expected values stay outside.

The values follow CPython's Lib/test/test_xdrlib.py, PSF licence.
"""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import xdrlib

from observe import outcome

_WORDS = [b"what", b"is", b"hapnin", b"doctor"]

_PACKED = [
    *[("int", 42), ("int", -17), ("uint", 9), ("bool", True), ("bool", False), ("uhyper", 45)],
    *[("float", 1.9), ("double", 1.9), ("string", b"hello world")],
]

_KINDS = [kind for kind, _ in _PACKED]
_BYTES = bytes.fromhex(
    "00000102 fffffe0c 80000001 00000007 00000000 0000000100000203 40700000 c004cccccccccccd"
    "00000007 676f6f64 62796500"
    "00000001 0000000a 00000001 00000014 00000001 0000001e 00000000"
    "00000003 00000004 6e696365 00000002 746f0000 00000001 62000000"
)


def _pack(call):
    packer = xdrlib.Packer()
    call(packer)
    return packer.get_buffer()


def packed():
    for kind, value in _PACKED:
        yield _pack(lambda packer: getattr(packer, f"pack_{kind}")(value))
    yield _pack(lambda packer: packer.pack_list(range(5), packer.pack_uint))
    yield _pack(lambda packer: packer.pack_array(_WORDS, packer.pack_string))


def packed_one_after_another():
    packer = xdrlib.Packer()
    for kind, value in _PACKED:
        getattr(packer, f"pack_{kind}")(value)
    packer.pack_array(_WORDS, packer.pack_string)
    return packer.get_buffer()


def unpacked():
    unpacker = xdrlib.Unpacker(_BYTES)
    yield unpacker.get_position()
    for kind in _KINDS:
        yield getattr(unpacker, f"unpack_{kind}")()
        yield unpacker.get_position()
    yield unpacker.unpack_list(unpacker.unpack_uint)
    yield unpacker.unpack_array(unpacker.unpack_string)
    yield outcome(unpacker.done)
    yield outcome(unpacker.unpack_uint)


def unpacked_again():
    unpacker = xdrlib.Unpacker(_BYTES)
    for position in (12, 16, 12, 4):
        unpacker.set_position(position)
        yield unpacker.unpack_int(), unpacker.get_position()


def values_of_another_type():
    for kind in ("int", "uint", "float", "double", "uhyper"):
        yield outcome(getattr(xdrlib.Packer(), f"pack_{kind}"), "string")
