import unittest

from addresses import (
    ending, escape, join, normal, pairs, port, query, resolve, site, split, unescape,
)


class SplitTests(unittest.TestCase):
    def test_all(self):
        self.assertEqual(split("http://a.b/c/d?e=f#g"), ("http", "a.b", "/c/d", "e=f", "g"))

    def test_fragment(self):
        self.assertEqual(split("http://a/b#c"), ("http", "a", "/b", "", "c"))

    def test_query(self):
        self.assertEqual(split("http://a/b?c?d"), ("http", "a", "/b", "c?d", ""))

    def test_host(self):
        self.assertEqual(split("HTTP://A.B"), ("http", "a.b", "", "", ""))

    def test_case_of_path(self):
        self.assertEqual(split("Http://Ab/Cd"), ("http", "ab", "/Cd", "", ""))

    def test_path(self):
        self.assertEqual(split("a/b"), ("", "", "a/b", "", ""))

    def test_path_and_query(self):
        self.assertEqual(split("/a?b"), ("", "", "/a", "b", ""))

    def test_late_signs(self):
        self.assertEqual(split("x://h/p#f?q#r"), ("x", "h", "/p", "", "f?q#r"))

    def test_sign_in_path(self):
        self.assertEqual(split("x://h/p://q"), ("x", "h", "/p://q", "", ""))


class JoinTests(unittest.TestCase):
    def test_all(self):
        self.assertEqual(join(("http", "a", "/b", "c", "d")), "http://a/b?c#d")

    def test_path(self):
        self.assertEqual(join(("", "", "a", "", "")), "a")

    def test_query(self):
        self.assertEqual(join(("", "", "a", "b", "")), "a?b")

    def test_fragment(self):
        self.assertEqual(join(("x", "h", "", "", "f")), "x://h#f")

    def test_no_fragment(self):
        self.assertEqual(join(("x", "h", "/", "q", "")), "x://h/?q")

    def test_round_trip(self):
        self.assertEqual(join(split("http://a.b/c?d=e#f")), "http://a.b/c?d=e#f")


class PortTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(port("a:8080"), 8080)

    def test_none(self):
        self.assertEqual(port("a.b"), 80)

    def test_last(self):
        self.assertEqual(port("a:1:2"), 2)

    def test_greatest(self):
        self.assertEqual(port("a:65535"), 65535)

    def test_long(self):
        self.assertEqual(port("long.name.org:443"), 443)

    def test_none_of_empty(self):
        self.assertEqual(port(""), 80)

    def test_letters(self):
        with self.assertRaises(ValueError):
            port("a:b")

    def test_empty(self):
        with self.assertRaises(ValueError):
            port("a:")

    def test_great(self):
        with self.assertRaises(OverflowError):
            port("a:65536")

    def test_greater(self):
        with self.assertRaises(OverflowError):
            port("a:99999")


class EscapeTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(escape("aZ09-._~"), "aZ09-._~")

    def test_space(self):
        self.assertEqual(escape("a b"), "a%20b")

    def test_signs(self):
        self.assertEqual(escape("&="), "%26%3D")

    def test_percent(self):
        self.assertEqual(escape("100%"), "100%25")

    def test_line(self):
        self.assertEqual(escape("\n"), "%0A")

    def test_slashes(self):
        self.assertEqual(escape("a/b/"), "a%2Fb%2F")

    def test_empty(self):
        self.assertEqual(escape(""), "")


class UnescapeTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(unescape("abc"), "abc")

    def test_space(self):
        self.assertEqual(unescape("a%20b"), "a b")

    def test_plus(self):
        self.assertEqual(unescape("a+b+"), "a b ")

    def test_small_letters(self):
        self.assertEqual(unescape("%3d%3D"), "==")

    def test_two(self):
        self.assertEqual(unescape("%41%42c"), "ABc")

    def test_round_trip(self):
        self.assertEqual(unescape(escape("a&b=c d%")), "a&b=c d%")

    def test_short(self):
        with self.assertRaises(ValueError):
            unescape("a%4")

    def test_nothing(self):
        with self.assertRaises(ValueError):
            unescape("%")

    def test_letters(self):
        with self.assertRaises(ValueError):
            unescape("%zz")

    def test_one_letter(self):
        with self.assertRaises(ValueError):
            unescape("a%4g")


class PairsTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(pairs("a=1"), [("a", "1")])

    def test_two(self):
        self.assertEqual(pairs("a=1&b=2"), [("a", "1"), ("b", "2")])

    def test_empty(self):
        self.assertEqual(pairs(""), [])

    def test_empty_parts(self):
        self.assertEqual(pairs("&a=1&&b=2&"), [("a", "1"), ("b", "2")])

    def test_no_sign(self):
        self.assertEqual(pairs("a&b=1"), [("a", ""), ("b", "1")])

    def test_signs(self):
        self.assertEqual(pairs("a=b=c"), [("a", "b=c")])

    def test_escapes(self):
        self.assertEqual(pairs("a%20b=c+d"), [("a b", "c d")])

    def test_escaped_sign(self):
        self.assertEqual(pairs("a%3Db=%26"), [("a=b", "&")])

    def test_no_name(self):
        with self.assertRaises(KeyError):
            pairs("=1")

    def test_no_second_name(self):
        with self.assertRaises(KeyError):
            pairs("a=1&=2")


class QueryTests(unittest.TestCase):
    def test_one(self):
        self.assertEqual(query({"a": 1}), "a=1")

    def test_order(self):
        self.assertEqual(query({"b": 1, "a": 2}), "a=2&b=1")

    def test_list(self):
        self.assertEqual(query({"a": [1, 2]}), "a=1&a=2")

    def test_list_and_plain(self):
        self.assertEqual(query({"c": "x", "a": ["y", "z"]}), "a=y&a=z&c=x")

    def test_escapes(self):
        self.assertEqual(query({"a b": "c&d"}), "a%20b=c%26d")

    def test_empty(self):
        self.assertEqual(query({}), "")

    def test_round_trip(self):
        self.assertEqual(pairs(query({"a": "1 2", "b": "="})), [("a", "1 2"), ("b", "=")])


class NormalTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(normal("/a/b"), "/a/b")

    def test_up(self):
        self.assertEqual(normal("/a/../b"), "/b")

    def test_up_twice(self):
        self.assertEqual(normal("/a/b/../../c"), "/c")

    def test_dots(self):
        self.assertEqual(normal("/./a/./b"), "/a/b")

    def test_empty_steps(self):
        self.assertEqual(normal("//a//b"), "/a/b")

    def test_slash_at_end(self):
        self.assertEqual(normal("/a/b/"), "/a/b/")

    def test_slash_after_up(self):
        self.assertEqual(normal("/a/../b/"), "/b/")

    def test_root(self):
        self.assertEqual(normal("/"), "/")

    def test_root_after_up(self):
        self.assertEqual(normal("/a/../"), "/")

    def test_above(self):
        with self.assertRaises(IndexError):
            normal("/..")

    def test_above_later(self):
        with self.assertRaises(IndexError):
            normal("/a/../../b")


class ResolveTests(unittest.TestCase):
    def test_whole(self):
        self.assertEqual(resolve("http://a/b", "ftp://c/d"), "ftp://c/d")

    def test_root(self):
        self.assertEqual(resolve("http://a/b/c", "/d"), "http://a/d")

    def test_beside(self):
        self.assertEqual(resolve("http://a/b/c", "d"), "http://a/b/d")

    def test_beside_with_query(self):
        self.assertEqual(resolve("http://a/b/c?x", "d?y"), "http://a/b/d?y")

    def test_up(self):
        self.assertEqual(resolve("http://a/b/c/d", "../e"), "http://a/b/e")

    def test_up_and_fragment(self):
        self.assertEqual(resolve("http://a/b/c", "../e#f"), "http://a/e#f")

    def test_fragment(self):
        self.assertEqual(resolve("http://a/b?q", "#f"), "http://a/b#f")

    def test_query(self):
        self.assertEqual(resolve("http://a/b#f", "?q=1"), "http://a/b?q=1")


class EndingTests(unittest.TestCase):
    def test_plain(self):
        self.assertEqual(ending("/a/b.txt"), "txt")

    def test_upper(self):
        self.assertEqual(ending("b.TXT"), "txt")

    def test_two(self):
        self.assertEqual(ending("a.tar.gz"), "gz")

    def test_two_in_folder(self):
        self.assertEqual(ending("x/a.b.C"), "c")

    def test_none(self):
        self.assertEqual(ending("/a/b"), "")

    def test_dot_in_folder(self):
        self.assertEqual(ending("/a.b/c"), "")

    def test_hidden(self):
        self.assertEqual(ending("/.profile"), "")

    def test_hidden_with_ending(self):
        self.assertEqual(ending(".a.py"), "py")

    def test_dot_at_end(self):
        self.assertEqual(ending("a."), "")


class SiteTests(unittest.TestCase):
    def test_two(self):
        self.assertEqual(site("a.org"), "a.org")

    def test_three(self):
        self.assertEqual(site("www.a.org"), "a.org")

    def test_many(self):
        self.assertEqual(site("x.y.a.org"), "a.org")

    def test_one(self):
        self.assertEqual(site("localhost"), "localhost")

    def test_port(self):
        self.assertEqual(site("www.a.org:80"), "a.org")

    def test_case(self):
        self.assertEqual(site("WWW.A.Org"), "a.org")

    def test_case_and_port(self):
        self.assertEqual(site("A.B.C:8080"), "b.c")

    def test_empty_name(self):
        with self.assertRaises(ValueError):
            site("a..b")

    def test_empty(self):
        with self.assertRaises(ValueError):
            site("")


if __name__ == "__main__":
    unittest.main()
