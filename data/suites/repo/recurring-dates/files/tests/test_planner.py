"""Tests of the planner."""
import unittest
from datetime import date

from planner import agenda, reminders

CHOIR = {"name": "choir", "start": date(2024, 1, 3), "every": "week", "until": date(2024, 3, 1)}
RENT = {"name": "rent", "start": date(2024, 1, 31), "every": "month"}


class PlannerTest(unittest.TestCase):
    def test_agenda(self):
        self.assertEqual(agenda.days(RENT, date(2024, 2, 1), date(2024, 4, 1)), [date(2024, 2, 29), date(2024, 3, 31)])
        self.assertEqual(agenda.lines([RENT, CHOIR], date(2024, 1, 30), date(2024, 2, 1)), ["2024-01-31 choir", "2024-01-31 rent"])

    def test_reminders(self):
        self.assertEqual(reminders.due([RENT, CHOIR], date(2024, 1, 29), 7), [(2, "choir"), (2, "rent")])


if __name__ == "__main__":
    unittest.main()
