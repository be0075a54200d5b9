"""Settings of the station."""
import json


def load(path="settings.json"):
    """All settings, by section."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def save(settings, path="settings.json"):
    """Write all settings."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(settings, file, indent=4)
        file.write("\n")
