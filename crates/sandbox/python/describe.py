"""`name?`: signature, documentation and, with `??`, the source of an object."""
from inspect import getdoc, getsource, signature

looks = load("display")
shorten = load("fields").shorten
DOCUMENTATION_CHARS_MAX = 8000
VALUE_CHARS_MAX = 500


def find(name, space):
    """The object of a dotted name; LookupError if there is none."""
    first, *rest = name.split(".")
    builtin_names = space.get("__builtins__")
    builtin_names = builtin_names if type(builtin_names) is dict else vars(builtin_names)
    if first in space:
        value = space[first]
    elif first in builtin_names:
        value = builtin_names[first]
    else:
        raise LookupError(first)
    for part in rest:
        try:
            value = getattr(value, part)
        except AttributeError:
            raise LookupError(f"{name}: no attribute {part}") from None
    return value


def describe(name, space, with_source):
    try:
        value = find(name, space)
    except LookupError as error:
        return f"Object `{error.args[0]}` not found."
    parts = []
    if callable(value):
        try:
            parts.append(f"Signature: {name.rpartition('.')[2]}{signature(value)}")
        except (TypeError, ValueError):
            pass                # some functions written in C have none
    else:
        parts.append(f"Value: {shorten(looks.plain_text(value), VALUE_CHARS_MAX)}")
    parts.append(f"Type: {type(value).__name__}")
    if with_source:
        try:
            parts.append("Source:\n" + getsource(value))
            return shorten("\n".join(parts), DOCUMENTATION_CHARS_MAX)
        except (OSError, TypeError):
            pass                # written in C: its documentation is shown instead
    documentation = getdoc(value)
    parts.append("Documentation:\n" + documentation if documentation else "Documentation: none")
    return shorten("\n".join(parts), DOCUMENTATION_CHARS_MAX)
