"""Orders of customers."""
from stock.store import OutOfStock


class WrongState(Exception):
    """The order is not open any more."""


class OrderBook:
    """All orders, by number."""

    def __init__(self, store):
        self.store = store
        self.orders = {}

    def place(self, lines):
        """Reserve all lines, or none; gives the number of the order."""
        done = []
        try:
            for article, count in lines:
                self.store.reserve(article, count)
                done.append((article, count))
        except OutOfStock:
            for article, count in done:
                self.store.release(article, count)
            raise
        number = len(self.orders) + 1
        self.orders[number] = {"lines": list(lines), "state": "open"}
        return number

    def ship(self, number):
        """The pieces leave the house."""
        order = self.open_order(number)
        for article, count in order["lines"]:
            self.store.remove(article, count)
        order["state"] = "shipped"

    def cancel(self, number):
        """The customer does not want it any more."""
        order = self.orders[number]
        for article, count in dict(order["lines"]).items():
            self.store.release(article, count)
        order["state"] = "cancelled"

    def open_order(self, number):
        """An order that may still change."""
        order = self.orders[number]
        if order["state"] != "open":
            raise WrongState(f"order {number} is {order['state']}")
        return order
