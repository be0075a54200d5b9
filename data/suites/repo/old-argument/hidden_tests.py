"""New ways, old ways and their warnings."""
import json

DRIVER = """import json, sys, warnings
from thumbs import fit
said = []
for line, (arguments, names) in enumerate(json.load(sys.stdin)):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = fit(*arguments, **names)
        except Exception as error:
            value = type(error).__name__
    said.append([value, [[w.category.__name__, "longest" in str(w.message), w.filename, w.lineno] for w in caught]])
print(json.dumps(said))
"""
LINE = DRIVER.split("\n").index("            value = fit(*arguments, **names)") + 1


def fits(*calls):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps(calls))
    assert code == 0, errors[-500:]
    return json.loads(out)


def test_the_new_way():
    assert fits([[800, 600], {"longest": 400}], [[], {"width": 300, "height": 600, "longest": 100}], [[10, 5], {"longest": 400}], [[1000, 2], {"longest": 10}]) == [
        [[400, 300], []], [[50, 100], []], [[10, 5], []], [[10, 1], []]]


def test_the_old_ways():
    warned = [["DeprecationWarning", True, "<string>", LINE]]
    assert fits([[800, 600, 400], {}], [[800, 600], {"max": 200}], [[], {"max": 100, "height": 600, "width": 300}], [[10, 5, 400], {}]) == [
        [[400, 300], warned], [[200, 150], warned], [[50, 100], warned], [[10, 5], warned]]


def test_no_limit_or_two():
    got = fits([[800, 600], {}], [[800, 600, 400], {"longest": 400}], [[800, 600], {"max": 4, "longest": 4}], [[800, 600, 400], {"max": 400}], [[800], {"longest": 4}],
               [[800, 600, 400, 3], {}], [[800, 600], {"longest": 4, "min": 1}], [[800, 600, 0], {"longest": 4}], [[800, 600], {"max": 0, "longest": 4}])
    assert [value for value, _ in got] == ["TypeError"] * 9


def test_own_code_warns_nobody():
    program = "from thumbs.sheet import sheet\nprint(sheet([(800, 600), (10, 20)], 40), sheet([], 3))"
    assert run(["python", "-W", "error", "-c", program]) == (0, "[(40, 30), (10, 20)] []\n", "")
    assert run(["python", "-W", "error", "-m", "thumbs", "800", "600", "400"]) == (0, "400 300\n", "")


def test_what_users_have():
    program = "import runpy, sys\nsys.path.insert(0, '.')\nrunpy.run_path('examples/poster.py')"
    code, out, errors = run(["python", "-W", "always", "-c", program])
    assert (code, out) == (0, "(400, 300)\n(200, 150)\n(50, 100)\n"), errors
    assert errors.count("DeprecationWarning") == 3 and all(f"poster.py:{line}:" in errors for line in (4, 5, 6)), errors


def test_the_changes():
    text = workspace.text("CHANGES.md")
    unreleased = text.split("## Unreleased")[1].split("## 2.1")[0]
    assert "longest" in unreleased and "* Sheets may be empty." in unreleased and "* First public version." in text
