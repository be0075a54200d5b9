"""What was worked out before."""
import json

from bank import ledger
from bank.sheet import Sheet


def replay(path):
    """A line for each entry of a file of history."""
    with open(path, encoding="utf-8") as file:
        entries = json.load(file)
    lines = []
    for entry in entries:
        if entry["what"] == "calc":
            value = getattr(ledger, entry["what"])(entry["start"], entry["bookings"])
        else:
            value = Sheet([entry["start"], *entry["bookings"]]).calc()
        lines.append(f"{entry['what']} {entry['start']}: {value}")
    return lines
