"""How much paint a wall needs."""


def paint_litres(square_metres: float, coats: int = 1) -> float:
    """Litres of paint for an area and a number of coats."""
    if square_metres <= 0 or coats < 1:
        raise ValueError("the area must be positive, and coats at least 1")
    return round(square_metres * coats * 0.115 + 0.25, 2)
