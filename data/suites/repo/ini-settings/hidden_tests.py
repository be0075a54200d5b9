"""The file that was written, read by this grader itself, and the code with files of its own."""
import configparser
import json

SETTINGS = {
    "station": {"name": "Zugspitze; west side", "ID": "0042", "height": 2962, "indoors": False, "note": ""},
    "sensors": {"names": ["temperature", "humidity", "wind"], "humidityFormat": "%d %% #now", "interval": 2.5,
                "calibration": None, "pin": "true"},
}
ODD = {"Odd": {"a": " x", "b": "x ", "c": "two\nlines", "d": '"quoted"', "e": "null", "f": "-1.5e3", "g": "[]", "h": "[1", "i": "NaN?",
               "j": "a = b: c", "k": "100%", "l": "%(x)s", "m": "# no comment", "n": "; none", "o": "grün", "p": "1 2", "q": "yes"},
       "Numbers": {"A": 1, "a": 1.0, "B": -7, "c": True, "D": [1, ["x", None], "a;b"], "e": None, "f": "12", "g": "False", "h": {"k": [0]}}}
ROUND = """
import json, sys
from station.settings import load, save
save(json.load(sys.stdin), "other.ini")
print(json.dumps(load("other.ini")))
"""


def parsed(text):
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


def same(one, other):
    """Equal, types included."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_the_file():
    found = parsed(workspace.text("settings.ini"))
    names = found["sensors"].pop("names")
    assert json.loads(names) == ["temperature", "humidity", "wind"] and "\n" not in names
    assert found == {
        "station": {"name": "Zugspitze; west side", "ID": '"0042"' if workspace.text("settings.ini").count('"0042"') else "0042",
                    "height": "2962", "indoors": "false", "note": '""'},
        "sensors": {"humidityFormat": "%d %% #now", "interval": "2.5",
                    "calibration": "null", "pin": '"true"'}}


def test_the_values_are_the_old_ones():
    assert same(call("station.settings:load"), SETTINGS)
    assert same(call("station.settings:load", "settings.ini"), SETTINGS)


def test_saved_is_loaded():
    code, out, errors = run(["python", "-c", ROUND], stdin=json.dumps(ODD))
    assert code == 0, errors[-500:]
    assert same(json.loads(out), ODD)


def test_what_technicians_write():
    text = "[S]\nName = C:\\x # y\nCount = 3\nOn = true\nList=[1,2]\nText : \"5\"\nEmpty = \"\"\nplain = true story\n"
    code, _, errors = run(["python", "-I", "-c", "import sys; open('field.ini', 'w').write(sys.stdin.read())"], stdin=text)
    assert code == 0, errors
    assert same(call("station.settings:load", "field.ini"), {"S": {
        "Name": "C:\\x # y", "Count": 3, "On": True, "List": [1, 2], "Text": "5", "Empty": "", "plain": "true story"}})


def test_the_program():
    assert run(["python", "-m", "station"])[:2] == (0, "0042 Zugspitze; west side, 2962 m, outside\n40 % #now\n")
    code, _, errors = run(["python", "-m", "station", "set", "station", "indoors", "true"])
    assert code == 0, errors[-500:]
    assert run(["python", "-m", "station"])[:2] == (0, "0042 Zugspitze; west side, 2962 m, inside\n40 % #now\n")
    changed = {**SETTINGS, "station": {**SETTINGS["station"], "indoors": True}}
    assert same(call("station.settings:load"), changed)
