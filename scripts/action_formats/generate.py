"""Write `data/action_formats`: draw tasks, let the product's own loop run every one in every form, keep what was graded right.

usage: python3 -m scripts.action_formats [--seed 23] [--out data/action_formats] [--runner target/release/codeact-eval]
"""

import argparse
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Set

from . import rich_composed, rich_domains_two, short_composed, short_domains, tools_ledger, tools_reading, tools_trade, tools_week
from .family import Family, draw
from .forms import ENDINGS, FORMS, grader, turns
from .measured import Measured
from .trace import Trace, run, tool_file

FAMILIES = (
    short_domains.SINGLE
    + short_composed.COMPOSED
    + rich_domains_two.SINGLE
    + rich_composed.COMPOSED
    + tools_trade.FAMILIES
    + tools_ledger.FAMILIES
    + tools_reading.FAMILIES
    + tools_week.FAMILIES
)
PROFILE = "quickstart"
VALIDATION_EVERY = 6
"""Every so many-th family gives one task whose conversations are held out."""
_ATTEMPTS_MAX = 120
_ENDPOINT = Path(__file__).resolve().parents[2] / "tests" / "scripted_endpoint.py"


class Task(NamedTuple):
    """One task, and the assistant turns that solve it in each form."""

    id: str
    domain: str
    prompt: str
    answer: Any
    calls: int
    turns: Dict[str, List[str]]

    def row(self) -> Dict[str, Any]:
        """The line that `codeact-eval run` reads."""
        group = "one" if self.calls == 1 else "several"
        return {"id": self.id, "family": f"{group}/{self.domain}", "prompt": self.prompt, "tools": f"tools/{self.domain}.py", **grader(self.answer)}


class Sets(NamedTuple):
    """What is trained, and what is held out."""

    training: List[Task]
    validation: List[Task]


def is_clear(plan: str, trace: Trace) -> bool:
    """Whether there is one right answer: something in it, and no two values that share the first place."""
    if trace.answer in ("", [], {}, None):
        return False
    compared = [value for value in trace.known.values() if isinstance(value, dict)] if "key=" in plan else []
    return all(len(set(value.values())) == len(value) > 1 for value in compared)


class Drawer:
    """Draws tasks and remembers them: no prompt comes twice, and a plan again only where a family has no more values."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.measured = Measured()
        self.prompts: Set[str] = set()
        self.plans: Set[str] = set()

    def tasks(self, family: Family, count: int, group: str, may_repeat: bool) -> List[Task]:
        """Up to `count` tasks of `family`, its wordings in turn."""
        rng = random.Random(f"{self.seed}/{group}/{family.domain}/{family.name}")
        wordings = list(family.ask)
        rng.shuffle(wordings)
        found: List[Task] = []
        for attempt in range(_ATTEMPTS_MAX):
            if len(found) == count:
                break
            may_repeat_now = may_repeat and attempt > _ATTEMPTS_MAX / 2
            task = self._task(
                family, wordings[len(found) % len(wordings)], f"{group}/{family.domain}/{family.name}/{len(found)}", may_repeat_now, rng
            )
            found.extend([task] if task else [])
        if not found and may_repeat:
            sys.exit(f"error: `{family.domain}/{family.name}` gives no task that is not measured")
        return found

    def _task(self, family: Family, wording: str, name: str, may_repeat: bool, rng: random.Random) -> Any:
        drawn, ending = draw(family, wording, rng), rng.choice(ENDINGS)
        if drawn.prompt in self.prompts or (f"{family.domain}: {drawn.plan}" in self.plans and not may_repeat):
            return None
        try:
            trace = run(family.domain, drawn.plan)
        except Exception:  # A tool refuses these values.
            return None
        calls = frozenset(call.asked for call in trace.calls)
        if not is_clear(drawn.plan, trace) or self.measured.has(family.domain, drawn.prompt, trace.answer, calls):
            return None
        self.prompts.add(drawn.prompt)
        self.plans.add(f"{family.domain}: {drawn.plan}")
        said = {form: turns(form, family, drawn.think, drawn.plan, trace, ending) for form in FORMS}
        return Task(name, family.domain, drawn.prompt, trace.answer, len(trace.calls), said)


def make_sets(seed: int) -> Sets:
    """Draw all tasks."""
    drawer = Drawer(seed)
    training = [task for family in FAMILIES for task in drawer.tasks(family, family.count, "practice", True)]
    validation = [task for family in FAMILIES[::VALIDATION_EVERY] for task in drawer.tasks(family, 1, "validation", False)]
    random.Random(f"{seed}/order").shuffle(training)
    return Sets(training, validation)


def lines(rows: Iterable[Dict[str, Any]]) -> str:
    """One JSON object per line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_suite(tasks: List[Task], folder: Path) -> None:
    """The tasks as a suite with the tools of the measured ones."""
    (folder / "tools").mkdir(parents=True)
    for domain in {task.domain for task in tasks}:
        shutil.copy(tool_file(domain), folder / "tools")
    (folder / "suite.toml").write_text(
        'name = "practice"\ndescription = "Practice in calling tools."\nlicence = "MIT OR Apache-2.0"\n' "[defaults.limits]\nturns = 10\n",
        encoding="utf-8",
    )
    (folder / "tasks.jsonl").write_text(lines(task.row() for task in tasks), encoding="utf-8")


def played(runner: str, tasks: List[Task], form: str, suite: Path, folder: Path) -> Dict[str, Dict[str, Any]]:
    """Every task through `codeact-eval run`, its replies from a script: the result of each, by id."""
    script = folder / f"{form}.json"
    script.write_text(json.dumps([{"when": rf"\A{re.escape(task.prompt)}\Z", "replies": task.turns[form]} for task in tasks]), encoding="utf-8")
    with subprocess.Popen([sys.executable, str(_ENDPOINT), "--scenarios", str(script)], stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().removeprefix("listening on ").strip()
            subprocess.run(
                [
                    runner,
                    "run",
                    str(suite),
                    "--out",
                    str(folder / form),
                    "--endpoint",
                    f"{address}/v1",
                    "--action-format",
                    form,
                    "--profile",
                    PROFILE,
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        finally:
            server.terminate()
    results = map(json.loads, (folder / form / "results.jsonl").read_text(encoding="utf-8").splitlines())
    return {result["task"]: result for result in results if "task" in result}


def conversation(task: Task, form: str, result: Dict[str, Any]) -> Dict[str, Any]:
    """The transcript of a try that did what its script says and was graded right; anything else ends the program."""
    transcript = result["transcript"]
    said = [message["content"] for message in transcript if message["role"] == "assistant"]
    actions = result["actions"]
    wanted = task.turns[form]
    if not result["is_solved"] or said != wanted or actions["invalid"] or actions["failed"] or actions["tried"] != len(wanted) - 1:
        sys.exit(f"error: `{task.id}` as {form} went another way: {result['reason']}\n" + json.dumps(transcript, indent=1))
    return {"id": task.id, "conversations": transcript}


def main() -> None:
    """Read the arguments and write the files."""
    parser = argparse.ArgumentParser(prog="python3 -m scripts.action_formats", description="Generate data/action_formats.")
    parser.add_argument("--seed", type=int, default=23, help="every seed gives other values; the committed files use 23")
    parser.add_argument("--out", type=Path, default=Path("data/action_formats"), help="folder to write")
    parser.add_argument("--runner", default="target/release/codeact-eval", help="program that runs and grades the tasks")
    arguments = parser.parse_args()
    sets = make_sets(arguments.seed)
    tasks = sets.training + sets.validation
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_suite(tasks, folder / "suite")
        for form in FORMS:
            results = played(arguments.runner, tasks, form, folder / "suite", folder)
            for part, chosen in (("", sets.training), ("_validation", sets.validation)):
                text = lines(conversation(task, form, results[task.id]) for task in chosen)
                (arguments.out / f"{form}{part}.jsonl").write_bytes(text.encode())
    several = sum(task.calls > 1 for task in sets.training)
    print(
        f"{len(sets.training)} tasks of {len(FAMILIES)} families, {several} of them with several calls; " f"{len(sets.validation)} for validation",
        file=sys.stderr,
    )
