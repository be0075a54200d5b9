"""Tests of reports."""
import unittest
from datetime import date

from portfolio.holdings import Holding
from portfolio.report import report


class Source:
    def __init__(self, rates):
        self.rates = rates

    def rate(self, currency, other, day):
        return 1.0 if currency == other else self.rates[currency, other, day]


class ReportTest(unittest.TestCase):
    def test_a_report(self):
        source = Source({("USD", "EUR", date(2024, 5, 3)): 0.9})
        holdings = [Holding("USD", 10, 20.0), Holding("EUR", 3, 40.0), Holding("USD", 1, 100.0)]
        rows = report(holdings, "EUR", [date(2024, 5, 3), date(2024, 5, 5)], source)
        self.assertEqual(rows, [{"day": date(2024, 5, day), "total": 390.0, "shares": {"USD": 69.2, "EUR": 30.8}} for day in (3, 5)])

    def test_no_rate(self):
        with self.assertRaises(LookupError):
            report([Holding("USD", 1, 1.0)], "EUR", [date(2024, 5, 3)], Source({}))


if __name__ == "__main__":
    unittest.main()
