"""Replays of operations with a clock that the test turns."""
import json

DRIVER = """
import json, sys
import store
from store.base import Store

options, steps = json.load(sys.stdin)
now = [1000.0]
said = []
try:
    kept = store.make("expiring", clock=lambda: now[0], **options)
    said.append(isinstance(kept, Store))
    for name, *arguments in steps:
        if name == "wait":
            now[0] += arguments[0]
            continue
        try:
            value = {"len": lambda: len(kept), "in": lambda key: key in kept}.get(name) or getattr(kept, name)
            said.append(value(*arguments))
        except Exception as error:
            said.append([type(error).__name__, *map(str, error.args)])
except Exception as error:
    said.append(type(error).__name__)
print(json.dumps(said))
"""


def replay(seconds, capacity, *steps):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps([{"seconds": seconds, "capacity": capacity}, steps]))
    assert code == 0, errors[-500:]
    said = json.loads(out)
    assert said[0] is True, said
    return said[1:]


def test_values_come_back():
    assert replay(10, 5, ["put", "a", 1], ["put", "a", None], ["get", "a"], ["get", "a", 5], ["get", "b", None], ["get", "b", 0],
                  ["get", "b"], ["len"], ["in", "a"], ["in", "b"]) == [
        True, False, None, None, None, 0, ["KeyError", "b"], 1, True, False]


def test_the_moment_of_expiry():
    assert replay(10, 5, ["put", "a", 1], ["wait", 9.5], ["get", "a"], ["wait", 0.5], ["get", "a"], ["in", "a"], ["len"], ["keys"],
                  ["delete", "a"], ["put", "a", 2]) == [True, 1, ["KeyError", "a"], False, 0, [], False, True]


def test_what_has_expired_is_gone_for_every_method():
    assert replay(10, 5, ["put", "a", 1], ["wait", 10], ["delete", "a"], ["len"]) == [True, False, 0]
    assert replay(10, 5, ["put", "a", 1], ["wait", 10], ["put", "a", 2], ["get", "a"]) == [True, True, 2]
    assert replay(10, 5, ["put", "a", 1], ["wait", 10], ["get", "a", None], ["keys"]) == [True, None, []]


def test_get_lengthens_nothing_and_put_does():
    assert replay(10, 5, ["put", "a", 1], ["wait", 6], ["get", "a"], ["wait", 6], ["get", "a", "gone"]) == [True, 1, "gone"]
    assert replay(10, 5, ["put", "a", 1], ["wait", 6], ["put", "a", 2], ["wait", 6], ["get", "a"], ["wait", 4], ["get", "a", 0]) == [
        True, False, 2, 0]


def test_the_first_put_goes():
    assert replay(10, 2, ["put", "a", 1], ["put", "b", 2], ["get", "a"], ["put", "c", 3], ["keys"], ["len"]) == [
        True, True, 1, True, ["b", "c"], 2]
    assert replay(10, 2, ["put", "a", 1], ["put", "b", 2], ["put", "a", 3], ["put", "c", 4], ["keys"], ["get", "a"]) == [
        True, True, False, True, ["a", "c"], 3]
    assert replay(10, 2, ["put", "a", 1], ["put", "b", 2], ["put", "b", 3], ["keys"]) == [True, True, False, ["a", "b"]]
    assert replay(10, 1, ["put", "a", 1], ["put", "b", 2], ["keys"]) == [True, True, ["b"]]


def test_expired_ones_take_no_room():
    assert replay(10, 2, ["put", "a", 1], ["wait", 5], ["put", "b", 2], ["wait", 5], ["put", "c", 3], ["keys"], ["wait", 5],
                  ["keys"], ["put", "d", 4], ["keys"]) == [True, True, True, ["b", "c"], ["c"], True, ["c", "d"]]


def test_deleting():
    assert replay(10, 2, ["put", "a", 1], ["delete", "a"], ["delete", "a"], ["put", "b", 1], ["put", "c", 1], ["keys"]) == [
        True, True, False, True, True, ["b", "c"]]


def test_options():
    for seconds, capacity in ((0, 1), (-1, 1), (1, 0), (1, -3)):
        code, out, _ = run(["python", "-c", DRIVER], stdin=json.dumps([{"seconds": seconds, "capacity": capacity}, []]))
        assert code == 0 and json.loads(out) == ["ValueError"], (seconds, capacity)
    raises("ValueError", "store:make", "endless")
    assert evaluate("store.make('plain').put('a', 1)") is True
    assert evaluate("issubclass(store.expiring.Expiring, store.base.Store)") is True


def test_keys_are_a_new_list():
    program = ("import store\nk = store.make('expiring', clock=lambda: 0, seconds=1, capacity=3)\nk.put('a', 1)\nk.keys().append('x')\n"
               "print(k.keys(), type(k.keys()).__name__)\n")
    assert run(["python", "-c", program])[:2] == (0, "['a'] list\n")
