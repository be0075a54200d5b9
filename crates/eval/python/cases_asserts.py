"""What is promised of the asserts of a benchmark: they decide, where no solution reaches them if that is possible."""
import ast
from unittest import mock

from casebook import Casebook

case = Casebook()
DOUBLE = "def double(x):\n    return x * 2\n"


def item(code, *tests, given="", setup="", entry=None):
    return {"code": code, "given": given, "setup": setup, "tests": list(tests), "entry": entry}


def made(room, *parts, **more):
    answer, = room.translated(item(*parts, **more))
    assert set(answer) == {"code", "why", "asked"}, answer
    return answer


def judged(room, answer, right=(), wrong=()):
    room.hurry()
    for solution in right:
        told = room.told(answer["code"], solution)
        assert list(told) == ["passed"], (solution, told)
    for solution in wrong:
        told = room.told(answer["code"], solution)
        assert list(told) == ["failed"], (solution, told)


@case
def asserts_become_tests_that_ask_for_functions(room):
    answer = made(
        room, DOUBLE + "def other():\n    pass\n", "assert double(2) == 4", "assert double('a') == 'aa'\n",
        "assert (double(x=0))==0 "
    )
    assert answer["why"] == "" and answer["asked"] == ["double"], answer
    judged(room, answer, [DOUBLE, f"```python\n{DOUBLE}```"[10:-3]], [
        "", "def double(x):\n    return x + 2\n", "def double(x):\n    return 4\n",
        "def double(y):\n    return y * 2\n", "import sys\nsys.exit(0)",
        "class All(int):\n    def __eq__(self, other):\n        return True\ndef double(x):\n    return All(1)",
        "def double(x):\n    return x * 2 if x else 1\n"
    ])
    assert room.told(answer["code"], DOUBLE) == {"passed": 3}
    assert room.told(answer["code"], DOUBLE.replace("2", "3"))["failed"] == (
        "test_1: AssertionError\nin line 19: assert double(2) == 4"
    )


@case
def what_is_made_reads_as_the_source_did(room):
    answer = made(
        room,
        "import math\nimport re\nfrom os import path, sep\ndef f(x):\n    return x\ndef a(x):\n    return x\n",
        "assert f(math.pi) > a(3)", "for n in range(3):\n    assert f(n) == n\n", "", setup="LIMIT = 3"
    )
    head, _, rest = answer["code"].partition("class _Asked:")
    assert ast.get_docstring(ast.parse(head)).startswith("The asserts of the source."), head
    assert head.endswith('"""\n\n\n'), head
    assert rest.endswith("""

import math
a = _Asked('a')
f = _Asked('f')
LIMIT = 3


def test_1():
    assert f(math.pi) > a(3)


def test_2():
    exec('for n in range(3):\\n    assert f(n) == n\\n', globals())


def test_3():
    pass
"""), rest
    judged(room, answer, ["def f(x):\n    return x\na = f"], [
        "def f(x):\n    return x\ndef a(x):\n    return 4", "def f(x):\n    return x or 1\na = f"
    ])


@case
def a_check_of_an_entry_is_one_test(room):
    given = (
        "import math\nfrom __future__ import annotations\nfrom typing import List\n"
        "def coded(x: Nobody):\n    return x + 1\n\ndef double(n: List):\n"
    )
    given = given.replace(
        "import math\nfrom __future__ import annotations\n", "from __future__ import annotations\nimport math\n"
    )
    answer = made(
        room, given + '    """Two times."""\n    return n * 2\n',
        "def check(candidate):\n    assert candidate(coded(1)) == 4\n    assert candidate(math.floor(3.5)) == 6\n",
        given=given + '    """Two times."""\n', entry="double"
    )
    assert answer["why"] == "" and answer["asked"] == ["double"], answer
    code = answer["code"]
    assert code.splitlines()[1] == "from __future__ import annotations" and code.count("from __future__") == 1
    assert "from typing import List" in code and "def coded" in code
    assert code.endswith("\n\n\ndef test_check():\n    check(double)\n")
    judged(room, answer, ["def double(n):\n    return n * 2"], [
        "", "def double(n):\n    return n + n + 1", "def double(n):\n    return 4",
        "def check(x):\n    pass\ndef double(n):\n    return 0",
        "def coded(x):\n    return 0\ndef double(n):\n    return {0: 4, 3: 6}.get(n)"
    ])


@case
def what_the_context_imports_hides_nothing_of_the_grader(room):
    given = "from subprocess import call\ndef f(n):\n"
    answer = made(
        room, given + "    return n\n", "def check(c):\n    assert c(1) == 1 and call is not c\n", given=given,
        entry="f"
    )
    judged(room, answer, ["def f(n):\n    return n"], ["def f(n):\n    return 2"])


@case
def what_tests_nothing_or_is_no_python_is_a_fault(room):
    for parts, more, fault in [
        (("def f(:", "assert f()"), {}, ("code", "is no Python")),
        (("a\0", "assert f()"), {}, ("code", "is no Python")),
        ((DOUBLE, "assert ("), {}, ("tests", "is no Python")),
        ((DOUBLE, "assert double(1)", "x ="), {}, ("tests", "is no Python")),
        ((DOUBLE, "assert double(1)"), {"setup": "1 +"}, ("tests", "is no Python")),
        ((DOUBLE, "assert 1 == 1"), {}, ("tests", "asks for no function")),
        ((DOUBLE,), {}, ("tests", "asks for no function")),
        ((DOUBLE, "assert print(1)"), {}, ("tests", "asks for no function")),
        (
            (DOUBLE, "def check(c):\n    assert c(1)"), {"entry": "triple"},
            ("entry_point", "is `triple`, which the code does not define")
        ),
        ((DOUBLE, "assert double(1)"), {"entry": "double"}, ("tests", "defines no function `check`")),
        (("double = len", "def check(c):\n    assert c(1)"), {"entry": "double"}, ("entry_point", "is `double`")),
        (("x = " + "-" * 200_000 + "1", "assert f()"), {}, ("code", "is no Python")),
        ((DOUBLE, "assert double(" + "-" * 200_000 + "1)"), {}, ("tests", "is no Python")),
        (("nonlocal x", "assert f()"), {}, ("code", "is no Python")),
        ((DOUBLE, "def f(a, a):\n    pass\nassert double(1)"), {}, ("tests", "is no Python"))
    ]:
        answer, = room.translated(item(*parts, **more))
        told = (parts[0][:50], more, answer)
        assert list(answer) == ["fault"] and answer["fault"][0] == fault[0], told
        assert answer["fault"][1].startswith(fault[1]), told
    answer, = room.translated(item(DOUBLE, "assert double(1)", setup="from __future__ import annotations"))
    assert answer["fault"][0] == "tests" and answer["fault"][1].startswith("is no Python: from __future__"), answer
    for error in (SyntaxError, ValueError, RecursionError, MemoryError):
        with mock.patch("ast.parse", side_effect=error("no")):
            assert room.translated(item(DOUBLE, "assert double(1)")) == [{"fault": ["code", "is no Python: no"]}], error
    answers = room.translated(item("(", ""), item(DOUBLE, "assert double(1) == 2"))
    assert "fault" in answers[0] and answers[1]["asked"] == ["double"], answers


@case
def what_cannot_cross_is_asserted_beside_the_solution(room):
    code = "def f(*a, **k):\n    return a\n"
    for test, why in [
        ("f(lambda: 1)", "a function is passed"), ("f(len)", "a function is passed"),
        ("f([1, (len, 2)])", "a function is passed"), ("f(k=len)", "a function is passed"),
        ("f({'a': len})", "a function is passed"), ("f({len: 1})", "a function is passed"),
        ("f(*[len])", "a function is passed"), ("f({1, int})", "a function is passed"),
        ("f(n for n in [1])", "a function is passed"), ("f(1j)", "complex numbers"), ("f(1) == 2j", "complex numbers"),
        ("f(range(3))", "a `range` is passed"), ("f([iter([])])", "a `iter` is passed"),
        ("f(map(str, []))", "a `map` is passed"), ("f(filter(None, []))", "a `filter`"), ("f(zip([]))", "a `zip`"),
        ("f(reversed([]))", "a `reversed`"), ("f(enumerate([]))", "a `enumerate`"), ("f(open('a'))", "a `open`"),
        ("f(complex(1))", "a `complex`"), ("f(object())", "a `object`"), ("f(memoryview(b''))", "a `memoryview`"),
        ("f(1, 2, len)", "a function is passed"), ("f(**{'a': 1}, b=len)", "a function is passed")
    ]:
        answer = made(room, code, f"assert {test}")
        assert answer["why"].startswith(why) and answer["asked"] == ["f"], (test, answer)
        assert "def test_asserts" in answer["code"], (test, answer)
        title = ast.get_docstring(ast.parse(answer["code"]))
        assert title.startswith("The asserts of the source run beside the solution") and answer["why"] in title, title
    for test in [
        "f(list(range(3)))", "f(x) for x in [1]", "len(f(1))", "list(map(len, [f(1)]))", "f([1, {'a': (2,)}], *[3])",
        "f(-1, n=2) != map", "f(1) or print(len)", "f(str(1))", "f(str.upper('a'))"
    ]:
        answer = made(room, code, "assert " + (f"[{test}]" if " for " in test else test))
        assert answer["why"] == "" and "_Asked('f')" in answer["code"], (test, answer["why"])


@case
def names_of_the_tests_are_no_builtins(room):
    for setup, test in [
        ("len = 5", "f(len)"), ("", "[f(max) for max in [1]]"), ("import math as id", "f(id)"),
        ("from os import sep as bin", "f(bin)"), ("", "(lambda int: f(int))(1)"), ("class set:\n    pass", "f(set)"),
        ("def sum():\n    pass", "f(sum)"), ("import math.sqrt as any", "f(any)"),
        ("async def oct():\n    pass", "f(oct)"), ("try:\n    1 / 0\nexcept Exception as abs:\n    f(abs)", "1"),
        ("import all.b", "f(all)"), ("def g(*hex, **dir):\n    f(hex, dir)", "g()")
    ]:
        answer = made(room, "def f(*a):\n    return a\n", f"assert {test}", setup=setup)
        assert answer["why"] == "", (setup, test, answer["why"])
    answer = made(room, "def f(*a):\n    return a\n", "try:\n    f(abs)\nexcept Exception:\n    pass")
    assert answer["why"].startswith("a function is passed")


@case
def what_the_solution_makes_is_asserted_beside_it(room):
    node = (
        "class Node:\n    def __init__(self, value):\n        self.value = value\nLIMIT = 3\n"
        "def depth(node):\n    return node.value\n"
    )
    answer = made(room, node, "assert depth(root) == 4", setup="root = Node(4)")
    assert answer["why"] == "`Node` is made by the solution" and answer["asked"] == ["depth"], answer
    assert made(room, node, "assert depth(Node(LIMIT)) == 3")["why"] == "`LIMIT` is made by the solution"
    assert made(room, node, "assert LIMIT == 3") == made(room, node, "assert LIMIT == 3") and made(
        room, node, "assert LIMIT == 3"
    )["asked"] == []
    assert made(
        room, node, "assert depth(Other) == depth(nobody) == depth(Any)"
    )["why"] == "`Any` is made by the solution"
    assert made(room, node, "assert depth(nobody)")["why"] == "`nobody` is made by the solution"
    assert made(
        room, node, "def check(candidate):\n    assert candidate(lambda n: n) == 1", entry="depth"
    )["why"].startswith("a function is passed")
    assert made(
        room, node, "def check(candidate):\n    assert depth(len) == 1", entry="depth"
    )["why"].startswith("a function is passed")
    assert made(room, node, "candidate = print\ncandidate(len)\nassert depth(1)")["why"] == ""
    assert made(
        room, node, "def test_own():\n    pass\nassert depth(1) == 1"
    )["why"] == "its own functions are named as tests are"
    assert made(room, "def test_sum(x):\n    return x\n", "assert test_sum(1) == 1")["why"] == ""


@case
def names_are_those_of_the_module_only(room):
    answer = made(
        room, "def twice(n):\n    return 2 * n\ndef f(n):\n    return n\n",
        "def g(f):\n    twice = 4\n    return f\nassert g(4) == twice(2)"
    )
    assert answer["asked"] == ["twice"] and answer["why"] == "", answer
    names = [f"f{letter}" for letter in "abcdefghijklm"]
    answer = made(
        room, "".join(f"def {name}():\n    return 1\n" for name in names),
        f"assert {'() + '.join(reversed(names))}() > 0"
    )
    assert answer["asked"] == names, answer
    answer = made(
        room, "def f(n):\n    return n\n", "def g():\n    global h\n    h = 3\n    return f(1)\ng()\nassert h == 3"
    )
    assert answer["asked"] == ["f"] and answer["why"] == "", answer
    answer = made(room, "def f(n):\n    return n\ndef g():\n    return 1\n", "g = 2\nassert f(g) == 2")
    assert answer["asked"] == ["f"] and answer["why"] == "", answer
    answer = made(
        room, "import os\nimport sys, re as r\ndef f(n):\n    return n\n", "assert f(os.sep) == r.escape('/')"
    )
    assert answer["why"] == "" and "\nimport os\nimport sys, re as r\nf = _Asked('f')\n" in answer["code"], answer
    given = "import math\nK = 3\ndef helper(n):\n    return n + K\ndef f(n):\n"
    answer = made(
        room, given + "    return n\n\nLATE = 1\n",
        "def check(candidate):\n    assert candidate(helper(K)) == helper(3)", given=given, entry="f"
    )
    assert answer["asked"] == ["f"] and answer["why"] == "", answer
    assert "LATE" not in answer["code"] and "\nK = 3\n" in answer["code"], answer
    assert answer["code"].count("import math") == 1
    answer = made(room, given + "    return n\n", "assert f(K) == 3", given=given.replace("def f(n):\n", ""))
    assert answer["why"] == "", answer
    answer = made(
        room, "from math import pi, e\ndef f(n):\n    return n\n",
        "def g():\n    global unused\n    return f(pi)\nassert g() > 3"
    )
    assert answer["why"] == "" and "\nfrom math import pi, e\n" in answer["code"], answer
    stub = "def f(n):\n    \"\"\"Doc.\"\"\"\n"
    answer = made(
        room, stub + "def f(n):\n    return n\n", "def check(c):\n    assert c(1) == 1", given=stub, entry="f"
    )
    assert answer["asked"] == ["f"] and "Doc" not in answer["code"], answer
    assert answer["code"].endswith("\n    assert c(1) == 1\n\n\ndef test_check():\n    check(f)\n"), answer
    answer = made(
        room, given + "    return n\n", "assert f(helper(1)) == K + 1", given=given.replace("def f(n):\n", "")
    )
    assert answer["asked"] == ["f"] and answer["why"] == "", answer
    answer = made(
        room, "def f(n):\n    def inner():\n        global made\n        made = 1\n    return n\n",
        "assert f(1) == made"
    )
    assert answer["why"] == "`made` is made by the solution", answer


@case
def a_function_that_is_named_as_a_test_is_asked_all_the_same(room):
    for name, number in [("test_1", 1), ("test_2", 2), ("test_check", 1)]:
        code, tests = f"def {name}(x):\n    return x\n", [f"assert {name}(1) == 1"] * number
        if name == "test_check":
            tests = ["def check(candidate):\n    assert candidate(1) == 1\n"]
        answer = made(room, code, *tests, entry=name if name == "test_check" else None)
        assert answer["why"] == "a function is named as a test is" and answer["asked"] == [name], answer
        judged(room, answer, [code], [code.replace("return x", "return 2")])
    assert made(
        room, DOUBLE, "assert double(test_1) == 8", setup="test_1 = 4"
    )["why"] == "a function is named as a test is"
    for name in ("test_2", "test_0", "test_check"):
        answer = made(room, f"def {name}(x):\n    return x\n", f"assert {name}(1) == 1")
        assert answer["why"] == "", answer
        judged(room, answer, [f"def {name}(x):\n    return x"], [f"def {name}(x):\n    return 2"])
    answer = made(room, "def test_1(x):\n    return x\n", "def check(c):\n    assert c(1) == 1\n", entry="test_1")
    assert answer["why"] == "", answer
