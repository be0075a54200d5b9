"""Reports as before, and what the source was asked for."""
import json

DRIVER = """
import json, sys
from datetime import date
from portfolio.holdings import Holding
from portfolio.report import report


class Source:
    def __init__(self, rates):
        self.rates = {tuple(key): value for *key, value in rates}
        self.asked = []

    def rate(self, currency, other, day):
        self.asked.append([currency, other, day.isoformat()])
        return self.rates[currency, other, day.isoformat()]


said = []
for holdings, currency, days, rates in json.load(sys.stdin):
    source = Source(rates)
    try:
        rows = report([Holding(*holding) for holding in holdings], currency, [date.fromisoformat(day) for day in days], source)
        rows = [{**row, "day": row["day"].isoformat()} for row in rows]
    except LookupError:
        rows = "LookupError"
    said.append([rows, source.asked])
print(json.dumps(said))
"""
CORRECTED = """
import json
from datetime import date
from portfolio.holdings import Holding
from portfolio.report import report


class Source:
    def rate(self, currency, other, day):
        return known[currency, other]


known, said = {("USD", "EUR"): 0.9}, []
source, holdings, days = Source(), [Holding("USD", 1, 1.0)], [date(2024, 5, 3)]
said.append(report(holdings, "EUR", days, source)[0]["total"])
known["USD", "EUR"] = 1.8
said.append(report(holdings, "EUR", days, source)[0]["total"])
known.clear()
try:
    said.append(report(holdings, "EUR", days, source)[0]["total"])
except LookupError:
    said.append("LookupError")
print(json.dumps(said))
"""
HOLDINGS = [["USD", 10, 20.0], ["EUR", 3, 40.0], ["USD", 1, 100.0], ["CHF", 2, 50.0]]
RATES = [["USD", "EUR", "2024-05-03", 0.9], ["CHF", "EUR", "2024-05-03", 1.05], ["CHF", "EUR", "2024-05-05", 1.1]]


def reports(*calls):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps(calls))
    assert code == 0, errors[-500:]
    return json.loads(out)


def test_the_reports_are_as_they_were():
    (rows, _), = reports([HOLDINGS, "EUR", ["2024-05-05", "2024-05-03"], RATES])
    assert rows == [{"day": "2024-05-05", "total": 500.0, "shares": {"USD": 54.0, "EUR": 24.0, "CHF": 22.0}},
                    {"day": "2024-05-03", "total": 495.0, "shares": {"USD": 54.5, "EUR": 24.2, "CHF": 21.2}}]


def test_no_question_is_asked_twice():
    (_, asked), = reports([HOLDINGS, "EUR", ["2024-05-05", "2024-05-04", "2024-05-03", "2024-05-05"], RATES])
    wanted = [["USD", "EUR", day] for day in ("2024-05-03", "2024-05-04", "2024-05-05")]
    assert sorted(asked) == sorted(wanted + [["CHF", *rest] for _, *rest in wanted])


def test_a_currency_in_itself_needs_no_source():
    (rows, asked), = reports([[["EUR", 2, 2.5]], "EUR", ["2024-05-05"], []])
    assert (rows, asked) == ([{"day": "2024-05-05", "total": 5.0, "shares": {"EUR": 100.0}}], [])


def test_what_nobody_needs_is_not_asked():
    got = reports([HOLDINGS, "EUR", [], RATES], [[], "EUR", ["2024-05-05"], RATES], [HOLDINGS, "EUR", ["2024-05-03"], RATES])
    assert got[0] == [[], []] and got[1] == [[{"day": "2024-05-05", "total": 0, "shares": {}}], []]
    assert sorted(got[2][1]) == [["CHF", "EUR", "2024-05-03"], ["USD", "EUR", "2024-05-03"]]


def test_failures_are_not_asked_for_again():
    (rows, asked), = reports([[["USD", 1, 1.0]], "EUR", ["2024-05-10"], RATES])
    assert rows[0]["total"] == 0.9 and len(asked) == 8 and asked[-1] == ["USD", "EUR", "2024-05-03"]
    (rows, asked), = reports([[["USD", 1, 1.0]], "EUR", ["2024-05-11"], RATES])
    assert rows == "LookupError" and len(asked) == 8
    (rows, asked), = reports([[["USD", 1, 1.0]], "EUR", ["2024-05-09", "2024-05-10", "2024-05-08"], RATES])
    assert len(rows) == 3 and len(asked) == len(set(map(tuple, asked))) == 8


def test_two_reports_share_nothing():
    corrected = [[*key, value * 2] for *key, value in RATES]
    got = reports([[["USD", 1, 1.0]], "EUR", ["2024-05-03"], RATES], [[["USD", 1, 1.0]], "EUR", ["2024-05-03"], corrected])
    assert [rows[0]["total"] for rows, _ in got] == [0.9, 1.8]
    assert [len(asked) for _, asked in got] == [1, 1]
    code, out, errors = run(["python", "-c", CORRECTED])
    assert code == 0, errors[-500:]
    assert json.loads(out) == [0.9, 1.8, "LookupError"]


def test_a_total_of_nothing():
    (rows, asked), = reports([[["USD", 0, 20.0]], "EUR", ["2024-05-03"], RATES])
    assert rows == [{"day": "2024-05-03", "total": 0.0, "shares": {"USD": 0.0}}]
    assert len(asked) <= 1
