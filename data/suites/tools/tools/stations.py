"""Weather stations of a valley: readings, units and alarms."""

# station: name, altitude in metres, sensors
_STATIONS = {
    "W1": ("Weir", 212, ("temperature", "rain", "level")),
    "W2": ("Orchard", 268, ("temperature", "rain", "humidity")),
    "W3": ("Pass", 1480, ("temperature", "wind", "snow")),
    "W4": ("Quarry", 655, ("temperature", "wind", "rain")),
    "W5": ("Chapel", 903, ("temperature", "humidity", "wind")),
    "W6": ("Lower bridge", 198, ("level", "rain")),
}
# One value every three hours from 00:00 to 21:00; None where the sensor was down.
_READINGS = {
    ("W1", "temperature"): (6.2, 5.8, 7.1, 11.4, 14.9, 15.2, 11.8, 8.3),
    ("W1", "rain"): (0.0, 0.4, 2.1, 3.8, 1.2, 0.0, 0.0, 0.6),
    ("W1", "level"): (141, 140, 143, 152, 167, 171, 166, 158),
    ("W2", "temperature"): (5.1, 4.4, 6.8, 12.3, 16.7, 17.0, 12.2, 7.5),
    ("W2", "rain"): (0.0, 0.0, 1.4, 2.9, 0.8, 0.0, 0.0, 0.0),
    ("W2", "humidity"): (88, 91, 90, 76, 61, 58, 70, 83),
    ("W3", "temperature"): (-4.0, -5.5, -4.8, -1.2, 1.5, 0.7, -2.1, -3.6),
    ("W3", "wind"): (31, 38, 44, 52, 47, None, 36, 29),
    ("W3", "snow"): (62, 62, 64, 67, 67, 66, 66, 66),
    ("W4", "temperature"): (2.7, 2.1, 3.9, 7.6, 10.4, 10.1, 7.2, 4.5),
    ("W4", "wind"): (12, 9, 14, 22, 27, 33, 19, 15),
    ("W4", "rain"): (0.0, 0.9, 3.3, 4.7, 2.6, 0.3, None, 0.2),
    ("W5", "temperature"): (1.1, 0.3, 1.8, None, 8.2, 8.8, 5.0, 2.4),
    ("W5", "humidity"): (79, 84, 86, 80, 72, 68, 71, 77),
    ("W5", "wind"): (18, 21, 25, 30, 41, 39, 28, 20),
    ("W6", "level"): (95, 96, 99, 110, 131, 144, 149, 140),
    ("W6", "rain"): (0.0, 0.2, 1.7, 2.5, 1.9, 0.1, 0.0, 0.3),
}
_UNITS = {"temperature": "C", "rain": "mm", "level": "cm", "humidity": "%", "wind": "km/h", "snow": "cm"}
_HOURS = ("00:00", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00")
_alarms = {}


def _station(station):
    if station not in _STATIONS:
        raise ValueError(f"no station {station!r}; stations are {', '.join(_STATIONS)}")
    return _STATIONS[station]


def _series(station, sensor):
    name, _, sensors = _station(station)
    if sensor not in sensors:
        raise ValueError(f"{station} ({name}) has no sensor {sensor!r}, only {', '.join(sensors)}")
    return _READINGS[station, sensor]


def stations(sensor: str = "") -> list[str]:
    """Codes of all stations, or of those that have a sensor: temperature, rain, level, humidity, wind or snow."""
    if sensor and sensor not in _UNITS:
        raise ValueError(f"unknown sensor {sensor!r}; sensors are {', '.join(_UNITS)}")
    return [code for code, (_, _, sensors) in _STATIONS.items() if not sensor or sensor in sensors]


def station(code: str) -> dict:
    """Name, altitude in metres and sensors of a station."""
    name, altitude, sensors = _station(code)
    return {"name": name, "altitude_m": altitude, "sensors": list(sensors)}


def readings(code: str, sensor: str) -> list:
    """The day's eight values, every three hours from 00:00 to 21:00; None where the sensor was down."""
    return list(_series(code, sensor))


def reading_at(code: str, sensor: str, hour: str) -> float | None:
    """One value, at 00:00, 03:00, ... or 21:00; None where the sensor was down."""
    if hour not in _HOURS:
        raise ValueError(f"no reading at {hour!r}; there are {', '.join(_HOURS)}")
    return _series(code, sensor)[_HOURS.index(hour)]


def unit(sensor: str) -> str:
    """The unit in which a sensor measures."""
    if sensor not in _UNITS:
        raise ValueError(f"unknown sensor {sensor!r}; sensors are {', '.join(_UNITS)}")
    return _UNITS[sensor]


def to_unit(value: float, source: str, target: str) -> float:
    """Convert C to F, km/h to m/s, mm or cm to in, each also the other way, rounded to two decimals."""
    factors = {("km/h", "m/s"): 1 / 3.6, ("mm", "in"): 1 / 25.4, ("cm", "in"): 1 / 2.54}
    if (source, target) == ("C", "F"):
        return round(value * 9 / 5 + 32, 2)
    if (source, target) == ("F", "C"):
        return round((value - 32) * 5 / 9, 2)
    if (source, target) in factors:
        return round(value * factors[source, target], 2)
    if (target, source) in factors:
        return round(value / factors[target, source], 2)
    raise ValueError(f"cannot convert {source} to {target}")


def set_alarm(code: str, sensor: str, limit: float) -> int:
    """Set an alarm that rings at values above a limit; it replaces an earlier one. Returns how often it rang today."""
    _alarms[code, sensor] = limit
    return sum(value is not None and value > limit for value in _series(code, sensor))


def alarms() -> list[list]:
    """All alarms that are set: [station, sensor, limit, times it rang today], in the order in which they were set."""
    return [[code, sensor, limit, sum(value is not None and value > limit for value in _series(code, sensor))]
            for (code, sensor), limit in _alarms.items()]
