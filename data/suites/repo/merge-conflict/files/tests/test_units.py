"""Tests of the branch `main`."""
import unittest

from weather.reading import parse
from weather.report import report


class UnitTest(unittest.TestCase):
    def test_units(self):
        self.assertEqual(report(["Kiel: 30", "Bonn: 9"]), ["Bonn 9 km/h", "Kiel 30 km/h"])
        self.assertEqual(report(["Kiel: 30", "Bonn: 9"], unit="mph"), ["Bonn 6 mph", "Kiel 19 mph"])

    def test_wind_below_nothing(self):
        with self.assertRaises(ValueError):
            parse("Kiel: -3")


if __name__ == "__main__":
    unittest.main()
