"""Functions of the host under Python names: a call is one message to init and one answer.

A second request tag, `D`, defines them before a cell runs: fields "tool" (the name) repeated, each followed by its
"signature" (`(city: str, days: int = 3) -> dict`) and "doc". It is answered `F` without fields; a definition that is
no Python is answered `R` with the error and defines nothing. A tool called while no cell runs raises RuntimeError.

One call is under way at a time: other threads wait for their turn. The answer is awaited in short steps, so that a
thread whose cell is over lets go of the channel.
"""
from _ast import FunctionDef, PyCF_ONLY_AST
from _thread import allocate_lock
from inspect import Parameter, Signature
from keyword import iskeyword
from select import POLLIN

import __future__

fields, json, guard = load("fields"), load("private_json"), load("guard")
display = load("display")
encode, decode = fields.encode, fields.decode
dumps, loads = json.dumps, json.loads
state, namespace = guard.state, guard.namespace
ANNOTATIONS = __future__.annotations.compiler_flag
STEP_MILLISECONDS = 20
TEXT_CHARS_MAX = 8 << 20
CO_FUTURE_ANNOTATIONS = 0x1000000   # of __future__.annotations: they stay text


class Tools:
    channel = None
    calling = allocate_lock()
    next_id = 1


def plain(value, depth=0):
    """The value as JSON's own types: tuples and sets, numpy scalars and arrays, and mappings are accepted."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if depth > 100:
        raise TypeError("the value is nested more than 100 deep")
    if isinstance(value, dict):
        return {key if type(key) is str else str(key): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth + 1) for item in value]
    for name in ("tolist", "item", "isoformat"):
        method = getattr(value, name, None)
        if callable(method):
            return plain(method(), depth + 1)
    return value                # JSON will say what it cannot hold


def call(name, signature, args, keywords):
    """One call: returns the decoded value, or raises RuntimeError with the host's text."""
    bound = signature.bind(*args, **keywords)
    bound.apply_defaults()
    arguments = {}
    for parameter in signature.parameters.values():
        if parameter.name in bound.arguments:
            value = bound.arguments[parameter.name]
            if parameter.kind is Parameter.VAR_KEYWORD:
                arguments.update(value)
            elif parameter.kind is Parameter.VAR_POSITIONAL and not value:
                pass
            else:
                arguments[parameter.name] = value
    text = dumps(plain(arguments))
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"the arguments of {name} take {len(text)} characters, at most {TEXT_CHARS_MAX} are sent")
    channel = Tools.channel
    if not channel.is_owner():
        raise RuntimeError(f"{name}: tools work only in the process of the session, not in a child process")
    display.flush_output()
    with Tools.calling:
        number = str(Tools.next_id).encode()
        Tools.next_id += 1
        if not state.in_cell:
            raise RuntimeError(f"{name}: tools work only while a cell runs")
        channel.send(b"T", encode([("id", number), ("name", name), ("arguments", text)]))
        answer = dict(wait_for(channel, number, name))
    if "error" in answer:
        raise RuntimeError(answer["error"].decode("utf-8", "replace"))
    return loads(answer.get("value", b"null").decode("utf-8", "replace"))


def wait_for(channel, number, name):
    """The fields of the answer with this id. Answers to calls that were interrupted are dropped."""
    while True:
        while not (channel.inbox or channel.wait_until(POLLIN, STEP_MILLISECONDS)):
            if not state.in_cell:
                raise RuntimeError(f"{name}: the cell ended before the answer came")
        nonce, tag, payload = channel.receive()
        if tag == b"T" and channel.is_current(nonce):
            answer = decode(payload)
            if dict(answer).get("id") == number:
                return answer


# ---- definitions


class Annotation(str):
    """Text that `help` and `inspect` show as it was written, without quotes."""

    def __repr__(self):
        return str(self)


def bare(annotation):
    return Annotation(annotation) if type(annotation) is str else annotation


def parse_signature(text):
    """A Signature from its text. Annotations stay text, and defaults can use no names but those of plain types."""
    flags = PyCF_ONLY_AST | ANNOTATIONS
    tree = compile(f"def tool{text}: pass", "<tool>", "exec", flags, True)
    if len(tree.body) != 1 or type(tree.body[0]) is not FunctionDef or len(tree.body[0].body) != 1:
        raise ValueError(f"no signature: {text}")
    space = {"__builtins__": {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict,
                              "tuple": tuple, "set": set, "object": object, "bytes": bytes}}
    exec(compile(tree, "<tool>", "exec", ANNOTATIONS, True), space)
    signature = Signature.from_callable(space["tool"])
    parameters = [one.replace(annotation=bare(one.annotation)) for one in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=bare(signature.return_annotation))


def make_tool(name, signature, documentation):
    def tool(*args, **keywords):
        return call(name, signature, args, keywords)
    tool.__name__ = tool.__qualname__ = name
    tool.__signature__, tool.__doc__, tool.__module__ = signature, documentation, "__main__"
    return tool


def define(payload):
    """Handle a `D` request: all definitions are checked before the first one takes effect."""
    found = []
    for key, value in decode(payload):
        text = value.decode("utf-8", "replace")
        if key == "tool":
            if not text.isidentifier() or iskeyword(text):
                raise ValueError(f"a tool cannot be called {text!r}: it is no Python name")
            found.append({"name": text, "signature": "()", "doc": ""})
        elif found and key in ("signature", "doc"):
            found[-1][key] = text
    made = [make_tool(item["name"], parse_signature(item["signature"]), item["doc"]) for item in found]
    for tool in made:
        namespace[tool.__name__] = tool
