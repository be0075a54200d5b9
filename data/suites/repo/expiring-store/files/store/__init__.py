"""Stores of values."""
from store.plain import Plain


def make(kind, **options):
    """A new store.

    `plain`: keeps everything for ever; no options.

    `expiring`: takes `clock`, a function without arguments that gives seconds, `seconds` > 0, and `capacity` >= 1; other values of the
    two numbers raise ValueError. A value is there as long as less than `seconds` have passed since it was put; from that moment on it is as if it
    had been deleted, for every method. If a `put` of a new key makes more than `capacity` entries, the one that was put first
    goes; expired ones go before any other. Putting a key again makes it the last one put, with the whole time before it. `get` does not
    lengthen anything.

    Another kind raises ValueError.
    """
    if kind == "plain":
        return Plain(**options)
    raise ValueError(f"there is no store of the kind {kind!r}")
