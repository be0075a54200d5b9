"""Tests of what there is today."""
import unittest

from sheet import Sheet


class SheetTest(unittest.TestCase):
    def test_arithmetic(self):
        sheet = Sheet({"A1": "2", "A2": "=a1 * (3 + 4) - 1", "A3": "=A2/Z9", "B1": "tea", "B2": "=-A1 + B1", "B3": "=A3+B2", "C1": "=1+"})
        self.assertEqual([sheet.value(name) for name in ("A2", "A3", "B2", "B3", "C1", "C9")], [13.0, "#DIV", "#TYPE", "#DIV", "#SYNTAX", None])


if __name__ == "__main__":
    unittest.main()
