"""Ways through a network."""
import heapq

from trails.hut import hut_named


class NoRoute(Exception):
    """There is no way."""


class Route:
    """A way: its huts and its minutes."""

    def __init__(self, huts, minutes):
        self.huts = huts
        self.minutes = minutes

    def __str__(self):
        return " - ".join(map(repr, self.huts)) + f": {self.minutes} min"


def shortest(network, start, goal):
    """The shortest way; of ways of equal length that with the names that come first."""
    hut_named(network, start), hut_named(network, goal)
    queue, done = [(0, [start])], set()
    while queue:
        minutes, names = heapq.heappop(queue)
        if names[-1] == goal:
            return Route([hut_named(network, name) for name in names], minutes)
        if names[-1] not in done:
            done.add(names[-1])
            for name, more in network.minutes[names[-1]].items():
                heapq.heappush(queue, (minutes + more, names + [name]))
    raise NoRoute(f"{start} to {goal}")
