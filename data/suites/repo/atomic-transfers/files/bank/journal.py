"""What happened."""


class Journal:
    """Transfers with their numbers."""

    def __init__(self):
        self.entries = []
        self.next_number = 1

    def note(self, source, target, cents):
        """A new entry; gives its number."""
        number = self.next_number
        self.next_number += 1
        self.entries.append((number, source, target, cents))
        return number
