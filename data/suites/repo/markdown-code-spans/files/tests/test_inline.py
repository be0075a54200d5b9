"""Tests of what is in a block."""
import unittest

from page.inline import render


class InlineTest(unittest.TestCase):
    def test_emphasis(self):
        self.assertEqual(render("a *b* c"), "a <em>b</em> c")
        self.assertEqual(render("2 * 3"), "2 * 3")

    def test_code(self):
        self.assertEqual(render("`x < y`"), "<code>x &lt; y</code>")


if __name__ == "__main__":
    unittest.main()
