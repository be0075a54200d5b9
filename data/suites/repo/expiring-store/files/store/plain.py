"""A store that keeps everything."""
from store.base import MISSING, Store


class Plain(Store):
    """Values in a dictionary."""

    def __init__(self):
        self.values = {}

    def put(self, key, value):
        is_new = self.values.pop(key, MISSING) is MISSING
        self.values[key] = value
        return is_new

    def get(self, key, default=MISSING):
        if key in self.values:
            return self.values[key]
        if default is MISSING:
            raise KeyError(key)
        return default

    def delete(self, key):
        return self.values.pop(key, MISSING) is not MISSING

    def keys(self):
        return list(self.values)
