"""What command loops print and return; expected values stay outside.

The calls follow CPython's Lib/test/test_cmd.py, PSF licence.
"""

import cmd
import io
from contextlib import redirect_stdout

from observe import outcome


class _Sample(cmd.Cmd):
    def preloop(self):
        print("Hello from preloop")

    def postloop(self):
        print("Hello from postloop")

    def completedefault(self, *ignored):
        print("This is the completedefault method")

    def do_shell(self, rest):
        pass

    def do_add(self, rest):
        words = rest.split()
        print(int(words[0]) + int(words[1]) if len(words) == 2 else "*** invalid number of arguments")

    def help_add(self):
        print("help text for add")

    def help_meaning(self):
        print("Try and be nice to people")

    def help_life(self):
        print("Always look on the bright side of life")

    def do_exit(self, rest):
        return True


class _Printer(cmd.Cmd):
    use_rawinput = False

    def do_print(self, rest):
        print(rest, file=self.stdout)

    def do_EOF(self, rest):
        print("*** at the end", file=self.stdout)
        return True


class _Quiet(_Printer):
    def do_EOF(self, rest):
        return True


def _said(steps):
    """Each step of one interpreter: its value, and what it printed."""
    seen = []
    with redirect_stdout(io.StringIO()) as out:
        sample = _Sample()
        for step in steps:
            start = out.tell()
            value = outcome(step, sample)
            seen.append((value, out.getvalue()[start:]))
    return seen


def parsed_lines():
    for line in ("", "?", "?help", "!", "!command", "func", "func arg1"):
        yield _said([lambda sample, line=line: sample.parseline(line)])


def commands():
    lines = ("", "add 4 5", "", "test", "")
    yield from _said([lambda sample, line=line: sample.onecmd(line) for line in lines])
    yield _said([lambda sample: sample.onecmd("test"), lambda sample: sample.emptyline()])
    yield _said([lambda sample: sample.default("default")])


def completions():
    yield _said([lambda sample: sample.completedefault()])
    for text in ("a", "12", "help"):
        yield _said([lambda sample, text=text: sample.completenames(text)])
    for text in ("a", "he", "12", ""):
        yield _said([lambda sample, text=text: sorted(sample.complete_help(text))])


def help_texts():
    for topic in ("testet", "add", ""):
        yield _said([lambda sample, topic=topic: sample.do_help(topic)])
    for line in ("help add", "help meaning"):
        yield _said([lambda sample, line=line: sample.onecmd(line)])


def columns():
    words = [str(number) for number in range(20)]
    yield _said([lambda sample: sample.print_topics("header", ["command1", "command2"], 2, 10)])
    yield _said([lambda sample: sample.columnize(words)])
    yield _said([lambda sample: sample.columnize(words, 10)])


def loop_over_a_queue():
    def loop(sample):
        sample.use_rawinput = 0
        sample.cmdqueue = ["add", "add 4 5", "", "help", "help add", "exit"]
        return sample.cmdloop()

    return _said([loop])


def loops_over_a_file():
    for kind in (_Quiet, _Printer):
        out = io.StringIO()
        loop = kind(stdin=io.StringIO("print test\nprint test2"), stdout=out)
        yield outcome(loop.cmdloop), out.getvalue()
        loop.stdin, loop.stdout = io.StringIO("print \n\n"), io.StringIO()
        yield outcome(loop.cmdloop), loop.stdout.getvalue()
