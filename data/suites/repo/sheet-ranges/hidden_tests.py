"""Sheets and their values."""
import json

DRIVER = """
import json, sys
from sheet import Sheet
cells, names = json.load(sys.stdin)
sheet = Sheet(cells)
print(json.dumps([sheet.value(name) for name in names]))
"""
BASE = {"A1": "1", "A2": "2", "A3": "tea", "B1": "10", "B2": "=A1+A2", "B3": "", "C1": "-5", "C2": "=1/0", "C3": "=A3*1"}


def values(cells, *names):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps([cells, names]))
    assert code == 0, errors[-500:]
    got = json.loads(out)
    assert not any(isinstance(value, (int, bool)) for value in got), f"all numbers are floats: {got}"
    return got


def formulas(*texts):
    cells = {**BASE, **{f"M{row}": "=" + text for row, text in enumerate(texts, 1)}}
    return values(cells, *[f"M{row}" for row in range(1, len(texts) + 1)])


def test_as_it_was():
    assert formulas("a1 * (3 + 4) - 1", "A2/Z9", "-A1 + A3", "1+", "A1 A2", "2 * -3", "A3", "Z1", "--2", "AA1", "A100", "A0") == [
        6.0, "#DIV", "#TYPE", "#SYNTAX", "#SYNTAX", -6.0, "tea", None, 2.0, "#SYNTAX", "#SYNTAX", "#SYNTAX"]


def test_sum_max_count():
    assert formulas("SUM(A1:B2)", "MAX(A1:B3)", "COUNT(A1:B3)", "sum( a1 : b3 )", "SUM(A1:A1)", "SUM(D1:E5)", "MAX(D1:E5)", "COUNT(D1:E5)",
                    "MAX(C1:C1)", "MAX(C1, -7)") == [16.0, 10.0, 4.0, 16.0, 1.0, 0.0, 0.0, 0.0, -5.0, -5.0]


def test_corners_in_any_order():
    assert formulas("SUM(B2:A1)", "SUM(A2:B1)", "SUM(B1:A2)", "COUNT(B3:A1)") == [16.0, 16.0, 16.0, 4.0]


def test_several_arguments():
    assert formulas("SUM(A1, 2 * A2, A1:A3, 0.5)", "COUNT(A1, 7, Z1, A1:A3)", "SUM(SUM(A1:A2), MAX(A1:B1)) * 2", "-SUM(A1:A2) + (COUNT(A1))", "SUM(Z1)",
                    "MAX(-3, Z1)", "SUM(A1, A3)", "COUNT(A3)") == [8.5, 5.0, 26.0, -2.0, 0.0, 0.0, "#TYPE", "#TYPE"]


def test_errors_go_from_left_to_right():
    assert formulas("SUM(A1:C3)", "COUNT(C2:C3)", "SUM(C3:C2)", "SUM(C3, C2)", "SUM(A1, C2:C3)", "MAX(A3, C2)", "SUM(A1/0, A3*1)") == [
        "#DIV", "#DIV", "#DIV", "#TYPE", "#DIV", "#TYPE", "#DIV"]
    assert values({"A1": "=1/0", "B1": "=1+", "A2": "=B9*x", "C1": "=SUM(A2:B1)", "C2": "=SUM(B1:A2)"}, "C1", "C2") == ["#DIV", "#DIV"]
    assert values({"A1": "1", "B1": "=1+", "A2": "=1/0", "C1": "=SUM(A2:B1)"}, "C1") == ["#SYNTAX"]


def test_what_is_no_formula():
    wrong = ["SUM()", "SUM(A1:B2", "SUM A1:B2", "A1:B2", "(A1:B2)", "SUM(A1:B2 + 1)", "SUM(1:2)", "SUM(A1:)", "SUM(A1,)", "SUM(,A1)", "AVG(A1:B2)", "SUM", "SUM + 1",
             "1 + A1:B2", "SUM(A1:B2:C3)", "SUMX(A1)", "SUM(A1 B1)", "A1, A2", "SUM((A1:B2))"]
    assert formulas(*wrong) == ["#SYNTAX"] * len(wrong)


def test_cycles():
    cells = {"A1": "=A1", "B1": "=C1+1", "C1": "=D1*2", "D1": "=B1", "E1": "=D1+1", "F1": "=SUM(A2:F2)", "C2": "=F1", "G1": "=1/0+A1", "H1": "=A1+1/0",
             "G2": "=COUNT(A1:B1)", "H2": "=-SUM(H2)", "I1": "5", "I2": "=I1"}
    names = ["A1", "B1", "C1", "D1", "E1", "F1", "C2", "G1", "H1", "G2", "H2", "I2", "A1", "E1"]
    assert values(cells, *names) == ["#CYCLE"] * 7 + ["#DIV"] + ["#CYCLE"] * 3 + [5.0, "#CYCLE", "#CYCLE"]


def test_a_cell_used_twice_is_no_cycle():
    assert values({"A1": "2", "B1": "=A1+A1", "C1": "=B1+A1+B1", "D1": "=SUM(A1:C1, A1:C1)"}, "C1", "D1", "B1") == [10.0, 32.0, 4.0]


def test_cells_that_use_each_other_often():
    cells = {"A1": "1", **{f"A{row}": f"=A{row - 1}+A{row - 1}" for row in range(2, 12)}}
    assert values(cells, "A11") == [1024.0]


def test_a_cycle_is_one_from_wherever_it_is_asked():
    cells = {"A1": "=B1+1/0", "B1": "=A1", "C1": "=1/0+D1", "D1": "=C1"}
    for first in ("A1", "B1", "C1", "D1"):
        got = values(cells, first, "A1", "B1", "C1", "D1")
        assert got[1:] == ["#CYCLE", "#CYCLE", "#DIV", "#DIV"], first
