"""JSON with the standard library's own code, executed a second time: patching `json` in a cell does not reach it."""
from importlib.util import find_spec


def copy_of(name):
    """The namespace of a fresh execution of a standard module, on the private builtins."""
    spec = find_spec(name)
    space = {"__name__": name, "__builtins__": __builtins__, "__package__": name.rpartition(".")[0], "__spec__": spec}
    exec(spec.loader.get_code(name), space)
    return space


encoder, decoder = copy_of("json.encoder"), copy_of("json.decoder")
JSONDecodeError = decoder["JSONDecodeError"]
encode_value = encoder["JSONEncoder"](ensure_ascii=True, allow_nan=False).encode
decode_value = decoder["JSONDecoder"]().decode


def dumps(value):
    """JSON text; TypeError or ValueError for what JSON cannot hold (NaN too)."""
    return encode_value(value)


def loads(text):
    return decode_value(text)
