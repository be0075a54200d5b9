"""The candidate's tests against copies that keep the promises of the README, and against copies that do not.

Each copy is made of what the task gave (which the grader knows is unchanged), written over the file in the copy of the
workspace, and forgotten again.
"""
import json

DRIVER = """
import json, pathlib, shutil, subprocess, sys
sources, said = json.load(sys.stdin), []
for folder in list(pathlib.Path(".").rglob("__pycache__")):
    shutil.rmtree(folder)
for source in sources:
    pathlib.Path("tokens/scan.py").write_text(source, encoding="utf-8")
    done = subprocess.run([sys.executable, "-B", "-m", "unittest", "tests/test_scan.py"], capture_output=True)
    said.append([done.returncode, done.stderr.decode("utf-8", "replace")[-500:]])
print(json.dumps(said))
"""
AT_ONCE = 10
SAME = [
    ("while at < len(text) and text[at] != \"\\n\":\n                at += 1",
     "at = text.find(\"\\n\", at) if \"\\n\" in text[at:] else len(text)"),
    ("raise ScanError(f\"{sign!r} is no token\", line)", "raise ScanError(\"what is this?\", line)"),
    ("KEYWORDS = {\"if\", \"else\", \"while\"}", "KEYWORDS = (\"while\", \"if\", \"else\")"),
    ("first, value = line, \"\"", "first = line\n    value = \"\""),
]
REWRITTEN = '''"""Another scanner that keeps the same promises."""
import re

ESCAPES = {"n": "\\n", '"': '"', "\\\\": "\\\\"}
PARTS = re.compile(r"""(?P<blank>[ \\t\\n]+|\\#[^\\n]*)|(?P<number>[0-9]+(?:\\.[0-9]+)?)|(?P<name>[^\\W\\d]\\w*)"""
                   r"""|(?P<sign>[<>=!]=|[-<>=+*/(){};])|(?P<text>")""")


class ScanError(ValueError):
    """No program."""

    def __init__(self, line):
        super().__init__(line)
        self.line = line


def scan(text):
    """All tokens."""
    made, at = [], 0
    while at < len(text):
        line = text.count("\\n", 0, at) + 1
        match = PARTS.match(text, at)
        if not match:
            raise ScanError(line)
        kind, value, at = match.lastgroup, match[0], match.end()
        if kind == "blank":
            continue
        if kind == "number":
            value = float(value) if "." in value else int(value)
        elif kind == "name" and value[0] != "_" and not value[0].isalpha():
            raise ScanError(line)
        elif kind == "name" and value in ("if", "else", "while"):
            kind = "keyword"
        elif kind == "text":
            value = ""
            while text[at:at + 1] != '"':
                piece = text[at:at + 2] if text[at:at + 1] == "\\\\" else text[at:at + 1]
                if piece in ("", "\\\\"):
                    raise ScanError(line)
                if len(piece) == 2 and piece[1] not in ESCAPES:
                    raise ScanError(text.count("\\n", 0, at) + 1)
                value += ESCAPES[piece[1]] if len(piece) == 2 else piece
                at += len(piece)
            at += 1
        made.append((kind, value, line))
    return made
'''
BROKEN = [
    ("the line after a text over several lines", "            line = end_line\n", ""),
    ("a text has the line of its end", "tokens.append((\"text\", value, line))", "tokens.append((\"text\", value, end_line))"),
    ("<= is two signs", "(\"<=\", \">=\", \"==\"", "(\"<\", \"<=\", \">=\", \"==\""),
    (">= is two signs", "(\"<=\", \">=\", \"==\"", "(\"<=\", \">\", \">=\", \"==\""),
    ("== is two signs", "(\"<=\", \">=\", \"==\", \"!=\"", "(\"<=\", \">=\", \"=\", \"==\", \"!=\""),
    ("!= is unknown", "\"==\", \"!=\", ", "\"==\", "),
    ("! is a sign", "\"/\", \"(\"", "\"/\", \"!\", \"(\""),
    ("\\n is an n", "\"n\": \"\\n\"", "\"n\": \"n\""),
    ("\\\\ is two backslashes", "\"\\\\\": \"\\\\\"}", "\"\\\\\": \"\\\\\\\\\"}"),
    ("a quote cannot be escaped", "'\"': '\"', ", ""),
    ("tabs can be escaped", "{\"n\": \"\\n\"", "{\"t\": \"\\t\", \"n\": \"\\n\""),
    ("a comment needs a line end", "while at < len(text) and text[at] != \"\\n\":\n                at += 1",
     "at = text.index(\"\\n\", at)"),
    ("a comment eats its line end", "while at < len(text) and text[at] != \"\\n\":\n                at += 1",
     "while at < len(text) and text[at] != \"\\n\":\n                at += 1\n            at += 1"),
    ("names that begin with a keyword", "name in KEYWORDS else", "name.startswith(tuple(KEYWORDS)) else"),
    ("no keyword while", "{\"if\", \"else\", \"while\"}", "{\"if\", \"else\"}"),
    ("no keyword else", "{\"if\", \"else\", \"while\"}", "{\"if\", \"while\"}"),
    ("keywords in capitals", "name in KEYWORDS else", "name.lower() in KEYWORDS else"),
    ("names without digits", "text[at].isalnum()", "text[at].isalpha()"),
    ("names do not begin with _", "sign == \"_\" or sign.isalpha()", "sign.isalpha()"),
    ("names without _ inside", "(text[at] == \"_\" or text[at].isalnum())", "(text[start] == \"_\" or text[at].isalnum())"),
    ("points without digits behind", " and text[at + 1:at + 2] and text[at + 1] in DIGITS", ""),
    ("numbers with a point are whole", "return float(text[start:at]), at", "return int(float(text[start:at])), at"),
    ("whole numbers are floats", "return int(text[start:at]), at", "return float(text[start:at]), at"),
    ("one digit behind the point", "        at += 1\n        while at < len(text) and text[at] in DIGITS:\n            at += 1\n",
     "        at += 2\n"),
    ("tabs are no blanks", "in \" \\t\"", "in \" \""),
    ("a text without an end says its last line", "raise ScanError(\"a text has no end\", first)",
     "raise ScanError(\"a text has no end\", line)"),
    ("a text without an end is a text", "raise ScanError(\"a text has no end\", first)", "return value, at, line"),
    ("a wrong escape says the first line", "cannot be escaped\", line)", "cannot be escaped\", first)"),
    ("a wrong character says the first line", "is no token\", line)", "is no token\", 1)"),
    ("a wrong character is passed over", "raise ScanError(f\"{sign!r} is no token\", line)", "at += 1\n                continue"),
    ("no braces", "\"{\", \"}\", ", ""),
    ("no line counts", "            line += 1\n            at += 1", "            at += 1"),
    ("line ends in a text are dropped", "        value += sign\n", "        value += sign.strip(\"\\n\")\n"),
    ("the error is no ValueError", "class ScanError(ValueError)", "class ScanError(Exception)"),
]


def outcomes(sources):
    """Exit code and what was said last, for each source, as they are needed."""
    for start in range(0, len(sources), AT_ONCE):
        code, out, errors = run(["python", "-I", "-c", DRIVER], stdin=json.dumps(sources[start:start + AT_ONCE]))
        assert code == 0, errors[-500:]
        said = json.loads(out)
        assert len(said) == len(sources[start:start + AT_ONCE])
        yield from said


def changed(text, old, new):
    if text.count(old) != 1:
        raise ValueError(f"{old!r} is there {text.count(old)} times")
    return text.replace(old, new)


def test_they_pass_for_what_keeps_the_promises():
    text = workspace.text("tokens/scan.py")
    for code, errors in outcomes([text, REWRITTEN] + [changed(text, old, new) for old, new in SAME]):
        assert code == 0 and "Ran 0 tests" not in errors, errors


def test_they_fail_for_what_does_not():
    text = workspace.text("tokens/scan.py")
    found = outcomes([changed(text, old, new) for _, old, new in BROKEN])
    for (name, _, _), (code, errors) in zip(BROKEN, found):
        assert code == 1 and "FAILED" in errors, f"not found: {name}"
