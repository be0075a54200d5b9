"""Families in which a function is given: the prompt shows its signature, the session already has it."""

from .family import Family, Plain, slips
from .pools import CITIES, ITEMS, NAMES, WORDS, integer

_PRICES = "prices = $table\ndef price(item):\n    return prices[item]\n"
_STOCK = "stock_of = $table\ndef stock(item):\n    return stock_of[item]\n"
_WEATHER = "table = $table\ndef temperature(city):\n    return table[city]\n"
_AGES = "ages = $table\ndef age(name):\n    if name not in ages:\n        raise KeyError(name)\n    return ages[name]\n"
_ROADS = "roads = $roads\ndef distance(a, b):\n    return roads[\"-\".join(sorted([a, b]))]\n"
_SEARCH = "orders = $orders\ndef search(name):\n    return [o for o in orders if o[\"name\"] == name]\n"
_RATE = "def convert(amount):\n    return round(amount * $rate, 2)\n"
_WORD = "words = $words\ndef lookup(word):\n    return words[word]\n"

_CALL_PRICE = "You can call price(item: str) -> float, the price of one item. "
_CALL_STOCK = "You can call stock(item: str) -> int, the number of pieces in the store. "
_CALL_WEATHER = "You can call temperature(city: str) -> int, the temperature in degrees. "
_CALL_AGE = "You can call age(name: str) -> int, the age of a person. "
_CALL_DISTANCE = "You can call distance(a: str, b: str) -> int, the km between two cities. "
_CALL_SEARCH = "You can call search(name: str) -> list, the orders of a person as dictionaries with name and total. "
_CALL_CONVERT = "You can call convert(amount: float) -> float, which turns euros into dollars. "
_CALL_LOOKUP = "You can call lookup(word: str) -> str, the translation of a word. "


def _prices(rng):
    items = [w.rstrip("s") if w != "glass" else w for w in rng.sample(ITEMS[:12], 4)]
    table = {item: round(rng.uniform(0.5, 30), 2) for item in items}
    return {"table": table, "a": items[0], "b": items[1], "n": rng.randint(2, 9), "k": rng.randint(2, 9)}


def _stock(rng):
    items = rng.sample(ITEMS, 4)
    return {"table": {item: rng.randint(1, 200) for item in items}, "a": items[0], "b": items[1], "c": items[2],
            "n": rng.randint(10, 150)}


def _weather(rng):
    cities = rng.sample(CITIES, 4)
    return {"table": dict(zip(cities, rng.sample(range(-10, 41), 4))), "cities": cities[:3], "a": cities[0],
            "b": cities[1]}


def _people(rng):
    names = rng.sample(NAMES, 4)
    return {"table": dict(zip(names, rng.sample(range(5, 90), 4))), "a": names[0], "b": names[1], "names": names[:3]}


def _lower_case_city(rng):
    values = _weather(rng)
    return values | {"wrong": Plain(values["a"].lower())}


def _roads(rng):
    cities = rng.sample(CITIES, 3)
    roads = {"-".join(sorted(pair)): rng.randint(50, 900) for pair in [(cities[0], cities[1]), (cities[1],
                                                                                                cities[2])]}
    return {"roads": roads, "a": cities[0], "b": cities[1], "c": cities[2]}


def _orders(rng):
    names = rng.sample(NAMES, 2)
    orders = [{"name": name, "total": rng.randint(5, 90)} for name in [names[0], names[1],
                                                                       names[0]] + [rng.choice(names)]]
    return {"orders": orders, "a": names[0]}


def _translations(rng):
    words = rng.sample(WORDS, 4)
    return {"words": dict(zip(words, ["".join(reversed(w)) for w in words])), "a": words[0], "b": words[1]}


FAMILIES = [
    Family(
        "tool_price", _prices, lambda table, a, n: round(table[a] * n, 2),
        [_CALL_PRICE + "What do $n pieces of $a cost?", _CALL_PRICE + "I buy $n times $a. How much is it?",
         _CALL_PRICE + "Price of $n $a?"],
        ["I will call `price` and multiply."], ["print(round(price($a) * $n, 2))"],
        held=[_CALL_PRICE + "How much money must I bring for $n of $a?"], setup=_PRICES,
        slips=slips(("print(round($n * get_price($a), 2))", "The function is called `price`. I will use it."))),
    Family(
        "tool_price_sum", _prices, lambda table, a, b, n, k: round(table[a] * n + table[b] * k, 2),
        [_CALL_PRICE + "What do $n of $a and $k of $b cost together?", _CALL_PRICE + "Total for $n x $a and $k x $b?",
         _CALL_PRICE + "My basket has $n of $a and $k of $b. What is the sum?"],
        ["I will call `price` for both items and add."], ["print(round(price($a) * $n + price($b) * $k, 2))"],
        setup=_PRICES),
    Family(
        "tool_stock", _stock, lambda table, a, b, c: table[a] + table[b] + table[c],
        [_CALL_STOCK + "How many pieces of $a, $b and $c are there together?",
         _CALL_STOCK + "Add the stock of $a, $b and $c.", _CALL_STOCK + "Total of $a, $b and $c in the store?"],
        ["I will call `stock` for each item and add."], ["print(sum(stock(i) for i in [$a, $b, $c]))"], setup=_STOCK),
    Family(
        "tool_enough", _stock, lambda table, a, n: table[a] >= n,
        [_CALL_STOCK + "Are there at least $n $a? True or False.",
         _CALL_STOCK + "Can I order $n $a? Answer True or False.",
         _CALL_STOCK + "True or False: the store has $n or more $a."],
        ["I will compare the stock with the number."], ["print(stock($a) >= $n)"], setup=_STOCK),
    Family(
        "tool_warmest", _weather, lambda table, cities: sorted(cities, key=lambda c: table[c])[-1],
        [_CALL_WEATHER + "Which of the cities $cities is the warmest?",
         _CALL_WEATHER + "Where is it hottest: $cities?",
         _CALL_WEATHER + "Find the city with the highest temperature among $cities."],
        ["I will take the city with the highest temperature."],
        ["cities = $cities\nprint(max(cities, key=temperature))"], setup=_WEATHER,
        held=[_CALL_WEATHER + "I like heat. Should I travel to one of $cities, and to which?"],
        slips=slips(("cities = $cities\nprint(max(cities, key=temperatures))",
                     "The function is called `temperature`. I will use it."))),
    Family(
        "tool_mean_temperature", _weather, lambda table, cities: round(sum(table[c] for c in cities) / len(cities),
                                                                       1),
        [_CALL_WEATHER + "What is the average temperature of $cities, to 1 decimal?",
         _CALL_WEATHER + "Mean of the temperatures in $cities (1 decimal)?"],
        ["I will average the temperatures."],
        ["cities = $cities\nprint(round(sum(temperature(c) for c in cities) / len(cities), 1))"], setup=_WEATHER,
        slips=slips(("cities = $cities\nprint(round(temperature(cities) / len(cities), 1))",
                     "The function takes one city. I will call it for each city."))),
    Family(
        "tool_city_spelling", _lower_case_city, lambda table, a: table[a],
        [_CALL_WEATHER + "What is the temperature in $wrong?", _CALL_WEATHER + "How warm is it in $wrong?",
         _CALL_WEATHER + "Degrees in $wrong?"],
        ["I will call `temperature`."], ["print(temperature($a))"], setup=_WEATHER,
        slips=slips(("print(temperature($wrong))", "The city is not found. I will write it with a capital letter.")),
        always_slips=True),
    Family(
        "tool_age_difference", _people, lambda table, a, b: max(table[a], table[b]) - min(table[a], table[b]),
        [_CALL_AGE + "How many years apart are $a and $b?", _CALL_AGE + "What is the age difference of $a and $b?",
         _CALL_AGE + "By how many years do the ages of $a and $b differ?"],
        ["I will subtract the ages."], ["print(abs(age($a) - age($b)))"], setup=_AGES,
        held=[_CALL_AGE + "$a and $b celebrate together. How large is the gap in years?"]),
    Family(
        "tool_oldest", _people, lambda table, names: sorted(names, key=lambda n: table[n])[-1],
        [_CALL_AGE + "Who is the oldest of $names?", _CALL_AGE + "Which of $names has the highest age?",
         _CALL_AGE + "Find the oldest person among $names."],
        ["I will take the person with the highest age."], ["names = $names\nprint(max(names, key=age))"],
        setup=_AGES),
    Family(
        "tool_route", _roads, lambda roads: sum(roads.values()),
        [_CALL_DISTANCE + "How long is the route $a, $b, $c?",
         _CALL_DISTANCE + "I drive from $a to $b and then to $c. How many km?",
         _CALL_DISTANCE + "Total km for $a to $b to $c?"],
        ["I will add the two distances."], ["print(distance($a, $b) + distance($b, $c))"], setup=_ROADS,
        slips=slips(("print(distance($a, $b, $c))", "`distance` takes two cities. I will add two calls."))),
    Family(
        "tool_round_trip", _roads, lambda roads, a, b: 2 * roads["-".join(sorted([a, b]))],
        [_CALL_DISTANCE + "How many km is the trip from $a to $b and back?",
         _CALL_DISTANCE + "Round trip $a to $b in km?"],
        ["I will double the distance."], ["print(2 * distance($a, $b))"], setup=_ROADS),
    Family(
        "tool_order_total", _orders, lambda orders, a: sum(o["total"] for o in orders if o["name"] == a),
        [_CALL_SEARCH + "What is the sum of all orders of $a?", _CALL_SEARCH + "How much did $a spend in total?",
         _CALL_SEARCH + "Add the totals of the orders by $a."],
        ["I will add the totals of the orders."], ["print(sum(o[\"total\"] for o in search($a)))"], setup=_SEARCH,
        lead=[("I will look at the orders first.", "print(search($a))")],
        slips=slips(("print(sum(o[\"price\"] for o in search($a)))", "The key is called `total`. I will use it."))),
    Family(
        "tool_convert", {"x": integer(3, 900), "rate": lambda rng: round(rng.uniform(0.8, 1.6), 3)},
        lambda x, rate: round(x * rate, 2),
        [_CALL_CONVERT + "How many dollars are $x euros?", _CALL_CONVERT + "Change $x euros.",
         _CALL_CONVERT + "I have $x euros. What is that in dollars?"],
        ["I will call `convert`."], ["print(convert($x))"], setup=_RATE,
        slips=slips(("print(convert(\"$x\"))", "The amount must be a number. I will pass a number."))),
    Family(
        "tool_lookup", _translations, lambda words, a, b: words[a] + " " + words[b],
        [_CALL_LOOKUP + "Translate $a and $b, joined by a space.",
         _CALL_LOOKUP + "What is the translation of $a followed by that of $b?",
         _CALL_LOOKUP + "Give the translations of $a and $b in one line."],
        ["I will call `lookup` for both words."], ["print(lookup($a), lookup($b))"], setup=_WORD),
]
