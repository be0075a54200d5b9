# case: 72
# title: rich values of the wrong types and with wrong names
# layer: none
# expect: held
# doctor: no
# seconds: 10
steps = []


class Bundle:
    def __init__(self, *answers):
        self.answers = answers

    def _repr_mimebundle_(self, include=None, exclude=None):
        return self.answers[0] if len(self.answers) == 1 else self.answers


class Image:
    def _repr_png_(self):
        return "not base64 \ud800!"

    def _repr_jpeg_(self):
        return 1.5

    def _repr_html_(self):
        raise SystemExit("raised by a rich value")

    def _repr_json_(self):
        cycle = []
        cycle.append(cycle)
        return cycle


steps.append(1)
Image()
# --- next cell
steps.append(2)
Bundle({1: 2, None: b"x", "": "", "no slash": "x", "text/html\r\nX-Header: y": "x", "../../etc": "x", "\ud800/\0": "x"})
# --- next cell
steps.append(3)
Bundle({f"text/x-{index}": "x" for index in range(50_000)})
# --- next cell
steps.append(4)
Bundle({"image/png": object(), "text/plain": 7, "application/json": {1, 2}, "text/html": Bundle({})}, "metadata")
# --- next cell
steps.append(5)
Bundle(7, 8, 9)
# --- next cell
steps.append(6)
Bundle({"m" * 10_000_000: "x"})
# --- next cell
def attack():
    if steps != [1, 2, 3, 4, 5, 6]:
        return f"escaped: of six steps remain {steps}"
    return "held: six malformed bundles left the state alone"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
