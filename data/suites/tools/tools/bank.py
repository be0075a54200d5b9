"""Accounts of a small savings bank: bookings, transfers, standing orders. All amounts are whole cents."""

# account: owner, kind, balance at the start of March 2025
_ACCOUNTS = {
    "A-100": ("Nadia Kowal", "current", 182_350),
    "A-101": ("Nadia Kowal", "savings", 640_000),
    "A-200": ("Felix Ong", "current", 45_275),
    "A-201": ("Felix Ong", "savings", 120_500),
    "A-300": ("Rosa Delgado", "current", 4_910),
    "A-400": ("Choir Elmsford", "club", 88_020),
    "A-500": ("Ivo Marin", "current", 57_640),
}
# day, account, cents (negative: money out), partner, text
_BOOKINGS = [
    ("2025-03-01", "A-100", -92_000, "Hartmann Flats", "rent March"),
    ("2025-03-01", "A-200", -64_500, "Hartmann Flats", "rent March"),
    ("2025-03-03", "A-100", -4_385, "Grocer Blum", "groceries"),
    ("2025-03-03", "A-300", 126_000, "City of Elmsford", "wages"),
    ("2025-03-04", "A-400", 3_000, "Nadia Kowal", "fee 2025"),
    ("2025-03-04", "A-100", -3_000, "Choir Elmsford", "fee 2025"),
    ("2025-03-05", "A-200", 210_000, "Westwind Ltd", "wages"),
    ("2025-03-07", "A-100", -5_120, "Grocer Blum", "groceries"),
    ("2025-03-07", "A-500", -1_999, "Tune Stream", "subscription"),
    ("2025-03-10", "A-300", -38_700, "Hartmann Flats", "rent March"),
    ("2025-03-11", "A-200", -7_850, "Rail Pass", "ticket"),
    ("2025-03-12", "A-400", -24_500, "Hall Rental", "concert hall"),
    ("2025-03-14", "A-100", -3_940, "Grocer Blum", "groceries"),
    ("2025-03-14", "A-500", 74_300, "Pension Fund", "pension"),
    ("2025-03-15", "A-400", 3_000, "Felix Ong", "fee 2025"),
    ("2025-03-15", "A-200", -3_000, "Choir Elmsford", "fee 2025"),
    ("2025-03-18", "A-300", -2_260, "Grocer Blum", "groceries"),
    ("2025-03-21", "A-100", 248_000, "Nordlicht AG", "wages"),
    ("2025-03-21", "A-500", -12_480, "Grocer Blum", "groceries"),
    ("2025-03-24", "A-200", -1_999, "Tune Stream", "subscription"),
    ("2025-03-28", "A-100", -6_275, "Grocer Blum", "groceries"),
    ("2025-03-31", "A-500", -45_000, "Hartmann Flats", "rent April"),
]
_OVERDRAFT = {"current": 20_000, "savings": 0, "club": 0}
_RATES_PERCENT = {"current": 0.0, "savings": 1.5, "club": 0.5}
_TODAY = "2025-04-01"


def _account(number):
    if number not in _ACCOUNTS:
        raise KeyError(f"no account {number!r}; accounts are {', '.join(_ACCOUNTS)}")
    return _ACCOUNTS[number]


def accounts(owner: str = "") -> list[str]:
    """Numbers of all accounts, or of those of one owner (full name)."""
    found = [number for number, account in _ACCOUNTS.items() if owner in ("", account[0])]
    if not found:
        owners = sorted({each[0] for each in _ACCOUNTS.values()})
        raise ValueError(f"{owner!r} has no account here; owners are {', '.join(owners)}")
    return found


def account(number: str) -> dict:
    """Owner, kind (current, savings, club) and overdraft in cents of an account."""
    owner, kind, _ = _account(number)
    return {"owner": owner, "kind": kind, "overdraft_cents": _OVERDRAFT[kind]}


def balance(number: str, day: str = "") -> int:
    """Balance in cents at the end of a day (YYYY-MM-DD), by default now."""
    start = _account(number)[2]
    return start + sum(cents for when, at, cents, _, _ in _BOOKINGS if at == number and (not day or when <= day))


def bookings(number: str, first: str = "2025-03-01", last: str = "2025-12-31") -> list[dict]:
    """Bookings of an account from day `first` to day `last`, both included: day, cents, partner, text."""
    _account(number)
    if first > last:
        raise ValueError(f"the first day {first} lies after the last day {last}")
    return [{"day": when, "cents": cents, "partner": partner, "text": text}
            for when, at, cents, partner, text in _BOOKINGS if at == number and first <= when <= last]


def transfer(source: str, target: str, cents: int, text: str = "transfer") -> int:
    """Move money between two accounts of this bank today. Returns the source's new balance. Respects the overdraft."""
    owner, kind, _ = _account(source)
    partner = _account(target)[0]
    if source == target or cents < 1:
        raise ValueError("a transfer needs two accounts and at least 1 cent")
    left = balance(source) - cents
    if left < -_OVERDRAFT[kind]:
        raise ValueError(f"{source} has {balance(source)} cents and may go down to {-_OVERDRAFT[kind]}")
    _BOOKINGS.append((_TODAY, source, -cents, partner, text))
    _BOOKINGS.append((_TODAY, target, cents, owner, text))
    return left


def interest(number: str, cents: int, months: int) -> int:
    """Interest in cents that the account's rate gives on an amount over some months, rounded down."""
    kind = _account(number)[1]
    return int(cents * _RATES_PERCENT[kind] * months // 1200)


def spent_at(number: str, partner: str) -> int:
    """Cents that an account has paid to a partner so far, as a positive number."""
    _account(number)
    return -sum(cents for _, at, cents, to, _ in _BOOKINGS if at == number and to == partner and cents < 0)
