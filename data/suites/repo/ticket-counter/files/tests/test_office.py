"""Tests with one thread."""
import unittest

from box_office.ledger import Ledger
from box_office.office import Office, SoldOut


class OfficeTest(unittest.TestCase):
    def test_selling(self):
        office = Office(Ledger())
        office.open_show("Faust", 3)
        self.assertEqual((office.sell("Faust", "Ann"), office.sell_group("Faust", ["Bob", "Cy"])), (1, [2, 3]))
        with self.assertRaises(SoldOut):
            office.sell("Faust", "Di")

    def test_swapping(self):
        ledger = Ledger()
        office = Office(ledger)
        office.open_show("Faust", 2)
        office.open_show("Medea", 2)
        office.sell("Faust", "Ann")
        self.assertEqual(office.swap("Faust", "Medea", "Ann"), 1)
        self.assertEqual((ledger.read("Faust"), ledger.read("Medea")), ([None], ["Ann"]))


if __name__ == "__main__":
    unittest.main()
