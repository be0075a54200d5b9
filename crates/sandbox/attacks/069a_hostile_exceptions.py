# case: 69
# title: exceptions that raise or lie when they are shown
# layer: none
# expect: held
# doctor: no
# seconds: 10
steps = []


class Raising(Exception):
    def __str__(self):
        raise self

    __repr__ = __str__


steps.append(1)
raise Raising
# --- next cell
class Lying(Exception):
    __class__ = property(lambda self: 1 / 0)
    __module__ = property(lambda self: 1 / 0)
    __cause__ = property(lambda self: 1 / 0)
    __traceback__ = property(lambda self: 1 / 0)
    __notes__ = property(lambda self: 1 / 0)
    args = property(lambda self: 1 / 0)


steps.append(2)
raise Lying
# --- next cell
class Meta(type):
    __name__ = property(lambda self: 1 / 0)

    def __getattribute__(self, name):
        raise RuntimeError(name)

    def __instancecheck__(self, instance):
        raise RuntimeError("instance")


class Unnamed(Exception, metaclass=Meta):
    pass


steps.append(3)
raise Unnamed
# --- next cell
steps.append(4)
error = SyntaxError("text")
error.filename, error.lineno, error.offset, error.text = 1.5, -(10**30), "x", b"\xff"
error.end_lineno, error.end_offset, error.print_file_and_line = [], {}, "x"
raise error
# --- next cell
class NoText(Exception):
    def __str__(self):
        return 7


steps.append(5)
raise NoText
# --- next cell
steps.append(6)
first, second = ValueError(1), ValueError(2)
first.__cause__, second.__cause__ = second, first
first.__context__, second.__context__ = second, first
raise first
# --- next cell
def attack():
    if steps != [1, 2, 3, 4, 5, 6]:
        return f"escaped: of six steps remain {steps}"
    return "held: six hostile exceptions left the state alone"


def judge():
    try:
        return attack()
    except BaseException as error:
        return f"escaped: attack code failed: {type(error).__name__}: {error}"


print(judge())
