"""Replays days of the shop; what comes back is compared here."""
import json

DRIVER = """
import json, sys
from stock.orders import OrderBook
from stock.report import table
from stock.store import Store

said = []
for on_hand, steps in json.load(sys.stdin):
    store = Store(on_hand)
    book = OrderBook(store)
    day = []
    for name, argument in steps:
        try:
            if name == "place":
                argument = [tuple(line) for line in argument]
            getattr(book, name)(argument)
            day.append("")
        except Exception as error:
            day.append(type(error).__name__)
        day.append(table(store))
    said.append(day)
print(json.dumps(said))
"""


def day(on_hand, steps):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps([[on_hand, steps]]))
    assert code == 0, errors
    return json.loads(out)[0]


def test_an_article_in_two_lines():
    got = day({"bolt": 10}, [["place", [["bolt", 3], ["bolt", 4]]], ["cancel", 1]])
    assert got == ["", [["bolt", 10, 7, 3]], "", [["bolt", 10, 0, 10]]]


def test_the_report_counts_reservations_once():
    got = day({"nut": 8, "bolt": 5}, [["place", [["nut", 2]]], ["place", [["nut", 3], ["bolt", 5]]]])
    assert got[1] == [["bolt", 5, 0, 5], ["nut", 8, 2, 6]]
    assert got[3] == [["bolt", 5, 5, 0], ["nut", 8, 5, 3]]


def test_only_an_open_order_is_cancelled():
    got = day({"nut": 8}, [["place", [["nut", 2]]], ["cancel", 1], ["cancel", 1], ["place", [["nut", 8]]]])
    assert got[4:6] == ["WrongState", [["nut", 8, 0, 8]]]
    assert got[6:] == ["", [["nut", 8, 8, 0]]]
    got = day({"nut": 8}, [["place", [["nut", 2]]], ["ship", 1], ["cancel", 1], ["ship", 1]])
    assert got[2:] == ["", [["nut", 6, 0, 6]], "WrongState", [["nut", 6, 0, 6]], "WrongState", [["nut", 6, 0, 6]]]


def test_a_cancelled_order_is_not_shipped():
    got = day({"nut": 8}, [["place", [["nut", 2]]], ["cancel", 1], ["ship", 1]])
    assert got[4:] == ["WrongState", [["nut", 8, 0, 8]]]


def test_nothing_is_promised_twice():
    got = day({"nut": 5}, [["place", [["nut", 3], ["nut", 3]]], ["place", [["nut", 3], ["nut", 2]]]])
    assert got == ["OutOfStock", [["nut", 5, 0, 5]], "", [["nut", 5, 5, 0]]]
