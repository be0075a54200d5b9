"""Tests of transfers."""
import unittest

from bank.accounts import Accounts
from bank.errors import UnknownAccount
from bank.journal import Journal
from bank.transfers import batch, transfer


class TransferTest(unittest.TestCase):
    def test_a_transfer(self):
        accounts, journal = Accounts({"a": 100, "b": 0}), Journal()
        self.assertEqual(transfer(accounts, journal, "a", "b", 30), 1)
        self.assertEqual(accounts.balances, {"a": 70, "b": 30})
        self.assertEqual(journal.entries, [(1, "a", "b", 30)])

    def test_a_batch(self):
        accounts, journal = Accounts({"a": 100, "b": 0, "c": 0}), Journal()
        self.assertEqual(batch(accounts, journal, [("a", "b", 100), ("b", "c", 60)]), [1, 2])

    def test_an_unknown_account(self):
        with self.assertRaises(UnknownAccount):
            transfer(Accounts({"a": 100}), Journal(), "a", "x", 30)


if __name__ == "__main__":
    unittest.main()
