"""Makes tests of the asserts of a benchmark: what they compare is compared where they stand, in the session of the
grader, and only the functions that they ask for run beside the solution. Sources are parsed, and none of them is run.
"""
import ast
import builtins
import symtable

TITLE = '"""The asserts of the source. They compare here; only the functions they ask for run beside the solution."""'
HEAD = '''

class _Asked:
    _ask = staticmethod(call)

    def __init__(self, name):
        self._target = "solution:" + name

    def __call__(self, *args, **kwargs):
        return self._ask(self._target, *args, **kwargs)

'''
BESIDE = '''"""The asserts of the source run beside the solution, which could decide them: {why}."""
import re
import secrets

_ask, _given, _files = run, solution, workspace
CODE = {code!r}


def test_asserts():
    text = _given if _given is not None else _files.text("solution.py")
    text = re.sub(r"\\A\\s*```[^`\\n]*\\n(.*?)```\\s*\\Z", r"\\1", text, flags=re.DOTALL)
    sign = secrets.token_hex(16)
    code, said, failure = _ask(["python", "-"], stdin=text + "\\n" + CODE + "\\nprint(" + repr(sign) + ")\\n")
    assert code == 0 and said.rstrip().endswith(sign), failure.strip()[-500:] or "the program ends before its asserts do"
'''
NOT_PLAIN = {"range", "iter", "map", "filter", "zip", "reversed", "enumerate", "open", "complex", "object", "memoryview"}
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def tests_of(item):
    """{"code", "why", "asked"}: Python for the grader `tests`; why it compares beside the solution, empty if it does
    not; the functions it asks for. {"fault": [key, what]} for what is no Python, or tests nothing.

    item: {"code": the reference, "given": the part of it that the task gives, "setup", "tests": [text], "entry": the
    function that `check` of the tests is called with, or None}
    """
    try:
        reference = ast.parse(item["code"])
        names_in(reference)
    except UNREADABLE as error:
        return {"fault": ["code", f"is no Python: {error}"]}
    try:
        setup, tests = ast.parse(item["setup"]), [ast.parse(text) for text in item["tests"]]
        return translated(item, reference, setup, tests)
    except UNREADABLE as error:
        return {"fault": ["tests", f"is no Python: {error}"]}


def translated(item, reference, setup, tests):
    entry, given_lines = item["entry"], item["given"].count("\n")
    given = [node for node in reference.body if node.end_lineno <= given_lines]
    context = [node for node in given if entry is None or getattr(node, "name", None) != entry]
    functions = {node.name for node in reference.body if isinstance(node, ast.FunctionDef)}
    given_names = set().union(*(names_in(node)[0] for node in context))
    functions -= given_names
    facts = [names_in(tree) for tree in [setup, *tests]]
    own = set().union(*(makes for makes, _ in facts))
    used = set().union(*(reads for _, reads in facts)) | ({entry} if entry else set())
    asked = sorted(name for name in used & functions if name not in own)
    if entry and entry not in functions:
        return {"fault": ["entry_point", f"is `{entry}`, which the code does not define"]}
    if entry and "check" not in {getattr(node, "name", None) for tree in tests for node in tree.body}:
        return {"fault": ["tests", "defines no function `check`"]}
    unknown = used - set(asked) - own - given_names - set(dir(builtins))
    imports = [node for node in reference.body if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in context]
    needed = [node for node in imports if names_in(node)[0] & unknown]
    made = unknown.difference(*(names_in(node)[0] for node in needed))
    why = f"`{min(made)}` is made by the solution" if made else not_plain([setup, *tests], asked, entry)
    if not asked and not made:
        return {"fault": ["tests", "asks for no function of the code"]}
    written = beside(item, why) if why else compared(item, context + needed, asked, tests)
    compile(written, "<tests>", "exec", 0, True)
    return {"code": written, "why": why, "asked": asked}


def compared(item, context, asked, tests):
    """The tests as they stand, with a function for each that is asked, which asks elsewhere."""
    # What is imported from the future stands first.
    first = [node for node in context if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    lines = [TITLE, *map(ast.unparse, first), HEAD, *(ast.unparse(node) for node in context if node not in first)]
    lines += [f"{name} = _Asked({name!r})" for name in asked]
    lines.append(item["setup"])
    if item["entry"]:
        return "\n".join([*lines, *item["tests"], "", "", f"def test_check():\n    check({item['entry']})", ""])
    for number, tree in enumerate(tests, 1):
        body = "\n".join("    " + line for line in ast.unparse(tree).splitlines())
        if "\n" in body:
            body = f"    exec({item['tests'][number - 1]!r}, globals())"
        lines += ["", "", f"def test_{number}():\n{body or '    pass'}"]
    return "\n".join(lines) + "\n"


def beside(item, why):
    call = [f"check({item['entry']})"] if item["entry"] else []
    return BESIDE.format(why=why, code="\n".join([item["setup"], *item["tests"], *call]))


def not_plain(trees, asked, entry):
    """Why something that the tests send or await cannot cross between sessions; empty if nothing is known of it."""
    own = bound(trees)
    targets = {*asked, "candidate"} if entry else set(asked)
    # A test that is called as what it asks for would take its place, and ask itself.
    tests = {"test_check"} if entry else {f"test_{number}" for number in range(1, len(trees))}
    if tests & {*asked, *own}:
        return "a function is named as a test is"
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Constant) and isinstance(node.value, complex):
            return "complex numbers do not cross between sessions"
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            return "its own functions are named as tests are"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in targets:
            for sent in [*node.args, *(keyword.value for keyword in node.keywords)]:
                for part in parts(sent):
                    is_builtin = isinstance(part, ast.Name) and part.id not in own and hasattr(builtins, part.id)
                    if is_builtin or isinstance(part, (ast.Lambda, ast.GeneratorExp)):
                        return "a function is passed, which does not cross between sessions"
                    if isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id in NOT_PLAIN:
                        return f"a `{part.func.id}` is passed, which does not cross between sessions"
    return ""


def parts(value):
    """What an argument is made of: itself, or what stands in its lists, tuples, sets and dictionaries."""
    if isinstance(value, (ast.List, ast.Tuple, ast.Set)):
        inner = value.elts
    elif isinstance(value, ast.Dict):
        inner = [*value.keys, *value.values]
    else:
        inner = [value.value] if isinstance(value, ast.Starred) else []
        yield value
    for part in inner:
        yield from parts(part)


def names_in(tree):
    """The global names that a part of a module makes, and those that it reads; what is local somewhere is neither."""
    makes, reads = set(), set()
    top = symtable.symtable(ast.unparse(tree), "<module>", "exec")
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            is_global = table is top or symbol.is_declared_global()
            if is_global and (symbol.is_assigned() or symbol.is_imported()):
                makes.add(symbol.get_name())
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                reads.add(symbol.get_name())
    return makes, reads


def bound(trees):
    """Names that get a value anywhere."""
    names = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names
