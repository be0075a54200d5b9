"""Tests of whole pages."""
import unittest

from page import to_html


class PageTest(unittest.TestCase):
    def test_blocks(self):
        self.assertEqual(to_html("# A *b*\n\nc\n"), "<h1>A <em>b</em></h1>\n<p>c</p>")


if __name__ == "__main__":
    unittest.main()
