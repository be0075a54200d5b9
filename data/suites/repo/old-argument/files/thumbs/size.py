"""Sizes."""


def fit(width, height, max):
    """(width, height) with the longer side at most `max`, in the same proportion; never larger than before, never below 1."""
    longer = width if width > height else height
    if longer <= max:
        return width, height
    smaller = [round(side * max / longer) for side in (width, height)]
    return tuple(side if side > 1 else 1 for side in smaller)
