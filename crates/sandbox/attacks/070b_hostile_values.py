# case: 70
# title: values that raise, lie or change things when they are shown
# layer: none
# expect: held
# doctor: no
# seconds: 10
steps = []


class Raising:
    def __repr__(self):
        raise SystemExit("raised by a value")


steps.append(1)
Raising()
# --- next cell
class NoText:
    def __repr__(self):
        return 7


steps.append(2)
NoText()
# --- next cell
class Everything:
    def __getattr__(self, name):
        return self

    def __call__(self, *arguments, **named):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        return self

    __len__ = __bool__ = __index__ = lambda self: 1


steps.append(3)
Everything()
# --- next cell
class Attributes:
    def __getattribute__(self, name):
        raise KeyboardInterrupt(name)


steps.append(4)
Attributes()
# --- next cell
class Forgetting:
    def __repr__(self):
        globals().pop("Forgetting")
        return "forgot"


steps.append(5)
Forgetting()
# --- next cell
class Text(str):
    def encode(self, *arguments):
        raise RuntimeError("encode")

    def __len__(self):
        return -1

    def __str__(self):
        return "other"


class Custom:
    def __repr__(self):
        return Text("custom text")


steps.append(6)
Custom()
# --- next cell
def attack():
    if steps != [1, 2, 3, 4, 5, 6]:
        return f"escaped: of six steps remain {steps}"
    return "held: six hostile values left the state alone"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
