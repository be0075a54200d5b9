"""Reports on portfolios."""
from portfolio.rates import rate


def total(holdings, currency, day, source):
    """The value of all holdings in a currency."""
    return sum(holding.value() * rate(source, holding.currency, currency, day) for holding in holdings)


def share(holdings, wanted, currency, day, source):
    """The part of the holdings of one currency, in percent."""
    whole = total(holdings, currency, day, source)
    part = total([holding for holding in holdings if holding.currency == wanted], currency, day, source)
    return round(100 * part / whole, 1) if whole else 0.0


def report(holdings, currency, days, source):
    """One dictionary for each day."""
    rows = []
    for day in days:
        shares = {h.currency: share(holdings, h.currency, currency, day, source) for h in holdings}
        rows.append({"day": day, "total": round(total(holdings, currency, day, source), 2), "shares": shares})
    return rows
