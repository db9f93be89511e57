"""What JavaScript is minified to; expected values stay outside.

The calls follow the tests of jsmin 3.0.1, MIT licence.
"""

import io

import jsmin
from observe import outcome

_COMMENTS = (
    "A; /*/ comment */ B", "A; /* comment /*/ B", "/*/ comment */ A", "/* comment /*/ A", "/**/ A",
    "/* A /* B */ C", "     // a comment", "// a comment\\n", "//test\r\n", "{ \n  a: 1,//comment\n  }",
    "{a: 1//comment\r\n}", "return;//comment\r\na", "return//comment...\r\nar", "return//comment...\r\na",
    "var/* comment */msie;", "var /* comment */msie;", "var /* comment */ msie;", "var/* comment */a",
    "a;/**/b", "a;/*/*/b", "a;/**/\nb", "a/**/\nvar b", "\u4000 //foo",
    "\n{ a: n / 2, }\n// comment\n", "\nreturn foo;//comment\nreturn bar;", "x.replace(/\\//, \"_\")// slash",
    "// hi\n/^(get|post|head|put)$/i.test('POST')", "'a string in the middle of nowhere'; // and a comment",
    '\nvar a = "hello" // this is a comment\n    a += " world"\n',
    '\nvar a = "hello" /* this is a comment */\n    a += " world"\n',
    "\nfiles = [{name: value.replace(/^.*\\\\/, '')}];\n// comment\nA\n",
    "\nfiles = [{name: value.replace(/^.*\\\\/, '')}]\n// comment\nA\n",
    "/* here is a comment at the top\n\n it ends here */\nfunction foo() {\n  alert('crud');\n}\n",
    "\nfunction foo() {\n  print('hey');\n}\n/*\nif(this.zindex) {\n  a = b;\n}\n*/\nanother thing;\n",
    "if (!/^\\[.*\\]$/.test(js)) // TODO: improve\n  throw 'Server';\n  this._collection = eval(js);",
    "var /** holds major version number for IE */\n     msie,",
)
_LINES = (
    "", " ", "\n", "\r\n", "\t", "return\na", "return foo\nreturn bar;", '"yolo"\n"loyo"',
    'var s = "s"', '"s"', "a/b", "return x / 1;", "return r / 1;", '"s" + ++e + "s"',
    '\nvar  foo    =  "hey";\n',
    "\nfunction foo('') {\n\n}\n", "var a = {\n  b: c,\n  d: e\n}\n\nvar f = {g: h}\n",
    "if (Object.isFunction(Array.prototype.forEach))\n  Array.prototype._each = Array.prototype.forEach;\n\n"
    "if (!Array.prototype.indexOf) Array.prototype.indexOf = function(item, i) {\n",
    "interpret: function(value) {\n  return value == null ? '' : String(value);\n},\nspecialChar: {\n"
    "  '\\b': '\\\\b',\n  '\\t': '\\\\t',\n  '\\\\': '\\\\\\\\'\n}\n});\n",
)
_REGEXES = (
    "\nvar str = this.replace(/\\\\./g, '@').replace(/\"[^\"\\\\\\n\\r]*\"/g, '');\n"
    "return (/^[,:{}\\[\\]0-9.\\-+Eaeflnr-u \\n\\r\\t]*$/).test(str);\n});",
    "var escapedString = this.gsub(/[\\x00-\\x1f\\\\]/, function(match) {\n"
    "  return a ? a : '\\\\u00' + match[0];\n});\nif (a) return '\"' + b.replace(/\"/g, '\\\\\"') + '\"';\n"
    "return \"'\" + b.replace(/'/g, '\\\\\\'') + \"'\";",
    "\nmyString.replace(/\\\\/g, '/');\nconsole.log(\"hi\");\n",
    " return /^data:image\\//i.test(url) || \n /^(https?|ftp|file|about|chrome|resource):/.test(url);\n",
    "\nnum = num.replace(/ /g,'');\n", "/[d]+/g    ", '/(NaN| {2}|^$)/.test(a)&&(a="M 0 0");',
    'aaa;/(NaN| {2}|^$)/.test(a)&&(a="M 0 0");', '/a (a)/.test("a")', 'function a() { /\\//.test("a") }',
    "\nf = function() {\n  return /DataTree\\/(.*)\\//.exec(this._url)[1];\n}\n",
    "\nrespond.regex = {\n  comments: /\\/\\*[^*]*\\*+([^/][^*]*\\*+)*\\//gi,\n  urls: 'whatever'\n};\n",
    "\nvar re = /\\d{4}/\nif (1) { console.log(2); }", "\nvar re = /\\d{4}/\ng = 10",
)
_BACKTICKS = (
    "`test`", "` test with leading whitespace`", "`test with trailing whitespace `",
    "`test\nwith a new line`",
    "`Fifteen is ${a + b} and not ${2 * a + b}.`", '`Fifteen is ${a +\nb} and not ${2 * a + "b"}.`',
    "tag`Hello ${ a + b } world ${ a * b}`;",
    'var s = "";\nif (d) {\n  s += `A/V sync: ${d} ms `;\n}\nif (e) {\n  s += `delay: ${e} ms`;\n}\n'
    '\nreturn f(s);',
)
_LITERALS = (
    "/123/g", "/a[0-9]b/g", "/a[/]b/g", r"/a\/b/g", r"/a\\/g", "/a[]/]b/g", "/a([)])b/g", "/a[(]b/g"
)
_PRESERVED = """
    function this() {
        /*! Copyright year person */
        console.log('hello!');
    }

    /*! Copyright blah blah
     *
     *  Some other text
     */

    var a;
"""
_ENDINGS = ("var a = 'hi'", "console.log(1)", "1", "{}", '"YOLO"', "(1 + 2)")


def _literal(text):
    """What is taken for a literal at the start of a text."""
    out = io.StringIO()
    jsmin.JavascriptMinify(io.StringIO(text[2:]), out).regex_literal(text[0], text[1])
    return out.getvalue()


def without_comments():
    for text in _COMMENTS:
        yield outcome(jsmin.jsmin, text)


def comments_after_statements():
    comments = ("// this is a comment", "/* this is also a  comment */")
    lines = [f"{one} {comment}" for one in _ENDINGS for comment in comments]
    yield outcome(jsmin.jsmin, "\n".join([*lines, "var b"]))


def preserved_comments():
    yield outcome(jsmin.jsmin, _PRESERVED)


def without_spaces_and_lines():
    for text in _LINES:
        yield outcome(jsmin.jsmin, text)


def regular_expressions():
    for text in _REGEXES:
        yield outcome(jsmin.jsmin, text)


def regular_expressions_alone():
    for text in _LITERALS:
        yield outcome(_literal, text)


def backticks():
    for text in _BACKTICKS:
        yield outcome(jsmin.jsmin, text, quote_chars="'\"`")


def streams():
    out = io.StringIO()
    yield outcome(jsmin.JavascriptMinify().minify, io.StringIO("\n  function foo('') {\n\n  }\n"), out)
    yield out.getvalue()
