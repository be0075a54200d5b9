"""Tests of trails."""
import unittest

from trails.network import Network


class TrailTest(unittest.TestCase):
    def test_the_shortest_way(self):
        network = Network()
        for name, height in (("Alm", 1200), ("Joch", 2300), ("Kar", 1900)):
            network.add_hut(name, height)
        network.add_trail("Alm", "Kar", 100, 70)
        network.add_trail("Kar", "Joch", 60, 40)
        network.add_trail("Alm", "Joch", 170, 120)
        self.assertEqual(network.distance("Alm", "Joch"), 160)
        self.assertEqual(network.describe("Joch", "Alm"), "Joch (2300 m) - Kar (1900 m) - Alm (1200 m): 110 min")


if __name__ == "__main__":
    unittest.main()
