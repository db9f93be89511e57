"""What rlcompleter gives; expected values stay outside.

The completions follow CPython's Lib/test/test_rlcompleter.py, PSF licence.
"""

import rlcompleter

from observe import outcome


class _Complete:
    spam = 1
    _ham = 2


class _Slots:
    __slots__ = ("bar",)


class _Property:
    called = False

    @property
    def bar(self):
        self.called = True


class _Counting:
    calls = 0
    bar = ""

    def __getattribute__(self, name):
        if name == "bar":
            self.calls += 1
            return None
        return super().__getattribute__(name)


def _named():
    return rlcompleter.Completer({"spam": int, "egg": str, "CompleteMe": _Complete})


def _standard():
    completer = rlcompleter.Completer()
    completer.complete("", 0)
    return completer


def namespaces():
    class A(dict):
        pass

    class B(list):
        pass

    yield [bool(one.use_main_ns) for one in (_standard(), _named(), rlcompleter.Completer(A()))]
    yield outcome(rlcompleter.Completer, B((1,)))


def global_matches():
    for text in ("di", "st", "akaksajadhak"):
        yield sorted(_standard().global_matches(text))
    for text in ("CompleteM", "eg"):
        yield _named().global_matches(text)


def attributes_of_builtins():
    for text in ("str.s", "tuple.foospamegg", "None.", "None._", "None.__"):
        yield _standard().attr_matches(text)


def attributes_in_a_namespace():
    for text in ("CompleteMe.sp", "Completeme.egg", "CompleteMe.", "CompleteMe._", "egg.s"):
        yield _named().attr_matches(text)
    special = _named().attr_matches("CompleteMe.__")
    yield [one for one in special if "__n" in one]
    yield [one for one in special if not one.startswith("CompleteMe.__")]


def attributes_of_attributes():
    _Complete.me = _Complete
    try:
        yield _named().attr_matches("CompleteMe.me.me.sp")
    finally:
        del _Complete.me


def getattr_is_called_once():
    f = _Counting()
    yield rlcompleter.Completer({"f": f}).complete("f.b", 0)
    yield f.calls


def properties_are_not_called():
    f = _Property()
    yield rlcompleter.Completer({"f": f}).complete("f.b", 0)
    yield f.called


def slots_without_value():
    return rlcompleter.Completer({"f": _Slots()}).complete("f.", 0)


def keywords():
    rlcompleter._readline_available = False
    completer = rlcompleter.Completer()
    for text, state in [
        *[("", 0), ("a", 0), ("a", 1), ("as", 2), ("an", 0), ("pa", 0), ("Fa", 0), ("el", 0)],
        *[("el", 1), ("tr", 0), ("_", 0), ("match", 0), ("case", 0)],
    ]:
        yield completer.complete(text, state)


def names_that_hide_others():
    names = {
        "False": None,
        "assert": None,
        "try": lambda: None,
        "memoryview": None,
        "Ellipsis": lambda: None,
    }
    completer = rlcompleter.Completer(names)
    for name in names:
        yield completer.complete(name, 0), completer.complete(name, 1)
