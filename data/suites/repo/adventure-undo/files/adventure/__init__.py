"""A text adventure."""
