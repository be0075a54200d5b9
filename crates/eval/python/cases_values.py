"""What is promised of values that cross between sessions: the same value of the same type, or none."""
import json
import math

from casebook import Casebook

case = Casebook()
PLAIN = [
    None, True, False, 0, 1, -1, 17, -255, 2 ** 70, -(10 ** 30), 0.0, -0.0, 1.0, 0.1, -2.5e-308, 5e-324, 1e308, "", "a",
    "é\n\0'\"\\", "\ud800", "1", "None", b"", b"\x00\xff", [], [1, [2.0, [True]]], (), (1,), ((), [()]), set(), {1},
    {"a"}, frozenset(), frozenset({2}), {frozenset({(1, "b")})}, {}, {"a": 1}, {1: "a", "1": 2, (1, 2): [3], None: {}},
    {True: 1.5}, {b"k": b"v"}, {"int": "1"}, [{"list": []}]
]


def crossed(room, value):
    sender, receiver = room.session(), room.session()
    return receiver["from_text"](sender["to_text"](value))


def is_identical(one, other):
    """Whether two values are equal with all their types, where nan is nan and -0.0 is not 0.0."""
    if type(one) is not type(other):
        return False
    if type(one) in (list, tuple):
        return len(one) == len(other) and all(map(is_identical, one, other))
    if type(one) in (set, frozenset):
        return is_identical(sorted(one, key=repr), sorted(other, key=repr))
    if type(one) is dict:
        return is_identical(list(one.items()), list(other.items()))
    return repr(one) == repr(other)


@case
def plain_values_cross_with_their_types(room):
    for value in PLAIN:
        assert is_identical(crossed(room, value), value), value
    assert is_identical(crossed(room, PLAIN), PLAIN)
    assert is_identical(crossed(room, tuple(PLAIN)), tuple(PLAIN))


@case
def no_number_is_taken_for_another(room):
    for one, other in [(True, 1), (False, 0), (1, 1.0), (0.0, -0.0), (2 ** 53, 2 ** 53 + 1), (0.1, 0.1 + 2 ** -56)]:
        texts = [room.session()["to_text"](value) for value in (one, other)]
        assert texts[0] != texts[1], (one, other)
    assert math.isnan(crossed(room, float("nan")))
    assert crossed(room, [math.inf, -math.inf]) == [math.inf, -math.inf]


@case
def many_items_cross_in_their_order(room):
    assert is_identical(crossed(room, list(range(50))), list(range(50)))
    assert is_identical(crossed(room, {3: 1, 1: 2, 2: 0}), {3: 1, 1: 2, 2: 0})
    assert is_identical(crossed(room, {1, 2, 3, "x"}), {1, 2, 3, "x"})
    assert is_identical(crossed(room, bytearray(b"ab")), b"ab")


@case
def subclasses_cross_as_what_they_are_made_of(room):
    lie = {name: lambda self, *more: 8 for name in ("__int__", "__index__", "__len__", "__hash__")}
    lie.update({name: lambda self, *more: "8" for name in ("__str__", "__repr__", "__format__", "hex", "__fspath__")})
    lie.update({name: lambda self, *more: iter([8]) for name in ("__iter__", "items", "keys")})
    lie["__eq__"] = lambda self, other: True
    for kind, value in [
        (int, 7), (float, 7.5), (str, "seven"), (list, [7]), (tuple, (7,)), (set, {7}), (frozenset, {7}),
        (dict, {7: 7}), (bytes, b"7")
    ]:
        own = type("Own", (kind,), lie)(value)
        if kind is not bytes:
            assert is_identical(crossed(room, own), kind(value)), kind
    assert is_identical(crossed(room, type("Own", (bytearray,), {})(b"7")), b"7")


@case
def a_value_that_is_none_of_the_plain_types_does_not_cross(room):
    values = room.session()
    tolist = {"tolist": lambda self: [1, 2.5]}
    for value in [
        object(), 1j, range(3), iter([]), lambda: 1, type, memoryview(b"a"), type("Own", (), tolist)(),
        type("Scalar", (), {"__module__": "numpy"})(), [object()], {"a": {1j}}, (len,), {object(): 1}
    ]:
        try:
            text = values["to_text"](value)
        except values["CannotCross"] as error:
            assert "which is no plain value" in str(error), error
        else:
            raise AssertionError(f"{value!r} crosses as {text}")
    assert is_identical(crossed(room, type("array", (), {"__module__": "numpy", **tolist})()), [1, 2.5])
    assert crossed(room, type("float64", (float,), {"__module__": "numpy"})(0.5)) == 0.5


def nested(kind, depth, leaf=1):
    """A leaf below so many containers of a kind."""
    array = type("array", (), {
        "__module__": "numpy", "__init__": lambda self, of: setattr(self, "of", of), "tolist": lambda self: self.of
    })
    makers = {
        "list": lambda item: [item], "tuple": lambda item: (item,), "frozenset": lambda item: frozenset({item}),
        "value": lambda item: {0: item}, "key": lambda item: {item: 0} if depth == 1 else (item,), "array": array,
        "set": lambda item: {item} if depth == 1 else frozenset({item})
    }
    value, depth = leaf, depth
    while depth:
        value, depth = makers[kind](value), depth - 1
    return value


@case
def what_is_nested_deeper_than_a_hundred_does_not_cross(room):
    values = room.session()
    for kind in ("list", "tuple", "frozenset", "value", "key", "array", "set"):
        assert values["to_text"](nested(kind, 100)), kind
        try:
            values["to_text"](nested(kind, 101))
        except values["CannotCross"] as error:
            assert "nested more than 100 deep" in str(error), error
        else:
            raise AssertionError(f"{kind} crosses")
    own = []
    own.append(own)
    try:
        values["to_text"](own)
    except values["CannotCross"]:
        return
    raise AssertionError("what holds itself crosses")


@case
def what_comes_is_read_two_hundred_deep(room):
    values = room.session()
    kinds = {
        "list": lambda inner: {"list": [inner]}, "frozenset": lambda inner: {"frozenset": [inner]},
        "value": lambda inner: {"dict": [["k", inner]]}, "key": lambda inner: {"dict": [[inner, None]]}
    }
    for kind, wrapped in kinds.items():
        for depth, is_read in ((200, True), (201, False)):
            data = {"tuple": []}
            for level in range(depth):
                data = {"tuple": [data]} if kind == "key" and level < depth - 1 else wrapped(data)
            try:
                values["unpack"](data)
            except ValueError as error:
                assert not is_read and str(error) == "nested too deep", (kind, depth, error)
            else:
                assert is_read, (kind, depth)


@case
def what_was_never_sent_is_refused(room):
    values = room.session()
    for data in [
        1, 1.5, [], [1], {}, {"int": 1}, {"int": "g"}, {"int": None}, {"int": "1", "float": "1"}, {"float": 1.0},
        {"float": "x"}, {"bytes": "0"}, {"bytes": ["00"]}, {"list": "ab"}, {"list": {"a": 1}}, {"list": None},
        {"set": [{"list": []}]}, {"dict": [["a"]]}, {"dict": [[{"list": []}, "b"]]}, {"dict": {"ab": "cd"}},
        {"dict": ["a"]}, {"tuple": "a"}, {"object": []}, {"eval": ["1"]}, {"complex": "1j"}, {"str": "a"},
        {"list": [1]}, {"list": [{"int": 1}]}, {"dict": [["a", 1]]}, {"bool": True}, {"list": 3}, {"float": []},
        {"int": ["1"]}, {"bytes": []}, {"set": {"list": []}}, {"frozenset": 1}, {"list": True}
    ]:
        try:
            value = values["from_text"](json.dumps(data))
        except (ValueError, TypeError):
            continue
        raise AssertionError(f"{data} is read as {value!r}")


@case
def texts_are_refused_from_the_first_character_that_is_too_many(room):
    values = room.session()
    count = (4 << 20) - len('""')
    assert len(values["to_text"]("a" * count)) == 4 << 20
    try:
        values["to_text"]("a" * (count + 1))
    except values["CannotCross"] as error:
        assert "takes 4194305 characters, of which 4194304 may cross" in str(error), error
    else:
        raise AssertionError("it crosses")
