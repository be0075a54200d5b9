"""What logs say, by service."""
import re
from collections import Counter


def summarize(entries):
    """A dictionary from service to what its entries say."""
    services = {}
    for entry in entries:
        services.setdefault(entry["service"], []).append(entry)
    return {service: summary(found) for service, found in sorted(services.items())}


def summary(entries):
    """Of the entries of one service."""
    errors = [entry for entry in entries if entry["level"] == "ERROR"]
    minutes = Counter(entry["time"].replace(day=1, second=0, microsecond=0) for entry in errors)
    messages = Counter(re.sub("[0-9]+", "#", entry["message"]) for entry in errors)
    return {
        "counts": dict(Counter(entry["level"] for entry in entries)),
        "first": entries[0]["time"],
        "last": entries[-1]["time"],
        "worst minute": min(minutes, key=lambda minute: (-minutes[minute], minute)) if minutes else None,
        "errors": sorted(messages, key=lambda message: (-messages[message], message)),
    }
