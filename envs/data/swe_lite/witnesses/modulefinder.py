"""What modulefinder gives; expected values stay outside.

The packages follow CPython's Lib/test/test_modulefinder.py, PSF licence.
"""

import importlib.machinery
import modulefinder
import os
import py_compile
import tempfile

# What is looked for, and the files: one a line, each followed by its indented lines.
_MAYBE = "a.module", """\
a/__init__.py
a/module.py
    from b import something
    from c import something
b/__init__.py
    from sys import *
"""

_MAYBE_NEW = "a.module", _MAYBE[1].replace("    from sys", "    import __future__\n    from sys")

_PACKAGE = "a.module", """\
mymodule.py
a/__init__.py
    import blahblah
    from a import b
    import c
a/module.py
    import sys
    from a import b as x
    from a.c import sillyname
a/b.py
a/c.py
    from a.module import x
    import mymodule as sillyname
    from sys import version_info
"""

_ABSOLUTE = "a.module", """\
mymodule.py
a/__init__.py
a/module.py
    from __future__ import absolute_import
    import sys
    import blahblah
    import gc
    import b.x
    from b import y
    from b.z import *
a/gc.py
a/sys.py
    import mymodule
a/b/__init__.py
a/b/x.py
a/b/y.py
a/b/z.py
b/__init__.py
    import z
b/unused.py
b/x.py
b/y.py
b/z.py
"""

_RELATIVE = "a.module", """\
mymodule.py
a/__init__.py
    from .b import y, z
a/module.py
    from __future__ import absolute_import
    import gc
a/gc.py
a/sys.py
a/b/__init__.py
    from ..b import x
    from .c import moduleC
a/b/x.py
a/b/y.py
a/b/z.py
a/b/g.py
a/b/c/__init__.py
    from ..c import e
a/b/c/moduleC.py
    from ..c import d
a/b/c/d.py
a/b/c/e.py
a/b/c/x.py
"""

_FAR_RELATIVE = "a.module", """\
mymodule.py
a/__init__.py
    from . import sys
a/another.py
a/module.py
    from .b import y, z
a/gc.py
a/sys.py
a/b/__init__.py
    from .c import moduleC
    from .c import d
a/b/x.py
a/b/y.py
a/b/z.py
a/b/c/__init__.py
    from . import e
a/b/c/moduleC.py
    from . import f
    from .. import x
    from ... import another
a/b/c/d.py
a/b/c/e.py
a/b/c/f.py
"""

_NAMES_OF_A_PACKAGE = "a.module", """\
a/__init__.py
    def foo(): pass
a/module.py
    from . import foo
    from . import bar
"""

_STAR_OF_A_PACKAGE = "a.module", """\
a/__init__.py
    def foo(): pass
a/module.py
    from . import *
"""

_SYNTAX_ERROR = "a.module", """\
a/__init__.py
a/module.py
    import b.module
b/__init__.py
b/module.py
    ?
"""

_SAME_NAME_AS_BAD = "a.module", """\
a/__init__.py
a/module.py
    import c
    from b import c
b/__init__.py
b/c.py
"""

_ENCODED = "a_{0}", """\
a_{0}.py
    # coding={0}
    print('P\xe2t\xe9')
    import b_utf8
b_utf8.py
    # the default
    print('\u2090')
"""


class _Checked(modulefinder.ModuleFinder):
    def load_module(self, fqname, fp, pathname, file_info):
        suffix, mode, kind = file_info
        return super().load_module(fqname, fp, pathname, (suffix, mode, kind))


def _write(folder, files):
    path = ""
    for line in files.splitlines():
        encoding = "cp1252" if "cp1252" in path else "utf-8"
        if line.startswith(" "):
            with open(path, "a", encoding=encoding) as file:
                file.write(line.strip() + "\n")
        else:
            path = os.path.join(folder, line)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "w").close()


def _found_in(folder, name, finder=modulefinder.ModuleFinder):
    seen = finder(path=[folder, os.path.dirname(tempfile.__file__)])
    seen.import_hook(name)
    return sorted(seen.modules), *seen.any_missing_maybe()


def _found(package, finder=modulefinder.ModuleFinder):
    name, files = package
    with tempfile.TemporaryDirectory() as folder:
        _write(folder, files)
        return _found_in(folder, name, finder)


def package():
    return _found(_PACKAGE)


def maybe_missing():
    yield _found(_MAYBE)
    yield _found(_MAYBE_NEW)


def absolute_imports():
    return _found(_ABSOLUTE)


def overridden_load_module():
    return _found(_ABSOLUTE, _Checked)


def relative_imports():
    for one in (_RELATIVE, _FAR_RELATIVE, _NAMES_OF_A_PACKAGE, _STAR_OF_A_PACKAGE):
        yield _found(one)


def syntax_error():
    return _found(_SYNTAX_ERROR)


def name_that_was_missing_elsewhere():
    return _found(_SAME_NAME_AS_BAD)


def encodings():
    for encoding in ("utf8", "cp1252"):
        name, files = _ENCODED
        yield _found((name.format(encoding), files.format(encoding)))


def many_constants():
    return _found(("a", "a.py\n    " + "; ".join(f"x = {i}" for i in range(400)) + "; import b\nb.py\n"))


def bytecode():
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "a.py")
        _write(folder, "a.py\n    testing = True\n")
        py_compile.compile(source, source[:-3] + importlib.machinery.BYTECODE_SUFFIXES[0])
        os.remove(source)
        return _found_in(folder, "a")
