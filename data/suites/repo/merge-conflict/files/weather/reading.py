"""Readings as stations send them."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Reading:
    """Wind in km/h at a station; without gusts `gust` is None."""

    station: str
    wind: int
<<<<<<< HEAD
=======
    gust: int | None = None
>>>>>>> gusts


def parse(line):
<<<<<<< HEAD
    """`station: wind` as a Reading; ValueError for anything else, and for wind below 0."""
    station, wind = line.rsplit(":", 1)
    if int(wind) < 0:
        raise ValueError(f"{station}: a wind of {wind}")
    return Reading(station.strip(), int(wind))
=======
    """`station: wind` or `station: wind-gust` as a Reading; ValueError for anything else, and for a gust that is weaker than the wind."""
    station, values = line.rsplit(":", 1)
    wind, dash, gust = values.partition("-")
    reading = Reading(station.strip(), int(wind), int(gust) if dash else None)
    if dash and reading.gust < reading.wind:
        raise ValueError(f"{reading.station}: gusts weaker than the wind")
    return reading
>>>>>>> gusts
