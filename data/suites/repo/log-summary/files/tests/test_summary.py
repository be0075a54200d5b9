"""Tests of the sample."""
import unittest
from datetime import datetime

from logsum.parse import entries
from logsum.summary import summarize


class SummaryTest(unittest.TestCase):
    def test_monday(self):
        with open("samples/monday.log", encoding="utf-8") as file:
            got = summarize(entries(file))
        self.assertEqual(list(got), ["billing", "web"])
        self.assertEqual(got["billing"], {
            "counts": {"ERROR": 2}, "first": datetime(2024, 3, 4, 8, 0, 2, 500000), "last": datetime(2024, 3, 4, 8, 0, 59, 999000),
            "worst minute": datetime(2024, 3, 4, 8, 0), "errors": ["card # refused"]})

    def test_further_lines(self):
        with open("samples/monday.log", encoding="utf-8") as file:
            self.assertEqual([len(entry["more"]) for entry in entries(file)], [0, 2, 0, 0])


if __name__ == "__main__":
    unittest.main()
