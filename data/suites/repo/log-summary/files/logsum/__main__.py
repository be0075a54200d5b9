"""`python -m logsum FILE..`: a summary as JSON."""
import json
import sys

from logsum.parse import entries
from logsum.summary import summarize


def lines(paths):
    """All lines of all files."""
    for path in paths:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            yield from file


print(json.dumps(summarize(entries(lines(sys.argv[1:]))), indent=1, default=lambda time: time.isoformat(" ")))
