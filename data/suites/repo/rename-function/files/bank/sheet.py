"""Sheets of numbers."""


class Sheet:
    """A column."""

    def __init__(self, column):
        self.column = column

    def calc(self):
        """What the column adds up to."""
        return sum(self.column)
