"""Looks words up in the list."""

WORDS = open("anagrams/words.txt", encoding="utf-8").read().split()


def key(word):
    """The same for all anagrams of a word."""
    return sorted(word.lower())


def find(word):
    """The other words of the list with the same letters, in its order."""
    return [other for other in WORDS if key(other) == key(word) and other.lower() != word.lower()]
