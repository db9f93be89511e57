"""What commands try to leave behind for the next lease, and how a sandbox looks from inside."""

from __future__ import annotations

START = """
import array, ctypes, fcntl, mmap, os, signal, socket, struct, time
libc = ctypes.CDLL(None, use_errno=True)
FOLDERS = ("/work", "/tmp", "/dev/shm")
def acl(default, *rights):
    entries = b"".join(
        bytes([tag, 0, right, 0]) + b"\\xff" * 4 for tag, right in zip((1, 4, 32), rights)
    )
    name = "system.posix_acl_" + ("default" if default else "access")
    return name, b"\\2\\0\\0\\0" + entries
def attempt(action, *arguments):
    try:
        return action(*arguments)
    except (OSError, AttributeError):
        return None
def send(sock, *fds):
    rights = array.array("i", fds)
    attempt(sock.sendmsg, [b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
def pair(kind=socket.SOCK_DGRAM):
    return socket.socketpair(socket.AF_UNIX, kind)
def in_flight(*fds):
    "Descriptors that only a cycle of sockets still holds."
    a, b = pair()
    send(a, *fds, b.fileno(), a.fileno())
    a.close(); b.close()
def full_files(mib):
    files = []
    for number in range(mib // 16):
        files.append(os.open(f"/work/full{number}", os.O_CREAT | os.O_RDWR))
        attempt(os.write, files[-1], bytes(16 << 20))
        os.unlink(f"/work/full{number}")
    return files
"""
"""Helpers of the attacks below."""

ATTACKS = {
    "default list of rights": (
        "for path in FOLDERS: attempt(os.setxattr, path, *acl(True, 0, 0, 0))"
    ),
    "list of rights": "for path in FOLDERS: attempt(os.setxattr, path, *acl(False, 0, 7, 7))",
    "default list of rights of a folder inside": (
        "os.makedirs('/work/pack/inner')\n"
        "for path in ('/work/pack', '/work/pack/inner'):\n"
        "    attempt(os.setxattr, path, *acl(True, 0, 0, 0))"
    ),
    "list of rights by a descriptor and by no link": (
        "fd = os.open('/work', os.O_RDONLY)\n"
        "name, value = acl(True, 0, 0, 0)\n"
        "attempt(os.setxattr, fd, name, value)\n"
        "attempt(lambda: os.setxattr('/work', name, value, follow_symlinks=False))\n"
        "text = ctypes.create_string_buffer(value, len(value))\n"
        "given = struct.pack('QII', ctypes.addressof(text), len(value), 0)\n"
        "libc.syscall(463, fd, b'', 0x1000, name.encode(), given, len(given))"
    ),
    "a note in an attribute": (
        "for path in FOLDERS: attempt(os.setxattr, path, 'user.note', b'the answer is 42')"
    ),
    "many attributes": (
        "for number in range(3000):\n"
        "    attempt(os.setxattr, '/work', f'user.{number}', bytes(60_000))"
    ),
    "an attribute for each inode": (
        "try:\n"
        "    for number in range(9000): os.setxattr('/work', f'user.{number}', bytes(900))\n"
        "except OSError: pass"
    ),
    "modes of the folders": (
        "for path, mode in zip(FOLDERS, (0, 0o7777, 0o2500)): attempt(os.chmod, path, mode)"
    ),
    "times of the folders": (
        "for path in FOLDERS: attempt(os.utime, path, (0x5EC12E7, 0x5EC12E8))"
    ),
    "times and mode of the terminals' folder": (
        "for path in ('/dev/pts', '/dev/pts/ptmx', '/dev'):\n"
        "    attempt(os.utime, path, (0x5EC12E7, 0x5EC12E8)); attempt(os.chmod, path, 0)"
    ),
    "flags of the folders": (
        "for path in FOLDERS:\n"
        "    fd = attempt(os.open, path, os.O_RDONLY)\n"
        "    if fd: attempt(fcntl.ioctl, fd, 0x40086602, struct.pack('l', 0xC0))"
    ),
    "flags of the folders by the new call": (
        "for path in FOLDERS:\n"
        "    libc.syscall(469, -100, path.encode(), struct.pack('QIIII', 0xC0, 0, 0, 0, 0), 24, 0)"
    ),
    "files in flight": "in_flight(*full_files(64))",
    "a note in names of sockets": (
        "held = full_files(32)\n"
        "for number in range(100):\n"
        "    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "    one.bind(f'\\0@note {number}: the answer is 42'); held.append(one.detach())\n"
        "in_flight(*held[:2]); in_flight(*held[2:100])"
    ),
    "names in flight": (
        "for _ in range(4):\n"
        "    held = []\n"
        "    for _ in range(50):\n"
        "        one = socket.socket(socket.AF_UNIX); one.bind(''); held.append(one.detach())\n"
        "    in_flight(*held)\n"
        "    [os.close(fd) for fd in held]"
    ),
    "a file's name of a socket in flight": (
        "one = socket.socket(socket.AF_UNIX); one.bind('/work/\\nname'); in_flight(one.fileno())"
    ),
    "a listener in flight, with callers": (
        "door = socket.socket(socket.AF_UNIX); door.bind('\\0door'); door.listen(8)\n"
        "callers = [socket.socket(socket.AF_UNIX) for _ in range(4)]\n"
        "for one in callers: one.connect('\\0door'); one.send(b'secret')\n"
        "send(callers[0], door.fileno(), *full_files(32))\n"
        "in_flight(door.fileno(), *(one.fileno() for one in callers))"
    ),
    "a listener in its own queue": (
        "door = socket.socket(socket.AF_UNIX); door.bind('\\0door'); door.listen(8)\n"
        "one = socket.socket(socket.AF_UNIX); one.connect('\\0door')\n"
        "send(one, door.fileno(), one.fileno(), *full_files(32))"
    ),
    "sockets in sockets in flight": (
        "inner = full_files(48)\n"
        "for _ in range(40):\n"
        "    a, b = pair(socket.SOCK_STREAM)\n"
        "    send(a, *inner); inner = [a.detach(), b.detach()]\n"
        "in_flight(*inner)"
    ),
    # What Linux 6.18 never frees.
    "two cycles that hold each other": (
        "a, b = pair(); c, d = pair(); files = full_files(32)\n"
        "send(a, c.fileno(), d.fileno(), *files); send(c, a.fileno(), b.fileno()); "
        "send(b, d.fileno()); send(d, b.fileno())"
    ),
    "datagrams in flight": (
        "held = []\n"
        "for _ in range(30):\n"
        "    a, b = pair(); a.setblocking(False); attempt(a.setsockopt, 1, 7, 1 << 20)\n"
        "    while attempt(a.send, bytes(4096)): pass\n"
        "    held += [a.detach(), b.detach()]\n"
        "in_flight(*held)"
    ),
    "pipes and memory in flight": (
        "r, w = os.pipe(); os.write(w, b'secret' * 1000); m = os.memfd_create('secret')\n"
        "os.write(m, bytes(1 << 20)); in_flight(r, w, m, os.pidfd_open(os.getpid()))"
    ),
    "files in shared memory": (
        "for number in range(9): open(f'/dev/shm/{number}', 'wb').write(bytes(1 << 20))"
    ),
    "semaphores with names": (
        "libc.sem_open.restype = ctypes.c_void_p\n"
        "for number in range(20): libc.sem_open(b'/left%d' % number, os.O_CREAT, 0o600, 1)"
    ),
    "shared memory that nobody unlinks": (
        "from multiprocessing import resource_tracker, shared_memory\n"
        "resource_tracker.register = lambda *_: None\n"
        "block = attempt(lambda: shared_memory.SharedMemory('left', create=True, size=1 << 20))\n"
        "os._exit(0)"
    ),
    "shared memory that is mapped and unlinked": (
        "fd = attempt(os.open, '/dev/shm/m', os.O_CREAT | os.O_RDWR)\n"
        "if fd:\n"
        "    os.ftruncate(fd, 8 << 20); mmap.mmap(fd, 8 << 20)[:] = bytes(8 << 20)\n"
        "    os.unlink('/dev/shm/m'); in_flight(fd)"
    ),
    "queues of System V": (
        "libc.shmget(1, 4096, 0o1600); libc.semget(1, 1, 0o1600); libc.msgget(1, 0o1600)"
    ),
    "a queue of messages": "libc.mq_open(b'/left', os.O_CREAT | os.O_RDWR, 0o600, None)",
    "the wiper's own names": (
        "for number in range(2500): open(f'.{number}', 'w').close()\n"
        "os.makedirs('a/b/c'); os.makedirs('d/e/f')"
    ),
    "processes that hold sockets": (
        "for _ in range(20):\n"
        "    if not os.fork():\n"
        "        os.setsid(); one = socket.socket(socket.AF_UNIX); one.bind(''); one.listen()\n"
        "        in_flight(one.fileno()); time.sleep(600)"
    ),
}
"""What a command does. None of it harms the sandbox that it runs in."""

SNAPSHOT = """
import os
def times(path):
    status = os.stat(path)
    return [status.st_atime_ns, status.st_mtime_ns]
# Before any search for a module, which reads the work folder.
begun = {path: times(path) for path in ("/work", "/tmp", "/dev/shm", "/dev/pts", "/dev")}
import fcntl, json, re
def attributes(path):
    try:
        return os.listxattr(path)
    except OSError as error:
        return error.errno
def flags(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        return fcntl.ioctl(fd, 0x80086601, bytes(8))[:4].hex()
    except OSError as error:
        return error.errno
    finally:
        os.close(fd)
def table(path):
    try:
        with open(path, errors="replace") as file:
            return file.read().splitlines()[1:]
    except FileNotFoundError:
        return []
seen = {"sysvipc": [table(f"/proc/sysvipc/{name}") for name in ("shm", "sem", "msg")]}
# Fields: address, references, protocol, flags, type, state, inode, name.
sockets = [line.split(None, 7) for line in table("/proc/net/unix")]
seen["sockets"] = len(sockets)
seen["names"] = sorted({fields[7] for fields in sockets if len(fields) == 8})
for path in ("/work", "/tmp", "/dev/shm"):
    if os.path.exists(path):
        status, room = os.stat(path), os.statvfs(path)
        seen[path] = [begun[path], status.st_mode, room.f_bfree, room.f_ffree]
        seen[path] += [attributes(path), flags(path), os.listdir(path)]
for path in ("/dev/pts", "/dev"):
    seen[path] = [begun[path][1], os.stat(path).st_mode]
print(json.dumps(seen))
"""
"""Prints as JSON everything about the sandbox that a lease might find changed."""
