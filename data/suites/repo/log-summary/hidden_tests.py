"""Other logs."""
import json

DRIVER = """
import json, sys
from logsum.parse import entries
from logsum.summary import summarize

said = []
for name, lines in json.load(sys.stdin):
    found = entries(iter(lines))
    if name == "stream":
        seen = []
        def counted():
            for line in lines:
                seen.append(line)
                yield line
        found = entries(counted())
        said.append([len(seen), next(found)["message"], len(seen)])
    elif name == "summary":
        said.append(summarize(found))
    else:
        said.append([[entry["time"], entry["level"], entry["service"], entry["message"], entry["more"]] for entry in found])
print(json.dumps(said, default=str))
"""


def ask(name, *lines):
    code, out, errors = run(["python", "-c", DRIVER], stdin=json.dumps([[name, lines]]))
    assert code == 0, errors[-500:]
    return json.loads(out)[0]


def test_entries():
    got = ask("entries", "2024-03-01 23:59:58.120 ERROR [billing] card refused\n", "  Traceback:\n", "\n", "ValueError: no card\n",
              "2024-03-02 00:00:03.004 INFO [web] GET /index [ok]\r\n", "2024-03-02 00:00:03.005 DEBUG [a b-c]   x  \n",
              "2024-03-02 00:00:04.000 WARN [web]\n", "2024-03-02 00:00:04.000 WARN [web] ")
    assert got == [
        ["2024-03-01 23:59:58.120000", "ERROR", "billing", "card refused", ["  Traceback:", "", "ValueError: no card"]],
        ["2024-03-02 00:00:03.004000", "INFO", "web", "GET /index [ok]", []],
        ["2024-03-02 00:00:03.005000", "DEBUG", "a b-c", "  x  ", []],
        ["2024-03-02 00:00:04", "WARN", "web", "", []], ["2024-03-02 00:00:04", "WARN", "web", "", []]]


def test_what_begins_no_entry():
    bad = ["2024-02-30 10:00:00.000 INFO [web] x", "2024-02-03 25:00:00.000 INFO [web] x", "2024-02-03 10:00:00 INFO [web] x",
           "2024-02-03 10:00:00.000 FATAL [web] x", "2024-02-03  10:00:00.000 INFO [web] x", " 2024-02-03 10:00:00.000 INFO [web] x",
           "2024-02-03 10:00:00.000 INFO web x", "2024-02-03 10:00:00.0000 INFO [web] x", "24-02-03 10:00:00.000 INFO [web] x",
           "2024-02-03 10:00:00.000 INFO [web]x", "2024-02-03 10:00:00.000 info [web] x"]
    good = "2024-02-03 10:00:00.000 INFO [web] good"
    assert ask("entries", *bad) == []
    assert ask("entries", "junk", good, *bad) == [["2024-02-03 10:00:00", "INFO", "web", "good", bad]]
    assert ask("entries") == []


def test_entries_come_as_soon_as_they_are_whole():
    good = "2024-02-03 10:00:00.000 INFO [web] "
    before, message, after = ask("stream", good + "1\n", "more\n", good + "2\n", good + "3\n", good + "4\n", good + "5\n")
    assert message == "1" and before == 0 and after <= 3


def test_summaries_of_several_days():
    error = "ERROR [pay] timeout after {} ms"
    lines = [f"2024-03-05 08:00:0{second}.000 " + error.format(second) for second in range(2)]
    lines += ["2024-03-04 08:00:01.000 " + error.format(9), "2024-03-06 09:30:00.000 ERROR [pay] no card",
              "2024-04-04 08:00:01.000 " + error.format(12), "2024-03-03 12:00:00.000 INFO [pay] hello", "2024-03-07 01:00:00.000 WARN [web] x"]
    assert ask("summary", *lines) == {
        "pay": {"counts": {"ERROR": 5, "INFO": 1}, "first": "2024-03-03 12:00:00", "last": "2024-04-04 08:00:01",
                "worst minute": "2024-03-05 08:00:00", "errors": ["timeout after # ms", "no card"]},
        "web": {"counts": {"WARN": 1}, "first": "2024-03-07 01:00:00", "last": "2024-03-07 01:00:00", "worst minute": None, "errors": []}}


def test_equals():
    lines = [f"2024-03-0{day} 08:0{day}:00.000 ERROR [s] {word}" for day, word in ((3, "b"), (1, "c"), (2, "a"))]
    got = ask("summary", *lines)["s"]
    assert (got["worst minute"], got["errors"]) == ("2024-03-01 08:01:00", ["a", "b", "c"])


def test_the_program():
    code, out, errors = run(["python", "-m", "logsum", "samples/monday.log"])
    assert code == 0, errors[-500:]
    assert json.loads(out)["web"]["counts"] == {"INFO": 1, "WARN": 1}
