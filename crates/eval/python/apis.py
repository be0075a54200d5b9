"""Reads what the classes of API-Bank say of themselves. Their files are parsed, and not run."""
import ast

PARTS = ("description", "input_parameters", "output_parameters")


def apis_of(sources):
    """{name: {"description", "input_parameters", "output_parameters"}} of the classes that have all three."""
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
            if len(parts) == len(PARTS):
                apis[node.name] = parts
    return apis
