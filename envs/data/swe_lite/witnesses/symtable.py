"""What symtable gives; expected values stay outside.

The program follows CPython's Lib/test/test_symtable.py, PSF licence.
"""

import symtable
import warnings

from observe import outcome

_CODE = """
import sys

glob = 42
some_var = 12
some_non_assigned_global_var = 11
some_assigned_global_var = 11

class Mine:
    instance_var = 24
    def a_method(p1, p2):
        pass

def spam(a, b, *var, **kw):
    global bar
    global some_assigned_global_var
    some_assigned_global_var = 12
    bar = 47
    some_var = 10
    x = 23
    glob
    def internal():
        return x
    def other_internal():
        nonlocal some_var
        some_var = 3
        return some_var
    return internal

def foo():
    pass

def namespace_test(): pass
def namespace_test(): pass
"""

_QUESTIONS = [
    *["is_global", "is_declared_global", "is_nonlocal", "is_local", "is_free", "is_referenced"],
    *["is_parameter", "is_namespace", "is_assigned", "is_annotated", "is_imported"],
]


def _child(table, name):
    return next((one for one in table.get_children() if one.get_name() == name), None)


def _tables():
    """The module, and the scopes in it."""
    top = symtable.symtable(_CODE, "?", "exec")
    mine, spam, foo = (_child(top, name) for name in ("Mine", "spam", "foo"))
    yield from (top, mine, _child(mine, "a_method"), spam)
    yield from (_child(spam, "internal"), _child(spam, "other_internal"), foo)


def _answers(symbol):
    return [name for name in _QUESTIONS if getattr(symbol, name)()]


def names_and_types():
    for table in _tables():
        yield table.get_name(), table.get_type(), table.get_lineno()


def identifiers_are_positive():
    return [table.get_id() > 0 for table in _tables()]


def structure():
    for table in _tables():
        yield table.is_optimized(), table.is_nested(), table.has_children()
        yield [child.get_name() for child in table.get_children()]


def functions():
    for table in _tables():
        if table.get_type() == "function":
            yield sorted(table.get_parameters())
            yield sorted(table.get_locals())
            yield sorted(table.get_globals())
            yield table.get_nonlocals()
            yield table.get_frees()


def symbols():
    for table in _tables():
        for name in sorted(table.get_identifiers()):
            symbol = table.lookup(name)
            yield symbol.get_name(), _answers(symbol)


def all_symbols():
    top = next(_tables())
    yield sorted(symbol.get_name() for symbol in top.get_symbols())
    yield outcome(top.lookup, "not_here")


def namespaces():
    top, mine, _, spam, *_ = _tables()
    for table, name in [(top, "Mine"), (mine, "a_method"), (top, "spam"), (spam, "internal")]:
        yield table.lookup(name).get_namespace().get_name()
    yield top.lookup("spam").get_namespace() is spam
    for table, name in [(top, "namespace_test"), (top, "glob"), (spam, "x")]:
        yield [one.get_name() for one in table.lookup(name).get_namespaces()]
        yield outcome(table.lookup(name).get_namespace)


def annotations():
    for body in ("x: int", "x = 1"):
        function = symtable.symtable(f"def f():\n    {body}\n", "test", "exec").get_children()[0]
        yield _answers(function.lookup("x"))
    yield symtable.symtable("global x\nx: int", "test", "exec").lookup("x").is_global()


def methods():
    return [table.get_methods() for table in _tables() if table.get_type() == "class"]


def places_of_syntax_errors():
    for code in ("def f(x): foo)(", "def f(x): global x"):
        try:
            symtable.symtable(code, "spam", "exec")
        except SyntaxError as error:
            yield error.filename, error.lineno, error.offset


def file_names_that_are_no_strings():
    for name in (b"spam", bytearray(b"spam"), memoryview(b"spam"), list(b"spam")):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            table = outcome(symtable.symtable, "pass", name, "exec")
        yield table.get_type() if isinstance(table, symtable.SymbolTable) else table
        yield [one.category.__name__ for one in caught]


def ways_to_compile():
    for code, way in [("42", "eval"), ("42", "single"), ("def f(x): return x", "exec")]:
        yield sorted(symtable.symtable(code, "?", way).get_identifiers())


def code_in_bytes():
    yield [one.get_name() for one in symtable.symtable(_CODE.encode(), "?", "exec").get_children()]
    code = b"# -*- coding: iso8859-15 -*-\nclass \xb4: pass\n"
    yield [one.get_name() for one in symtable.symtable(code, "?", "exec").get_children()]


def written():
    return [str(table) for table in _tables() if table.get_name() in ("top", "spam")]
