"""The program with its options, alone and together."""
import json

SONG = "samples/song.txt"


def words(*argv, stdin=""):
    return run(["python", "-m", "words", *argv], stdin=stdin)


def test_as_it_was():
    assert words("--top", "2", SONG) == (0, "6\tround\n4\tthe\n", "")
    assert words(stdin="b a B")[:2] == (0, "2\tb\n1\ta\n")
    assert words(stdin="")[:2] == (0, "")


def test_min_length():
    assert words("--min-length", "5", "--top", "3", SONG)[:2] == (0, "6\tround\n3\träder\n3\tswish\n")
    assert words("--min-length", "6", SONG)[:2] == (0, "1\tdrehen\n1\twheels\n1\twipers\n")
    assert words("--min-length", "2", stdin="a bb ccc bb ä üü")[:2] == (0, "2\tbb\n1\tccc\n1\tüü\n")
    assert words("--min-length", "1", stdin="b a B")[:2] == (0, "2\tb\n1\ta\n")
    assert words("--min-length", "40", SONG)[:2] == (0, "")


def test_errors_of_usage():
    for value in ("0", "-1", "x", "2.5", ""):
        code, out, errors = words("--min-length", value, SONG)
        assert (code, out) == (2, ""), value
        assert "usage:" in errors and "Traceback" not in errors, value


def test_json():
    code, out, _ = words("--json", "--top", "3", SONG)
    assert code == 0 and json.loads(out) == [{"word": "round", "count": 6}, {"word": "the", "count": 4}, {"word": "and", "count": 3}]
    code, out, _ = words("--json", "--min-length", "5", "--top", "2", SONG)
    assert code == 0 and json.loads(out) == [{"word": "round", "count": 6}, {"word": "räder", "count": 3}]
    assert "räder" in out
    code, out, _ = words("--json", stdin="")
    assert code == 0 and json.loads(out) == []


def test_the_readme():
    text = workspace.text("README.md")
    assert "--min-length" in text and "--json" in text and "--top N" in text
