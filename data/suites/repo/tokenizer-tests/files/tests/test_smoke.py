"""One test."""
import unittest

from tokens import scan


class SmokeTest(unittest.TestCase):
    def test_an_assignment(self):
        self.assertEqual(scan("a = 1;"), [("name", "a", 1), ("sign", "=", 1), ("number", 1, 1), ("sign", ";", 1)])


if __name__ == "__main__":
    unittest.main()
