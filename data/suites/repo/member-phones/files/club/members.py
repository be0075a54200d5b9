"""Members and their phones."""


def add(db, name, joined, phones=()):
    """A new member."""
    text = ",".join(phones) or None
    cursor = db.execute("INSERT INTO members (name, phones, joined) VALUES (?, ?, ?)", (name, text, joined))
    return cursor.lastrowid


def phones(db, member):
    """The numbers of a member."""
    text, = db.execute("SELECT phones FROM members WHERE id = ?", (member,)).fetchone()
    return text.split(",") if text else []


def find(db, number):
    """The names of those who have a number."""
    rows = db.execute("SELECT name FROM members WHERE phones LIKE ?", (f"%{number}%",))
    return sorted(name for name, in rows)
