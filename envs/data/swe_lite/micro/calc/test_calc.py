import unittest

from calc import Parser, apply, depth, evaluate, is_digit, is_name, show, tokens


class TokenTests(unittest.TestCase):
    def test_digits(self):
        self.assertTrue(all(is_digit(letter) for letter in "059."))

    def test_no_digits(self):
        self.assertFalse(any(is_digit(letter) for letter in "a/:,"))

    def test_every_digit(self):
        self.assertEqual([c for c in map(chr, range(33, 127)) if is_digit(c)], list(".0123456789"))

    def test_names(self):
        self.assertTrue(all(is_name(letter) for letter in "amzAMZ_"))

    def test_no_names(self):
        self.assertFalse(any(is_name(letter) for letter in "0@[`{-"))

    def test_every_name(self):
        self.assertEqual(sum(is_name(c) for c in map(chr, range(33, 127))), 53)

    def test_numbers(self):
        self.assertEqual(tokens("12 3.5"), [12, 3.5])

    def test_long_number(self):
        self.assertEqual(tokens("90210"), [90210])

    def test_float(self):
        self.assertIsInstance(tokens("2.0")[0], float)
        self.assertIsInstance(tokens("2")[0], int)

    def test_operators(self):
        self.assertEqual(tokens("1+(2-3)"), [1, "+", "(", 2, "-", 3, ")"])

    def test_spaces(self):
        self.assertEqual(tokens("  1  + 2 "), [1, "+", 2])

    def test_words(self):
        self.assertEqual(tokens("width*h_x"), ["width", "*", "h_x"])

    def test_word_at_end(self):
        self.assertEqual(tokens("2 ab"), [2, "ab"])

    def test_empty(self):
        self.assertEqual(tokens(""), [])

    def test_unknown(self):
        with self.assertRaisesRegex(ValueError, "unexpected '\\$' at 2"):
            tokens("1 $")

    def test_unknown_first(self):
        with self.assertRaisesRegex(ValueError, "at 0"):
            tokens("&")


class ApplyTests(unittest.TestCase):
    def test_plus_minus(self):
        self.assertEqual((apply("+", 7, 3), apply("-", 7, 3)), (10, 4))

    def test_times(self):
        self.assertEqual((apply("*", 7, 3), apply("/", 7, 2)), (21, 3.5))

    def test_rest(self):
        self.assertEqual((apply("%", 7, 3), apply("^", 2, 5)), (1, 32))

    def test_zero(self):
        with self.assertRaises(ValueError):
            apply("/", 1, 0)

    def test_one(self):
        self.assertEqual(apply("/", 8, 1), 8)
        with self.assertRaises(ValueError):
            apply("/", 0, 0)


class EvaluateTests(unittest.TestCase):
    def test_number(self):
        self.assertEqual(evaluate("42"), 42)

    def test_add(self):
        self.assertEqual(evaluate("1 + 2"), 3)

    def test_left_to_right(self):
        self.assertEqual(evaluate("10 - 4 - 3"), 3)

    def test_left_to_right_division(self):
        self.assertEqual(evaluate("80 / 4 / 2"), 10)

    def test_times_first(self):
        self.assertEqual(evaluate("2 + 3 * 4"), 14)

    def test_times_then_plus(self):
        self.assertEqual(evaluate("2 * 3 + 4"), 10)

    def test_brackets(self):
        self.assertEqual(evaluate("(2 + 3) * 4"), 20)

    def test_nested_brackets(self):
        self.assertEqual(evaluate("2 * (3 - (4 - 6))"), 10)

    def test_power(self):
        self.assertEqual(evaluate("2 * 3 ^ 2"), 18)

    def test_power_from_the_right(self):
        self.assertEqual(evaluate("2 ^ 3 ^ 2"), 512)

    def test_remainder(self):
        self.assertEqual(evaluate("17 % 5 + 1"), 3)

    def test_sign(self):
        self.assertEqual(evaluate("-3 + 5"), 2)

    def test_sign_inside(self):
        self.assertEqual(evaluate("2 * -3"), -6)

    def test_sign_and_power(self):
        self.assertEqual(evaluate("-2 ^ 2"), -4)

    def test_names(self):
        self.assertEqual(evaluate("a * b - a", a=3, b=4), 9)

    def test_name_alone(self):
        self.assertEqual(evaluate("x", x=7), 7)

    def test_unknown_name(self):
        with self.assertRaisesRegex(ValueError, "got 'y'"):
            evaluate("x + y", x=1)

    def test_missing_operand(self):
        for text in ("1 +", "*", ""):
            with self.assertRaises(ValueError):
                evaluate(text)

    def test_two_numbers(self):
        with self.assertRaises(ValueError):
            evaluate("1 2")

    def test_unopened(self):
        with self.assertRaises(ValueError):
            evaluate("1)")

    def test_unclosed(self):
        with self.assertRaises(ValueError):
            evaluate("(1 + 2")

    def test_unclosed_inner(self):
        with self.assertRaisesRegex(ValueError, "not closed"):
            evaluate("((1)")

    def test_peek(self):
        parser = Parser([1])
        self.assertEqual(parser.peek(), 1)
        self.assertEqual(parser.take(), 1)
        self.assertIsNone(parser.peek())

    def test_take(self):
        parser = Parser([1, "+"])
        self.assertEqual([parser.take(), parser.take(), parser.take()], [1, "+", None])


class DepthTests(unittest.TestCase):
    def test_flat(self):
        self.assertEqual(depth("1 + 2"), 0)

    def test_one(self):
        self.assertEqual(depth("(1) + (2)"), 1)

    def test_three(self):
        self.assertEqual(depth("((1) + (2 * (3)))"), 3)

    def test_deep_then_flat(self):
        self.assertEqual(depth("((1))(2)"), 2)

    def test_unopened(self):
        with self.assertRaises(ValueError):
            depth("1)(")

    def test_unopened_late(self):
        with self.assertRaises(ValueError):
            depth("(1))(")

    def test_unclosed(self):
        with self.assertRaises(ValueError):
            depth("((1)")

    def test_unclosed_one(self):
        with self.assertRaisesRegex(ValueError, "1 brackets"):
            depth("(")


class ShowTests(unittest.TestCase):
    def test_whole(self):
        self.assertEqual(show(4.0), "4")

    def test_fraction(self):
        self.assertEqual(show(2.5), "2.5")

    def test_rounds(self):
        self.assertEqual(show(2 / 3), "0.667")

    def test_digits(self):
        self.assertEqual(show(2 / 3, digits=1), "0.7")

    def test_zeros(self):
        self.assertEqual(show(100.0), "100")
        self.assertEqual(show(0.5004), "0.5")
