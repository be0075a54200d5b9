"""Run a plan's code in one namespace and say what its cells did.

This proves a plan before it is collected: which cells raise, and that the last one shows the answer. It does not write
observations; the product's own loop does that (`codeact-eval collect`).
"""

import ast
import contextlib
import io
import re
from typing import List, NamedTuple

from .plan import Plan


class Shown(NamedTuple):
    """What one cell did: the text it showed, and the name of the exception that it raised."""

    text: str
    error: str


def cells(plan: Plan) -> List[str]:
    """The code of each turn."""
    return [found.group(1) for turn in plan.turns if (found := re.search(r"<execute>\n(.*)\n</execute>", turn, re.DOTALL))]


def replay(plan: Plan) -> List[Shown]:
    """Run the cells of `plan` in order."""
    namespace = {"__name__": "__main__"}
    exec(plan.setup, namespace)
    return [_run(code, namespace) for code in cells(plan)]


def _run(code: str, namespace: dict) -> Shown:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        try:
            body = ast.parse(code).body
            last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
            exec(compile(ast.Module(body, []), "<cell>", "exec"), namespace)
            if last is not None:
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), namespace)
                if value is not None:
                    print(repr(value))
        except Exception as error:
            return Shown(output.getvalue(), type(error).__name__)
    return Shown(output.getvalue(), "")


def fault(plan: Plan) -> str:
    """Why `plan` must not be used; empty when all is well."""
    shown = replay(plan)
    if shown[-1].error:
        return f"{plan.id}: the last cell raises {shown[-1].error}"
    if shown[-1].text.strip() != plan.answer:
        return f"{plan.id}: shows {shown[-1].text.strip()!r}, the answer is {plan.answer!r}"
    repaired = [cell for cell in shown[:-1] if cell.error]
    if "I will look at" not in plan.turns[0] and len(repaired) != len(shown) - 1:
        return f"{plan.id}: a first attempt that should fail does not"
    return ""
