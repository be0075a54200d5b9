"""Brings a database to the newest version."""
import sqlite3
import sys
from pathlib import Path


def migrate(path):
    """Run what is newer than the database; gives the numbers that were run."""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        version, = db.execute("PRAGMA user_version").fetchone()
        done = []
        for file in sorted(Path(__file__).with_name("migrations").glob("*.sql")):
            number = int(file.name.split("_")[0])
            if number > version:
                text = file.read_text(encoding="utf-8")
                db.executescript(f"BEGIN;\n{text}\n;PRAGMA user_version = {number};\nCOMMIT;")
                done.append(number)
        return done
    finally:
        db.close()


if __name__ == "__main__":
    print("ran", migrate(sys.argv[1]))
