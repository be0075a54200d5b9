"""The old ways work."""
import unittest
import warnings

from thumbs import fit


class OldTest(unittest.TestCase):
    def test_old_ways(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.assertEqual(fit(800, 600, 400), (400, 300))
            self.assertEqual(fit(800, 600, max=400), (400, 300))


if __name__ == "__main__":
    unittest.main()
