"""Stock, orders and suppliers of a mail-order shop for bicycle parts."""

# sku: name, category, price in cents, weight in grams, supplier
_PRODUCTS = {
    "CH-09": ("Chain, 9 speed", "drivetrain", 2490, 280, "Velomek"),
    "CH-11": ("Chain, 11 speed", "drivetrain", 3890, 255, "Velomek"),
    "CS-32": ("Cassette 11-32", "drivetrain", 5450, 390, "Kranz"),
    "BR-PD": ("Brake pads, pair", "brakes", 1195, 60, "Stoppa"),
    "BR-CB": ("Brake cable", "brakes", 590, 45, "Stoppa"),
    "BR-RT": ("Brake rotor 160 mm", "brakes", 2750, 110, "Kranz"),
    "TY-28": ("Tyre 700x28", "wheels", 3290, 320, "Rollo"),
    "TY-40": ("Tyre 700x40", "wheels", 4190, 480, "Rollo"),
    "TB-28": ("Inner tube 28", "wheels", 690, 105, "Rollo"),
    "SP-14": ("Spokes, 14 pieces", "wheels", 1320, 98, "Kranz"),
    "LT-FR": ("Front light", "lights", 4550, 130, "Lumo"),
    "LT-RR": ("Rear light", "lights", 2250, 60, "Lumo"),
    "BL-01": ("Bell", "extras", 850, 75, "Stoppa"),
    "PM-02": ("Floor pump", "extras", 3980, 1450, "Velomek"),
}
_STOCK = {
    "north": {"CH-09": 12, "CH-11": 3, "CS-32": 0, "BR-PD": 40, "BR-CB": 25, "TY-28": 7, "TB-28": 60, "LT-FR": 5,
              "LT-RR": 9, "BL-01": 14},
    "south": {"CH-09": 4, "CH-11": 8, "CS-32": 6, "BR-PD": 18, "BR-RT": 10, "TY-28": 2, "TY-40": 11, "SP-14": 20,
              "LT-RR": 0, "PM-02": 3},
    "harbour": {"CH-11": 1, "BR-CB": 60, "BR-RT": 4, "TY-40": 5, "TB-28": 35, "LT-FR": 2, "BL-01": 6, "PM-02": 8},
}
# customer, day, status, lines
_ORDERS = {
    1001: ("Okafor", "2025-03-03", "shipped", [("CH-09", 1), ("BR-PD", 2)]),
    1002: ("Lindqvist", "2025-03-03", "open", [("TY-28", 2), ("TB-28", 2)]),
    1003: ("Moreau", "2025-03-04", "open", [("LT-FR", 1), ("LT-RR", 1), ("BL-01", 1)]),
    1004: ("Okafor", "2025-03-06", "open", [("CS-32", 1), ("CH-11", 1)]),
    1005: ("Haddad", "2025-03-06", "cancelled", [("PM-02", 1)]),
    1006: ("Moreau", "2025-03-09", "shipped", [("TY-40", 2), ("TB-28", 4), ("SP-14", 1)]),
    1007: ("Varga", "2025-03-10", "open", [("BR-RT", 2), ("BR-PD", 4), ("BR-CB", 2)]),
    1008: ("Okafor", "2025-03-11", "shipped", [("LT-RR", 2)]),
}
_DELIVERY_DAYS = {"Velomek": 5, "Kranz": 9, "Stoppa": 3, "Rollo": 4, "Lumo": 12}
_PACK_SIZES = {"Velomek": 10, "Kranz": 6, "Stoppa": 25, "Rollo": 8, "Lumo": 5}


def _known(sku):
    if sku not in _PRODUCTS:
        raise KeyError(f"no product {sku!r}; search_products finds the codes")
    return _PRODUCTS[sku]


def _warehouse(name):
    if name not in _STOCK:
        raise ValueError(f"no warehouse {name!r}; there are {', '.join(_STOCK)}")
    return _STOCK[name]


def search_products(category: str) -> list[str]:
    """Codes of all products in a category: drivetrain, brakes, wheels, lights or extras."""
    found = [sku for sku, product in _PRODUCTS.items() if product[1] == category]
    if not found:
        raise ValueError(f"no category {category!r}; there are drivetrain, brakes, wheels, lights, extras")
    return found


def product(sku: str) -> dict:
    """Name, category, price in cents, weight in grams and supplier of a product."""
    return dict(zip(("name", "category", "price_cents", "weight_g", "supplier"), _known(sku)))


def stock(sku: str, warehouse: str) -> int:
    """Pieces of a product in a warehouse: north, south or harbour."""
    _known(sku)
    return _warehouse(warehouse).get(sku, 0)


def list_orders(status: str = "all") -> list[int]:
    """Numbers of the orders with a status: open, shipped, cancelled or all."""
    if status not in ("open", "shipped", "cancelled", "all"):
        raise ValueError(f"unknown status {status!r}; use open, shipped, cancelled or all")
    return [number for number, order in _ORDERS.items() if status in ("all", order[2])]


def order(number: int) -> dict:
    """Customer, day, status and lines of an order; each line is [sku, pieces]."""
    if number not in _ORDERS:
        raise KeyError(f"no order {number}; numbers run from {min(_ORDERS)} to {max(_ORDERS)}")
    customer, day, status, lines = _ORDERS[number]
    return {"customer": customer, "day": day, "status": status, "lines": [list(line) for line in lines]}


def move_stock(sku: str, source: str, target: str, pieces: int) -> int:
    """Move pieces between warehouses. Returns what the source then still has. Fails when it has too few."""
    _known(sku)
    have = _warehouse(source).get(sku, 0)
    _warehouse(target)
    if pieces < 1 or pieces > have:
        raise ValueError(f"cannot move {pieces} of {sku} from {source}: it has {have}")
    _STOCK[source][sku] = have - pieces
    _STOCK[target][sku] = _STOCK[target].get(sku, 0) + pieces
    return have - pieces


def ship_order(number: int, warehouse: str) -> str:
    """Ship an open order from one warehouse, which must have every line in full. Lowers the stock."""
    found = order(number)
    if found["status"] != "open":
        raise ValueError(f"order {number} is {found['status']}, only open orders can be shipped")
    held = _warehouse(warehouse)
    for sku, pieces in found["lines"]:
        if held.get(sku, 0) < pieces:
            raise ValueError(f"{warehouse} has {held.get(sku, 0)} of {sku}, the order needs {pieces}")
    for sku, pieces in found["lines"]:
        held[sku] -= pieces
    customer, day, _, lines = _ORDERS[number]
    _ORDERS[number] = (customer, day, "shipped", lines)
    return f"order {number} shipped from {warehouse}"


def supplier(name: str) -> dict:
    """Delivery time in days and pieces in a pack of a supplier; suppliers sell only whole packs."""
    if name not in _DELIVERY_DAYS:
        raise KeyError(f"no supplier {name!r}; product() names the supplier of each product")
    return {"delivery_days": _DELIVERY_DAYS[name], "pack_size": _PACK_SIZES[name]}
