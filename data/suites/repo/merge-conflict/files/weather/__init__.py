"""Wind at weather stations."""
