"""Tests of the branch `gusts`."""
import unittest

from weather.report import report, strongest


class GustTest(unittest.TestCase):
    def test_gusts(self):
        self.assertEqual(report(["Kiel: 30-45", "Bonn: 9-18"]), ["Bonn 9 km/h", "Kiel 30 km/h (gusts 45 km/h)"])

    def test_strongest(self):
        self.assertEqual(strongest(["Bonn: 9-18", "Kiel: 17", "Ulm: 18"]), "Bonn")


if __name__ == "__main__":
    unittest.main()
