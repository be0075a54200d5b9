"""What is promised of the session of a grader: tests count only when all of them return, and replies are data."""
import json
import linecache

from casebook import Casebook

case = Casebook()
DOUBLE = "def double(x):\n    return x * 2\n"
NODES = {
    "a.txt": {"kind": "file", "number": 7}, "d": {"kind": "folder"}, "d/b.bin": {"kind": "file", "number": 8},
    "shut": {"kind": "other", "why": "it is shut"}, "pipe": {"kind": "other"}, "nothi": {"kind": "other"},
    "c.txt": {"kind": "file", "number": 9}
}


def fails(told, *parts):
    assert list(told) == ["failed"] and all(part in told["failed"] for part in parts), told


@case
def all_tests_must_return(room):
    def test(*bodies):
        return "\n".join(f"def test_{index}():\n    {body}" for index, body in enumerate(bodies))

    assert room.told(test("pass")) == {"passed": 1}
    assert room.told(test("assert True", "return False", "x = 1")) == {"passed": 3}
    others = "assert math.sqrt(x) == 2\n\nclass test_b: pass\ntest_c = 5"
    assert room.told("import math\nx = 4\n" + test(others)) == {"passed": 1}
    for index, bodies in enumerate([
        ("assert False", "pass", "pass"), ("pass", "assert 0", "pass"), ("pass", "pass", "assert ''")
    ]):
        fails(room.told(test(*bodies)), f"test_{index}: AssertionError")


@case
def the_first_failure_is_told_with_its_line(room):
    code = (
        "def f(x):\n    raise ValueError(x)\n\ndef test_a():\n    pass\n\ndef test_b():\n    f('odd')\n\n"
        "def test_c():\n    1 / 0\n"
    )
    assert room.told(code) == {"failed": "test_b: ValueError: odd\nin line 2: raise ValueError(x)"}
    assert room.told("def test_a():\n    x = 1\n    assert x == 2, 'x is one'\n") == {
        "failed": "test_a: x is one\nin line 3: assert x == 2, 'x is one'"
    }
    told = room.told("def test_a():\n    assert 1 == 2")
    assert told == {"failed": "test_a: AssertionError\nin line 2: assert 1 == 2"}
    told = room.told("import json\ndef test_a():\n    json.loads('{')\n")
    assert told["failed"].endswith("in line 3: json.loads('{')")
    assert room.told("x = 1\ny = z\ndef test_a():\n    pass\n") == {
        "failed": "the tests: NameError: name 'z' is not defined\nin line 2: y = z"
    }
    silent = "class Bad(Exception):\n    def __str__(self):\n        raise ValueError\ndef test_a():\n    raise Bad\n"
    assert room.told(silent) == {"failed": "test_a: Bad\nin line 5: raise Bad"}
    assert linecache.cache["<tests>"] == (len(silent), None, silent.splitlines(True), "<tests>")
    foreign = "import json\ndef test_a():\n    raise json.JSONDecodeError('m', 'd', 0).with_traceback(None)\n"
    assert room.told(foreign)["failed"].startswith("test_a: JSONDecodeError: m")
    told = room.told("exec(compile('def test_a(): 1 / 0', 'elsewhere', 'exec'))")
    assert told == {"failed": "test_a: ZeroDivisionError: division by zero"}
    fails(
        room.told("exec(compile('1 / 0', 'elsewhere', 'exec'))\ndef test_a():\n    pass"), "ZeroDivisionError",
        "in line 1:"
    )


@case
def nothing_that_is_raised_counts_as_passed(room):
    for what in [
        "Exception", "SystemExit(0)", "SystemExit", "GeneratorExit", "StopIteration", "BaseException", "NoAnswer('n')",
        "Raised(['E'], 'm')", "RecursionError", "MemoryError"
    ]:
        fails(room.told(f"def test_a():\n    raise {what}\n"), "test_a: " + what.split("(")[0])
        fails(room.told(f"raise {what}\ndef test_a():\n    pass\n"), "the tests: " + what.split("(")[0])
    for code in ["def test_a():\n    raise KeyboardInterrupt", "raise KeyboardInterrupt\ndef test_a():\n    pass"]:
        try:
            told = room.told(code)
        except KeyboardInterrupt:
            continue
        raise AssertionError(f"the end of the time is told as {told}")


@case
def tests_that_test_nothing_are_an_error(room):
    for code, why in [
        ("", "no function"), ("x = 1", "no function"), ("def tests(): pass", "no function"),
        ("class test_a: pass", "no function"), ("def check(): assert False\ntest_a = 1", "no function"),
        ("def test_a(:", "no Python"), ("a\0b", "no Python"), ("x = '\ud800'", "no Python"),
        ("def a_test_(): pass", "no function"), ("def best_a(): pass", "no function"),
        ("async def test_a(): pass", "`test_a` is no plain"), ("def test_a(): yield", "`test_a` is no plain"),
        ("async def test_a(): yield", "`test_a` is no plain"), ("def test_a(x): pass", "`test_a` is no plain"),
        ("def test_a(x=1): pass", "`test_a` is no plain"), ("def test_a(*x): pass", "`test_a` is no plain"),
        ("def test_a(): assert False\ndef test_b(x): pass", "`test_b` is no plain")
    ]:
        told = room.told(code)
        assert list(told) == ["broken"] and why in told["broken"], (code, told)


@case
def tests_are_given_what_the_turn_said(room):
    code = """from pathlib import Path
def test_a():
    assert __name__ == 'tests'
    assert (solution, reply) == ('S', 'R')
    assert transcript == [{'role': 'user', 'content': 'U'}, {'role': 'assistant', 'content': 'R'}]
    assert workspace.files() == ['a.txt', 'c.txt', 'd/b.bin'] and 'json' not in globals()
    assert callable(call) and callable(evaluate) and callable(run) and callable(raises)
    assert issubclass(Raised, Exception) and issubclass(NoAnswer, Exception)
"""
    transcript = [{"role": "user", "content": "U"}, {"role": "assistant", "content": "R"}]
    assert room.told(code, "S", nodes=NODES, reply="R", transcript=transcript) == {"passed": 1}
    assert room.told("def test_a():\n    assert solution is None and reply == '' and transcript == []") == {"passed": 1}
    future = "from __future__ import annotations\ndef f(x: Nobody): pass\ndef test_a():\n    f(1)"
    assert room.told(future) == {"passed": 1}


@case
def files_are_read_as_they_were_left(room):
    room.files({"7": "one\n", "8": b"\x00\xff", "9": "é"})
    workspace = room.session("grader")["Workspace"](NODES, room.workspace)
    for path in ("a.txt", "./a.txt", "/a.txt", "a.txt/", ".//a.txt"):
        assert workspace.text(path) == "one\n" and workspace.bytes(path) == b"one\n", path
    assert workspace.bytes("d//b.bin") == workspace.bytes("d/./b.bin") == b"\x00\xff"
    assert workspace.text("c.txt") == "é"
    for path, kind, why in [
        ("nothing", FileNotFoundError, "there is no nothing"), ("d/a.txt", FileNotFoundError, "there is no"),
        ("d", OSError, "it is a folder"), ("shut", OSError, "it is shut"), ("../a.txt", FileNotFoundError, ""),
        ("", FileNotFoundError, ""), ("a.txtx", FileNotFoundError, "")
    ]:
        try:
            found = workspace.bytes(path)
        except OSError as error:
            assert type(error) is kind and why in str(error), (path, error)
        else:
            raise AssertionError(f"{path} is {found!r}")
    try:
        workspace.text("d/b.bin")
    except UnicodeDecodeError:
        return
    raise AssertionError("what is no UTF-8 is a text")


@case
def what_cannot_be_seen_is_neither_there_nor_not(room):
    workspace = room.session("grader")["Workspace"](NODES, room.workspace)
    for path, is_there in [
        ("a.txt", True), ("d", True), ("d/", True), ("./d//b.bin", True), ("nothing", False), ("d/x", False),
        ("shut", False), ("pipe", False), ("a.txt/x", False), ("x/y/z", False), ("d/x/y", False)
    ]:
        assert workspace.exists(path) is is_there, path
    for path in ("shut/x", "shut/x/y", "./shut//x", "pipe/x"):
        try:
            found = workspace.exists(path)
        except OSError as error:
            assert "cannot be seen" in str(error), error
        else:
            raise AssertionError(f"{path}: {found}")


@case
def a_value_of_the_candidate_is_compared_where_it_cannot_reach(room):
    code = (
        "def test_a():\n    assert call('solution:double', 4) == 8\n"
        "def test_b():\n    assert call('solution:double', x=-3) == -6\n"
    )
    assert room.told(code, DOUBLE) == {"passed": 2}
    fails(room.told(code, DOUBLE.replace("* 2", "* 3")), "test_a: AssertionError", "in line 2")
    fails(room.told(code, DOUBLE.replace("x * 2", "abs(x) * 2")), "test_b")
    for odd in [
        "import sys\nsys.exit(0)", "raise KeyboardInterrupt", "", "no Python",
        "def double(x):\n    raise AssertionError('passed')", "print('{\"passed\": 2}')",
        "def double(x):\n    return float('nan')", "def double(x):\n    import sys\n    sys.exit(0)",
        "class All(int):\n    def __eq__(self, other):\n        return True\ndef double(x):\n    return All(1)",
        "class All:\n    def __eq__(self, other):\n        return True\ndef double(x):\n    return All()",
        "def double(x):\n    raise KeyboardInterrupt",
        "import builtins\ndef double(x):\n    return type('A', (), {'__eq__': any})"
    ]:
        fails(room.told(code, odd), "test_a: ")
    fails(room.told(code), "test_a: NoAnswer")


@case
def forged_replies_are_no_values(room):
    code = (
        "def test_a():\n    try:\n        value = call('m:f')\n    except NoAnswer as error:\n"
        "        assert str(error), 'it says nothing'\n"
        "    else:\n        raise ValueError(repr(value))\n"
    )
    for odd in [
        "", "passed", "null", "1", "[]", '"value"', "{}", '["value"]', '{"passed": 2}', '{"value": 1}',
        '{"value": "1"}', '{"value": null}', '{"value": "{\\"set\\": [{\\"list\\": []}]}"}',
        '{"value": "{\\"int\\": \\"g\\"}"}', "[" * 100_000, '{"value": "' + "[" * 100_000 + '"}',
        '{"raised": [], "message": "m"}', '{"raised": "Error", "message": "m"}', '{"raised": ["E"], "message": 1}',
        '{"raised": [1], "message": "m"}', '{"raised": ["E"]}', '{"raised": {"E": 1}, "message": "m"}',
        '{"raised": ["E", null], "message": "m"}', '{"raised": null, "message": "m"}', '{"message": "m"}',
        '{"raised": 1, "message": "m"}', '{"raised": ["E"], "message": ["m"]}', '{"value": {"int": "1"}}'
    ]:
        assert room.told(code, host=lambda request, odd=odd: odd) == {"passed": 1}, odd[:50]
    assert room.told(code, host=lambda request: '{"refused": 5}') == {"passed": 1}
    fails(room.told(code, host=lambda request: '{"raised": ["E"], "message": ""}'), "Raised: E: ")
    fails(room.told(code, host=lambda request: '{"value": "{\\"int\\": \\"1f\\"}"}'), "ValueError: 31")


@case
def what_is_asked_is_sent_as_it_is_meant(room):
    seen = []

    def host(request):
        seen.append(room.session()["from_text"](request))
        return '{"value": "null"}'

    code = (
        "def test_a():\n    call('m:f', 1, (2,), k={3})\n    evaluate('m.x')\n    run(['a', 'b'], stdin=b'c')\n"
        "    run(('a',))\n    assert call('m:g') is None\n    run(['a'], 'in')\n"
    )
    assert room.told(code, host=host) == {"passed": 1}
    assert seen == [
        ["call", "m:f", [1, (2,)], {"k": {3}}], ["evaluate", "m.x"], ["run", ["a", "b"], b"c"], ["run", ["a"], ""],
        ["call", "m:g", [], {}], ["run", ["a"], "in"]
    ], seen
    for question in [
        "call('m')", "call(5)", "call(b'm:f')", "call(None, 1)", "call([':', 'm'])", "run('ls')", "run([])", "run(())",
        "run(['a', 1])", "run(5)", "run({'a'})", "run({'a': 1})", "run([None])", "run('')"
    ]:
        fails(
            room.told(f"def test_a():\n    {question}\n", host=lambda request: '{"value": "null"}'), "test_a: TypeError"
        )
    fails(room.told("def test_a():\n    call('m:f', object())\n", host=host), "CannotCross")


@case
def what_is_raised_there_has_its_name_and_words(room):
    source = "class Own(KeyError):\n    pass\ndef f(x):\n    raise Own('no ' + x)\ndef g():\n    return 1\n"
    code = """def test_a():
    for kind in (KeyError, 'KeyError', 'Own', LookupError, Exception, BaseException):
        error = raises(kind, 'solution:f', 'way')
        assert (error.type, error.message) == ('Own', "'no way'") and error.names[:2] == ['Own', 'KeyError'], error
        assert str(error) == "Own: 'no way'"
    try:
        call('solution:f', x='k')
    except Raised as error:
        assert error.type == 'Own' and not isinstance(error, NoAnswer)
    else:
        assert False
"""
    assert room.told(code, source) == {"passed": 1}
    for asked, why in [
        ("ValueError, 'solution:f', 'a'", "raises Own: 'no a', and not ValueError"),
        ("'Key', 'solution:f', 'a'", "and not Key"),
        ("Exception, 'solution:g'", "gives 1, and does not raise Exception"),
        ("Exception, 'solution:h'", "is not there"), ("AttributeError, 'solution:h'", "NoAnswer"),
        ("TypeError, 'solution:f'", None), ("'Own', 'solution:f', x='k'", None), ("TypeError, 'solution:f', k=1", None),
        ("ModuleNotFoundError, 'nowhere:f'", "nowhere:f is not there: ModuleNotFoundError")
    ]:
        told = room.told(f"def test_a():\n    raises({asked})\n", source)
        assert told == {"passed": 1} if why is None else why in told["failed"], (asked, told)
    fails(
        room.told("def test_a():\n    raises(Exception, 'm:f')\n", host=lambda request: '{"value": "null"}'),
        "gives None"
    )
