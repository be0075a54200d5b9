"""Balances."""


def calc(start, bookings):
    """The balance after the bookings."""
    return start + sum(bookings)


def lowest(start, bookings):
    """The lowest balance on the way."""
    return min(calc(start, bookings[:count]) for count in range(len(bookings) + 1))
