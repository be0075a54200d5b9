#!/usr/bin/env python3
"""Writes what the scripted model says in the browser tests, as JSON for tests/scripted_endpoint.py.

usage: python3 tests/ui/scenarios.py > FILE.json"""

import json
import sys

PNG = '''
import struct, zlib

class Figure:
    def _repr_png_(self):
        width, height = 240, 120
        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        rows = b"".join(b"\\0" + bytes(40 + (x * y) % 180 for x in range(width)) for y in range(height))
        head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

Figure()
'''

TABLE = '''
class Frame:
    def _repr_html_(self):
        cells = "".join(f"<tr><th>{n}</th><td>{n * n}</td><td>a &lt; b</td></tr>" for n in range(3))
        head = "<thead><tr style='text-align: right;'><th></th><th>square</th><th>note</th></tr></thead>"
        return f"<div><style scoped>td {{ color: red }}</style><table border='1' class='dataframe'>{head}<tbody>{cells}</tbody></table></div>"

Frame()
'''

# Everything that would run, load or lead away if it were believed.
EVIL = '<img src=x onerror="top.hacked=1;alert(1)"><script>top.hacked=2;alert(2)</script>'
EVIL_PAGE = (
    EVIL
    + "<style>body{background:url(http://evil.test/a)}</style><link rel=stylesheet href=http://evil.test/b>"
    + '<meta http-equiv=refresh content="0;url=http://evil.test/c"><iframe src="javascript:top.hacked=3"></iframe>'
    + '<form action=http://evil.test/d><button id=go>go</button></form><a id=away target=_top href=http://evil.test/e>away</a>'
    + '<svg onload="top.hacked=4"></svg><base href=http://evil.test/><object data=http://evil.test/f></object>'
    + '<img src="/v1/agent/sessions"><video src=http://evil.test/g></video>'
)
EVIL_SVG = (
    "<svg xmlns='http://www.w3.org/2000/svg' width='60' height='60' onload='top.hacked=5'><script>top.hacked=6</script>"
    "<image href='http://evil.test/h'/><rect width='60' height='60' style='fill:teal'/></svg>"
)
HOSTILE = f'''
page, svg, evil = {EVIL_PAGE!r}, {EVIL_SVG!r}, {EVIL!r}
class Page:
    def _repr_html_(self): return page
class Vector:
    def _repr_svg_(self): return svg
class Marked:
    def _repr_markdown_(self): return evil + " [x](javascript:top.hacked=7) ![y](http://evil.test/i)"
class Lies:
    def _repr_mimebundle_(self, **_): return {{"image/png": "\\" onerror=top.hacked=8 x=\\"", "text/plain": evil}}
display(Page()); display(Vector()); display(Marked()); display(Lies())
print(evil, "\\x1b]0;evil\\x07\\x1b[31mred\\x1b[0m \\u202egpj.exe")
open("<img src=x onerror=top.hacked=9>.txt", "w").write(evil)
open("\\u202egpj.exe", "w").write("x")
raise ValueError(evil)
'''


def run(code, thought=""):
    return f"{thought}\n<execute>\n{code.strip()}\n</execute>".strip()


def say(text):
    return f"<solution>{text}</solution>"


SINE = '''
import numpy as np
import matplotlib.pyplot as plt

x = np.linspace(0, 2 * np.pi, 200)
plt.figure(figsize=(6, 2.4))
plt.plot(x, np.sin(x), x, np.cos(x))
plt.show()
'''

SCENARIOS = [
    {"when": "(?i)draw", "replies": [run(PNG, "I draw **one** figure."), say("There it is.")], "delay": 0.002},
    {"when": "(?i)curves", "replies": [run(SINE, "I sample one period with `numpy` and draw both curves."), say("The curves cross at π/4 and 5π/4.")]},
    {"when": "(?i)squares", "replies": [run(TABLE, "I make a table."), say("| n | square |\n|---|--:|\n| 2 | 4 |")]},
    {
        "when": "(?i)sum the column",
        "replies": [
            run('rows = ["12", "30"]\nprint("reading")\nprint(sum(rows))', "I add the values up."),
            run("print(sum(int(row) for row in rows))", "They are text. I convert them first."),
            say("The sum is 42."),
        ],
        "delay": 0.002,
    },
    {"when": "(?i)print (\\d+) lines", "replies": [run("for number in range({{1}}):\n    print('line', number)"), say("Printed.")]},
    {"when": "(?i)remember (\\w+)", "replies": [run("kept = '{{1}}'\nprint(kept)"), say("I keep {{1}}.")]},
    {"when": "(?i)what did you keep", "replies": [run("print('it is', globals().get('kept'))"), say("See above.")]},
    {"when": "(?i)wait (\\d+)", "replies": [run("import time\nfor second in range({{1}}):\n    print(second, flush=True)\n    time.sleep(1)"), say("Waited.")]},
    {"when": "(?i)tell a story of (\\d+) words", "replies": ["<solution>" + " ".join(f"word{n}" for n in range(1, 301)) + "</solution>"], "delay": 0.02},
    {"when": "(?i)fail", "replies": [""], "status": 400},
    {"when": "(?i)be evil", "replies": [run(HOSTILE, EVIL), say(EVIL + " [x](javascript:top.hacked=10)")]},
    {"when": "(?i)add with the tool", "replies": [run("print('begun', flush=True)\nprint(add(2, b=40)['sum'])"), say("42")]},
    {"when": "(?i)hello", "replies": ["Hello. What shall I do?"]},
]

if __name__ == "__main__":
    json.dump(SCENARIOS, sys.stdout)
