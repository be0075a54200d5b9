"""One cell: compile, run, echo the last expression. And what a notebook remembers: In, Out, `_`."""
from _ast import Expr, Expression, PyCF_ALLOW_TOP_LEVEL_AWAIT, PyCF_ONLY_AST
from linecache import cache as line_cache
from os import getpid
import warnings

import __future__

transform, display, tracebacks = load("transform"), load("display"), load("tracebacks")
namespace = load("guard").namespace
sources = tracebacks.Sources

FUTURE_FLAGS = 0
for future_name in __future__.all_feature_names:
    FUTURE_FLAGS |= getattr(__future__, future_name).compiler_flag
FUTURE_FLAGS &= ~0x10                   # `nested_scopes` shares its bit with a flag every function has
IS_COROUTINE = 0x80                     # inspect.CO_COROUTINE
AWAIT = PyCF_ALLOW_TOP_LEVEL_AWAIT
HISTORY_MAX = 1000                      # cells whose text stays in In and for tracebacks
RESULTS_MAX = 100                       # values that Out keeps alive


class Cells:
    count = 0
    future = 0                          # `from __future__` of earlier cells
    loop = None                         # the event loop of top-level await
    loop_owner = 0
    underscores = ("_", "__", "___")
    given = {}                          # what `_`, `__` and `___` were set to by us


def parse(source, name):
    """(tree, text that was parsed). Text that is no Python is tried again with its magics replaced."""
    flags = PyCF_ONLY_AST | AWAIT | Cells.future
    try:
        return compile(source, name, "exec", flags, True), source
    except SyntaxError:
        replaced = transform.transform(source)
        if replaced == source:
            raise
    return compile(replaced, name, "exec", flags, True), replaced


def is_silenced(source, last):
    """Whether a semicolon follows the last expression: it is then not echoed."""
    line = source.split("\n")[last.end_lineno - 1].encode()
    return line[last.end_col_offset:].lstrip(b") \t").startswith(b";")


def check(source):
    """Compile a text as run_source does. Warnings are for when it runs."""
    silence = ("ignore", None, Warning, None, 0)
    warnings.filters.insert(0, silence)
    try:
        tree, _ = parse(source, "<cell>")
        compile(tree, "<cell>", "exec", AWAIT | Cells.future, True)
    finally:
        warnings.filters.remove(silence)


def run_source(source, name, space):
    """Run a text as a cell does, and return the value of its last expression (None if there is none to show)."""
    tree, parsed = parse(source, name)
    last, silenced = None, False
    if tree.body and type(tree.body[-1]) is Expr:
        silenced = is_silenced(parsed, tree.body[-1])
        last = Expression(tree.body.pop().value)
    statements = compile(tree, name, "exec", AWAIT | Cells.future, True)
    Cells.future |= statements.co_flags & FUTURE_FLAGS
    if last is not None:
        last = compile(last, name, "eval", AWAIT | Cells.future, True)
    run_code(statements, space)
    value = run_code(last, space) if last is not None else None
    return None if silenced else value


def run_code(code, space):
    if code.co_flags & IS_COROUTINE:
        return run_coroutine(eval(code, space))
    return eval(code, space)


def run_coroutine(coroutine):
    """Top-level await: one event loop for all cells, so that locks and tasks outlive the cell that made them."""
    import asyncio
    if Cells.loop is None or Cells.loop.is_closed() or Cells.loop_owner != getpid():
        Cells.loop, Cells.loop_owner = asyncio.new_event_loop(), getpid()
    loop = Cells.loop
    asyncio.set_event_loop(loop)
    task = loop.create_task(coroutine)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        raise


# ---- history


def begin(source):
    """Number a new cell and keep its text; returns its file name."""
    Cells.count += 1
    name = f"<cell {Cells.count}>"
    lines = source.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    sources.cells[name] = lines
    sources.current = name
    line_cache[name] = (len(source), None, lines, name)     # for inspect.getsource and warnings
    forgotten = f"<cell {Cells.count - HISTORY_MAX}>"
    sources.cells.pop(forgotten, None)
    line_cache.pop(forgotten, None)
    inputs = namespace.get("In")
    if type(inputs) is not list or len(inputs) > Cells.count + HISTORY_MAX:
        inputs = namespace["In"] = []
    inputs += [""] * (Cells.count - len(inputs))
    inputs.append(source)
    if Cells.count > HISTORY_MAX and len(inputs) > HISTORY_MAX:
        inputs[Cells.count - HISTORY_MAX] = ""
    if type(namespace.get("Out")) is not dict:
        namespace["Out"] = {}
    return name


def remember_value(value):
    """Shift `_`, `__`, `___`, unless the cell uses the name itself, and put the value into Out."""
    given, names = Cells.given, Cells.underscores
    if all(namespace.get(name, given.get(name)) is given.get(name) for name in names):
        for older, newer in ((names[2], names[1]), (names[1], names[0])):
            if newer in given:
                namespace[older] = given[older] = given[newer]
        namespace[names[0]] = given[names[0]] = value
    results = namespace["Out"]
    if type(results) is dict and value is not results:
        results[Cells.count] = value
        while len(results) > RESULTS_MAX:
            results.pop(next(iter(results)))
