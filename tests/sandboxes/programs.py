"""Small programs whose status and output tell a warm interpreter from a fresh one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["PROGRAMS", "Program"]


class Program(NamedTuple):
    """Arguments of `python`, files in the work folder, and what the program reads."""

    argv: tuple[str, ...]
    files: Mapping[str, bytes] = {}
    stdin: bytes = b""


def code(text: str, *argv: str, stdin: bytes = b"") -> Program:
    """A program that is an argument."""
    return Program(("-c", text, *argv), {}, stdin)


def script(source: str | bytes, **files: str) -> Program:
    """A program that is a file; `files` are modules beside it, by name."""
    text = source.encode() if isinstance(source, str) else source
    modules = {f"{name}.py": body.encode() for name, body in files.items()}
    return Program(("main.py", "x y"), {"main.py": text, **modules})


NAMES = "print({name: repr(value) for name, value in globals().items()})"
PLACE = (
    "import sys; print(sys.argv, sys.orig_argv, sys.path, sys.executable, sys.prefix)"
)
DESTRUCTOR = "class A:\n    def __del__(self): print('deleted', flush=True)\n"
PACKAGE = {
    "pack/__init__.py": b"",
    "pack/__main__.py": b"import sys; print(__name__, __package__, sys.argv, sys.path)",
    "pack/inner.py": b"print(__spec__.name, __file__)\nraise KeyError('inner')\n",
}
ZIP = (
    "import zipfile, subprocess, sys\n"
    "with zipfile.ZipFile('app.zip', 'w') as z: z.writestr('__main__.py', 'print(__file__)')\n"
)

_STATUS = {
    "nothing": code("pass"),
    "exit with a number": code("import sys; sys.exit(7)"),
    "exit with a large number": code("import sys; sys.exit(2**40 + 300)"),
    "exit with a negative number": code("import sys; sys.exit(-1)"),
    "exit with words": code("import sys; sys.exit('words')"),
    "exit with none": code("import sys; sys.exit(None)"),
    "exit with a fraction": code("import sys; sys.exit(2.5)"),
    "exit with true": code("import sys; sys.exit(True)"),
    "exit with a tuple": code("raise SystemExit(1, 2)"),
    "exit with an object": code(
        "class A:\n    def __str__(self): raise ValueError('no words')\nraise SystemExit(A())"
    ),
    "exit without a call": code("raise SystemExit"),
    "exit of the site": code("exit(3)"),
    "quit of the site": code("print(quit); quit()"),
    "exit from a subclass": code("class E(SystemExit): pass\nraise E(4)"),
    "exit in a thread": code(
        "import sys, threading\nt = threading.Thread(target=sys.exit, args=(3,))\n"
        "t.start(); t.join(); print('after')"
    ),
    "exit while threads run": code(
        "import sys, threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print('late'))).start()\nsys.exit(5)"
    ),
    "exit at once": code("import os; print('lost'); os._exit(9)"),
    "an exit in an exit function": code(
        "import atexit, sys\natexit.register(sys.exit, 3); print('first')"
    ),
    "an error in an exit function": code(
        "import atexit\natexit.register(print, 'second'); atexit.register(lambda: 1 / 0)"
    ),
    "order of exit functions": code(
        "import atexit\nfor i in range(3): atexit.register(print, i)\nprint('first')"
    ),
    "exit functions and logging": code(
        "import atexit\natexit.register(print, 'own'); import logging\n"
        "class H(logging.Handler):\n    def close(self): print('closed')\n"
        "logging.getLogger().addHandler(H())"
    ),
    "exit functions after an error": code(
        "import atexit\natexit.register(print, 'last'); 1 / 0"
    ),
    "exit functions after exit": code(
        "import atexit, sys\natexit.register(print, 'last'); sys.exit(2)"
    ),
    "abort": code("import os; os.abort()"),
    "killed": code("import os; os.kill(os.getpid(), 9)"),
    "terminated": code("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"),
    "interrupted": code("import os, signal; os.kill(os.getpid(), signal.SIGINT)"),
    "an interrupt raised": code("def f(): raise KeyboardInterrupt('now')\nf()"),
    "an interrupt caught": code(
        "import os, signal\ntry: os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt: print('caught')"
    ),
    "a segmentation fault": code("import ctypes; ctypes.string_at(0)"),
    "a broken pipe": code("import os; os.close(1); print('nowhere')"),
    "standard output closed": code("import sys; print('a'); sys.stdout.close()"),
    "standard error closed": code("import sys; sys.stderr.close(); 1 / 0"),
    "no standard output": code("import sys; sys.stdout = None; print('a')"),
    "output that cannot be written": code(
        "import os, sys\nos.dup2(os.open('/dev/full', os.O_WRONLY), 1); print('a')"
    ),
}

_ERRORS = {
    "an error": code("def f(): 1 / 0\nf()"),
    "an error with a cause": code(
        "try: {}['a']\nexcept KeyError as e: raise ValueError('b') from e"
    ),
    "an error with a context": code("try: {}['a']\nexcept KeyError: 1 / 0"),
    "no context at the start": code(
        "import sys; e = ValueError(); print(sys.exc_info())\n"
        "try: raise e\nexcept ValueError: print(e.__context__)"
    ),
    "a group of errors": code(
        "raise ExceptionGroup('g', [ValueError(1), ExceptionGroup('h', [KeyError(2)])])"
    ),
    "an error with notes": code("e = ValueError('x'); e.add_note('a\\nb'); raise e"),
    "a repeated error": code("def f(n): f(n + 1)\nf(0)"),
    "an error without words": code("assert False"),
    "an error whose words fail": code(
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E"
    ),
    "an undefined name": code("print(pritn)"),
    "a missing module": code("import sandboxes"),
    "a missing module of ours": code("import sandboxes.inside.runner"),
    "a missing name of a module": code("from random import nothing"),
    "an error of an import": script(
        "def f():\n    import broken\nf()\n", broken="x = 1\n1 / 0\n"
    ),
    "a circular import": script(
        "import one\n", one="import two\n", two="from one import a\n"
    ),
    "a broken module": script("import broken\n", broken="x = (\n"),
    "an error in a file": script(
        "def f(a):\n    return (a +\n            1 / 0)\n\nf(1)\n"
    ),
    "an error in a class": script(
        "class A:\n    @property\n    def x(self):\n        raise KeyError(1)\n\n\nA().x\n"
    ),
    "no closing bracket": code("x = (1,"),
    "a wrong indent": code("if 1:\nprint(1)"),
    "tabs and blanks": script("if 1:\n\tx = 1\n        y = 2\n"),
    "a wrong sign": script("x = 1\ndef f(:\n    pass\n"),
    "return outside a function": script("x = 1\nreturn 2\n"),
    "a name that is no keyword": script("print 'a'\n"),
    "a null byte in a file": script(b"x = 1\n\0\n"),
    "a hook for errors": code(
        "import sys\nsys.excepthook = lambda *e: print('hooked', *e[:2]); 1 / 0"
    ),
    "a hook that fails": code(
        "import sys\ndef hook(*e): raise KeyError(2)\nsys.excepthook = hook; 1 / 0"
    ),
    "no hook": code("import sys; del sys.excepthook; 1 / 0"),
    "the last error": code(
        "import sys; print(hasattr(sys, 'last_value'), hasattr(sys, 'last_type'), "
        "hasattr(sys, 'last_traceback'), sys.excepthook is sys.__excepthook__)"
    ),
    "an error nobody can raise": code(
        "class A:\n    def __del__(self): 1 / 0\nA(); print('on')"
    ),
    "a hook for those": code(
        "import sys\nsys.unraisablehook = lambda u: print('hooked', u.exc_value)\n"
        "class A:\n    def __del__(self): 1 / 0\nA()"
    ),
    "an error in a thread": code(
        "import threading\nt = threading.Thread(target=lambda: 1 / 0, name='T')\n"
        "t.start(); t.join()"
    ),
    "no source to show": code("exec(compile('1 / 0', 'gone.py', 'exec'))"),
    "limits of tracebacks": code(
        "import sys; sys.tracebacklimit = 1\ndef f(): g()\ndef g(): 1 / 0\nf()"
    ),
}

_STACK = {
    "the outermost frame": code("import sys; print(sys._getframe().f_back)"),
    "no frame below": code("import sys; sys._getframe(1)"),
    "the stack": script("import traceback\ndef f(): traceback.print_stack()\nf()\n"),
    "the stack of inspect": script("import inspect\nprint(len(inspect.stack()))\n"),
    "a warning about the caller": code(
        "import warnings; warnings.warn('far away', stacklevel=9)"
    ),
    "the depth of recursion": code(
        "import sys\ndef f(n):\n    global m\n    m = n\n    f(n + 1)\n"
        "try: f(0)\nexcept RecursionError as e: print(m, e, sys.getrecursionlimit())"
    ),
    "the depth in a file": script(
        "def f(n):\n    global m\n    m = n\n    f(n + 1)\n"
        "try: f(0)\nexcept RecursionError as e: print(m, e)"
    ),
    "a profile": code(
        "import sys\nsys.setprofile(lambda f, e, a: print(e, f.f_code.co_name, file=sys.stderr))\n"
        "def f(): pass\nf()\nsys.setprofile(None)"
    ),
    "a trace": code(
        "import sys\ndef trace(f, e, a): print(e, f.f_lineno); return trace\n"
        "def f():\n    x = 1\nsys.settrace(trace); f(); sys.settrace(None)"
    ),
}

_MAIN = {
    "names of a code": code(NAMES),
    "names of a file": script(NAMES),
    "the main module": script(
        "import __main__, sys\nx = 3\nprint(__main__.x, __main__ is sys.modules['__main__'])"
    ),
    "where code runs": code(PLACE, "a", "-b"),
    "where a file runs": script(PLACE),
    "a file by a path": Program(
        ("./sub/../sub/main.py", "--", "-c"), {"sub/main.py": PLACE.encode()}
    ),
    "a file by an absolute path": Program(
        ("/work/main.py",), {"main.py": PLACE.encode()}
    ),
    "an error in a file by a path": Program(
        ("./sub/main.py",), {"sub/main.py": b"print(__file__)\n1 / 0\n"}
    ),
    "futures": script(
        "from __future__ import annotations\ndef f(a: undefined): pass\nprint(f.__annotations__)"
    ),
    "futures of code": code(
        "from __future__ import annotations\nx: undefined = 1\nprint(__annotations__)"
    ),
    "no futures": code(
        "def f(a: int): pass\nprint(f.__annotations__, __annotations__)"
    ),
    "an undefined annotation": code("def f(a: undefined): pass"),
    "no futures in compile": code(
        "exec(compile('def f(a: int): pass\\nprint(f.__annotations__)', 'x', 'exec'))"
    ),
    "data classes": script(
        "import pickle\nfrom dataclasses import dataclass, fields\n@dataclass\nclass P:\n"
        "    x: int\n    y: 'list[int]' = None\n"
        "print(pickle.loads(pickle.dumps(P(1))), [f.type for f in fields(P)])"
    ),
    "type hints": script(
        "import typing\nclass A:\n    b: 'B'\nclass B: pass\nprint(typing.get_type_hints(A))"
    ),
    "source of a file": script(
        "import inspect\ndef f():\n    return 1  # one\n"
        "print(inspect.getsource(f), inspect.getsourcefile(f))\n"
        "import __main__; print(len(inspect.getsource(__main__)))"
    ),
    "source of code": code("import inspect\ndef f(): pass\ninspect.getsource(f)"),
    "flags": code(
        "import sys; print(sys.flags, sys._xoptions, sys.warnoptions, sys.dont_write_bytecode, "
        "sys.getrecursionlimit(), sys.getswitchinterval(), sys.gettrace(), sys.float_repr_style)"
    ),
    "the environment": code("import os; print(list(os.environ.items()))"),
    "the process": code(
        "import os; print(os.getcwd(), oct(os.umask(0)), os.getpid() == os.getsid(0), "
        "os.getpgrp() == os.getpid(), os.getppid(), os.getpriority(0, 0), os.getgroups())"
    ),
    "limits": code(
        "import resource as r; print([(n, r.getrlimit(getattr(r, n))) "
        "for n in sorted(dir(r)) if n.startswith('RLIMIT')])"
    ),
    "open files": code(
        "import os; print(sorted(n for n in os.listdir('/proc/self/fd') "
        "if os.path.exists(f'/proc/self/fd/{n}')), os.open('/', 0))"
    ),
    "signals": code(
        "import signal; print([(s, signal.getsignal(s)) for s in signal.valid_signals()], "
        "signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    ),
    "hashes": code("print(hash('a'), hash(b'a'), hash(1.5), set('abcdef'))"),
    "the collector": code(
        "import gc; print(gc.isenabled(), gc.get_threshold(), gc.callbacks, gc.garbage)"
    ),
    "cycles": code(
        "import gc; gc.collect()\nfor i in range(5):\n    a = []; a.append(a)\n"
        "del a; print(gc.collect())"
    ),
    "the locale": code(
        "import locale, sys; print(locale.setlocale(locale.LC_ALL), locale.getlocale(), "
        "sys.getfilesystemencoding(), sys.getfilesystemencodeerrors(), "
        "locale.getpreferredencoding())"
    ),
    "the time zone": code(
        "import os, time; print(time.tzname, time.timezone)\nos.environ['TZ'] = 'Asia/Tokyo'\n"
        "time.tzset(); print(time.tzname)"
    ),
    "filters of warnings": code(
        "import warnings; print(warnings.filters)\nwarnings.warn('a', DeprecationWarning)"
    ),
    "a warning in a file": script(
        "import warnings\nfor _ in range(2): warnings.warn('twice')\nx = '\\d'\n"
    ),
    "a warning of a module": script(
        "import other\n",
        other="import warnings\nwarnings.warn('hidden', DeprecationWarning)\nassert (1, 2)\n",
    ),
    "the user's own packages": Program(
        ("main.py",),
        {
            ".local/lib/python3.11/site-packages/own.py": b"print('own')",
            "main.py": b"import own, site; print(site.ENABLE_USER_SITE, site.USER_SITE)",
        },
    ),
    "names of classes": code("class A: pass\nprint(A, A.__module__, A().__class__)"),
    "the main thread": code(
        "import os, threading as t; print(t.current_thread() is t.main_thread(), "
        "t.enumerate()[0].name, t.active_count(), t.main_thread().ident == t.get_ident())\n"
        "m = t.main_thread(); print(m.is_alive(), m.daemon, m.native_id == os.getpid())"
    ),
    "contexts": code("import contextvars; print(len(contextvars.copy_context()))"),
    "words of builtins": code("print(sorted(vars(__import__('builtins'))))"),
    "words of sys": code("import sys; print(sorted(vars(sys)))"),
}

_IMPORTS = {
    "importers of paths": script(
        "import sys\nprint(*sys.path_importer_cache.items(), sep='\\n')\n"
        "print(sys.meta_path, sys.path_hooks)"
    ),
    "modules at the start": code("import sys; print(sorted(sys.modules))"),
    "modules of a file": script("import sys; print(sorted(sys.modules))"),
    "modules after imports": code(
        "import unittest, dataclasses, random, json, tempfile, sys; print(sorted(sys.modules))"
    ),
    "submodules that nobody imported": code("import importlib; importlib.util"),
    "submodules of json": code("import json; print(json.decoder); json.tool"),
    "submodules of collections": code(
        "import collections; print(collections.abc.Mapping)\nimport xml; xml.etree"
    ),
    "a module that is removed": code(
        "import sys, random\nold = random; del sys.modules['random']; import random\n"
        "print(old is random, random.Random is old.Random)"
    ),
    "a module that is forbidden": code(
        "import sys; sys.modules['_heapq'] = None; import heapq; print(heapq.heappush)"
    ),
    "reload": code(
        "import importlib, json; json.x = 1; r = importlib.reload(json); print(r is json, json.x)"
    ),
    "a finder of imports": code(
        "import sys\nclass F:\n    def find_spec(self, name, path=None, target=None): print(name)\n"
        "sys.meta_path.insert(0, F()); import dataclasses"
    ),
    "no path": code("import sys; sys.path.clear(); import random"),
    "finders": code(
        "import sys; print([repr(f) for f in sys.meta_path], sys.path_hooks, "
        "sorted(sys.path_importer_cache))"
    ),
    "loaders": code(
        "import random, math, importlib.util\n"
        "for m in (random, math, importlib.util): print(m.__spec__, m.__loader__, m.__cached__ "
        "if hasattr(m, '__cached__') else None)"
    ),
    "a folder by a module's name": Program(
        ("main.py",),
        {"json/data.txt": b"", "main.py": b"import json; print(json.dumps)"},
    ),
    "a module of a path of its own": Program(
        ("main.py",),
        {
            "lib/statistics.py": b"print('own')",
            "main.py": b"import sys; sys.path.insert(0, 'lib'); import statistics",
        },
    ),
    "a module that a module imports": script(
        "import dataclasses\n", inspect="print('own')\n"
    ),
    "a package by a module's name": Program(
        ("main.py",),
        {"typing/__init__.py": b"print('own')", "main.py": b"import typing"},
    ),
    "a module beside code": Program(
        ("-c", "import random; print(random.x)"), {"random.py": b"x = 1"}
    ),
    "a module beside a module": Program(
        ("-m", "other"),
        {"random.py": b"x = 1", "other.py": b"import random; print(random.x)"},
    ),
    "a module elsewhere": Program(
        ("sub/main.py",),
        {"random.py": b"x = 1", "sub/main.py": b"import random; random.x"},
    ),
    "a module that is written": script(
        "open('random.py', 'w').write('x = 5')\nimport random; print(random.x)"
    ),
    "random numbers": code(
        "import random; random.seed(3); print(random.random(), random.getstate()[1][:2])"
    ),
}
MODULES = (
    *("ast", "enum", "io", "json", "os", "random", "re"),
    *("signal", "socket", "struct", "types", "typing"),
)
_IMPORTS |= {
    f"a module called {name}": script(
        f"import {name}; print({name}.own, {name}.__file__)", **{name: "own = 1"}
    )
    for name in MODULES
}

_STREAMS = {
    "input": code("print(repr(input()), open(0).read())", stdin=b"one\ntwo\r\nthree"),
    "no input": code("input()"),
    "input by lines": code(
        "import sys\nfor line in sys.stdin: print(repr(line))", stdin=b"a\r\nb\rc\n"
    ),
    "input that is no text": code(
        "import sys; print(ascii(sys.stdin.read()))", stdin=b"\xff\xe4a"
    ),
    "output that is no text": code(r"print('\udce4 \xe9')"),
    "errors that are no text": code(
        r"import sys; print('\udce4 \ud800', file=sys.stderr)"
    ),
    "an error that is no text": code(r"raise ValueError('\ud800')"),
    "output that no one can encode": code(r"print('\ud800')"),
    "streams": code(
        "import sys\nfor s in (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__):\n"
        "    print(s, s.encoding, s.errors, s.line_buffering, s.write_through, s.newlines, "
        "s.isatty(), s.seekable(), s.readable(), s.writable(), s.name, s.mode, s.buffer, "
        "s.buffer.raw, s.fileno(), s.buffer.raw.closefd, s.buffer.raw.mode, vars(s))"
    ),
    "a position in the input": code("import sys; sys.stdin.tell()", stdin=b"ab"),
    "order of streams": code(
        "import os, sys\nprint('a'); os.write(1, b'b\\n'); print('c', file=sys.stderr)\n"
        "os.write(2, b'd\\n'); sys.stdout.flush(); os.write(1, b'e\\n')"
    ),
    "output of a child": code(
        "import os, sys\nprint('parent')\nif not os.fork(): print('child'); sys.exit(0)\nos.wait()"
    ),
    "output of the C library": code("import ctypes; ctypes.CDLL(None).printf(b'c\\n')"),
    "a cookie": script("# coding: latin-1\nprint(ascii('ä'))\n".encode("latin-1")),
    "a wrong cookie": script("# coding: nothing\nprint(1)\n"),
    "no cookie": script("print('ä')\n".encode("latin-1")),
    "a byte order mark": script(b"\xef\xbb\xbfprint(ascii('\xc3\xa4'))\n"),
    "a cookie of code": code("# coding: latin-1\nprint(ascii('ä'))"),
    "lines that end otherwise": script(b"x = '''a\r\nb'''\r\nprint(repr(x))\r\n"),
    "a form feed": script("x = 1\n\f\nif x:\n\fprint(2)\n"),
    "names that are not ASCII": script("größe = 1\nprint(ﬁ, größe)\n"),
}

_END = {
    "a trace that stays": code(
        "import atexit, sys, threading\ndef late(): pass\natexit.register(late)\n"
        "def trace(frame, event, value): print(event, frame.f_code.co_name, file=sys.stderr)\n"
        "def f(): pass\nsys.settrace(trace); f()"
    ),
    "a trace after an error": code(
        "import sys\nsys.settrace(lambda frame, *_: print(frame.f_code.co_name))\n(lambda: 1)()\n"
        "raise ValueError('traced')"
    ),
    "a trace after an exit": code(
        "import sys\nsys.settrace(lambda frame, *_: print(frame.f_code.co_name))\nsys.exit(3)"
    ),
    "a profile that stays": code(
        "import sys\ndef profile(frame, event, value):\n"
        "    name = getattr(value, '__name__', value)\n"
        "    print(event, frame.f_code.co_name, name, file=sys.stderr)\n"
        "def f(): return len('')\nsys.setprofile(profile); f()"
    ),
    "a destructor": code(DESTRUCTOR + "a = A()"),
    "a destructor in a cycle": code(DESTRUCTOR + "a = A(); a.a = a; del a"),
    "a destructor after an error": code(DESTRUCTOR + "a = A(); 1 / 0"),
    "a destructor after exit": code(DESTRUCTOR + "a = A()\nraise SystemExit(3)"),
    "a destructor without a place": code(
        "class A:\n    __slots__ = ()\n    def __del__(self): print('deleted')\na = A()"
    ),
    "a destructor of a module": script(
        "import other\n", other=DESTRUCTOR + "kept = A()\n"
    ),
    "a destructor on a module": code(DESTRUCTOR + "import random; random.kept = A()"),
    "a destructor that imports": code(
        "class A:\n    def __del__(self):\n        import json; print(json)\na = A()"
    ),
    "a destructor that asks": code(
        "import sys\nclass A:\n    def __del__(self, sys=sys): print(sys.is_finalizing())\na = A()"
    ),
    "a generator": code(
        "def g():\n    try: yield\n    finally: print('closed')\nx = g(); next(x)"
    ),
    "a weak reference": code(
        "import weakref\nclass A: pass\na = A(); r = weakref.ref(a, lambda _: print('gone'))"
    ),
    "a finalizer": code(
        "import weakref\nclass A: pass\na = A(); weakref.finalize(a, print, 'final')"
    ),
    "a file left open": Program(
        (
            "-c",
            "import os, sys\nif not os.fork():\n    f = open('left', 'w'); f.write('text')\n"
            "    sys.exit()\nos.wait(); print(open('left').read())",
        )
    ),
    "a warning about it": code(
        "import warnings; warnings.simplefilter('always'); f = open('main', 'w')"
    ),
    "output replaced": code(
        "import io, os, sys\nsys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), 'wb'))\nprint('on')"
    ),
    "output replaced by a class": code(
        "import sys\nclass W:\n    def write(self, t): sys.__stdout__.write(t.upper())\n"
        "    def flush(self): sys.__stdout__.write('flushed')\nsys.stdout = W(); print('a')"
    ),
    "output detached": code(
        "import sys; print('a'); b = sys.stdout.detach(); b.write(b'b')"
    ),
    "threads": code(
        "import threading, time\nfor d in (True, False):\n    threading.Thread(daemon=d, "
        "target=lambda d=d: (time.sleep(0.2 + 9 * d), print('late', d))).start()\nprint('early')"
    ),
    "a pool of threads": code(
        "from concurrent.futures import ThreadPoolExecutor as P\nimport time\n"
        "f = P(2).submit(lambda: (time.sleep(0.1), print('done')))\nprint('main')"
    ),
    "asyncio": code(
        "import asyncio\nasync def f():\n    asyncio.create_task(g()); await asyncio.sleep(0)\n"
        "    print('f')\nasync def g():\n    try: await asyncio.sleep(9)\n"
        "    finally: print('g')\nasyncio.run(f())"
    ),
    "a task that nobody waits for": code(
        "import asyncio\nasync def f(): pass\nf()\nprint('on')"
    ),
    "a coroutine that is left": code("async def f(): pass\nx = f()"),
    "processes by spawn": script(
        "import multiprocessing as m\ndef f(q): q.put(__name__)\nif __name__ == '__main__':\n"
        "    c = m.get_context('spawn'); q = c.Queue()\n"
        "    p = c.Process(target=f, args=(q,)); p.start(); print(q.get()); p.join()\n"
        "    print(p.exitcode)"
    ),
    "processes by fork": script(
        "import multiprocessing as m\ndef f(): 1 / 0\n"
        "p = m.get_context('fork').Process(target=f, name='P')\np.start(); p.join()\n"
        "print(p.exitcode)"
    ),
    "a pool of processes": script(
        "from concurrent.futures import ProcessPoolExecutor as P\n"
        "if __name__ == '__main__':\n    with P(2) as p: print(list(p.map(abs, [-1, 2])))"
    ),
    "shared memory left behind": script(
        "from multiprocessing.shared_memory import SharedMemory as S\n"
        "s = S(create=True, size=10, name='left'); print(bytes(s.buf[:2]))"
    ),
    "temporary folders left behind": code(
        "import tempfile; t = tempfile.TemporaryDirectory(prefix='a', dir='.'); print('on')"
    ),
    "a database left open": Program(
        (
            "-c",
            "import os, sqlite3\nif not os.fork():\n    c = sqlite3.connect('db')\n"
            "    c.execute('pragma journal_mode=wal'); c.execute('create table t(x)')\n"
            "    raise SystemExit\nos.wait(); print(sorted(os.listdir()))",
        )
    ),
}

_COMMANDS = {
    "a module": Program(("-m", "pack", "a"), PACKAGE),
    "a module that fails": Program(("-m", "pack.inner"), PACKAGE),
    "a module that is missing": Program(("-m", "pack.missing"), PACKAGE),
    "a test suite": Program(
        ("-m", "unittest", "-h"),
    ),
    "a folder": Program(("pack",), PACKAGE),
    "a folder without a program": Program(("sub",), {"sub/x.py": b""}),
    "a missing file": Program(("missing.py",)),
    "a file that cannot be read": Program(("/proc/1/mem",)),
    "a compiled file": Program(
        (
            "-c",
            "import py_compile, subprocess, sys\nopen('a.py', 'w').write('print(__file__)')\n"
            "py_compile.compile('a.py', 'a.pyc')\n"
            "print(subprocess.run([sys.executable, 'a.pyc'], capture_output=True))",
        )
    ),
    "an archive": code(
        ZIP + "print(subprocess.run([sys.executable, 'app.zip'], capture_output=True))"
    ),
    "standard input": Program(("-", "a"), {}, b"import sys; print(sys.argv, sys.path)"),
    "nothing but input": Program((), {}, b"print(__name__, __file__)"),
    "no code": Program(("-c",)),
    "empty code": code(""),
    "code in one word": Program(("-cprint(1)",)),
    "code that is no text": Program(("-c", "print('\udce4')")),
    "the version": Program(("-V",)),
    "an unknown option": Program(("--nothing",)),
    "no assertions": Program(("-O", "-c", "assert 0; print(__debug__)")),
    "warnings as errors": Program(
        ("-W", "error", "-c", "import warnings; warnings.warn('a')")
    ),
    "development": Program(
        ("-X", "dev", "-c", "import sys; print(sys.flags.dev_mode)")
    ),
    "isolated": Program(("-I", "-c", PLACE), {"random.py": b"1 / 0"}),
    "no environment": Program(("-E", "-c", "import sys; print(sys.flags)")),
    "no site": Program(
        ("-S", "-c", "import sys; print(sorted(sys.modules), sys.flags)")
    ),
    "no buffer": Program(("-u", "-c", "import sys; print(sys.stdout)")),
    "no path": Program(("-P", "-c", PLACE)),
    "no bytes as text": Program(("-bb", "-c", "print(b'a' == 'a')")),
    "inspect": Program(("-i", "-c", "x = 1"), {}, b"print(x)\n"),
    "a folder that is a link": Program(
        (
            "-c",
            "import os, subprocess\nos.mkdir('real'); open('real/a.py', 'w').write("
            "'import sys; print(sys.path[0], __file__)')\nos.symlink('real/a.py', 'b.py')\n"
            "print(subprocess.run(['python', 'b.py'], capture_output=True))",
        )
    ),
}

PROGRAMS: dict[str, Program] = {
    f"{kind}: {name}": program
    for kind, programs in {
        "status": _STATUS,
        "error": _ERRORS,
        "stack": _STACK,
        "main": _MAIN,
        "import": _IMPORTS,
        "stream": _STREAMS,
        "end": _END,
        "command": _COMMANDS,
    }.items()
    for name, program in programs.items()
}
"""Name -> program, `kind: name`."""
