"""Huts, where trails meet."""
from trails import network as networks


class Hut:
    """A place to sleep."""

    def __init__(self, name, height):
        self.name = name
        self.height = height

    def __repr__(self):
        return f"{self.name} ({self.height} m)"


def hut_named(network, name):
    """The hut of a network with this name; TypeError if it is no network, KeyError if there is none."""
    if not isinstance(network, networks.Network):
        raise TypeError(f"{type(network).__name__} is no network")
    return network.huts[name]
