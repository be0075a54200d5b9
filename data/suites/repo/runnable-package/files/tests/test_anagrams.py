"""Tests of the search."""
import unittest

from anagrams.find import find


class FindTest(unittest.TestCase):
    def test_find(self):
        self.assertEqual(find("notes"), ["stone", "onset"])
        self.assertEqual(find("Listen"), ["enlist", "inlets", "silent", "tinsel"])
        self.assertEqual(find("xyz"), [])


if __name__ == "__main__":
    unittest.main()
