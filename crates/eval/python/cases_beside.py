"""What is promised of asserts that run beside the solution."""
from casebook import Casebook
from cases_asserts import judged, made

case = Casebook()
APPLIED = "def applied(f, n):\n    return f(n)"


def beside(room):
    return made(
        room, APPLIED, "assert applied(lambda n: n + 1, 2) == 3", "assert applied(len, 'ab') == SIZE", setup="SIZE = 2"
    )


@case
def asserts_beside_the_solution_decide(room):
    judged(room, beside(room), [f"\n```python\n{APPLIED}\n```\n"], ["def applied(f, n):\n    return 3"])
    told = room.told(beside(room)["code"], "raise ValueError('a' * 900)")["failed"]
    assert told.startswith("test_asserts: " + "a" * 500 + "\nin line"), told


@case
def asserts_beside_the_solution_must_be_reached(room):
    answer = beside(room)
    assert "the program ends before its asserts do" in room.told(
        answer["code"], f"{APPLIED}\nprint('a' * 32)\nraise SystemExit"
    )["failed"]
    judged(room, answer, (), [
        f"{APPLIED}\nimport atexit, os\natexit.register(lambda: os._exit(3))", f"x```\n{APPLIED}\n```"
    ])


@case
def what_is_said_beside_the_asserts_makes_no_difference(room):
    answer = beside(room)
    judged(room, answer, [f"print('noise')\n{APPLIED}\nimport atexit\natexit.register(print)", f"```\n{APPLIED}\n```"])
    assert room.told(
        answer["code"], files={"7": APPLIED}, nodes={"solution.py": {"kind": "file", "number": 7}}
    ) == {"passed": 1}
    entry = made(
        room, "def f(g):\n    return g(1)\n", "def check(candidate):\n    assert candidate(lambda n: n) == 1\n",
        entry="f"
    )
    judged(room, entry, ["def f(g):\n    return g(1)"], ["def f(g):\n    return 2"])
