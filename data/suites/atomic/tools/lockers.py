"""Luggage lockers in a station."""


def locker_code(number: int) -> str:
    """The code that opens a locker (1 to 400)."""
    if not 1 <= number <= 400:
        raise ValueError(f"no locker {number}; numbers run from 1 to 400")
    return f"{(int(number) * 7919 + 4211) % 10000:04d}"
