"""Sizes of thumbnails."""
from thumbs.size import fit

__all__ = ["fit"]
