"""A network of huts and trails."""
from trails.route import NoRoute, shortest


class Network:
    """Huts by name, and the minutes from one to another."""

    def __init__(self):
        self.huts = {}
        self.minutes = {}

    def add_hut(self, name, height):
        """A new hut, or a new height for one."""
        from trails.hut import Hut
        self.huts[name] = Hut(name, height)
        self.minutes.setdefault(name, {})

    def add_trail(self, one, other, up, down):
        """A trail with its minutes there and back."""
        self.minutes[one][other] = up
        self.minutes[other][one] = down

    def distance(self, start, goal):
        """Minutes of the shortest way."""
        return shortest(self, start, goal).minutes

    def describe(self, start, goal):
        """The way in words."""
        try:
            return str(shortest(self, start, goal))
        except NoRoute as error:
            return f"no way: {error}"
