"""What somebody owns."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Holding:
    """Pieces at a price in a currency."""

    currency: str
    pieces: int
    price: float

    def value(self):
        """In its own currency."""
        return self.pieces * self.price
