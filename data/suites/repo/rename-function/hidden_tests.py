"""The new name works everywhere, the old one is gone, and its namesakes are not."""
import ast
import json
import re


def test_the_new_name():
    assert call("bank.ledger:balance_after", 100, [5, -20]) == 85
    assert call("bank:balance_after", 1, []) == 1
    assert call("bank:lowest", 10, [-5, -7, 20]) == -2
    assert evaluate("bank.balance_after is bank.ledger.balance_after") is True
    assert "balance_after" in evaluate("bank.__all__") and "calc" not in evaluate("bank.__all__")
    assert evaluate("bank.ledger.balance_after.__name__") == "balance_after"


def test_the_old_name_is_gone():
    assert evaluate("(hasattr(bank, 'calc'), hasattr(bank.ledger, 'calc'))") == (False, False)
    tree = ast.parse(workspace.text("bank/ledger.py"))
    assert "calc" not in [node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def test_namesakes_stay():
    assert evaluate("bank.sheet.Sheet([1, 2]).calc()") == 3
    commands = json.loads(workspace.text("settings.json"))["commands"]
    assert commands == {"calc": "bank.ledger:balance_after", "lowest": "bank.ledger:lowest"}


def test_the_program():
    for argv, said in ((["calc", "100", "5", "-20"], "85"), (["lowest", "10", "-5", "-7"], "-2"),
                       (["history"], "calc 100: 85\nsum 5: 12")):
        code, out, errors = run(["python", "-m", "bank", *argv])
        assert (code, out.strip()) == (0, said), errors[-300:]


def test_its_own_tests_pass_and_still_test():
    code, _, errors = run(["python", "-m", "unittest", "discover", "-s", "tests"])
    assert code == 0 and int(re.search(r"Ran (\d+) test", errors)[1]) >= 3, errors[-500:]
    text = workspace.text("tests/test_bank.py")
    assert "balance_after(100, [5, -20])" in text and "Sheet([1, 2]).calc(), 3" in text


def test_the_readme():
    text = workspace.text("README.md")
    assert "bank.balance_after(" in text and "bank.ledger.balance_after" in text
    assert "bank.calc" not in text and "ledger.calc" not in text
    assert "python -m bank calc 100 5 -20" in text and "`Sheet.calc`" in text and "calc 100: 85" in text
