"""What can go wrong."""


class BankError(Exception):
    """Any of them."""


class UnknownAccount(BankError):
    """There is no such account."""


class NotCovered(BankError):
    """The balance would fall below the limit."""


class BadAmount(BankError):
    """No amount of money."""
