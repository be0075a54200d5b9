"""A house that does things by itself."""
