"""What a letter costs."""


def postage(grams: int, abroad: bool = False) -> float:
    """Postage in euros for a letter of up to 2000 grams, at home or abroad."""
    if not 1 <= grams <= 2000:
        raise ValueError(f"a letter weighs 1 to 2000 grams, not {grams}")
    home = round(0.65 + 0.0035 * grams, 2)
    return round(home * 1.8 + 0.2, 2) if abroad else home
