"""Payments, cards and savings of a bank's customer."""

import datetime

_CURRENCIES = ("EUR", "USD", "GBP", "CHF")


def _code(prefix, *parts):
    total = 7
    for character in "|".join(str(part) for part in parts):
        total = (total * 31 + ord(character)) % 9973
    return f"{prefix}-{total:04d}"


def _day(text):
    try:
        return datetime.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"{text!r} is no day; write it as YYYY-MM-DD") from None


def _one_of(value, choices, what):
    if value not in choices:
        raise ValueError(f"unknown {what} {value!r}; choose from {', '.join(choices)}")
    return value


def _between(value, low, high, what):
    if not low <= value <= high:
        raise ValueError(f"{what} must lie between {low} and {high}, not {value}")
    return int(value) if value == int(value) else value


def pay(recipient: str, amount: float, currency: str = "EUR", reference: str = "") -> str:
    """Pay an amount to a person or company; currency is EUR, USD, GBP or CHF. Returns a receipt."""
    if amount <= 0:
        raise ValueError("the amount must be positive")
    money = f"{float(amount):.2f}"
    currency = _one_of(currency, _CURRENCIES, "currency")
    return _code("Z", recipient.strip().lower(), money, currency, reference.strip().lower())


def standing_order(recipient: str, amount: float, day_of_month: int, first: str) -> str:
    """Pay an amount in euros each month on a day (1 to 28), from the month `first` (YYYY-MM) on. Returns a code."""
    month, day = _day(first + "-01")[:7], _between(day_of_month, 1, 28, "day_of_month")
    return _code("O", recipient.strip().lower(), f"{float(amount):.2f}", day, month)


def card_limit(last_digits: str, daily_euros: int, abroad: bool = False) -> str:
    """Set a card's daily limit, at home or abroad; the card is named by its last four digits. Returns a code."""
    if len(last_digits) != 4 or not last_digits.isdigit():
        raise ValueError("last_digits must be four digits")
    return _code("K", last_digits, _between(daily_euros, 0, 5000, "daily_euros"), bool(abroad))


def block_card(last_digits: str, reason: str) -> str:
    """Block a card for good; reason is lost, stolen or broken. Returns a receipt."""
    return _code("Q", last_digits.strip(), _one_of(reason, ("lost", "stolen", "broken"), "reason"))


def loan_rate(euros: int, months: int, percent: float) -> float:
    """Monthly rate in euros of a loan, at a yearly interest in percent, rounded to cents."""
    monthly = percent / 1200
    if _between(months, 1, 480, "months") and monthly == 0:
        return round(euros / months, 2)
    return round(euros * monthly / (1 - (1 + monthly) ** -months), 2)
