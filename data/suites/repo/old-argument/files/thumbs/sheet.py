"""Sheets of thumbnails."""
from thumbs.size import fit


def sheet(sizes, cell):
    """The sizes of all pictures when each has to fit into a square cell."""
    return [fit(*size, cell) for size in sizes]
