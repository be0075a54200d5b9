"""Tests of stores."""
import unittest

import store


class StoreTest(unittest.TestCase):
    def test_plain(self):
        kept = store.make("plain")
        self.assertTrue(kept.put("a", 1))
        self.assertFalse(kept.put("a", None))
        self.assertIsNone(kept.get("a", 5))
        self.assertEqual((len(kept), kept.delete("a"), kept.delete("a")), (1, True, False))

    def test_expiring(self):
        now = [0]
        kept = store.make("expiring", clock=lambda: now[0], seconds=10, capacity=2)
        kept.put("a", 1)
        now[0] = 9
        self.assertEqual(kept.get("a"), 1)
        now[0] = 11
        self.assertEqual(kept.get("a", 2), 2)


if __name__ == "__main__":
    unittest.main()
