"""One traced task as assistant turns, in each form of action."""

import ast
import json
from typing import Any, Callable, Dict, List

from scripts.quickstart_data.plan import act

from .family import Family, spoken
from .trace import Call, Trace

FORMS = ("code", "json", "text")
ENDINGS = ("The answer is", "That gives", "The result is", "So it is")


def code(plan: str) -> str:
    """The plan as a cell that prints its answer."""
    last = ast.parse(plan).body[-1]
    lines = plan.split("\n")
    return "\n".join([*lines[:last.lineno - 1], f"print({ast.get_source_segment(plan, last)})"])


def json_action(call: Call) -> str:
    """A call as a JSON object, arguments by name."""
    return "Action: " + json.dumps({"tool": call.tool, "args": call.arguments}, ensure_ascii=False)


def text_action(call: Call) -> str:
    """A call on one line, arguments by place up to the first that is left out, then by name."""
    places = list(call.parameters[:len(call.arguments)])
    parts = [call.tool]
    is_by_name = False
    for place, (name, value) in zip(places, call.arguments.items()):
        is_by_name = is_by_name or name != place
        shown = repr(value) if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)
        parts.append(f"{name}={shown}" if is_by_name else shown)
    return "Action: " + ", ".join(parts)


def filled(template: Any, known: Dict[str, Any]) -> str:
    """What is said, with the values of the plan in it."""
    return template(known) if callable(template) else template.format(**known)


def thoughts(family: Family, think: str, trace: Trace) -> List[str]:
    """What is thought before each call, where every call is an action of its own."""
    said = [think]
    for before, call in zip(trace.calls, trace.calls[1:]):
        if call.tool in family.then:
            said.append(filled(family.then[call.tool], call.known | {"before": before.result}))
        elif call.tool == before.tool and call.arguments:
            changed = [name for name in call.arguments if call.arguments[name] != before.arguments.get(name)]
            said.append(f"Next: {spoken(call.arguments[changed[0]] if changed else call.tool)}.")
        else:
            said.append(f"Now I need `{call.tool}`.")
    return said


def conclusion(words: str, answer: Any) -> str:
    """The turn that ends a task."""
    return f"{words} <solution>{answer}</solution>"


def turns(form: str, family: Family, think: str, plan: str, trace: Trace, ending: str) -> List[str]:
    """All assistant turns of a task in one form. `ending` stands before the solution where nothing is left to work out."""
    if form == "code":
        return [act(think, code(plan)), conclusion(ending, trace.answer)]
    write: Callable[[Call], str] = json_action if form == "json" else text_action
    actions = [f"{thought}\n{write(call)}" for thought, call in zip(thoughts(family, think, trace), trace.calls)]
    worked = filled(family.say, trace.known) if family.say else ending
    return [*actions, conclusion(worked, trace.answer)]


def grader(answer: Any) -> Dict[str, Any]:
    """What decides whether a try was right."""
    if isinstance(answer, (list, tuple)):
        return {"grader": {"kind": "list", "answer": list(answer)}}
    if isinstance(answer, dict):
        return {"grader": {"kind": "dict", "answer": answer}}
    return {"answer": answer}
