"""Families in which a function is given: the prompt shows its signature, the session already has it."""

from .family import Family, slips
from .pools import ITEMS, integer

_PRICES = "prices = $table\ndef price(item):\n    return prices[item]\n"
_RATE = "def convert(amount):\n    return round(amount * $rate, 2)\n"
_CALL_PRICE = "You can call price(item: str) -> float, the price of one item. "
_CALL_CONVERT = "You can call convert(amount: float) -> float, which turns euros into dollars. "
def _prices(rng):
    items = [w.rstrip("s") if w != "glass" else w for w in rng.sample(ITEMS[:12], 4)]
    table = {item: round(rng.uniform(0.5, 30), 2) for item in items}
    return {"table": table, "a": items[0], "b": items[1], "n": rng.randint(2, 9), "k": rng.randint(2, 9)}


FAMILIES = [
    Family(
        "tool_price", _prices, lambda table, a, n: round(table[a] * n, 2),
        [_CALL_PRICE + "What do $n pieces of $a cost?", _CALL_PRICE + "I buy $n times $a. How much is it?",
         _CALL_PRICE + "Price of $n $a?",
         _CALL_PRICE + "Compute the total price of $n units of $a.",
         _CALL_PRICE + "Tina puts $n of the item $a in her cart. What does she pay?",
         _CALL_PRICE + "For an order of $a, quantity $n, give the total cost.",
         _CALL_PRICE + "One $a has its price, but I need $n of them. How much altogether?",
         _CALL_PRICE + "total for $n x $a please"],
        ["I will call `price` and multiply."], ["print(round(price($a) * $n, 2))"],
        held=[_CALL_PRICE + "How much money must I bring for $n of $a?"], setup=_PRICES,
        slips=slips(("print(round($n * get_price($a), 2))", "The function is called `price`. I will use it."))),
    Family(
        "tool_convert", {"x": integer(3, 900), "rate": lambda rng: round(rng.uniform(0.8, 1.6), 3)},
        lambda x, rate: round(x * rate, 2),
        [_CALL_CONVERT + "How many dollars are $x euros?", _CALL_CONVERT + "Change $x euros.",
         _CALL_CONVERT + "I have $x euros. What is that in dollars?",
         _CALL_CONVERT + "Convert $x euros to dollars.",
         _CALL_CONVERT + "Victor exchanges $x euros before his flight. How many dollars does he get?",
         _CALL_CONVERT + "dollars for $x euros?",
         _CALL_CONVERT + "A jacket costs $x euros. Tell me its price in dollars.",
         _CALL_CONVERT + "Please give the value of $x euros in dollars."],
        ["I will call `convert`."], ["print(convert($x))"], setup=_RATE,
        slips=slips(("print(convert(\"$x\"))", "The amount must be a number. I will pass a number."))),
]
