"""Trains, hotels and exchange rates for a small travel desk."""

import datetime

# code, from, to, departure, arrival (same day), price in euros, seats left
_TRAINS = [
    ("LX101", "Lisbon", "Madrid", "07:10", "16:35", 62, 14),
    ("LX103", "Lisbon", "Madrid", "09:40", "18:20", 48, 3),
    ("LP210", "Lisbon", "Porto", "06:30", "09:20", 31, 40),
    ("LP214", "Lisbon", "Porto", "11:00", "14:15", 24, 9),
    ("LP218", "Lisbon", "Porto", "17:30", "20:20", 35, 0),
    ("PM305", "Porto", "Madrid", "08:05", "15:45", 57, 22),
    ("PM309", "Porto", "Madrid", "14:50", "22:40", 44, 6),
    ("MB400", "Madrid", "Barcelona", "06:00", "08:45", 71, 18),
    ("MB404", "Madrid", "Barcelona", "10:30", "13:25", 53, 2),
    ("MB408", "Madrid", "Barcelona", "19:15", "22:00", 39, 31),
    ("MV500", "Madrid", "Valencia", "09:00", "10:55", 28, 12),
    ("MV506", "Madrid", "Valencia", "16:10", "18:05", 33, 5),
    ("VB610", "Valencia", "Barcelona", "12:15", "15:20", 26, 11),
    ("VB614", "Valencia", "Barcelona", "19:00", "22:10", 22, 7),
    ("BL700", "Barcelona", "Lyon", "08:20", "13:30", 84, 16),
    ("BL702", "Barcelona", "Lyon", "14:40", "19:45", 66, 1),
    ("LG800", "Lyon", "Geneva", "07:04", "09:00", 29, 25),
    ("LG806", "Lyon", "Geneva", "20:34", "22:30", 18, 8),
]

# name, city, stars, price for a night in the city's currency, rooms left, breakfast
_HOTELS = [
    ("Casa do Cais", "Porto", 3, 78, 4, True),
    ("Ribeira Loft", "Porto", 4, 112, 1, False),
    ("Pensao Aliados", "Porto", 2, 54, 6, False),
    ("Alfama Garden", "Lisbon", 4, 131, 2, True),
    ("Tejo Rooms", "Lisbon", 3, 89, 5, False),
    ("Prado House", "Madrid", 4, 140, 3, True),
    ("Atocha Stop", "Madrid", 3, 95, 0, True),
    ("Sol y Sombra", "Madrid", 3, 99, 7, False),
    ("Turia Park", "Valencia", 3, 70, 5, True),
    ("Gracia Nou", "Barcelona", 4, 155, 2, True),
    ("Port Vell Inn", "Barcelona", 3, 104, 3, False),
    ("Mont Blanc View", "Geneva", 5, 410, 2, True),
    ("Quai Nord", "Geneva", 3, 185, 4, True),
    ("Bellecour", "Lyon", 4, 128, 3, False),
]

_CURRENCIES = {"Porto": "EUR", "Lisbon": "EUR", "Madrid": "EUR", "Valencia": "EUR", "Barcelona": "EUR",
               "Lyon": "EUR", "Geneva": "CHF"}
_EURO_RATES = {"EUR": 1.0, "CHF": 1.05, "GBP": 1.16, "USD": 0.92, "SEK": 0.088}
_TAX_CENTS = {"Porto": 200, "Lisbon": 400, "Madrid": 0, "Valencia": 100, "Barcelona": 550, "Lyon": 165, "Geneva": 375}
_bookings = {}


def _city(name):
    if name not in _CURRENCIES:
        raise ValueError(f"unknown city {name!r}; cities are {', '.join(sorted(_CURRENCIES))}")
    return name


def _train(code):
    for train in _TRAINS:
        if train[0] == code:
            return train
    raise ValueError(f"no train {code!r}; codes look like 'LP210'")


def destinations(city: str) -> list[str]:
    """Cities with a direct train from `city`, in alphabetical order."""
    return sorted({train[2] for train in _TRAINS if train[1] == _city(city)})


def find_trains(origin: str, destination: str) -> list[str]:
    """Codes of the direct trains from `origin` to `destination`, earliest departure first. May be empty."""
    found = [train for train in _TRAINS if train[1] == _city(origin) and train[2] == _city(destination)]
    return [train[0] for train in sorted(found, key=lambda train: train[3])]


def train_details(code: str) -> dict:
    """Departure and arrival ("HH:MM", same day), price in euros and seats left of a train."""
    _, origin, destination, departure, arrival, price, seats = _train(code)
    booked = sum(count for kind, item, count in _bookings.values() if kind == "train" and item == code)
    return {"from": origin, "to": destination, "departs": departure, "arrives": arrival, "price_eur": price,
            "seats": seats - booked}


def find_hotels(city: str, stars_min: int = 1) -> list[dict]:
    """Hotels of a city with at least that many stars; the price is for a night, in the city's currency."""
    keys = ("name", "stars", "price", "rooms", "breakfast")
    found = [(hotel[0], *hotel[2:]) for hotel in _HOTELS if hotel[1] == _city(city) and hotel[2] >= stars_min]
    return [dict(zip(keys, hotel)) for hotel in found]


def city_tax(city: str, nights: int) -> float:
    """City tax for one guest and that many nights, in the city's currency."""
    if nights < 1:
        raise ValueError("nights must be at least 1")
    return _TAX_CENTS[_city(city)] * nights / 100


def convert(amount: float, source: str, target: str) -> float:
    """Exchange an amount between EUR, CHF, GBP, USD and SEK, rounded to cents."""
    for currency in (source, target):
        if currency not in _EURO_RATES:
            raise ValueError(f"unknown currency {currency!r}; known are {', '.join(_EURO_RATES)}")
    return round(amount * _EURO_RATES[source] / _EURO_RATES[target], 2)


def book_seats(code: str, seats: int) -> str:
    """Book seats on a train and get a booking number. Fails when too few are left."""
    left = train_details(code)["seats"]
    if seats < 1 or seats > left:
        raise ValueError(f"cannot book {seats} seats on {code}: {left} left")
    number = f"B{len(_bookings) + 1:03d}-{code}"
    _bookings[number] = ("train", code, seats)
    return number


def nights_between(arrival: str, departure: str) -> int:
    """Number of nights between two dates written YYYY-MM-DD."""
    nights = (datetime.date.fromisoformat(departure) - datetime.date.fromisoformat(arrival)).days
    if nights < 1:
        raise ValueError(f"departure {departure} is not after arrival {arrival}")
    return nights
