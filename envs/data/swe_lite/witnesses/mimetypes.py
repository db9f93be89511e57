"""What types are guessed of names, and names of types; expected values stay outside.

The calls follow CPython's Lib/test/test_mimetypes.py, PSF licence.
"""

import io
import mimetypes
import pathlib

from observe import outcome

mimetypes.knownfiles = []
mimetypes.inited = False
outcome(mimetypes._default_mime_types)

_NAMES = (
    "foobar.HTML", "foobar.html", "foobar.TGZ", "foobar.tgz", "foobar.tar.Z", "foobar.tar.z",
    "foo.tar.gz", "foo.tar.bz2", "foo.tar.xz", "foo.xul", "foo.XUL", "foo.invalid",
)
_URLS = (
    "data:invalidDataWithoutComma", "data:,thisIsTextPlain", "data:;base64,thisIsTextPlain",
    "data:text/x-foo,thisIsTextXFoo", ";1.tar.gz", "?1.tar.gz", "#1.tar.gz", "#1#.tar.gz", ";1#.tar.gz",
    ";&1=123;?.tar.gz", "?k1=v1&k2=v2.tar.gz", r" \"\`;b&b&c |.tar.gz",
)
_PATHS = ("LICENSE.txt", "/dir/LICENSE.txt", "../dir/LICENSE.txt", "./")
_TYPES = (
    "application/octet-stream", "application/postscript", "application/vnd.apple.mpegurl",
    "application/vnd.ms-excel", "application/vnd.ms-powerpoint", "application/x-texinfo",
    "application/x-troff", "application/xml", "audio/mpeg", "image/avif", "image/jpeg", "image/tiff",
    "message/rfc822", "text/html", "text/plain", "video/mpeg", "video/quicktime",
)


def types_of_names():
    data = mimetypes.MimeTypes()
    for name in _NAMES:
        yield name, outcome(data.guess_type, name), outcome(data.guess_type, name, strict=False)


def types_of_urls():
    data = mimetypes.MimeTypes()
    for url in _URLS:
        yield outcome(data.guess_type, url)
    yield outcome(data.guess_type, url="foo.html", strict=True)


def types_of_paths():
    data = mimetypes.MimeTypes()
    for path in _PATHS:
        yield outcome(data.guess_type, pathlib.Path(path))


def extensions():
    data = mimetypes.MimeTypes()
    for kind in ("image/jpg", "image/JPG", "image/webp"):
        for strict in (True, False):
            yield outcome(data.guess_extension, kind, strict=strict)
            yield outcome(data.guess_all_extensions, type=kind, strict=strict)
    yield outcome(lambda: sorted(data.guess_all_extensions("text/plain", strict=True)))


def added_types():
    data = mimetypes.MimeTypes()
    yield outcome(data.readfp, io.StringIO("x-application/x-unittest pyunit\n"))
    yield outcome(data.guess_type, "foo.pyunit"), outcome(data.guess_extension, "x-application/x-unittest")
    yield outcome(data.add_type, "test-type", ".strict-ext")
    yield outcome(data.add_type, "test-type", ".non-strict-ext", strict=False)
    yield outcome(data.guess_all_extensions, "test-type", strict=False)
    yield outcome(lambda: data.guess_all_extensions("test-type").append(".no-such-ext"))
    yield outcome(data.guess_all_extensions, "test-type")


def preferred_extensions():
    for _ in range(2):
        for kind in _TYPES:
            yield outcome(mimetypes.guess_extension, kind)
        yield outcome(mimetypes.init)
    kinds = sorted(set(mimetypes.types_map.values()))
    yield [kind for kind in kinds if outcome(mimetypes.guess_extension, kind) is None]


def what_init_forgets():
    yield outcome(mimetypes.add_type, "foo/bar", ".foobar")
    yield outcome(mimetypes.guess_extension, "foo/bar")
    yield outcome(mimetypes.init)
    yield outcome(mimetypes.guess_extension, "foo/bar")


def what_init_makes_new():
    names = ("suffix_map", "encodings_map", "types_map", "common_types")
    yield outcome(mimetypes.init)
    before = [getattr(mimetypes, name) for name in names]
    yield outcome(mimetypes.init)
    for name, old in zip(names, before, strict=True):
        new = getattr(mimetypes, name)
        yield name, old is new, old == new, [new.get(key) for key in (".tgz", ".gz", ".html", ".xul")]
