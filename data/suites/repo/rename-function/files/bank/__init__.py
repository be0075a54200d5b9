"""A bank."""
from bank.ledger import calc, lowest

__all__ = ["calc", "lowest"]
