"""The rules of this house."""


def install(bus, done):
    """Add all rules; what they do is noted in a list."""
    bus.once("door", lambda: done.append("welcome"))
    bus.listen("door", lambda: done.append("light"))
    bus.listen("night", lambda: done.append("lock"))
