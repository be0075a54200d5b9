"""Values on their way from one session to another: JSON in which every type of Python has a form of its own.

What comes from the session of a model is data: nothing in it is evaluated, and what is malformed is refused.
"""
import json

DEPTH_MAX = 100
CHARS_MAX = 4 << 20
MIME = "application/x-codeact-answer"


class CannotCross(Exception):
    """A value that is no plain value, or too large."""


class Answer:
    """The value of a cell, as the host looks for it."""

    def __init__(self, text):
        self.text = text

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/plain": "answer", MIME: self.text}


def pack(value, depth=0):
    """The value as JSON's own types. Subclasses cross as what they are made of, so none of their methods does."""
    if depth > DEPTH_MAX:
        raise CannotCross(f"a value that is nested more than {DEPTH_MAX} deep")
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return {"int": int.__format__(value, "x")}
    if isinstance(value, float):
        return {"float": float.hex(value)}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, list):
        return {"list": [pack(item, depth + 1) for item in list.__iter__(value)]}
    if isinstance(value, tuple):
        return {"tuple": [pack(item, depth + 1) for item in tuple.__iter__(value)]}
    if isinstance(value, set):
        return {"set": [pack(item, depth + 1) for item in set.__iter__(value)]}
    if isinstance(value, frozenset):
        return {"frozenset": [pack(item, depth + 1) for item in frozenset.__iter__(value)]}
    if isinstance(value, dict):
        return {"dict": [[pack(key, depth + 1), pack(item, depth + 1)] for key, item in dict.items(value)]}
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return pack(value.tolist(), depth + 1)
    raise CannotCross(f"a value of the type {type(value).__name__}, which is no plain value")


def unpack(data, depth=0):
    """The value again; ValueError or TypeError for what `pack` does not write."""
    if depth > 2 * DEPTH_MAX:
        raise ValueError("nested too deep")
    if data is None or type(data) in (bool, str):
        return data
    if type(data) is not dict or len(data) != 1:
        raise ValueError("no value")
    (kind, inner), = data.items()
    if kind == "int" and type(inner) is str:
        return int(inner, 16)
    if kind == "float" and type(inner) is str:
        return float.fromhex(inner)
    if kind == "bytes" and type(inner) is str:
        return bytes.fromhex(inner)
    if type(inner) is not list:
        raise ValueError("no value")
    if kind == "dict":
        return {unpack(key, depth + 1): unpack(item, depth + 1) for key, item in inner}
    made = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}.get(kind)
    if made is None:
        raise ValueError("no value")
    return made(unpack(item, depth + 1) for item in inner)


def to_text(value):
    """A value as text."""
    text = json.dumps(pack(value))
    if len(text) > CHARS_MAX:
        raise CannotCross(f"a value that takes {len(text)} characters, of which {CHARS_MAX} may cross")
    return text


def from_text(text):
    """A value out of its text."""
    return unpack(json.loads(text))
