"""The menu of a canteen."""

_DISHES = {"lentil soup": (4.2, 310), "fish pie": (7.9, 640), "bean stew": (5.6, 480), "green curry": (6.8, 570),
           "pancakes": (4.9, 520), "beet salad": (3.7, 190)}


def _dish(dish):
    if dish.lower() not in _DISHES:
        raise ValueError(f"no {dish!r} today; there are {', '.join(_DISHES)}")
    return _DISHES[dish.lower()]


def price(dish: str) -> float:
    """Price of a dish in euros."""
    return _dish(dish)[0]


def calories(dish: str) -> int:
    """Calories of a dish."""
    return _dish(dish)[1]
