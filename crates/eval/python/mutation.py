"""Mutants of a source: copies in which one thing is changed, made from its syntax tree for everything that can decide.

What is only said to people is left as it is: messages of errors, f-strings, documentation, texts of several words.
"""
import ast
import contextlib

OPERATORS = {
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is], ast.In: [ast.NotIn],
    ast.NotIn: [ast.In], ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt], ast.And: [ast.Or], ast.Or: [ast.And], ast.Add: [ast.Sub], ast.Sub: [ast.Add],
    ast.Mult: [ast.FloorDiv], ast.LShift: [ast.RShift], ast.BitOr: [ast.BitAnd], ast.BitAnd: [ast.BitOr],
}
# A function that stands for another, and a method for another.
FUNCTIONS = {"all": "any", "any": "all", "sorted": "list", "reversed": "list", "min": "max", "max": "min"}
METHODS = {
    "fullmatch": "match", "match": "search", "partition": "rpartition", "startswith": "endswith",
    "endswith": "startswith"
}
# A method without which its object stays as it is.
TRIMMING = ("strip", "rstrip", "reversed")
# Sources within a source: what stands for the places that are filled in.
TEMPLATES = {"HEAD": {}, "BESIDE": {"{why}": "WHY_", "{code!r}": "CODE_"}}
REMOVABLE = (ast.Raise, ast.Assert, ast.AugAssign, ast.Continue, ast.Break, ast.Delete)


class Mutant:
    """One change of a tree, which is made only for as long as `applied` says."""

    def __init__(self, name, holder, field, index, new):
        self.name, self.holder, self.field, self.index, self.new = name, holder, field, index, new

    def put(self, node):
        """Puts a node into the place, and gives what was there."""
        if self.index is None:
            old = getattr(self.holder, self.field)
            setattr(self.holder, self.field, node)
        else:
            old = getattr(self.holder, self.field)[self.index]
            getattr(self.holder, self.field)[self.index] = node
        return old

    @contextlib.contextmanager
    def applied(self):
        """The tree is the mutant's while this lasts."""
        old = self.put(self.new)
        try:
            yield
        finally:
            self.put(old)


def mutants_of(tree, scope=""):
    """All mutants of a tree. Each has a name of its own, which stays when lines are moved."""
    found, counts = [], {}
    for holder, field, index, node, where in places(tree, scope):
        for new in changes(node, holder, field):
            ast.fix_missing_locations(ast.copy_location(new, node) if hasattr(node, "lineno") else new)
            name = getattr(new, "said", None) or f"{shown(node)} -> {shown(new)}"
            name = f"{where}: {name}"
            counts[name] = counts.get(name, 0) + 1
            name += f" ({counts[name]})" if counts[name] > 1 else ""
            found.append(Mutant(name, holder, field, index, new))
    return found


def places(holder, scope):
    """(holder, field, index, node, scope) of everything below `holder` that can decide something."""
    for field, value in ast.iter_fields(holder):
        if is_said(holder, field):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST):
                yield holder, field, index, node, scope
                is_scope = isinstance(node, (ast.FunctionDef, ast.ClassDef))
                yield from places(node, f"{scope}.{node.name}" if is_scope else scope)


def is_said(holder, field):
    """Whether a part of a tree is for people, or has no effect."""
    if isinstance(holder, ast.Raise):
        return field == "exc" and isinstance(holder.exc, ast.Call)
    # Where Python takes UTF-8 anyway, an encoding changes nothing.
    if isinstance(holder, ast.keyword) and holder.arg == "encoding":
        return True
    is_text = isinstance(holder, ast.Expr) and isinstance(holder.value, ast.Constant)
    return isinstance(holder, ast.JoinedStr) or isinstance(holder, ast.Assert) and field == "msg" or is_text or (
        field in ("returns", "annotation", "decorator_list")
    )


def shown(node):
    """A node in one line, and of a statement with a body its head."""
    if isinstance(node, ast.ExceptHandler):
        return f"except {ast.unparse(node.type)}"
    lines = ast.unparse(node).splitlines() or [type(node).__name__]
    return lines[0] + (" .." if len(lines) > 1 else "")


def like(node, **fields):
    """A node of the same kind with other fields."""
    return type(node)(**{**dict(ast.iter_fields(node)), **fields})


def without(items):
    """The list without each of its items, in turn."""
    return [items[:index] + items[index + 1:] for index in range(len(items))]


def changes(node, holder, field):
    """What can stand in the place of a node."""
    if field in ("test", "ifs") and not isinstance(holder, ast.Assert):
        yield from (ast.Constant(value) for value in (True, False) if not is_constant(node, value))
    if isinstance(node, ast.stmt):
        yield from changed_statement(node)
    elif isinstance(node, ast.Constant):
        is_template = isinstance(holder, ast.Assign) and getattr(holder.targets[0], "id", "") in TEMPLATES
        yield from within(node, holder.targets[0].id) if is_template else changed_constant(node, holder)
    elif isinstance(node, ast.Call):
        yield from changed_call(node)
    elif isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in OPERATORS[type(operator)]:
                yield like(node, ops=node.ops[:index] + [other()] + node.ops[index + 1:])
    elif isinstance(node, ast.BoolOp):
        yield from (like(node, op=other()) for other in OPERATORS[type(node.op)])
        for values in without(node.values):
            yield like(node, values=values) if len(values) > 1 else values[0]
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.BinOp):
        yield from (like(node, op=other()) for other in OPERATORS[type(node.op)])
        yield node.left
    elif isinstance(node, (ast.Tuple, ast.List, ast.Set)) and len(node.elts) > 1:
        if not isinstance(getattr(node, "ctx", None), ast.Store):
            yield from (like(node, elts=items) for items in without(node.elts))
    elif isinstance(node, ast.Dict) and len(node.keys) > 1:
        for keys, values in zip(without(node.keys), without(node.values)):
            yield like(node, keys=keys, values=values)


def is_constant(node, value):
    return isinstance(node, ast.Constant) and node.value is value


def changed_statement(node):
    """A statement that is left out, gives nothing, or catches less."""
    is_call = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    is_stored = isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Subscript, ast.Attribute))
    if isinstance(node, REMOVABLE) or is_call or is_stored:
        yield ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None and not is_constant(node.value, None):
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Try):
        for handlers in without(node.handlers):
            yield like(node, handlers=handlers) if handlers else ast.If(ast.Constant(True), node.body, [])


def changed_constant(node, holder):
    """Another truth, another number, another word."""
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield from (ast.Constant(other) for other in (value + 1, value - 1) if not (value == 0 and other < 0))
    elif isinstance(value, str) and " " not in value.strip():
        yield ast.Constant("x" + value)
        is_pattern = isinstance(holder, ast.Call) and ast.unparse(holder.func) in ("re.compile", "re.sub")
        yield from looser(value) if is_pattern and holder.args[0] is node else ()


def looser(pattern):
    """A regular expression without each of its marks of repetition, in turn, and with each way of a choice left out."""
    for index, sign in enumerate(pattern):
        new = None
        if sign in "?*+" and pattern[index - 1] not in "(\\":
            new = ast.Constant(pattern[:index] + pattern[index + 1:])
        elif sign == "|":
            new = ast.Constant(pattern[:index] + "(?!)" + pattern[index:])
        if new is not None:
            new.said = f"the pattern without the {sign} after {pattern[:index][-12:]}"
            yield new


def changed_call(node):
    """Another function, no function, or fewer arguments."""
    name = getattr(node.func, "id", None)
    if name in FUNCTIONS:
        yield like(node, func=ast.Name(FUNCTIONS[name], ast.Load()))
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        yield like(node, func=like(node.func, attr=METHODS[node.func.attr]))
    if isinstance(node.func, ast.Attribute) and node.func.attr in TRIMMING:
        yield node.func.value
    for left_out, rest in zip(node.keywords, without(node.keywords)):
        if left_out.arg != "encoding":
            yield like(node, keywords=rest)
    if len(node.args) > 1:
        yield like(node, args=node.args[:-1])


def within(node, name):
    """The mutants of a source that is a text of this one, as texts."""
    filled = node.value
    for place, stand_in in TEMPLATES[name].items():
        filled = filled.replace(place, stand_in)
    tree = ast.parse(filled)
    for mutant in mutants_of(tree):
        with mutant.applied():
            text = ast.unparse(tree)
        for place, stand_in in TEMPLATES[name].items():
            text = text.replace(stand_in, place)
        new = ast.Constant(text)
        new.said = f"{name}{mutant.name}"
        yield new
