"""What zipapp gives; expected values stay outside.

The archives follow CPython's Lib/test/test_zipapp.py, PSF licence.
"""

import contextlib
import io
import os
import pathlib
import stat
import tempfile
import zipapp
import zipfile

from observe import outcome

_BAD_MAINS = ["", "foo", "foo:", ":bar", "12:bar", "a.b.c.:d", ".a:b", "a:b.", "a:.b", "a:silly name"]


@contextlib.contextmanager
def _folder(*names):
    """A folder, in which `source` has the named files and folders."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "source")
        source.mkdir()
        for name in names:
            if name.endswith("/"):
                (source / name).mkdir()
            else:
                (source / name).write_text(f"# {name}\n")
        yield pathlib.Path(folder)


def _contents(archive):
    with zipfile.ZipFile(archive) as z:
        return sorted((name, z.read(name)) for name in z.namelist())


def _first_line(archive):
    line = archive.getvalue().partition(b"\n")[0]
    return line if line.startswith(b"#!") else None


def _packed(*names, **options):
    """What a folder is packed to, as names and texts."""
    with _folder(*names) as folder:
        target = io.BytesIO()
        raised = outcome(zipapp.create_archive, folder / "source", target, **options)
        return raised or _contents(target)


def packed_to_paths():
    with _folder("__main__.py", "foo/", "foo/__init__.py") as folder:
        source, target = folder / "source", folder / "target.pyz"
        for make in (str, pathlib.Path):
            yield outcome(zipapp.create_archive, make(source), make(target))
            yield outcome(_contents, target)
            target.unlink(missing_ok=True)


def packed_to_the_default_path():
    with _folder("__main__.py") as folder:
        yield outcome(zipapp.create_archive, str(folder / "source"))
        yield sorted(os.listdir(folder))
        yield _contents(folder / "source.pyz")


def packed_to_a_file_object():
    return _packed("__main__.py", "foo/", "bar/", "foo/__init__.py")


def filters():
    names = ("__main__.py", "test.py", "test.pyc", "dummy/", "dummy/test2.py")
    yield _packed(*names, filter=lambda path: path.suffix != ".pyc")
    yield _packed(*names, filter=lambda path: path.parts[0] != "dummy")


def main_functions():
    yield _packed("foo.py", "bar.py", main="pkg.mod:fn")
    for main in ("foo:bar", "a.b.c:d.e"):
        yield _packed(main=main)
    yield _packed("foo.py")
    yield _packed("__main__.py", main="pkg.mod:fn")


def main_functions_with_bad_names():
    for main in _BAD_MAINS:
        yield _packed(main=main)


def interpreters():
    with _folder("__main__.py") as folder:
        source = folder / "source"
        for interpreter in (None, "python", "/usr/bin/env python3"):
            target = folder / "target.pyz"
            yield outcome(zipapp.create_archive, str(source), str(target), interpreter=interpreter)
            yield stat.filemode(target.stat().st_mode)[1:4]
            yield outcome(zipapp.get_interpreter, str(target))
            yield outcome(_contents, target)
            target.unlink()


def interpreters_in_file_objects():
    with _folder("__main__.py") as folder:
        for interpreter in (None, "python"):
            target = io.BytesIO()
            yield outcome(zipapp.create_archive, str(folder / "source"), target, interpreter)
            yield _first_line(target)


def copies():
    with _folder("__main__.py") as folder:
        first, second = folder / "first.pyz", folder / "second.pyz"
        yield outcome(zipapp.create_archive, folder / "source", first, interpreter="python")
        for make in (str, pathlib.Path):
            for interpreter in ("python2.7", None):
                yield outcome(zipapp.create_archive, make(first), make(second), interpreter=interpreter)
                yield outcome(zipapp.get_interpreter, make(second))
                yield outcome(_contents, second)
                second.unlink(missing_ok=True)


def copies_of_file_objects():
    with _folder("__main__.py") as folder:
        for interpreter in ("python", None):
            first, second = io.BytesIO(), io.BytesIO()
            zipapp.create_archive(str(folder / "source"), first, interpreter=interpreter)
            for wanted in ("python2.7", None):
                first.seek(0)
                second = io.BytesIO()
                yield outcome(zipapp.create_archive, first, second, interpreter=wanted)
                yield _first_line(second)
                yield outcome(_contents, second)


def _command(folder, *arguments):
    """Whether the command line refuses, and what it prints."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            zipapp.main([str(folder / one) if one.endswith(".pyz") else one for one in arguments])
    except SystemExit as error:
        return "refused" if error.code else "exited", out.getvalue()
    return "done", out.getvalue()


def command_line():
    with _folder("__main__.py") as folder:
        yield outcome(_command, folder, str(folder / "source"))
        yield sorted(os.listdir(folder))
        yield outcome(_command, folder, "source.pyz", "-o", "target.pyz")
        yield outcome(_contents, folder / "target.pyz")
        yield outcome(_command, folder, "source.pyz", "-o", "source.pyz")
        yield outcome(_command, folder, "source.pyz", "-o", "other.pyz", "-m", "foo:bar")
        yield outcome(_command, folder, "source.pyz", "--info")
        yield outcome(_command, folder, "dummy.pyz", "--info")
