"""Tests of the stock."""
import unittest

from stock.orders import OrderBook
from stock.report import table
from stock.store import OutOfStock, Store


class OrderTest(unittest.TestCase):
    def test_cancelling_gives_the_pieces_back(self):
        store = Store({"bolt": 10})
        book = OrderBook(store)
        book.cancel(book.place([("bolt", 4)]))
        self.assertEqual(table(store), [("bolt", 10, 0, 10)])

    def test_all_or_nothing(self):
        store = Store({"bolt": 10, "nut": 1})
        with self.assertRaises(OutOfStock):
            OrderBook(store).place([("bolt", 4), ("nut", 2)])
        self.assertEqual(table(store), [("bolt", 10, 0, 10), ("nut", 1, 0, 1)])

    def test_shipping(self):
        store = Store({"bolt": 10})
        book = OrderBook(store)
        book.ship(book.place([("bolt", 4)]))
        self.assertEqual(table(store), [("bolt", 6, 0, 6)])


if __name__ == "__main__":
    unittest.main()
