"""Tests of the newest version."""
import sqlite3
import tempfile
import unittest
from pathlib import Path

from club import members
from club.migrate import migrate


class ClubTest(unittest.TestCase):
    def test_a_new_database(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "new.db"
            self.assertEqual(migrate(path), [1, 2])
            self.assertEqual(migrate(path), [])
            db = sqlite3.connect(path)
            ada = members.add(db, "Ada", "2020-01-01", ["030 1", " 030 12"])
            self.assertEqual(members.phones(db, ada), ["030 1", "030 12"])
            self.assertEqual(members.find(db, "030 1"), ["Ada"])
            self.assertEqual(members.find(db, "030"), [])
            db.close()


if __name__ == "__main__":
    unittest.main()
