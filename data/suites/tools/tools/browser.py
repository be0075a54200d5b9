"""A browser for a few pages that lie on this machine: a town, its museum, a bakery and a bus company."""

# address: title, lines of text, links as (label, address), rows of the table
_PAGES = {
    "town.example": ("Town of Elmsford", ["Welcome to Elmsford.", "Population: 18,420"],
                     [("News", "town.example/news"), ("Swimming pool", "town.example/pool"),
                      ("Waste", "town.example/waste"), ("Museum", "museum.example"), ("Buses", "bus.example")], []),
    "town.example/news": ("News", ["12 May: The bridge on Mill Street is closed until 30 June.",
                                   "9 May: The pool raises each price by 50 cents from 1 June.",
                                   "2 May: Market day moves from Friday to Saturday."],
                          [("Pool prices", "town.example/pool"), ("Home", "town.example")], []),
    "town.example/pool": ("Swimming pool", ["Open daily but Monday.", "Prices until 31 May, in euros."],
                          [("Opening hours", "town.example/pool/hours"), ("Home", "town.example")],
                          [("ticket", "price"), ("adult", 4.5), ("child", 2.5), ("family", 11.0),
                           ("ten visits", 38.0)]),
    "town.example/pool/hours": ("Opening hours", ["Last entry is 45 minutes before closing."],
                                [("Swimming pool", "town.example/pool")],
                                [("day", "opens", "closes"), ("Tuesday", "07:00", "20:00"),
                                 ("Wednesday", "12:00", "21:30"), ("Thursday", "07:00", "20:00"),
                                 ("Friday", "12:00", "21:30"), ("Saturday", "09:00", "18:00"),
                                 ("Sunday", "09:00", "17:00")]),
    "town.example/waste": ("Waste", ["Collection days by district."], [("Home", "town.example")],
                           [("district", "paper", "glass"), ("North", "Monday", "Thursday"),
                            ("Riverside", "Tuesday", "Thursday"), ("Old Town", "Monday", "Friday")]),
    "museum.example": ("Museum of Clocks", ["240 clocks on three floors.", "The first Sunday of a month is free."],
                       [("Collection", "museum.example/collection"), ("Tickets", "museum.example/tickets"),
                        ("Town", "town.example")], []),
    "museum.example/collection": ("Collection", ["Highlights of each floor."],
                                  [("Water clock", "museum.example/water"), ("Tower clock", "museum.example/tower"),
                                   ("Cuckoo clock", "museum.example/cuckoo"), ("Museum", "museum.example")], []),
    "museum.example/water": ("Water clock", ["Built in 1712 by Anna Rehm.", "Shown in room 3, first floor."],
                             [("Tower clock", "museum.example/tower")], []),
    "museum.example/tower": ("Tower clock", ["Built in 1688 by Piet Olde.", "Shown in room 11, second floor.",
                                            "It weighs 310 kg."],
                             [("Cuckoo clock", "museum.example/cuckoo")], []),
    "museum.example/cuckoo": ("Cuckoo clock", ["Built in 1803 by Anna Rehm's grandson, Karl Rehm.",
                                              "Shown in room 5, first floor."],
                              [("Collection", "museum.example/collection")], []),
    "museum.example/tickets": ("Tickets", ["Groups of ten or more pay 6 euros each."], [("Museum", "museum.example")],
                               [("visitor", "price"), ("adult", 8.0), ("student", 5.0), ("child", 3.0)]),
    "bus.example": ("Elmsford Buses", ["Five lines, one fare: 2.20 euros.", "A day ticket costs 5.90 euros."],
                    [("Line 3", "bus.example/3"), ("Line 7", "bus.example/7"), ("Town", "town.example")], []),
    "bus.example/3": ("Line 3", ["Every 20 minutes."], [("Buses", "bus.example")],
                      [("stop", "minute"), ("Station", 0), ("Market", 4), ("Museum", 9), ("Pool", 15),
                       ("Hospital", 21)]),
    "bus.example/7": ("Line 7", ["Every 30 minutes."], [("Buses", "bus.example")],
                      [("stop", "minute"), ("Station", 0), ("Pool", 8), ("Harbour", 14), ("Museum", 23)]),
    "bakery.example": ("Bakery Sorrel", ["Order until 18:00 for the next day."],
                       [("Bread", "bakery.example/bread"), ("Cakes", "bakery.example/cakes")], []),
    "bakery.example/bread": ("Bread", ["Prices in euros for a loaf."], [("Cakes", "bakery.example/cakes")],
                             [("bread", "price", "grams"), ("rye", 4.2, 1000), ("spelt", 4.9, 750),
                              ("white", 2.7, 500), ("seeded", 5.1, 800)]),
    "bakery.example/cakes": ("Cakes", ["Prices in euros for a whole cake of 12 pieces."],
                             [("Bread", "bakery.example/bread")],
                             [("cake", "price"), ("plum", 21.0), ("poppy seed", 24.0), ("cheese", 27.0)]),
}
_history = []
_basket = {}


def _here():
    if not _history:
        raise RuntimeError("no page is open; begin with open_page, for example open_page('town.example')")
    return _PAGES[_history[-1]]


def _show():
    title, lines, links, rows = _here()
    return {"title": title, "lines": list(lines), "links": [label for label, _ in links], "has_table": bool(rows)}


def open_page(address: str) -> dict:
    """Open a page by its address. Returns title, lines of text, labels of links, and whether it has a table."""
    if address not in _PAGES:
        sites = sorted({each.split("/")[0] for each in _PAGES})
        raise ValueError(f"no page {address!r}; sites are {', '.join(sites)}")
    _history.append(address)
    return _show()


def click(label: str) -> dict:
    """Follow a link of the open page by its label. Returns the new page as open_page does."""
    links = dict(_here()[2])
    if label not in links:
        raise ValueError(f"no link {label!r} on this page; links are {', '.join(links)}")
    _history.append(links[label])
    return _show()


def back() -> dict:
    """Go back to the page before. Returns it as open_page does."""
    if len(_history) < 2:
        raise RuntimeError("there is no page before this one")
    _history.pop()
    return _show()


def address() -> str:
    """Address of the open page."""
    _here()
    return _history[-1]


def read_table() -> list[list]:
    """Rows of the table on the open page; the first row names the columns."""
    rows = _here()[3]
    if not rows:
        raise ValueError(f"the page {_history[-1]!r} has no table")
    return [list(row) for row in rows]


def add_to_basket(item: str, pieces: int) -> float:
    """Put bread or whole cakes into the bakery's basket; its page must be open. Returns the basket's value in euros."""
    if not _history or not _history[-1].startswith("bakery.example/"):
        raise RuntimeError("open bakery.example/bread or bakery.example/cakes first")
    prices = {row[0]: row[1] for row in _here()[3][1:]}
    if item not in prices or pieces < 1:
        raise ValueError(f"cannot order {pieces} of {item!r}; this page has {', '.join(prices)}")
    count, _ = _basket.get(item, (0, 0))
    _basket[item] = (count + pieces, prices[item])
    return round(sum(number * price for number, price in _basket.values()), 2)


def basket() -> dict:
    """What is in the bakery's basket: item to number of pieces."""
    return {item: count for item, (count, _) in _basket.items()}
