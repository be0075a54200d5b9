"""Commands at the terminal."""
import importlib
import json
import sys

from bank.history import replay

name, *numbers = sys.argv[1:]
if name == "history":
    print("\n".join(replay("data/history.json")))
else:
    with open("settings.json", encoding="utf-8") as file:
        module, function = json.load(file)["commands"][name].split(":")
    start, *bookings = map(int, numbers)
    print(getattr(importlib.import_module(module), function)(start, bookings))
