"""Cells and their values."""
import math

from sheet.formula import Problem, evaluate


class Sheet:
    """Texts of cells, and what they come to."""

    def __init__(self, cells):
        self.cells = {name.upper(): text for name, text in cells.items()}

    def value(self, name):
        """A number, a text, an error or None."""
        text = self.cells.get(name.upper(), "").strip()
        if not text:
            return None
        if not text.startswith("="):
            return plain(text)
        try:
            return evaluate(text[1:], self.value)
        except Problem as problem:
            return str(problem)


def plain(text):
    """A number if it is one."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text
