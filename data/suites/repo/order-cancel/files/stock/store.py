"""What lies on the shelf, and what of it is promised."""


class OutOfStock(Exception):
    """There are fewer pieces available than wanted."""


class Store:
    """Counts of articles."""

    def __init__(self, on_hand):
        self.on_hand = dict(on_hand)
        self.reserved = {article: 0 for article in on_hand}

    def available(self, article):
        """Pieces that may still be promised."""
        return self.on_hand.get(article, 0) - self.reserved.get(article, 0)

    def reserve(self, article, count):
        """Promise pieces."""
        if count > self.available(article):
            raise OutOfStock(f"{article}: {count} wanted, {self.available(article)} available")
        self.reserved[article] = self.reserved.get(article, 0) + count

    def release(self, article, count):
        """Take a promise back."""
        self.reserved[article] -= count

    def remove(self, article, count):
        """Take promised pieces off the shelf."""
        self.on_hand[article] -= count
        self.release(article, count)
