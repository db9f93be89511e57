"""What netrc gives; expected values stay outside.

The files follow CPython's Lib/test/test_netrc.py, PSF licence.
"""

import netrc
import os
import tempfile

from observe import outcome

_MACROS = "macdef macro1\nline1\nline2\n\nmacdef macro2\nline3\nline4\n\n"

_MACHINE = "machine host.domain.com "
_MACHINES = [
    "machine foo.domain.com login bar password pass",
    "machine bar.domain.com login foo password pass",
]


def _read(text):
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        # Others may read it, which only the file at the default path must not allow.
        os.chmod(file.name, 0o644)
        return netrc.netrc(file.name)


def _hosts(text):
    return _read(text).hosts


def tokens_in_either_order():
    last = "default login log2 password pass2 account acct2\n"
    yield _hosts(_MACHINE + "password pass1 login log1 account acct1\n" + last)
    yield _hosts(_MACHINE + "login log1 password pass1 account acct1\n" + last)


def macros():
    yield _read(_MACROS).macros
    yield outcome(_read, _MACROS[:-1])


def tokens_without_value():
    for entry in (_MACHINE, "default "):
        for rest in ("", "login", "account", "password"):
            yield _hosts(entry + rest)
        for rest in ('login "" account', 'login "" password', 'account "" password'):
            yield _hosts(entry + rest)


def invalid_tokens():
    yield outcome(_hosts, "invalid host.domain.com")
    for entry in (_MACHINE, "default host.domain.com "):
        yield outcome(_hosts, entry + "invalid")
        yield outcome(_hosts, entry + "login log password pass account acct invalid")


def _values(*written):
    """Each way to write a value, as login, as account and as password."""
    for value in written:
        yield _hosts(f"{_MACHINE}login {value.format('log')} password pass account acct\n")
        yield _hosts(f"{_MACHINE}login log password pass account {value.format('acct')}\n")
        yield _hosts(f"{_MACHINE}login log password {value.format('pass')} account acct\n")


def quoted_values():
    return _values('"{}"')


def escapes():
    return _values('\\"{}', '"\\"{}"')


def whitespace_in_values():
    return _values('"lo {}"')


def values_beyond_ascii():
    return _values("\xa1\xa2{}")


def hash_in_values():
    return _values("#{}", "{}#", "lo#{}")


def comments_on_a_line_of_their_own():
    for comment in ("# comment", "#comment", "#"):
        for place in range(3):
            yield _hosts("\n".join([*_MACHINES[:place], comment, *_MACHINES[place:], ""]))


def comments_at_the_end_of_a_line():
    for rest in (" # comment", " #comment"):
        yield _hosts(_MACHINES[0] + rest + "\n" + _MACHINES[1] + "\n")
    yield _hosts("machine foo.domain.com login bar password #pass #comment\n" + _MACHINES[1] + "\n")
