"""What addresses gives; expected values stay outside."""

from addresses import (
    ending, escape, join, normal, pairs, port, query, resolve, site, split, unescape,
)
from observe import outcome


def parts_of_addresses():
    for text in (
        "http://a.b/c/d?e=f#g", "http://a/b#c", "http://a/b?c?d", "HTTP://A.B", "Http://Ab/Cd", "a/b",
        "/a?b", "x://h/p#f?q#r", "x://h/p://q", "ftp://A:21/B?C#D",
    ):
        yield outcome(split, text)


def addresses_of_parts():
    for parts in (
        ("http", "a", "/b", "c", "d"), ("", "", "a", "", ""), ("", "", "a", "b", ""),
        ("x", "h", "", "", "f"), ("x", "h", "/", "q", ""), ("y", "n.org:8", "/i/j", "", ""),
    ):
        yield outcome(join, parts)


def addresses_put_together_again():
    for text in ("http://a.b/c?d=e#f", "HTTP://A.B/C?D#E", "Ftp://Host", "p?q#r"):
        yield outcome(lambda: join(split(text)))


def ports():
    for host in (
        "a:8080", "a.b", "a:1:2", "a:65535", "long.name.org:443", "", "a:b", "a:", "a:65536", "a:99999",
    ):
        yield outcome(port, host)


def escaped():
    for text in ("aZ09-._~", "a b", "&=", "100%", "\n", "a/b/", "", "q r&s=t/u%", "(1, 2); [3]", "<{|}>"):
        yield outcome(escape, text)


def unescaped():
    for text in ("abc", "x%20y", "a+b+", "%3d%3D", "%41%42c", "%61%2A+%7e.%2f", "a%4", "%", "%zz", "a%4g"):
        yield outcome(unescape, text)


def pairs_of_queries():
    for text in (
        "a=1", "a=1&b=2", "", "&a=1&&b=2&", "a&b=1", "a=b=c", "a%20b=c+d", "a%3Db=%26",
        "x=3+4&y=%3D%3d", "=1", "a=1&=2",
    ):
        yield outcome(pairs, text)


def queries():
    for values in (
        {"a": 1}, {"b": 1, "a": 2}, {"a": [1, 2]}, {"c": "x", "a": ["y", "z"]}, {"a b": "c&d"}, {},
        {"a": "1 2", "b": "="}, {"z": [7, "?", "8"], "m=": "", "n": 0},
    ):
        yield outcome(query, values)


def paths_without_empty_and_dotted_steps():
    for path in (
        "/a/b", "/a/../b", "/a/b/../../c", "/./a/./b", "//a//b", "/a/b/", "/a/../b/", "/", "/a/../",
        "/..", "/a/../../b",
    ):
        yield outcome(normal, path)


def where_links_lead():
    for base, link in (
        ("http://a/b", "ftp://c/d"), ("http://a/b/c", "/d"), ("http://a/b/c", "d"),
        ("http://a/b/c?x", "d?y"), ("http://a/b/c/d", "../e"), ("http://a/b/c", "../e#f"),
        ("http://a/b?q", "#f"), ("http://a/b#f", "?q=1"), ("http://a/b/c/d", "../../g/./h?i#j"),
    ):
        yield outcome(resolve, base, link)


def endings():
    for path in (
        "/a/b.txt", "b.TXT", "a.tar.gz", "x/a.b.C", "/a/b", "/a.b/c", "/.profile", ".a.py", "a.",
    ):
        yield outcome(ending, path)


def sites():
    for host in (
        "a.org", "www.a.org", "x.y.a.org", "localhost", "www.a.org:80", "WWW.A.Org", "A.B.C:8080",
        "a..b", "",
    ):
        yield outcome(site, host)
