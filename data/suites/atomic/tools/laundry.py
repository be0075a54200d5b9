"""Machines of a laundry."""


def wash_cost(kilograms: int, degrees: int = 40) -> float:
    """Price in euros of a wash of 1 to 12 kilograms at 30, 40, 60 or 90 degrees."""
    if degrees not in (30, 40, 60, 90) or not 1 <= kilograms <= 12:
        raise ValueError("a wash has 1 to 12 kilograms and 30, 40, 60 or 90 degrees")
    return round(1.5 + 0.35 * kilograms + degrees / 50, 2)


def dryer_minutes(kilograms: int) -> int:
    """Minutes that the dryer needs for 1 to 12 kilograms."""
    if not 1 <= kilograms <= 12:
        raise ValueError(f"the dryer takes 1 to 12 kilograms, not {kilograms}")
    return 18 + 7 * kilograms
