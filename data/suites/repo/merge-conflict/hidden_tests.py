"""Both features, alone and together, and no marker left."""
import re


def report(*lines, **options):
    return call("weather.report:report", list(lines), **options)


def test_units():
    assert report("Kiel: 30", "Bonn: 9") == ["Bonn 9 km/h", "Kiel 30 km/h"]
    assert report("Kiel: 30", "Bonn: 0", unit="mph") == ["Bonn 0 mph", "Kiel 19 mph"]
    raises("ValueError", "weather.report:report", ["Kiel: 30"], unit="knots")
    assert call("weather.report:report", ["Kiel: 30"], "mph") == ["Kiel 19 mph"]


def test_gusts():
    assert report("a:b: 30-40", "Bonn: 9-18", "Aue: 0-10") == ["Aue 0 km/h (gusts 10 km/h)", "Bonn 9 km/h", "a:b 30 km/h (gusts 40 km/h)"]


def test_gusts_in_miles():
    assert report("Kiel: 30-45", unit="mph") == ["Kiel 19 mph (gusts 28 mph)"]
    assert report("Kiel: 30-40", "Ulm: 30-39", "Aue: 50-61", unit="mph") == ["Aue 31 mph (gusts 38 mph)", "Kiel 19 mph (gusts 25 mph)", "Ulm 19 mph"]


def test_readings():
    assert evaluate("(lambda r: (r.station, r.wind, r.gust))(weather.reading.parse('Kiel: 12-30'))") == ("Kiel", 12, 30)
    assert evaluate("(lambda r: (r.station, r.wind, r.gust))(weather.reading.parse(' Kiel : 12 '))") == ("Kiel", 12, None)
    assert evaluate("weather.reading.Reading('x', 3).gust") is None
    for line in ("Kiel: -3", "Kiel: -3-5", "Kiel: 5--7", "Kiel: 30-20", "Kiel: -30-20", "Kiel", "Kiel: x", "Kiel: 3-", "Kiel:", "Kiel: 1-2-3", "Kiel: 3--3"):
        error = raises("ValueError", "weather.reading:parse", line)
        assert error.type == "ValueError", line
    assert evaluate("weather.reading.parse('Kiel: 7-7').gust") == 7


def test_strongest():
    assert call("weather.report:strongest", ["Bonn: 9-18", "Kiel: 17", "Ulm: 18"]) == "Bonn"
    assert call("weather.report:strongest", ["Bonn: 9-18", "Kiel: 40", "Ulm: 18-39"]) == "Kiel"
    assert call("weather.report:strongest", []) is None
    raises("ValueError", "weather.report:strongest", ["Bonn: -1"])


def test_no_marker_is_left():
    for path in workspace.files():
        if path.endswith((".py", ".md")):
            assert not any(line.startswith(("<<<<<<<", "=======", ">>>>>>>")) for line in workspace.text(path).splitlines()), path
    text = workspace.text("CHANGES.md")
    for line in ('`unit="mph"`', "below 0 km/h", "`12-30`", "`strongest`", "sorted by station"):
        assert text.count(line) == 1, line


def test_the_tests_of_both_branches():
    code, _, errors = run(["python", "-m", "unittest", "discover", "-s", "tests"])
    assert code == 0 and int(re.search(r"Ran (\d+) test", errors)[1]) >= 4, errors[-500:]
