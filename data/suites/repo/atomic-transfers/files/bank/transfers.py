"""Moves money."""
from bank.errors import BadAmount


def transfer(accounts, journal, source, target, cents):
    """From one account to another."""
    if cents < 1:
        raise BadAmount(cents)
    number = journal.note(source, target, cents)
    accounts.take(source, cents)
    accounts.give(target, cents)
    return number


def batch(accounts, journal, orders):
    """Many transfers."""
    return [transfer(accounts, journal, *order) for order in orders]
