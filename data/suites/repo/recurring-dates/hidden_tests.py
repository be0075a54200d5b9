"""Behaviour before and after, and that the new function does the work."""
import json

DRIVER = """
import json, sys
from datetime import date
import planner.recurrence as recurrence

calls = []
true = recurrence.occurrences


def counted(event, first, last):
    calls.append(event["name"])
    return true(event, first, last)


recurrence.occurrences = counted
from planner import agenda, reminders


def dated(value):
    return {key: date.fromisoformat(text) if key in ("start", "until") else text for key, text in value.items()}


said = []
for name, *arguments in json.load(sys.stdin):
    given = [dated(a) if isinstance(a, dict) else [dated(b) for b in a] if isinstance(a, list)
             else date.fromisoformat(a) if isinstance(a, str) else a for a in arguments]
    before = len(calls)
    function = {"occurrences": true, "days": agenda.days, "lines": agenda.lines, "due": reminders.due}[name]
    value = function(*given)
    if not isinstance(value, list):
        value = ["no list", str(type(value))]
    said.append([[x.isoformat() if isinstance(x, date) else x for x in value], len(calls) - before])
print(json.dumps(said))
"""
CHOIR = {"name": "choir", "start": "2024-01-03", "every": "week", "until": "2024-03-06"}
RENT = {"name": "rent", "start": "2024-01-31", "every": "month"}
TABLETS = {"name": "tablets", "start": "2024-02-26", "every": "day", "until": "2024-03-02"}
PARTY = {"name": "party", "start": "2024-03-02"}
FAIR = {"name": "fair", "start": "2024-03-02", "until": "2024-03-02"}
ALL = [RENT, CHOIR, TABLETS, PARTY, FAIR]


def ask(*questions):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps(questions))
    assert code == 0, errors[-500:]
    return json.loads(out)


def test_the_new_function():
    got = ask(["occurrences", CHOIR, "2024-02-20", "2024-04-01"], ["occurrences", RENT, "2024-02-29", "2024-04-30"],
              ["occurrences", PARTY, "2024-03-02", "2024-03-02"], ["occurrences", FAIR, "2024-03-02", "2024-03-02"],
              ["occurrences", PARTY, "2024-03-03", "2024-03-04"])
    assert [days for days, _ in got] == [["2024-02-21", "2024-02-28", "2024-03-06"],
                                         ["2024-02-29", "2024-03-31", "2024-04-30"], ["2024-03-02"], ["2024-03-02"], []]


def test_agenda_is_as_it_was():
    got = ask(["days", CHOIR, "2024-02-28", "2024-03-31"], ["days", RENT, "2025-02-01", "2025-04-29"],
              ["days", TABLETS, "2024-03-01", "2024-03-09"], ["lines", ALL, "2024-02-28", "2024-03-02"])
    assert [days for days, _ in got] == [
        ["2024-02-28", "2024-03-06"], ["2025-02-28", "2025-03-31"], ["2024-03-01", "2024-03-02"],
        ["2024-02-28 choir", "2024-02-28 tablets", "2024-02-29 rent", "2024-02-29 tablets", "2024-03-01 tablets",
         "2024-03-02 fair", "2024-03-02 party", "2024-03-02 tablets"]]
    assert all(count > 0 for _, count in got), "agenda does not call occurrences"


def test_reminders_are_as_they_were():
    got = ask(["due", ALL, "2024-02-27", 7], ["due", ALL, "2024-02-28", 7], ["due", ALL, "2024-03-01", 5],
              ["due", ALL, "2024-03-02", 60], ["due", [CHOIR], "2024-02-29", 6], ["due", [RENT], "2024-02-01", 27],
              ["due", [RENT], "2024-02-01", 28], ["due", [PARTY], "2024-03-01", 1], ["due", [PARTY], "2024-03-02", 0])
    assert [days for days, _ in got] == [
        [[1, "choir"], [1, "tablets"], [2, "rent"], [4, "party"]], [[1, "rent"], [1, "tablets"], [3, "party"]],
        [[1, "party"]], [[29, "rent"]], [], [], [[28, "rent"]], [[1, "party"]], []]
    assert all(count > 0 for _, count in got), "reminders does not call occurrences"


def test_the_old_arithmetic_is_gone():
    for path in ("planner/agenda.py", "planner/reminders.py"):
        text = workspace.text(path)
        assert "monthrange" not in text and "weeks=" not in text, path
