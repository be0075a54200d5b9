"""Tells the functions of a file of tools: what a system prompt says of them. The file is read, and not run."""
import ast
import json


def tools_of(source):
    """[{"name", "signature", "doc"}] in the order of the file, or the reason why there are none, as a text."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"it is no Python: {error}"
    tools = {}
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
            return f"`{node.name}` is async, and an action calls plain functions"
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
            signature = f"({ast.unparse(node.args)}){result}"
            tools[node.name] = {"name": node.name, "signature": signature, "doc": ast.get_docstring(node) or ""}
    return list(tools.values()) or "it defines no function whose name does not begin with `_`"
