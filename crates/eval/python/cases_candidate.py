"""What is promised of the session of what is tested: it answers with values, and with why there is none."""
import os
import sys

from casebook import Casebook

case = Casebook()
SHOP = """RATE = 3
class Cart:
    size = {'n': 2}
    @staticmethod
    def total(*items, rate=1):
        return sum(items) * rate
async def later(x):
    return x + 1
def fail(kind, *words):
    raise kind(*words)
"""


@case
def functions_are_called_by_their_names(room):
    answer = room.candidate(
        "import math\ndef f(*a, **k):\n    return [a, k]\nclass A:\n    b = f\nasync def g():\n    return 5\n",
        {"shop.py": SHOP, "pack/__init__.py": "", "pack/inner.py": "def h():\n    return __name__"}
    )
    for request, value in [
        (("solution:f", [1, "a"], {"k": (2,)}), [(1, "a"), {"k": (2,)}]), (("solution:f", [], {}), [(), {}]),
        (("solution:A.b", [], {}), [(), {}]), (("shop:Cart.total", [2, 3], {"rate": 2}), 10),
        (("solution:g", [], {}), 5), (("shop:later", [1], {}), 2), (("pack.inner:h", [], {}), "pack.inner"),
        (("math:gcd", [4, 6], {}), 2)
    ]:
        got = room.asked(answer, "call", *request)
        assert got == ("value", value) and type(got[1]) is type(value), (request, got)


@case
def modules_keep_their_state_and_the_solution_hides_files(room):
    answer = room.candidate(
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n\n", {"solution.py": "def f():\n    return 'file'\n"}
    )
    assert [room.asked(answer, "call", "solution:f", [], {}) for _ in range(2)] == [("value", 1), ("value", 2)]
    answer = room.candidate(None, {"solution.py": "def f():\n    return 'file é'\n"})
    before = list(sys.path)
    assert before[0] == room.workspace and room.asked(answer, "call", "solution:f", [], {}) == ("value", "file é")
    answer = room.candidate("def f():\n    return 'é'\n")
    assert room.asked(answer, "call", "solution:f", [], {}) == ("value", "é")
    assert os.listdir(sys.path[0]) == ["solution.py"] and sys.path[1:] == before


@case
def files_that_are_newer_than_the_session_are_found(room):
    room.scan({"late.py": "def f():\n    return 1\n"})
    assert room.asked(room.candidate(), "call", "late:f", [], {}) == ("value", 1)


@case
def what_is_not_there_is_refused_and_not_raised(room):
    answer = room.candidate("x = 1\ndef f():\n    import nowhere\n", {
        "ends.py": "import sys\nsys.exit(0)", "wrong.py": "no Python",
        "mute.py": "class E(Exception):\n    def __str__(self):\n        raise ValueError\nraise E",
        "broken.py": "raise ValueError('why')"
    })
    for target, why in [
        ("solution:g", "AttributeError"), ("nowhere:f", "ModuleNotFoundError"), ("ends:f", "SystemExit: 0"),
        ("wrong:f", "SyntaxError"), ("broken:f", "ValueError: why"), ("solution:x.y", "AttributeError"),
        ("math:gcd:x", "AttributeError"), (":f", "ValueError"), ("solution:", "AttributeError")
    ]:
        kind, said = room.asked(answer, "call", target, [], {})
        assert kind == "refused" and said.startswith(f"{target} is not there: {why}"), (target, kind, said)
    assert room.asked(answer, "call", "mute:f", [], {}) == ("refused", "mute:f is not there: E")
    assert room.asked(answer, "call", "solution:f", [], {})[:2] == (
        "raised", ["ModuleNotFoundError", "ImportError", "Exception", "BaseException", "object"]
    )
    assert room.asked(answer, "call", "solution:x", [], {})[0] == "raised"


@case
def what_is_raised_is_told_with_all_its_names(room):
    answer = room.candidate(
        "import sys\nclass E(KeyError):\n    pass\n"
        "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\n"
        "def e():\n    raise E('a')\ndef mute():\n    raise Mute\ndef end():\n    sys.exit(0)\n"
        "def long(n):\n    raise OSError('a' * n)\n"
    )
    assert room.asked(answer, "call", "solution:e", [], {}) == (
        "raised", ["E", "KeyError", "LookupError", "Exception", "BaseException", "object"], "'a'"
    )
    assert room.asked(answer, "call", "solution:mute", [], {}) == (
        "raised", ["Mute", "Exception", "BaseException", "object"], ""
    )
    assert room.asked(answer, "call", "solution:end", [], {}) == (
        "raised", ["SystemExit", "BaseException", "object"], "0"
    )
    for count in (9_999, 10_000, 10_001):
        assert room.asked(answer, "call", "solution:long", [count], {})[2] == "a" * min(count, 10_000)
    assert room.asked(answer, "call", "solution:e", [1], {})[1][0] == "TypeError"


@case
def what_is_no_plain_value_is_refused(room):
    answer = room.candidate(
        "class Lie:\n    @property\n    def __class__(self):\n        return int\nclass Own:\n    pass\n"
        "def f(kind):\n    return {'lie': Lie(), 'own': Own(), 'long': 'a' * (4 << 20)}[kind]\n"
        "def g():\n    deep = []\n    for _ in range(100_000):\n        deep = [deep]\n    return deep\n"
    )
    for target, arguments, why in [
        ("f", ["own"], "it gives a value of the type Own, which is no plain value"),
        ("g", [], "it gives a value that is nested"), ("f", ["lie"], "it gives a value that fails with TypeError"),
        ("f", ["long"], "it gives a value that takes")
    ]:
        kind, said = room.asked(answer, "call", f"solution:{target}", arguments, {})
        assert kind == "refused" and said.startswith(why), (target, said)


@case
def the_end_of_the_time_is_kept_by_nobody(room):
    answer = room.candidate(
        "def f():\n    raise KeyboardInterrupt\nasync def g():\n    raise KeyboardInterrupt\n"
        "class array:\n    __module__ = 'numpy'\n    def tolist(self):\n        raise KeyboardInterrupt\n",
        {"ends.py": "raise KeyboardInterrupt"}
    )
    for request in [
        ("call", "solution:f", [], {}), ("call", "ends:f", [], {}), ("call", "solution:array", [], {}),
        ("evaluate", "ends.x"), ("call", "solution:g", [], {})
    ]:
        try:
            said = room.asked(answer, *request)
        except KeyboardInterrupt:
            continue
        raise AssertionError(f"{request}: {said}")


@case
def expressions_import_what_they_name(room):
    answer = room.candidate("def f(n):\n    return n * 2\n", {
        "shop.py": SHOP, "pack/__init__.py": "", "pack/late.py": "v = 9\n", "anon.py": "raise ModuleNotFoundError('m')",
        "needy.py": "import need", "pack/inner.py": "y = 4\nclass Z:\n    w = 6\n", "needs.py": "import nowhere_else\n",
        "len.py": "1 / 0", "wrong.py": "raise ValueError('w')", "half/__init__.py": "import half.gone"
    })
    for expression, value in [
        ("vars(shop)['RATE']", 3), ("pack.inner.Z.w", 6), ("vars(pack.late)['v']", 9), ("shop.RATE + 1", 4),
        ("shop.Cart.size['n']", 2), ("pack.inner.y", 4), ("solution.f(shop.RATE)", 6), ("  1 + 1\n", 2),
        ("len([math.pi])", 1), ("[x for x in range(shop.RATE)]", [0, 1, 2]), ("os.path.basename('a/b')", "b"),
        ("__name__", "expression"), ("'a'.upper()", "A"), ("shop.Cart.total(pack.inner.y, 1)", 5)
    ]:
        assert room.asked(answer, "evaluate", expression) == ("value", value), expression
    for expression, name in [
        ("nowhere.x", "NameError"), ("needs.x", "ModuleNotFoundError"), ("x = 1", "SyntaxError"),
        ("anon.x", "ModuleNotFoundError"), ("needy.x", "ModuleNotFoundError"), ("wrong.x", "ValueError"),
        ("shop.nothing", "AttributeError"), ("pack.gone.x", "AttributeError"), ("1 / 0", "ZeroDivisionError"),
        ("1; 2", "SyntaxError"), ("half.x", "ModuleNotFoundError"), ("exit_(", "SyntaxError")
    ]:
        got = room.asked(answer, "evaluate", expression)
        assert got[0] == "raised" and got[1][0] == name, (expression, got)


@case
def a_question_that_is_none_raises(room):
    answer = room.candidate()
    for request in [("other",), ("call",), ("evaluate", 5), ("run", [], ""), ("call", "math:gcd")]:
        assert room.asked(answer, *request)[0] == "raised", request


@case
def programs_run_in_the_workspace(room):
    answer = room.candidate(None, {"a.txt": "content", "say.sh": "cat a.txt; cat; echo no >&2; exit 3"})
    assert room.asked(answer, "run", ["sh", "say.sh"], " é\n") == ("value", (3, "content é\n", "no\n"))
    assert room.asked(answer, "run", ["sh", "-c", "cat"], b"\xff") == ("value", (0, "\ufffd", ""))
    assert room.asked(answer, "run", ["sh", "-c", "cat >&2; printf '\\377' >&2"], b"") == ("value", (0, "", "\ufffd"))
    assert room.asked(answer, "run", ["no-such-program"], "")[:2][1][0] == "FileNotFoundError"


@case
def python_is_the_interpreter_itself(room):
    answer = room.candidate()
    os.environ["PATH"], path = "", os.environ["PATH"]
    try:
        for program in ("python", "python3"):
            said = room.asked(answer, "run", [program, "-ISc", "import sys; print(sys.executable, input())"], "1")
            assert said == ("value", (0, f"{sys.executable} 1\n", "")), said
    finally:
        os.environ["PATH"] = path
