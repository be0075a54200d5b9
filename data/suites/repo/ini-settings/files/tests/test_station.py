"""Tests of the station."""
import unittest

from station.display import humidity, title
from station.settings import load


class StationTest(unittest.TestCase):
    def test_display(self):
        self.assertEqual(title(), "0042 Zugspitze; west side, 2962 m, outside")
        self.assertEqual(humidity(40), "40 % #now")

    def test_types(self):
        settings = load("settings.ini")
        self.assertIs(settings["station"]["indoors"], False)
        self.assertEqual(settings["sensors"]["names"], ["temperature", "humidity", "wind"])


if __name__ == "__main__":
    unittest.main()
