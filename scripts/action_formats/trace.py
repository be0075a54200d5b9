"""Run a plan with the tools of its domain, and note every call.

The plan itself is the action in the code format. What it calls, with which values and in which order, are the actions in
the other two: there each call is made alone, and what the plan computes in between is said in words.
"""

import ast
import builtins
import inspect
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Tuple

SUITES = Path(__file__).resolve().parents[2] / "data" / "suites"
BUILTINS = {name: getattr(builtins, name) for name in
            "abs bool dict enumerate float int len list max min range round set sorted str sum tuple zip any all".split()}
CALLS_MAX = 9


class Call(NamedTuple):
    """One call of a tool: its arguments by name, in the order of its parameters, what it gave, and what the plan knew
    before it."""

    tool: str
    arguments: Dict[str, Any]
    result: Any
    parameters: Tuple[str, ...]
    known: Dict[str, Any]
    asked: str
    """The same for calls that ask for the same, whether defaults are written out or not."""


class Trace(NamedTuple):
    """What a plan did."""

    calls: List[Call]
    answer: Any
    known: Dict[str, Any]


def tool_file(domain: str) -> Path:
    """The file with the tools of a domain, in whichever suite it is."""
    found = [path for suite in ("tools", "atomic") for path in [SUITES / suite / "tools" / f"{domain}.py"] if path.exists()]
    if len(found) != 1:
        raise ValueError(f"{len(found)} files with tools of {domain!r}")
    return found[0]


def functions(domain: str) -> Dict[str, Callable[..., Any]]:
    """The tools of a domain with data of their own, so that no task sees what another one changed."""
    source: Dict[str, Any] = {"__name__": domain}
    path = tool_file(domain)
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), source)
    return {name: value for name, value in source.items() if inspect.isfunction(value) and not name.startswith("_")}


def plain(space: Mapping[str, Any]) -> Dict[str, Any]:
    """The variables of a program without functions and what Python puts there."""
    return {name: value for name, value in space.items() if not callable(value) and not name.startswith("__")}


def watched(tools: Mapping[str, Callable[..., Any]], calls: List[Call], space: Dict[str, Any]) -> Dict[str, Callable[..., Any]]:
    """The same tools, noting each call that comes from outside of their file in `calls`."""

    def watch(name: str, tool: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(tool)

        def call(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            arguments = dict(bound.arguments)
            bound.apply_defaults()
            asked = f"{name}({', '.join(repr(value) for value in bound.arguments.values())})"
            calls.append(Call(name, arguments, None, tuple(signature.parameters), plain(space), asked))
            at = len(calls) - 1
            result = tool(*args, **kwargs)
            calls[at] = calls[at]._replace(result=result)
            return result

        return call

    return {name: watch(name, tool) for name, tool in tools.items()}


def run(domain: str, plan: str) -> Trace:
    """Run `plan`; its last line is the answer.

    Raises whatever the plan or a tool raises, and ValueError when the last line is no expression or too much is called.
    """
    body = ast.parse(plan).body
    if not body or not isinstance(body[-1], ast.Expr):
        raise ValueError("the last line of a plan must be an expression")
    calls: List[Call] = []
    space: Dict[str, Any] = {"__builtins__": BUILTINS}
    space.update(watched(functions(domain), calls, space))
    exec(compile(ast.Module(body[:-1], []), "<plan>", "exec"), space)
    answer = eval(compile(ast.Expression(body[-1].value), "<plan>", "eval"), space)
    if not 1 <= len(calls) <= CALLS_MAX:
        raise ValueError(f"a plan makes 1 to {CALLS_MAX} calls, not {len(calls)}")
    return Trace(calls, answer, plain(space) | {"answer": answer})
