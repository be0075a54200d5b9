"""Who sits where."""


class Ledger:
    """Guests by show, in memory."""

    def __init__(self):
        self.shows = {}

    def read(self, show):
        """A copy of the list of guests."""
        return list(self.shows.get(show, []))

    def write(self, show, sold):
        """Put a list in place of the old one."""
        self.shows[show] = list(sold)
