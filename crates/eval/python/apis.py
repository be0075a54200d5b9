"""Reads what the classes of API-Bank say of themselves. Their files are parsed, and not run."""
import ast
import math

PARTS = ("description", "input_parameters", "output_parameters")
DEPTH_MAX = 50


def apis_of(sources):
    """{name: {"description", "input_parameters", "output_parameters"}} of the classes that have all three, and in them
    nothing that JSON does not hold."""
    apis = {}
    for source in sources:
        try:
            nodes = ast.parse(source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in (node for node in nodes if isinstance(node, ast.ClassDef)):
            parts = {}
            for line in node.body:
                if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name):
                    if line.targets[0].id in PARTS:
                        try:
                            parts[line.targets[0].id] = ast.literal_eval(line.value)
                        except (ValueError, TypeError, RecursionError, MemoryError):
                            continue
            if len(parts) == len(PARTS) and is_plain(parts):
                apis[node.name] = parts
    return apis


def is_plain(value, depth=0):
    """Whether JSON holds a value, so that everybody can read it: no set, no bytes, no NaN, no half of a character."""
    if depth > DEPTH_MAX:
        return False
    if isinstance(value, dict):
        return all(type(key) is str and is_plain(key) and is_plain(item, depth + 1) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return all(is_plain(item, depth + 1) for item in value)
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, int):
        return abs(value) < 2 ** 63
    return value is None or isinstance(value, float) and math.isfinite(value)
