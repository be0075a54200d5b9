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


def shown(value):
    """As `repr`, with the items of sets in an order that is the same in every process."""
    if type(value) is set and value:
        return "{" + ", ".join(sorted(map(shown, value))) + "}"
    if type(value) is list:
        return "[" + ", ".join(map(shown, value)) + "]"
    if type(value) is tuple:
        return "(" + ", ".join(map(shown, value)) + (",)" if len(value) == 1 else ")")
    if type(value) is dict:
        return "{" + ", ".join(f"{shown(key)}: {shown(item)}" for key, item in value.items()) + "}"
    return repr(value)


def literal(value):
    """The value as Python writes it, or None where what is written would be another value."""
    try:
        # Both are equally long, and only this one is fast.
        if len(repr(value)) > CHARS_MAX:
            return None
        text = shown(value)
        again = ast.literal_eval(text)
        return text if type(again) is type(value) and again == value else None
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


def needs(text):
    """Names of the module that the text of one reads."""
    names = set()

    def look(table, is_module):
        for symbol in table.get_symbols():
            if symbol.is_referenced() if is_module else symbol.is_global():
                names.add(symbol.get_name())
        for inner in table.get_children():
            look(inner, False)

    look(symtable.symtable(text, "<definition>", "exec"), True)
    return names


def whole(name, functions, imports):
    """A function with the imports and the functions that it needs, as text; or why there is none."""
    lines, taken, waiting = set(), set(), [name]
    while waiting:
        current = waiting.pop()
        if current in taken:
            continue
        taken.add(current)
        for need in sorted(needs(ast.unparse(functions[current])) - {current}):
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


def bound(node):
    """What a statement of a module binds, by name, as text that is the same for what means the same."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name: ast.dump(node)}
    if isinstance(node, ast.Import):
        # `import a.b` binds `a`, as `import a` does.
        parts = [alias if alias.asname else ast.alias(alias.name.split(".")[0]) for alias in node.names]
        return {alias.asname or alias.name: ast.unparse(ast.Import([alias])) for alias in parts}
    if isinstance(node, ast.ImportFrom):
        return {alias.asname or alias.name: ast.unparse(ast.ImportFrom(node.module, [alias], node.level))
                for alias in node.names}
    names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return dict.fromkeys(names, ast.dump(node))


def defines(source):
    """What names mean in a source, each as a hash: functions, imports, and what it takes for a builtin."""
    names = {name: f"the builtin {name}" for name in needs(source) if hasattr(builtins, name)}
    for node in ast.parse(source).body:
        names.update(bound(node))
    return {name: hashlib.sha256(meaning.encode()).hexdigest() for name, meaning in names.items()}


def stored(sources):
    """[{"key", "defines"}] of sources that a store holds; None for one that cannot be read."""
    told = []
    for source in sources:
        try:
            told.append({"key": key(source), "defines": defines(source)})
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            told.append(None)
    return told


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
