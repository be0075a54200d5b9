"""Gift vouchers of a shop."""

_VOUCHERS = {"SUN-77": (2500, "2026-03-31"), "FOX-12": (1000, "2025-12-31"), "OAK-40": (5000, "2027-06-30"),
             "BEE-05": (1500, "2026-09-30"), "ELM-93": (7500, "2025-10-31")}


def _voucher(code):
    if code not in _VOUCHERS:
        raise ValueError(f"no voucher {code!r}; codes look like 'SUN-77'")
    return _VOUCHERS[code]


def voucher_cents(code: str) -> int:
    """Value of a voucher in cents."""
    return _voucher(code)[0]


def valid_until(code: str) -> str:
    """Last day on which a voucher can be used."""
    return _voucher(code)[1]
