"""What shlex gives; expected values stay outside.

The commands follow CPython's Lib/test/test_shlex.py, PSF licence.
"""

import io
import shlex

from observe import outcome

_BOTH = r"""x
foo bar
 foo bar
foo   bar    bla     fasel
x y  z              xxxx
\x bar
\ x bar
\ bar
foo \x bar
foo \ x bar
foo \ bar
foo "bar" bla
"foo" "bar" "bla"
"foo" bar "bla"
"foo" bar bla
foo 'bar' bla
'foo' 'bar' 'bla'
'foo' bar 'bla'
'foo' bar bla
blurb foo"bar"bar"fasel" baz
blurb foo'bar'bar'fasel' baz
""
''
foo "" bar
foo '' bar
foo "" "" "" bar
foo '' '' '' bar
"foo\ bar"
"foo\\ bar"
'foo\ bar'
'foo\\ bar'
"foo\x"
"foo\ "
foo\ xx
foo\ x\x
"foo\ x\x"
"foo\ x\x\\"
"foo\ x\x\\""foobar"
"foo\ x\x\\"\'"fo'obar" 'don'\''t'
foo\ bar
foo#bar\nbaz
:-) ;-)
áéíóú"""

_OLD = r"""\""
"\"
"foo\\ bar\"
"foo\\" bar\""
"foo\\ bar\" dfadf"
"foo\\\ bar\" dfadf"
"foo\\\x bar\" dfadf"
"foo\x bar\" dfadf"
"foo\\\x bar\" df'a\ 'df'
\"foo"
\"foo"\x
foo\ x\x\""
"foo\ x\x\\"\''"foobar"
"foo\ x\x\\"\'"fo'obar"
\''"""

_POSIX = r"""\"
"\""
"foo\\ bar\""
"foo\\" bar\"
"foo\\ bar\" dfadf"
"foo\\\ bar\" dfadf"
"foo\\\x bar\" dfadf"
"foo\x bar\" dfadf"
\'
"foo\\\x bar\" df'a\ 'df"
\"foo
\"foo\x
foo\ x\x\"
"foo\ x\x\\"\'"foobar"
"foo\ x\x\\"\'"fo'obar"
"foo\ x\x\\"\'"fo'obar" 'don'\''t' \\"""

_WORDS = [["a ", "b"], ["a", " b"], ["a", " ", "b"], ['"a', 'b"'], ["it's", "", "fine"], ["\xe9", "x;y"]]


def _lines(text):
    return [line.replace(r"\n", "\n") for line in text.split("\n")]


def _tokens(text, split=False, **options):
    lexer = shlex.shlex(text, **options)
    lexer.whitespace_split = split
    return list(lexer)


def posix():
    for line in [" foo bar ", *_lines(_BOTH), *_lines(_POSIX)]:
        yield outcome(shlex.split, line, comments=True)


def compatible():
    for line in [" foo bar ", *_lines(_BOTH), *_lines(_OLD)]:
        lexer = shlex.shlex(io.StringIO(line))
        yield outcome(list, iter(lexer.get_token, ""))


def operators():
    for sign in ("&&", "&", "|&", ";&", ";;&", "||", "|", "&|", ";|", ";;|", ";", ";;"):
        for text in (f"echo hi {sign} echo bye", f"echo hi{sign} echo bye", f"echo hi{sign}echo bye"):
            yield [outcome(_tokens, text, split, punctuation_chars=True) for split in (False, True)]


def redirections():
    for sign in ("<", "|"):
        for text in (f"echo hi {sign} out", f"echo hi{sign} out", f"echo hi{sign}out"):
            yield outcome(_tokens, text, punctuation_chars=True)


def parentheses():
    for text in ("( echo hi )", "(echo hi)"):
        yield [outcome(_tokens, text, split, punctuation_chars=True) for split in (False, True)]


def punctuation_of_choice():
    for split in (False, True):
        yield outcome(_tokens, "~/a&&b-c --color=auto||d *.py?", split, punctuation_chars="|")
        yield outcome(_tokens, "a  && b  ||  c", split, punctuation_chars="&")


def kinds_of_tokens():
    lexer = shlex.shlex("a && b || c", punctuation_chars=True)
    for token in iter(lexer.get_token, lexer.eof):
        yield token, token[0] in lexer.punctuation_chars


def punctuation_in_words():
    lexer = shlex.shlex("a_b__c", punctuation_chars="_")
    yield "_" in lexer.wordchars
    yield list(lexer)


def punctuation_and_posix():
    for text in ('f >"abc"', 'f >\\"abc\\"'):
        yield outcome(_tokens, text, posix=True, punctuation_chars=True)


def empty_strings():
    for posix, punctuation in [(True, False), (True, True), (False, True)]:
        yield outcome(_tokens, "'')abc", posix=posix, punctuation_chars=punctuation)


def beyond_ascii():
    for split in (True, False):
        yield outcome(_tokens, "\u2119\u01b4\u2602\u210c\u00f8\u1f24", split, punctuation_chars=True)


def quoted():
    for text in ("", "azAZ09@%_-+=:,./", "test file name"):
        yield outcome(shlex.quote, text)
    for unsafe in '"`$\\!\xe9\xe0\xdf':
        yield outcome(shlex.quote, f"test{unsafe}name")
        yield outcome(shlex.quote, f"test{unsafe}'name'")


def joined():
    for words in _WORDS:
        yield outcome(shlex.join, words)


def punctuation_is_read_only():
    lexer = shlex.shlex("", punctuation_chars="/|$%^")
    yield lexer.punctuation_chars
    yield outcome(setattr, lexer, "punctuation_chars", False)
