"""Threads that meet where it hurts: a ledger that holds each reader until the next one is there, or for a while.

With a lock the second reader cannot come, the first waits its while, and everything is right; without one both read the same.
"""
import json

HEAD = """
import json, sys, threading, time
from box_office.ledger import Ledger
from box_office.office import Office, SoldOut

WHILE, LONG = 1, 5


class Meeting(Ledger):
    def __init__(self, count):
        super().__init__()
        self.barrier, self.is_on = threading.Barrier(count), False

    def read(self, show):
        value = super().read(show)
        if self.is_on:
            try:
                self.barrier.wait(WHILE)
            except threading.BrokenBarrierError:
                pass
        return value


def all_of(*functions):
    said = [None] * len(functions)
    start = threading.Barrier(len(functions))

    def work(index, function):
        start.wait()
        try:
            said[index] = function()
        except Exception as error:
            said[index] = type(error).__name__

    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LONG
    for thread in threads:
        thread.join(max(0, end - time.monotonic()))
    return said, sum(thread.is_alive() for thread in threads)


def made(count, **shows):
    ledger = Meeting(count)
    office = Office(ledger)
    for show, seats in shows.items():
        office.open_show(show, seats)
    return ledger, office


def finish(*values):
    sys.stdout.write(json.dumps(values))
    sys.stdout.flush()
    import os
    os._exit(0)

"""


def played(program):
    code, out, errors = run(["python", "-c", HEAD + program])
    assert code == 0 and out, errors[-500:]
    return json.loads(out)


def test_two_guests_have_two_seats():
    (said, stuck), sold = played("""
ledger, office = made(2, F=5)
ledger.is_on = True
result = all_of(lambda: office.sell("F", "a"), lambda: office.sell("F", "b"))
finish(result, ledger.shows["F"])
""")
    assert stuck == 0 and sorted(said) == [1, 2] and sorted(sold) == ["a", "b"]
    assert sold[said[0] - 1] == "a"


def test_no_more_guests_than_seats():
    (said, stuck), sold = played("""
ledger, office = made(2, F=3)
ledger.is_on = True
result = all_of(lambda: office.sell_group("F", ["a", "b"]), lambda: office.sell_group("F", ["c", "d"]))
finish(result, ledger.shows["F"])
""")
    assert stuck == 0 and sorted(map(str, said)) == sorted(["[1, 2]", "SoldOut"]) and sold in (["a", "b"], ["c", "d"])


def test_shows_do_not_wait_for_each_other():
    (said, stuck), broken = played("""
ledger, office = made(2, F=3, M=3)
ledger.is_on = True
WHILE = LONG / 2
result = all_of(lambda: office.sell("F", "a"), lambda: office.sell("M", "b"))
finish(result, ledger.barrier.broken)
""")
    assert (said, stuck) == ([1, 1], 0)
    assert broken is False, "the sale of one show waits for that of another"


def test_a_show_is_opened_once():
    (said, stuck), sold = played("""
class Slow(Ledger):
    def write(self, show, sold):
        time.sleep(0.1)
        super().write(show, sold)

ledger = Slow()
office = Office(ledger)

class Seats(dict):
    def __contains__(self, key):
        value = super().__contains__(key)
        time.sleep(0.1)
        return value

if type(getattr(office, "seats", None)) is dict:
    office.seats = Seats()
result = all_of(*[lambda: office.open_show("F", 2)] * 2)
office.sell("F", "a")
finish(result, ledger.shows["F"])
""")
    assert stuck == 0 and sorted(map(str, said)) == ["None", "ValueError"] and sold == ["a"]


def test_swaps_that_cross_do_not_lock():
    (said, stuck), faust, medea = played("""
ledger, office = made(2, F=5, M=5)
office.sell("F", "a"), office.sell("M", "b")
ledger.is_on = True
result = all_of(lambda: office.swap("F", "M", "a"), lambda: office.swap("M", "F", "b"))
finish(result, ledger.shows["F"], ledger.shows["M"])
""")
    assert stuck == 0, "a deadlock"
    assert said == [2, 2] and faust == [None, "b"] and medea == [None, "a"], (said, faust, medea)


def test_a_guest_is_swapped_once():
    (said, stuck), first, other = played("""
ledger, office = made(2, F=5, M=5, N=5)
office.sell("F", "a")
ledger.is_on = True
result = all_of(lambda: office.swap("F", "M", "a"), lambda: office.swap("F", "N", "a"))
finish(result, ledger.shows["F"], ledger.shows["M"] + ledger.shows["N"])
""")
    assert stuck == 0 and sorted(map(str, said)) == ["1", "KeyError"] and (first, other) == ([None], ["a"])


def test_errors_leave_nothing_locked():
    said, sold = played("""
ledger, office = made(2, F=1, M=2)
result = all_of(lambda: office.sell_group("F", ["a", "b"]))[0]
result += all_of(lambda: office.sell("X", "a"))[0]
result += all_of(lambda: office.swap("F", "M", "a"))[0]
result += all_of(lambda: office.swap("F", "X", "a"))[0]
result += all_of(lambda: office.sell("F", "a"))[0]
result += all_of(lambda: office.swap("F", "X", "a"))[0]
result += all_of(lambda: office.sell("M", "b"))[0]
result += all_of(lambda: office.swap("M", "F", "b"))[0]
result += all_of(lambda: office.open_show("F", 5))[0]
result += all_of(lambda: office.swap("F", "F", "a"))[0]
result += all_of(lambda: office.swap("M", "M", "b"))[0]
finish(result, ledger.shows)
""")
    assert said == ["SoldOut", "KeyError", "KeyError", "KeyError", 1, "KeyError", 1, "SoldOut", "ValueError", "SoldOut", 2]
    assert sold == {"F": ["a"], "M": [None, "b"]}
