"""The age of a tree from its girth."""

_GROWTH_CM = {"oak": 1.8, "beech": 2.1, "lime": 2.5, "yew": 1.1}


def tree_age(kind: str, girth_cm: float) -> int:
    """Age in years of an oak, beech, lime or yew with that girth in centimetres."""
    if kind not in _GROWTH_CM:
        raise ValueError(f"unknown tree {kind!r}; known are {', '.join(_GROWTH_CM)}")
    return round(girth_cm / _GROWTH_CM[kind])
