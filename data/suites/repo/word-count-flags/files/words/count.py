"""Words and how often they come."""
import re
from collections import Counter


def counts(text):
    """(word, count), the most frequent first, equals by the alphabet."""
    found = Counter(re.findall(r"[^\W\d_]+", text.lower()))
    return sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))


def top(text, number):
    """The first `number` of them."""
    return counts(text)[:number]
