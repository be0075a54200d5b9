"""Days at the bank: after each step the result, the balances and the journal."""
import json

DRIVER = """
import json, sys
from bank import transfers
from bank.accounts import Accounts
from bank.errors import BankError
from bank.journal import Journal

balances, limits, steps = json.load(sys.stdin)
accounts, journal = Accounts(balances, limits), Journal()
said = []
for name, *arguments in steps:
    try:
        arguments = [[tuple(order) for order in argument] if isinstance(argument, list) else argument for argument in arguments]
        value = getattr(transfers, name)(accounts, journal, *arguments)
    except BankError as error:
        value = type(error).__name__
    except Exception as error:
        value = "other " + type(error).__name__
    said.append([value, {name: accounts.balance(name) for name in balances}, list(journal.entries)])
print(json.dumps(said))
"""


def day(balances, limits, *steps):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps([balances, limits, steps]))
    assert code == 0, errors[-500:]
    return json.loads(out)


def test_a_transfer_to_nowhere_changes_nothing():
    got = day({"a": 100, "b": 0}, {}, ["transfer", "a", "x", 30], ["transfer", "x", "a", 30], ["transfer", "a", "b", 101], ["transfer", "a", "b", 100])
    assert got == [["UnknownAccount", {"a": 100, "b": 0}, []], ["UnknownAccount", {"a": 100, "b": 0}, []],
                   ["NotCovered", {"a": 100, "b": 0}, []], [1, {"a": 0, "b": 100}, [[1, "a", "b", 100]]]]


def test_a_batch_is_whole_or_not_at_all():
    got = day({"a": 100, "b": 0, "c": 5}, {}, ["batch", [["a", "b", 100], ["b", "c", 60], ["c", "x", 1]]],
              ["batch", [["a", "b", 50], ["b", "a", 51]]], ["batch", [["a", "b", 50], ["b", "c", 0]]],
              ["batch", [["a", "b", 100], ["b", "c", 60]]], ["batch", []], ["transfer", "c", "a", 65])
    old = {"a": 100, "b": 0, "c": 5}
    assert got[:3] == [["UnknownAccount", old, []], ["NotCovered", old, []], ["BadAmount", old, []]]
    notes = [[1, "a", "b", 100], [2, "b", "c", 60]]
    assert got[3] == [[1, 2], {"a": 0, "b": 40, "c": 65}, notes]
    assert got[4] == [[], {"a": 0, "b": 40, "c": 65}, notes]
    assert got[5] == [3, {"a": 65, "b": 40, "c": 0}, notes + [[3, "c", "a", 65]]]


def test_a_failed_batch_keeps_what_was_before():
    got = day({"a": 10, "b": 0}, {}, ["transfer", "a", "b", 4], ["batch", [["b", "a", 4], ["b", "a", 1]]], ["transfer", "b", "a", 1])
    assert got[1:] == [["NotCovered", {"a": 6, "b": 4}, [[1, "a", "b", 4]]], [2, {"a": 7, "b": 3}, [[1, "a", "b", 4], [2, "b", "a", 1]]]]


def test_limits():
    got = day({"a": 10, "b": 0}, {"a": 50}, ["transfer", "a", "b", 60], ["transfer", "a", "b", 1], ["transfer", "b", "a", 61])
    assert [(value, balances) for value, balances, _ in got] == [
        (1, {"a": -50, "b": 60}), ("NotCovered", {"a": -50, "b": 60}), ("NotCovered", {"a": -50, "b": 60})]


def test_amounts_and_the_order_of_checks():
    got = day({"a": 10, "b": 0}, {}, ["transfer", "a", "b", 2.5], ["transfer", "x", "y", 0], ["transfer", "a", "b", True], ["transfer", "a", "b", -3],
              ["transfer", "a", "b", "5"], ["transfer", "a", "b", None], ["transfer", "a", "x", 99], ["batch", [["a", "b", 1], ["a", "b", 1.0]]])
    assert got == [[name, {"a": 10, "b": 0}, []] for name in ["BadAmount"] * 6 + ["UnknownAccount", "BadAmount"]]


def test_to_itself():
    got = day({"a": 10}, {}, ["transfer", "a", "a", 10], ["transfer", "a", "a", 11])
    assert got == [[1, {"a": 10}, [[1, "a", "a", 10]]], ["NotCovered", {"a": 10}, [[1, "a", "a", 10]]]]


def test_orders_that_are_no_orders():
    got = day({"a": 10, "b": 0}, {}, ["batch", [["a", "b", 3], ["a", "b"]]], ["transfer", "a", "b", 1])
    assert got[0][0].startswith("other") and got[0][1:] == [{"a": 10, "b": 0}, []]
    assert got[1] == [1, {"a": 9, "b": 1}, [[1, "a", "b", 1]]]
