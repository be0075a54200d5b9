"""What the shop sees in the morning."""


def table(store):
    """(article, on the shelf, reserved, available) for each article, sorted by name."""
    rows = []
    for article in sorted(store.on_hand):
        reserved = store.reserved[article]
        rows.append((article, store.on_hand[article], reserved, store.available(article) - reserved))
    return rows
