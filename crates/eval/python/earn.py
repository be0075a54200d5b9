"""Functions of a program that solved its task, each with all that it needs, and with tests out of what it gave there.

The program runs here, so this is a sandbox of its own. What is answered is data: functions are tested again elsewhere.
"""
import ast
import builtins
import functools
import hashlib
import json
import symtable

CALLS_MAX = 3
CHARS_MAX = 2000


def literal(value):
    """The value as Python writes it, or None where what is written would be another value."""
    try:
        text = repr(value)
        again = ast.literal_eval(text)
        return text if len(text) <= CHARS_MAX and type(again) is type(value) and again == value else None
    except Exception:
        return None


def written(name, positional, named):
    """A call as Python writes it, or None where it cannot."""
    parts = [literal(value) for value in positional]
    values = {key: literal(value) for key, value in named.items()}
    if None in parts or None in values.values():
        return None
    return f"{name}({', '.join(parts + [f'{key}={value}' for key, value in values.items()])})"


def watched(name, function, calls):
    """The function, noting what it gives. A result of None says nothing that could be tested."""
    noted = calls[name] = {}

    @functools.wraps(function)
    def call(*positional, **named):
        # Before it runs: it may change its arguments.
        question = written(name, positional, named)
        result = function(*positional, **named)
        answer = literal(result)
        if question and answer and result is not None and len(noted) < CALLS_MAX:
            noted.setdefault(question, answer)
        return result

    return call


def run(cells):
    """Runs the cells as a session would; gives functions, imports and calls by name, the newest ones."""
    functions, imports, calls, space = {}, {}, {}, {"__name__": "__main__"}
    for cell in cells:
        try:
            tree = ast.parse(cell)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in tree.body:
            try:
                exec(compile(ast.Module([node], []), "<cell>", "exec"), space)
            except (Exception, SystemExit):
                break
            if isinstance(node, ast.FunctionDef):
                functions.pop(node.name, None)
                functions[node.name] = node
                space[node.name] = watched(node.name, space[node.name], calls)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    imports[alias.asname or alias.name.split(".")[0]] = ast.unparse(ast.Import([alias]))
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    line = ast.unparse(ast.ImportFrom(node.module, [alias], node.level))
                    imports[alias.asname or alias.name] = line
    return functions, imports, calls


def needs(node):
    """Names that a definition takes from outside."""
    names = set()

    def look(table, is_module):
        for symbol in table.get_symbols():
            if symbol.is_referenced() if is_module else symbol.is_global():
                names.add(symbol.get_name())
        for inner in table.get_children():
            look(inner, False)

    look(symtable.symtable(ast.unparse(node), "<definition>", "exec"), True)
    return names - {node.name}


def whole(name, functions, imports):
    """A function with the imports and the functions that it needs, as text; or why there is none."""
    lines, taken, waiting = set(), set(), [name]
    while waiting:
        current = waiting.pop()
        if current in taken:
            continue
        taken.add(current)
        for need in sorted(needs(functions[current])):
            if need in functions:
                waiting.append(need)
            elif need in imports:
                lines.add(imports[need])
            elif not hasattr(builtins, need):
                return None, "it needs more than functions and imports"
    definitions = [ast.unparse(node) for known, node in functions.items() if known in taken]
    return "\n\n\n".join(["\n".join(sorted(lines))] * bool(lines) + definitions) + "\n", None


class Renamed(ast.NodeTransformer):
    """Functions by their places instead of their names, without what is said about them."""

    def __init__(self, places):
        self.places = places

    def visit_FunctionDef(self, node):
        node.name = self.places.get(node.name, node.name)
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_Name(self, node):
        node.id = self.places.get(node.id, node.id)
        return node


def key(source):
    """What two functions have in common that do the same in the same way, whatever they are called."""
    tree = ast.parse(source)
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    places = {name: f"function {place}" for place, name in enumerate(names)}
    return hashlib.sha256(ast.dump(Renamed(places).visit(tree)).encode()).hexdigest()


def defines(source):
    """The functions that a source defines, by name, each with a hash of it."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return {node.name: hashlib.sha256(ast.dump(node).encode()).hexdigest() for node in nodes}


def earned(cells):
    """[[{"name", "signature", "doc", "source", "tests", "key", "defines"}], [why a function is not among them]]"""
    functions, imports, calls = run(cells)
    found, refused = [], []
    for name, node in functions.items():
        if name.startswith("_"):
            continue
        source, why = whole(name, functions, imports)
        if not why and not calls[name]:
            why = "no call of it gave a plain value"
        if why:
            refused.append(why)
            continue
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        found.append({
            "name": name,
            "signature": f"{name}({ast.unparse(node.args)}){result}",
            "doc": ast.get_docstring(node) or name.replace("_", " "),
            "source": source,
            "tests": "\n".join(f"assert {call} == {answer}" for call, answer in calls[name].items()) + "\n",
            "key": key(source),
            "defines": defines(source),
        })
    return [found, refused]
