"""What honest programs do works in every sandbox that isolates, and says what it says elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import pytest


class Program(NamedTuple):
    """A program, what it reads, and what it should print."""

    code: str | bytes
    prints: str | bytes
    stdin: bytes = b""


LATIN = "# coding: latin-1\nprint(len('äö'), ascii('ä'))\n"
PROGRAMS = {
    "CRLF": Program(b"x = 1\r\nif x:\r\n    print('a')\r\n", "a\n"),
    "lone CR": Program(b"x = 2\rprint(x)\r", "2\n"),
    "no newline at the end": Program(b"print('end')", "end\n"),
    "a byte order mark": Program(b"\xef\xbb\xbfprint('marked')\n", "marked\n"),
    "latin-1": Program(LATIN.encode("latin-1"), "2 '\\xe4'\n"),
    "unicode names": Program("größe = 3\nπ = 4\nprint(größe + π, 'é🙂')\n", "7 é🙂\n"),
    "names of files": Program(
        "import os\nfor name in ('é', '日本', 'a b', '🙂'): open(name, 'w').close()\n"
        "print(sorted(set(os.listdir()) - {'main.py'}))",
        "['a b', 'é', '日本', '🙂']\n",
    ),
    "new and deleted files": Program(
        "import os, pathlib, shutil\n"
        "os.makedirs('a/b'); pathlib.Path('a/b/c').write_text('x'); os.rename('a/b/c', 'c')\n"
        "shutil.copytree('a', 'd'); shutil.copy2('c', 'e'); shutil.rmtree('a'); os.remove('c')\n"
        "print(sorted(os.listdir()))",
        "['d', 'e', 'main.py']\n",
    ),
    "links": Program(
        "import os\nopen('a', 'w').write('x'); os.link('a', 'b'); os.symlink('b', 'c')\n"
        "print(os.stat('a').st_nlink, os.readlink('c'), open('c').read())",
        "2 b x\n",
    ),
    "modes and times": Program(
        "import os\nopen('a', 'w').close(); os.chmod('a', 0o400); os.utime('a', (1, 2))\n"
        "print(oct(os.stat('a').st_mode), os.stat('a').st_mtime)",
        "0o100400 2.0\n",
    ),
    "temporary files": Program(
        "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f, "
        "tempfile.TemporaryDirectory() as d, tempfile.SpooledTemporaryFile(4) as s:\n"
        "    f.write('x'); f.seek(0); s.write(b'12345'); print(f.read(), d[:5])",
        "x /tmp/\n",
    ),
    "a file of 30 MiB": Program(
        "open('big', 'wb').write(bytes(30 << 20)); import os; print(os.path.getsize('big'))",
        f"{30 << 20}\n",
    ),
    "mapped memory": Program(
        "import mmap\nopen('m', 'wb').write(bytes(4096))\nwith open('m', 'r+b') as f:\n"
        "    with mmap.mmap(f.fileno(), 0) as m: m[:2] = b'ab'; m.flush()\n"
        "print(open('m', 'rb').read(2))",
        "b'ab'\n",
    ),
    "file locks": Program(
        "import fcntl\nwith open('l', 'w') as f: fcntl.flock(f, fcntl.LOCK_EX); "
        "fcntl.lockf(f, fcntl.LOCK_EX); print('locked')",
        "locked\n",
    ),
    "sqlite": Program(
        "import sqlite3\nc = sqlite3.connect('db'); c.execute('pragma journal_mode=wal')\n"
        "c.execute('create table t(x)'); c.executemany('insert into t values (?)', "
        "[(i,) for i in range(1000)]); c.commit(); print(*c.execute('select sum(x) from t'))",
        "(499500,)\n",
    ),
    "dbm and shelve": Program(
        "import shelve\nwith shelve.open('s') as s: s['a'] = [1]\n"
        "with shelve.open('s') as s: print(s['a'])",
        "[1]\n",
    ),
    "compression": Program(
        "import bz2, gzip, lzma, zipfile, zlib\nd = b'x' * 1000\n"
        "print(all(m.decompress(m.compress(d)) == d for m in (bz2, gzip, lzma, zlib)))\n"
        "with zipfile.ZipFile('z', 'w') as z: z.writestr('a', 'b')\n"
        "print(zipfile.ZipFile('z').read('a'))",
        "True\nb'b'\n",
    ),
    "threads": Program(
        "import threading, queue\nq = queue.Queue()\n"
        "ts = [threading.Thread(target=q.put, args=(i,)) for i in range(40)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]; print(sum(q.get() for _ in ts))",
        "780\n",
    ),
    "a pool of threads": Program(
        "from concurrent.futures import ThreadPoolExecutor as P\n"
        "with P(8) as p: print(sum(p.map(lambda x: x * x, range(100))))",
        "328350\n",
    ),
    "a pool of processes": Program(
        "from concurrent.futures import ProcessPoolExecutor as P\n"
        "if __name__ == '__main__':\n    with P(2) as p: print(list(p.map(abs, [-1, 2])))",
        "[1, 2]\n",
    ),
    "subprocess": Program(
        "import subprocess, sys\n"
        "d = subprocess.run([sys.executable, '-c', 'print(input()[::-1])'], input='abc', "
        "text=True, capture_output=True, timeout=20)\nprint(d.stdout, d.returncode)",
        "cba\n 0\n",
    ),
    "subprocess that is killed": Program(
        "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(60)'])\np.kill(); print(p.wait())",
        "-9\n",
    ),
    "fork and wait": Program(
        "import os\npid = os.fork()\nif not pid: os._exit(3)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))",
        "3\n",
    ),
    "children left behind": Program(
        "import os, time\nfor _ in range(3):\n    if not os.fork(): time.sleep(600)\n"
        "print('left', flush=True); os._exit(0)",
        "left\n",
    ),
    "asyncio": Program(
        "import asyncio\nasync def f(n):\n    await asyncio.sleep(0.01); return n\n"
        "async def main(): print(sum(await asyncio.gather(*map(f, range(50)))))\n"
        "asyncio.run(main())",
        "1225\n",
    ),
    "asyncio and a subprocess": Program(
        "import asyncio, sys\nasync def main():\n"
        "    p = await asyncio.create_subprocess_exec(sys.executable, '-c', 'print(input())', "
        "stdin=-1, stdout=-1)\n    print(await p.communicate(b'hi\\n'))\nasyncio.run(main())",
        "(b'hi\\n', None)\n",
    ),
    "asyncio and a server": Program(
        "import asyncio\nasync def serve(r, w):\n"
        "    w.write(await r.readexactly(1 << 20)); await w.drain(); w.close()\n"
        "async def main():\n    s = await asyncio.start_unix_server(serve, 'sock')\n"
        "    r, w = await asyncio.open_unix_connection('sock')\n"
        "    w.write(bytes(1 << 20)); print(len(await r.read(-1)))\n"
        "    w.close(); s.close()\nasyncio.run(main())",
        f"{1 << 20}\n",
    ),
    "Unix sockets": Program(
        "import socket, threading\ndoor = socket.socket(socket.AF_UNIX); door.bind('s')\n"
        "door.listen()\ndef serve():\n    c, _ = door.accept(); c.sendall(c.recv(9).upper())\n"
        "threading.Thread(target=serve).start()\nc = socket.socket(socket.AF_UNIX)\n"
        "c.connect('s'); c.sendall(b'abc'); print(c.recv(9))",
        "b'ABC'\n",
    ),
    "selectors": Program(
        "import selectors, socket\na, b = socket.socketpair(); s = selectors.DefaultSelector()\n"
        "s.register(b, 1); a.send(b'x'); print(len(s.select(5)))",
        "1\n",
    ),
    "pipes and descriptors": Program(
        "import os\nr, w = os.pipe(); os.write(w, b'x'); n = os.dup(r)\n"
        "print(os.read(n, 1), flush=True)\n"
        "m = os.memfd_create('m'); os.write(m, b'12'); print(os.sendfile(1, m, 0, 2))",
        "b'x'\n122\n",
    ),
    "signals": Program(
        "import signal, os\nsignal.signal(signal.SIGUSR1, lambda n, _: print('got', n))\n"
        "os.kill(os.getpid(), signal.SIGUSR1); signal.setitimer(signal.ITIMER_REAL, 0.05)\n"
        "signal.signal(signal.SIGALRM, lambda n, _: print('alarm')); signal.pause()",
        "got 10\nalarm\n",
    ),
    "multiprocessing by fork": Program(
        "import multiprocessing as m\nc = m.get_context('fork')\n"
        "with c.Pool(2) as p: print(p.map(abs, [-1, 2]))\n"
        "q, lock = c.Queue(), c.Lock()\ndef work():\n    with lock: q.put('put')\n"
        "t = c.Process(target=work); t.start(); print(q.get()); t.join()",
        "[1, 2]\nput\n",
    ),
    "multiprocessing by spawn": Program(
        "import multiprocessing as m\ndef work(q): q.put('put')\nif __name__ == '__main__':\n"
        "    c = m.get_context('spawn'); q = c.Queue(); t = c.Process(target=work, args=(q,))\n"
        "    t.start(); print(q.get()); t.join()\n"
        "    with c.Pool(2) as p: print(p.map(abs, [-1, 2]))",
        "put\n[1, 2]\n",
    ),
    "a manager, events, values and barriers": Program(
        "import multiprocessing as m\nv, e, b = m.Value('i', 0), m.Event(), m.Barrier(2)\n"
        "def work():\n    b.wait()\n    with v.get_lock(): v.value += 1\n    e.set()\n"
        "t = m.Process(target=work); t.start(); b.wait(); e.wait(); t.join()\n"
        "with m.Manager() as g: d = g.dict(a=v.value); print(dict(d))",
        "{'a': 1}\n",
    ),
    "shared memory": Program(
        "from multiprocessing import Process, shared_memory as s\n"
        "def work(name):\n    b = s.SharedMemory(name); b.buf[0] = 7; b.close()\n"
        "b = s.SharedMemory(create=True, size=1 << 20); p = Process(target=work, args=(b.name,))\n"
        "p.start(); p.join(); print(b.buf[0]); b.close(); b.unlink()\n"
        "l = s.ShareableList([1, 'a']); print(list(l)); l.shm.close(); l.shm.unlink()",
        "7\n[1, 'a']\n",
    ),
    "deep recursion": Program(
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)\n"
        "print(f(20_000))",
        "20000\n",
    ),
    "too deep recursion": Program(
        "def f(): f()\ntry: f()\nexcept RecursionError: print('caught')", "caught\n"
    ),
    "a thread with a large stack": Program(
        "import threading\nthreading.stack_size(16 << 20)\n"
        "t = threading.Thread(target=print, args=('deep',)); t.start(); t.join()",
        "deep\n",
    ),
    "large numbers": Program(
        "print((3**100000).bit_length(), 7**5000 % 1009)", "158497 213\n"
    ),
    "large memory": Program("print(len(bytearray(200 << 20)))", f"{200 << 20}\n"),
    "the locale of the environment": Program(
        "import locale\nprint(locale.setlocale(locale.LC_ALL, ''), locale.getpreferredencoding(), "
        "locale.strcoll('a', 'b') < 0, '{:n}'.format(1000))",
        "C.UTF-8 UTF-8 True 1000\n",
    ),
    "time zones": Program(
        "from datetime import datetime as d\nfrom zoneinfo import ZoneInfo as Z, "
        "available_timezones as a\n"
        "print(d(2020, 7, 1, 12, tzinfo=Z('Europe/Berlin')).astimezone(Z('Asia/Tokyo')), "
        "len(a()) > 400)",
        "2020-07-01 19:00:00+09:00 True\n",
    ),
    "the zone of the clock": Program(
        "import os, time\nos.environ['TZ'] = 'America/New_York'; time.tzset()\n"
        "print(time.localtime(0).tm_hour, time.tzname)",
        "19 ('EST', 'EDT')\n",
    ),
    "a lower priority": Program("import os\nprint(os.nice(1), os.nice(2))", "1 3\n"),
    "limits of its own": Program(
        "import resource as r\nr.setrlimit(r.RLIMIT_CPU, (5, 5)); print(r.getrlimit(r.RLIMIT_CPU))",
        "(5, 5)\n",
    ),
    "binary in and out": Program(
        "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read()[::-1])",
        bytes(reversed(range(256))),
        bytes(range(256)),
    ),
    "64 KiB of output": Program("print('x' * 65535)", "x" * 65535 + "\n"),
    "a large input": Program(
        "import sys\nprint(len(sys.stdin.buffer.read()))",
        f"{3 << 20}\n",
        bytes(3 << 20),
    ),
    "arguments and the environment": Program(
        "import os, sys\nprint(sys.argv, os.environ['HOME'], os.path.expanduser('~'), os.getcwd())",
        "['main.py', 'x y'] /work /work /work\n",
    ),
    "random numbers and hashes": Program(
        "import hashlib, random, secrets, uuid\nrandom.seed(1)\n"
        "print(random.random(), len(secrets.token_hex()), uuid.uuid4().version, "
        "hashlib.sha256(b'').hexdigest()[:8])",
        "0.13436424411240122 64 4 e3b0c442\n",
    ),
    "the name of the user": Program(
        "import getpass, grp, os, pathlib, pwd\nos.environ.pop('HOME')\n"
        "print(getpass.getuser(), pwd.getpwuid(os.getuid())[:3] == ('sandbox', 'x', os.getuid()), "
        "grp.getgrgid(os.getgid()).gr_name, os.path.expanduser('~'), "
        "os.path.expanduser('~sandbox'), pathlib.Path('main.py').group())",
        "sandbox True sandbox /work /work sandbox\n",
    ),
    "names of this host": Program(
        "import platform, socket\nprint(socket.gethostname(), socket.getfqdn(), platform.node())\n"
        "print(*map(socket.gethostbyname, ('localhost', socket.gethostname())))\n"
        "print(socket.getaddrinfo('localhost', 80, socket.AF_INET)[0][4])",
        "sandbox sandbox sandbox\n127.0.0.1 127.0.1.1\n('127.0.0.1', 80)\n",
    ),
    "devices": Program(
        "import os\n"
        "for name in ('zero', 'random', 'urandom', 'stdin', 'fd/0'):\n"
        "    with open('/dev/' + name, 'rb', 0) as f: print(name, len(f.read(4)))\n"
        "with open('/dev/null', 'w') as f: f.write('x')\n"
        "print(open('/dev/null').read() == '', os.path.exists('/proc/self/status'), "
        "len(os.listdir('/proc/self/fd')) < 6)",
        "zero 4\nrandom 4\nurandom 4\nstdin 4\nfd/0 4\nTrue True True\n",
        b"12345678",
    ),
    "both folders for temporary files": Program(
        "import tempfile\nfor folder in ('/tmp', '/var/tmp', None):\n"
        "    with tempfile.TemporaryFile(dir=folder) as f: f.write(b'x')\n"
        "print(tempfile.gettempdir())",
        "/tmp\n",
    ),
    "semaphores by name": Program(
        "import multiprocessing as m\nfrom multiprocessing.shared_memory import SharedMemory\n"
        "with m.Lock(), m.Semaphore(2): b = SharedMemory(create=True, size=10); b.buf[9] = 1\n"
        "print(b.buf[9]); b.close(); b.unlink()",
        "1\n",
    ),
    "SQLite in memory and a TLS context": Program(
        "import sqlite3, ssl\nprint(sqlite3.connect(':memory:').execute('select 1').fetchone(), "
        "ssl.create_default_context().check_hostname)",
        "(1,) True\n",
    ),
    "the number of processors": Program(
        "import multiprocessing, os\nprint(os.cpu_count() == multiprocessing.cpu_count() > 0)",
        "True\n",
    ),
    "ctypes": Program(
        "import ctypes\nprint(ctypes.CDLL(None).abs(-3), "
        "ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)())",
        "3 7\n",
    ),
    "a test suite": Program(
        "import unittest, sys\nclass T(unittest.TestCase):\n    def test(self): "
        "self.assertEqual(1, 1)\nunittest.main(argv=['t'], exit=False, "
        "testRunner=unittest.TextTestRunner(sys.stdout))",
        "OK",
    ),
    "logging": Program(
        "import logging, sys\nlogging.basicConfig(stream=sys.stdout); logging.warning('w')",
        "WARNING:root:w\n",
    ),
    "decimals and fractions": Program(
        "from decimal import Decimal as D, getcontext\nfrom fractions import Fraction as F\n"
        "getcontext().prec = 30; print(D(1) / 3, F(1, 3) + F(1, 6))",
        "0.333333333333333333333333333333 1/2\n",
    ),
    "an exit code by an exception": Program(
        "print('out', flush=True)\nraise SystemExit", "out\n"
    ),
    "what runs at the end": Program(
        "import atexit\natexit.register(print, 'last'); print('first')", "first\nlast\n"
    ),
}


@pytest.mark.daily(12, per="jails")
@pytest.mark.parametrize("start", ["python", "python3"], ids=["warm", "fresh"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_honest_program_works(jail, name, start):
    code, prints, stdin = PROGRAMS[name]
    jail.write({"main.py": code.encode() if isinstance(code, str) else code})
    done = jail.run([start, "main.py", "x y"], timeout_s=60, stdin=stdin)
    assert (done.exit_code, done.timed_out, done.truncated) == (0, False, False), done
    wanted = prints.encode() if isinstance(prints, str) else prints
    if name == "a test suite":
        assert wanted in done.stdout
    else:
        assert done.stdout == wanted
