"""The office that sells."""


class SoldOut(Exception):
    """There are not enough seats."""


class Office:
    """Sells the seats of shows."""

    def __init__(self, ledger):
        self.ledger = ledger
        self.seats = {}

    def open_show(self, show, seats):
        """From now on the show is sold."""
        if show in self.seats:
            raise ValueError(f"{show} is open already")
        self.seats[show] = seats
        self.ledger.write(show, [])

    def sell(self, show, guest):
        """One seat; gives its number."""
        return self.sell_group(show, [guest])[0]

    def sell_group(self, show, guests):
        """Seats next to each other; gives their numbers."""
        seats = self.seats[show]
        sold = self.ledger.read(show)
        if len(sold) + len(guests) > seats:
            raise SoldOut(show)
        self.ledger.write(show, sold + list(guests))
        return list(range(len(sold) + 1, len(sold) + len(guests) + 1))

    def swap(self, show, other, guest):
        """A seat of another show instead."""
        sold = self.ledger.read(show)
        if guest not in sold:
            raise KeyError(guest)
        number = self.sell(other, guest)
        sold = self.ledger.read(show)
        sold[sold.index(guest)] = None
        self.ledger.write(show, sold)
        return number
