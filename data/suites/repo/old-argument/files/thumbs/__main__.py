"""`python -m thumbs WIDTH HEIGHT LONGEST`"""
import sys

from thumbs import fit

width, height, limit = map(int, sys.argv[1:])
print(*fit(width, height, max=limit))
