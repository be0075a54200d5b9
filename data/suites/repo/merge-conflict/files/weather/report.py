"""The report for sailors."""
from weather.reading import parse

<<<<<<< HEAD
KM_OF_A_MILE = 1.609344
=======
GUST_MIN = 10
>>>>>>> gusts


<<<<<<< HEAD
def shown(wind, unit):
    """A wind in km/h as a text in `km/h` or `mph`; ValueError for another unit."""
    if unit == "km/h":
        return f"{wind} km/h"
    if unit == "mph":
        return f"{round(wind / KM_OF_A_MILE)} mph"
    raise ValueError(f"there is no unit {unit}")


def report(lines, unit="km/h"):
    """A line for each station, sorted."""
    readings = sorted((parse(line) for line in lines), key=lambda reading: reading.station)
    return [f"{reading.station} {shown(reading.wind, unit)}" for reading in readings]
=======
def report(lines):
    """A line for each station, sorted, with gusts of note in brackets."""
    readings = sorted((parse(line) for line in lines), key=lambda reading: reading.station)
    rows = []
    for reading in readings:
        row = f"{reading.station} {reading.wind} km/h"
        if reading.gust is not None and reading.gust - reading.wind >= GUST_MIN:
            row += f" (gusts {reading.gust} km/h)"
        rows.append(row)
    return rows


def strongest(lines):
    """The station with the strongest gust, or wind; None without readings."""
    readings = [parse(line) for line in lines]
    force = lambda reading: reading.wind if reading.gust is None else reading.gust
    return max(readings, key=force).station if readings else None
>>>>>>> gusts
