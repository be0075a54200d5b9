"""What the suites `tools` and `atomic` ask, so that nothing of it is practised."""

import contextlib
import io
import json
import re
from typing import Any, Dict, FrozenSet, List, NamedTuple, Set

from .trace import SUITES, Call, functions, watched


class Asked(NamedTuple):
    """One task of a suite, and what its reference calls."""

    suite: str
    domain: str
    prompt: str
    answer: str
    calls: FrozenSet[str]


def told(answer: Any) -> str:
    """An answer as a text that is the same for the same values."""
    if isinstance(answer, str):
        with contextlib.suppress(ValueError):
            return repr(float(answer))
        return answer
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        return repr(float(answer))
    return json.dumps(answer, sort_keys=True)


def reference_calls(domain: str, turns: List[str]) -> FrozenSet[str]:
    """The calls that the cells of a reference make; a cell may raise, as some do on purpose."""
    calls: List[Call] = []
    space: Dict[str, Any] = {"__name__": "__main__"}
    space.update(watched(functions(domain), calls, space))
    for turn in turns:
        found = re.search(r"<execute>\n(.*)\n</execute>", turn, re.DOTALL)
        if found:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(Exception):
                exec(found.group(1), space)
    return frozenset(call.asked for call in calls)


def read() -> List[Asked]:
    """All tasks of both suites."""
    tasks = []
    for suite in ("tools", "atomic"):
        for path in sorted((SUITES / suite).glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                grader = row.get("grader") or {}
                answer = row["answer"] if "answer" in row else grader["answer"]
                domain = row["tools"].removeprefix("tools/").removesuffix(".py")
                tasks.append(Asked(suite, domain, row["prompt"], told(answer), reference_calls(domain, row["reference"])))
    return tasks


class Measured:
    """Whether a task to practise comes too near to one that is measured."""

    def __init__(self) -> None:
        tasks = read()
        self.prompts: Set[str] = {task.prompt for task in tasks}
        self.answers = {(task.domain, task.answer) for task in tasks}
        self.calls = {(task.domain, task.calls) for task in tasks}
        self.single_calls = {(task.domain, call) for task in tasks if task.suite == "atomic" for call in task.calls}

    def has(self, domain: str, prompt: str, answer: Any, calls: FrozenSet[str]) -> bool:
        """Whether the prompt, the answer within the domain, all calls together, or of `atomic` any one call is measured."""
        return (prompt in self.prompts or (domain, told(answer)) in self.answers or (domain, calls) in self.calls
                or any((domain, call) in self.single_calls for call in calls))
