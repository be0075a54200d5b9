"""Write `data/quickstart`: plan, let the product's own loop execute, verify, and put the files together.

usage: python3 -m scripts.quickstart_data [--seed 7] [--out data/quickstart] [--collector target/release/codeact-eval]
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple

from . import general
from .catalogue import NEW, TRAINED
from .plan import Maker, Plan
from .replay import fault

SLIP_SHARE = 0.22
PER_FAMILY = 26
VALIDATION_COUNT = 40
SEEN_EACH = 2
NEW_WORDING_EACH = 2
NEW_FAMILY_EACH = 3


class Sets(NamedTuple):
    """Everything that the families give, before any code ran in the product."""

    training: List[Plan]
    validation: List[Plan]
    heldout: List[Plan]


def plan_sets(seed: int) -> Sets:
    """Draw the three sets; one `Maker` for all, so that no prompt and no values are shared between them."""
    maker = Maker(seed)
    pick = random.Random(f"{seed}/pick")
    new = [plan for family in NEW for plan in maker.tasks(family, family.ask, NEW_FAMILY_EACH, "new-family")]
    wordings = [plan for family in TRAINED
                for plan in maker.tasks(family, pick.sample(list(family.held), NEW_WORDING_EACH), NEW_WORDING_EACH,
                                        "new-wording")]
    seen = [plan for family in TRAINED
            for plan in maker.tasks(family, pick.sample(list(family.ask), SEEN_EACH), SEEN_EACH, "seen")]
    training = [plan for family in TRAINED for plan in maker.plans(family, PER_FAMILY, "quickstart", SLIP_SHARE)]
    validation = [plan for family in pick.sample(TRAINED, VALIDATION_COUNT)
                  for plan in maker.plans(family, 1, "validation", SLIP_SHARE)]
    pick.shuffle(training)
    return Sets(training, validation, seen + wordings + new)


def check(sets: Sets) -> None:
    """Replay every plan and stop at the first fault, with all faults named."""
    faults = [text for plan in sets.training + sets.validation if (text := fault(plan))]
    if faults:
        sys.exit("error: these plans are wrong\n" + "\n".join(faults))


def collect(collector: str, plans: List[Plan], folder: Path) -> List[Dict[str, Any]]:
    """Run the plans through the agent loop and read back the conversations, in the order of the plans."""
    source, target = folder / "plans.jsonl", folder / "collected.jsonl"
    write_jsonl(source, (plan.row() for plan in plans))
    subprocess.run([collector, "collect", "--plans", str(source), "--out", str(target)], check=True)
    rows = {row["id"]: row for row in map(json.loads, target.read_text(encoding="utf-8").splitlines())}
    absent = [plan.id for plan in plans if plan.id not in rows]
    if absent:
        sys.exit(f"error: {len(absent)} plans were not collected, first `{absent[0]}`")
    for plan in plans:
        verify(plan, rows[plan.id])
    return [rows[plan.id] for plan in plans]


def verify(plan: Plan, row: Dict[str, Any]) -> None:
    """The collected conversation must say what the plan says and end in the right answer."""
    turns = row["conversations"]
    said = tuple(turn["content"] for turn in turns if turn["role"] == "assistant")
    solution = re.search(r"<solution>(.*?)</solution>", said[-1], re.DOTALL)
    observation = turns[-2]["content"]
    if said != plan.turns or solution is None or solution.group(1) != plan.answer:
        sys.exit(f"error: `{plan.id}` was collected with other turns than planned")
    if turns[0]["role"] != "system" or observation != f"Observation:\n{plan.answer}":
        sys.exit(f"error: `{plan.id}` does not show its answer; the last observation is {observation!r}")


def write_jsonl(path: Path, rows: Iterable[Dict[str, Any]]) -> None:
    """One JSON object per line, UTF-8, in the given order."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Read the arguments and write the four files."""
    parser = argparse.ArgumentParser(prog="python3 -m scripts.quickstart_data", description="Generate data/quickstart.")
    parser.add_argument("--seed", type=int, default=7, help="every seed gives other values; the committed files use 7")
    parser.add_argument("--out", type=Path, default=Path("data/quickstart"), help="folder to write")
    parser.add_argument("--collector", default="target/release/codeact-eval", help="program that executes the plans")
    arguments = parser.parse_args()

    sets = plan_sets(arguments.seed)
    check(sets)
    talk = general.read(general.SOURCE)
    with tempfile.TemporaryDirectory() as name:
        rows = collect(arguments.collector, sets.training + sets.validation, Path(name))
    training, validation = rows[:len(sets.training)], rows[len(sets.training):]
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_jsonl(arguments.out / "codeact.jsonl", training)
    write_jsonl(arguments.out / "general.jsonl", general.rows(talk, is_validation=False))
    write_jsonl(arguments.out / "validation.jsonl", validation + general.rows(talk, is_validation=True))
    write_jsonl(arguments.out / "heldout.jsonl", (plan.task() for plan in sets.heldout))
    print(f"{len(training)} trajectories of {len(TRAINED)} families, {len(validation)} for validation, "
          f"{len(sets.heldout)} held-out tasks", file=sys.stderr)
