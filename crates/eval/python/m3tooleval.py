"""Takes the tasks out of modules of M3ToolEval: what each asks and expects, and source that makes its tools alone.

The modules run here, in a sandbox, because they compute what they expect.
"""
import ast
import importlib
import json
import math
import os
import symtable
import sys

SETUP = '''def _tools():
    import builtins, io, os
    files = {files!r}

    def opened(path, *args, **kwargs):
        name = os.path.basename(str(path))
        return io.StringIO(files[name]) if name in files else builtins.open(path, *args, **kwargs)

    space = {{"__name__": "tools", "__file__": "tools.py", "open": opened}}
    exec({source!r}, space)
    tools = space[{name!r}]
    return tools() if callable(tools) else tools


globals().update(_tools())
del _tools
'''
SOURCE = '''from __future__ import annotations


def ToolType(name, description, function, fn_signature):
    return function


'''


def tasks_of(modules):
    """{"tasks": [..], "skipped": [reason, ..]} of the modules of the package `tasks.impl` below the working folder.

    A task is {"module", "name", "instruction", "grader", "answer", "tools", "setup"}.
    """
    sys.path.insert(0, os.getcwd())
    base = importlib.import_module("tasks.base")
    tasks, skipped = [], []
    for name in modules:
        del base.TASKS[:]
        try:
            module = importlib.import_module(f"tasks.impl.{name}")
        except Exception as error:
            skipped.append(f"the module `{name}` cannot be run: {type(error).__name__}: {error}"[:300])
            continue
        made = {}
        for task in list(base.TASKS):
            try:
                tasks.append({"module": name, **described(module, task, made)})
            except Left as error:
                skipped.append(str(error))
            except Exception as error:
                skipped.append(f"a task cannot be read: {type(error).__name__}: {error}"[:300])
    return {"tasks": tasks, "skipped": skipped}


class Left(Exception):
    """Why a task is left out."""


def described(module, task, made):
    for part in (task.name, task.instruction):
        if type(part) is not str or not part.strip():
            raise Left("its name or instruction is no text")
    grader = grader_of(task.expected_output)
    if id(task.tools) not in made:
        made[id(task.tools)] = setup_of(module, task.tools)
    setup, tools = made[id(task.tools)]
    return {"name": task.name, "instruction": task.instruction, **grader, "tools": tools, "setup": setup}


def grader_of(value):
    """The grader for an expected value, and the value as a solution."""
    if isinstance(value, bool) or isinstance(value, str) and value.strip():
        return {"grader": {"kind": "exact", "answer": str(value)}, "answer": str(value)}
    if isinstance(value, (int, float)) and math.isfinite(value):
        return {"grader": {"kind": "number", "answer": repr(value)}, "answer": repr(value)}
    kinds = {list: "list", tuple: "list", dict: "dict", set: "set"}
    if type(value) not in kinds:
        raise Left(f"it expects a value of the type {type(value).__name__}, which no grader takes")
    # A set has no order of its own, and what is made of it should have one.
    items = sorted(value, key=repr) if isinstance(value, set) else value
    try:
        plain = json.loads(json.dumps(items, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise Left(f"it expects what no grader takes: {error}") from None
    shown = "{" + ", ".join(map(repr, items)) + "}" if isinstance(value, set) and value else repr(value)
    return {"grader": {"kind": kinds[type(value)], "answer": plain}, "answer": shown}


def setup_of(module, tools):
    """Python that puts the tools into a session, and what is told of them."""
    name = next((name for name, value in vars(module).items() if value is tools), None)
    if name is None:
        raise Left("its tools have no name in the module")
    with open(module.__file__, encoding="utf-8") as file:
        kept = needed(ast.parse(file.read()), name)
    source = SOURCE + "\n".join(ast.unparse(node) for node in kept)
    folder, files = os.path.dirname(module.__file__), {}
    for part in (part for node in kept for part in ast.walk(node)):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and "/" not in part.value:
            path = os.path.join(folder, part.value)
            if part.value and not part.value.endswith(".py") and os.path.isfile(path):
                with open(path, encoding="utf-8") as file:
                    files[part.value] = file.read()
    setup = SETUP.format(files=files, source=source, name=name)
    space = {"__name__": "session"}
    exec(setup, space)
    told = []
    for key, tool in (tools() if callable(tools) else tools).items():
        if not key.isidentifier() or not callable(space.get(key)):
            raise Left(f"its tool `{key}` cannot be taken out of the module"[:200])
        signature = tool.fn_signature
        signature = signature[len(key):] if signature.startswith(key + "(") else "(*args)"
        told.append({"name": key, "signature": signature, "doc": str(tool.description)})
    return setup, told


def needed(tree, name):
    """The statements that `name` needs, in their order; nothing that only the tasks need."""
    nodes = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.level)]
    facts = [(node, *names_in(node)) for node in nodes]
    wanted, kept = {name}, set()
    while True:
        more = {index for index, (_, makes, _) in enumerate(facts) if makes & wanted} - kept
        if not more:
            return [facts[index][0] for index in sorted(kept)]
        kept |= more
        for index in more:
            wanted |= facts[index][2] - facts[index][1]


def names_in(node):
    """The global names that a statement of a module makes, and those that it reads."""
    makes, reads = set(), set()
    top = symtable.symtable(ast.unparse(node), "<module>", "exec")
    tables = [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            if table is top and (symbol.is_assigned() or symbol.is_imported()):
                makes.add(symbol.get_name())
            if symbol.is_referenced() and (table is top or symbol.is_global()):
                reads.add(symbol.get_name())
    return makes, reads
