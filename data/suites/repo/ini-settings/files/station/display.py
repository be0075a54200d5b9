"""What the station shows."""
from station.settings import load


def title():
    """Who am I?"""
    station = load()["station"]
    where = "inside" if station["indoors"] else "outside"
    return f"{station['ID']} {station['name']}, {station['height'] + 0} m, {where}"


def humidity(percent):
    """The humidity as the technicians want it."""
    return load()["sensors"]["humidityFormat"] % percent
