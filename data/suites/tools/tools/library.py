"""Catalogue, loans and reading rooms of a town library with an archive."""

import datetime

# call number: title, author, year, pages, subject, copies
_BOOKS = {
    "FIC-ADE": ("The Salt Ledger", "Adeyemi, Tola", 1998, 312, "fiction", 3),
    "FIC-BRA": ("Winter Orchard", "Brandt, Elke", 2011, 254, "fiction", 2),
    "FIC-CAR": ("Nine Ferries", "Carvalho, Rui", 2004, 401, "fiction", 1),
    "FIC-CAS": ("A Map of Bells", "Castell, Joan", 1987, 198, "fiction", 2),
    "FIC-IBR": ("Glass Weather", "Ibrahim, Salma", 2019, 287, "fiction", 4),
    "HIS-BRA": ("Mills of the Lower Valley", "Brandt, Elke", 2002, 176, "history", 1),
    "HIS-DUN": ("Roads before Rails", "Duncan, Hew", 1974, 340, "history", 2),
    "HIS-OKE": ("Harbour Towns, 1400-1700", "Okereke, Ada", 2015, 522, "history", 1),
    "HIS-YIL": ("A Century of Bridges", "Yildiz, Deniz", 1991, 268, "history", 1),
    "SCI-DUN": ("Lichens of Stone Walls", "Duncan, Hew", 1981, 144, "science", 1),
    "SCI-FER": ("Tides Explained", "Ferrand, Luc", 2008, 210, "science", 2),
    "SCI-NAK": ("Small Radios", "Nakata, Yui", 1969, 96, "science", 1),
    "SCI-YIL": ("How Bridges Stand", "Yildiz, Deniz", 2006, 233, "science", 3),
    "ART-CAS": ("Drawing Bells", "Castell, Joan", 1993, 88, "art", 1),
    "ART-SOL": ("Colour in Old Maps", "Solberg, Ingrid", 2013, 160, "art", 2),
}
# member: name, kind, loans as (call number, due)
_MEMBERS = {
    "M17": ("Petra Hollis", "adult", [("FIC-CAR", "2025-05-02"), ("HIS-DUN", "2025-05-20")]),
    "M22": ("Jonas Reik", "child", [("SCI-NAK", "2025-04-11")]),
    "M31": ("Amal Said", "adult", []),
    "M40": ("Bea Fontaine", "student", [("HIS-OKE", "2025-04-28"), ("SCI-FER", "2025-04-28"),
                                          ("SCI-YIL", "2025-05-15")]),
    "M58": ("Tom Achterberg", "student", [("FIC-IBR", "2025-05-09"), ("FIC-BRA", "2025-03-30")]),
}
_LIMITS = {"child": 2, "student": 5, "adult": 3}
_FINE_CENTS = {"child": 5, "student": 10, "adult": 20}
_DAYS = {"child": 14, "student": 28, "adult": 21}


def _book(call_number):
    if call_number not in _BOOKS:
        raise KeyError(f"no book {call_number!r}; call numbers look like 'HIS-OKE'")
    return _BOOKS[call_number]


def _member(member):
    if member not in _MEMBERS:
        raise KeyError(f"no member {member!r}; members are {', '.join(_MEMBERS)}")
    return _MEMBERS[member]


def search(subject: str = "", author: str = "", word: str = "") -> list[str]:
    """Call numbers of books that match all given parts: subject exactly, author and word of the title in any case."""
    found = []
    for call_number, (title, by, _, _, about, _) in _BOOKS.items():
        if subject in ("", about) and author.lower() in by.lower() and word.lower() in title.lower():
            found.append(call_number)
    return found


def book(call_number: str) -> dict:
    """Title, author, year, pages, subject and number of copies of a book."""
    return dict(zip(("title", "author", "year", "pages", "subject", "copies"), _book(call_number)))


def copies_free(call_number: str) -> int:
    """Copies of a book that are not lent out now."""
    lent = sum(item == call_number for _, _, loans in _MEMBERS.values() for item, _ in loans)
    return _book(call_number)[5] - lent


def member(member_id: str) -> dict:
    """Name, kind (adult, student, child) and loans of a member; each loan is [call number, due date]."""
    name, kind, loans = _member(member_id)
    return {"name": name, "kind": kind, "loans": [list(loan) for loan in loans]}


def fine(member_id: str, today: str) -> int:
    """Fine in cents that a member owes on a day (YYYY-MM-DD) for all loans that are overdue then."""
    _, kind, loans = _member(member_id)
    day = datetime.date.fromisoformat(today)
    late = [max(0, (day - datetime.date.fromisoformat(due)).days) for _, due in loans]
    return sum(late) * _FINE_CENTS[kind]


def lend(call_number: str, member_id: str, today: str) -> str:
    """Lend a book and return its due date. Adults may hold 3 books, students 5, children 2."""
    name, kind, loans = _member(member_id)
    if copies_free(call_number) < 1:
        raise ValueError(f"all copies of {call_number} are lent out")
    if len(loans) >= _LIMITS[kind]:
        raise ValueError(f"{name} holds {len(loans)} books, the limit for {kind} is {_LIMITS[kind]}")
    due = datetime.date.fromisoformat(today) + datetime.timedelta(days=_DAYS[kind])
    loans.append((call_number, due.isoformat()))
    return due.isoformat()


def give_back(call_number: str, member_id: str) -> int:
    """Take a book back from a member. Returns how many books the member still holds."""
    name, _, loans = _member(member_id)
    for loan in loans:
        if loan[0] == call_number:
            loans.remove(loan)
            return len(loans)
    raise ValueError(f"{name} does not hold {call_number}")


def members() -> list[str]:
    """Numbers of all members."""
    return list(_MEMBERS)
