"""Exchange rates."""
from datetime import timedelta

DAYS_BACK = 7


def rate(source, currency, other, day):
    """The rate of a day, or of the last day before it that has one."""
    for back in range(DAYS_BACK + 1):
        try:
            value = source.rate(currency, other, day - timedelta(days=back))
        except LookupError:
            continue
        return 1.0 if currency == other else value
    raise LookupError(f"no rate from {currency} to {other} on {day}")
