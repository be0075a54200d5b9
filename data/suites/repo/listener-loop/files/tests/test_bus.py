"""Tests of the bus."""
import unittest

from home.bus import Bus


class BusTest(unittest.TestCase):
    def test_emit(self):
        bus = Bus()
        stop = bus.listen("x", lambda value: value + 1)
        bus.listen("x", lambda value: value * 2)
        self.assertEqual(bus.emit("x", 5), [6, 10])
        stop()
        self.assertEqual(bus.emit("x", 5), [10])

    def test_nobody_listens(self):
        self.assertEqual(Bus().emit("y"), [])


if __name__ == "__main__":
    unittest.main()
