"""Balances of accounts."""
from bank.errors import NotCovered, UnknownAccount


class Accounts:
    """Balances and limits by account."""

    def __init__(self, balances, limits=None):
        self.balances = balances
        self.limits = limits or {}

    def balance(self, account):
        """Cents."""
        if account not in self.balances:
            raise UnknownAccount(account)
        return self.balances[account]

    def take(self, account, cents):
        """Money leaves."""
        balance = self.balance(account) - cents
        if balance < self.limits.get(account, 0):
            raise NotCovered(account)
        self.balances[account] = balance

    def give(self, account, cents):
        """Money arrives."""
        self.balances[account] = self.balance(account) + cents
