"""What a store is."""
from abc import ABC, abstractmethod

MISSING = object()


class Store(ABC):
    """Values by key. Keys are hashable; any value may be stored, None included."""

    @abstractmethod
    def put(self, key, value):
        """Store a value, in place of one that is there. Gives True if the key is new, else False."""

    @abstractmethod
    def get(self, key, default=MISSING):
        """The value. Without one, `default` if it was given (None counts as given), else KeyError with the key."""

    @abstractmethod
    def delete(self, key):
        """Remove a value. Gives whether there was one."""

    @abstractmethod
    def keys(self):
        """A new list of the keys, in the order in which they were put last."""

    def __contains__(self, key):
        return key in self.keys()

    def __len__(self):
        return len(self.keys())
