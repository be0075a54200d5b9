"""The rooms of the game."""


def new_world():
    """A fresh game: rooms by name, where the player is, and what they carry."""
    return {
        "rooms": {
            "hall": {"exits": {"north": "garden", "up": "tower", "down": "cellar"}, "things": ["lamp", "key"]},
            "garden": {"exits": {"south": "hall"}, "things": ["rose", "spade", "pear"]},
            "tower": {"exits": {"down": "hall"}, "things": []},
            "cellar": {"exits": {"up": "hall"}, "things": ["crown"]},
        },
        "place": "hall",
        "bag": [],
        "lamp": "dark",
        "steps": 0,
    }
