"""Sizes of shoes."""


def shoe_size(eu: int, system: str) -> float:
    """A European size in another system: "uk", "us" or "jp" (centimetres)."""
    if system not in ("uk", "us", "jp"):
        raise ValueError(f"unknown system {system!r}; use uk, us or jp")
    if not 30 <= eu <= 50:
        raise ValueError(f"European sizes run from 30 to 50, not {eu}")
    return {"uk": eu - 33.5, "us": eu - 32.5, "jp": eu * 0.625 + 0.5}[system]
