"""Tests of the bank."""
import unittest

import bank
from bank.ledger import calc
from bank.sheet import Sheet


class BankTest(unittest.TestCase):
    def test_calc(self):
        self.assertEqual(calc(100, [5, -20]), 85)
        self.assertIs(bank.calc, calc)

    def test_lowest(self):
        self.assertEqual(bank.lowest(10, [-5, -7, 20]), -2)

    def test_sheet(self):
        self.assertEqual(Sheet([1, 2]).calc(), 3)


if __name__ == "__main__":
    unittest.main()
