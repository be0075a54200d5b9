"""Write `data/flywheel`: what to practise, what to measure practice with, and whether the model still chats.

usage: python3 -m scripts.flywheel_data [--seed 11] [--out data/flywheel]
"""

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

from scripts.quickstart_data import general
from scripts.quickstart_data.family import Family, fill_code, fill_prompt
from scripts.quickstart_data.plan import Plan, act, conclude
from scripts.quickstart_data.replay import replay

from . import families_lists, families_new, families_numbers

PRACTISED = families_numbers.FAMILIES + families_lists.FAMILIES
NEW = families_new.FAMILIES

PRACTICE_EACH = 25
SEEN_EACH = 5
NEW_EACH = 15
_ATTEMPTS_MAX = 500

CHAT_SOURCE = Path(__file__).with_name("chat.txt")
# Ids of the quickstart's conversations count from 0, and both files are read together.
_CHAT_FIRST = 1000


class Task(NamedTuple):
    """One task, how it is solved, and how one goes wrong over it."""

    id: str
    family: str
    prompt: str
    answer: str
    setup: str
    reference: Tuple[str, ...]
    wrong: Tuple[str, ...]

    def short(self) -> Dict[str, Any]:
        """The task alone."""
        row = {"id": self.id, "family": self.family, "prompt": self.prompt, "answer": self.answer}
        return row | {"setup": self.setup} if self.setup else row

    def full(self) -> Dict[str, Any]:
        """The task with turns that solve it and turns that do not."""
        return self.short() | {"reference": list(self.reference), "wrong": list(self.wrong)}


class Sets(NamedTuple):
    """The two files of tasks."""

    practice: List[Task]
    held_out: List[Task]


class Drawer:
    """Draws tasks and remembers what it drew, so that no values and no prompt come twice in any file."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.drawn = set()

    def tasks(self, family: Family, count: int, group: str) -> List[Task]:
        """`count` tasks of `family`, its wordings in turn; what is hinted is only for practice."""
        rng = random.Random(f"{self.seed}/{group}/{family.name}")
        wordings = list(family.ask) + (list(family.hinted) if group == "practice" else [])
        rng.shuffle(wordings)
        return [self._task(family, wordings[index % len(wordings)], group, index, rng) for index in range(count)]

    def _task(self, family: Family, wording: str, group: str, index: int, rng: random.Random) -> Task:
        for _ in range(_ATTEMPTS_MAX):
            values = family.values(rng)
            prompt = fill_prompt(wording, values, rng)
            key = f"{family.name}/{sorted((name, str(value)) for name, value in values.items())}"
            if key in self.drawn or prompt in self.drawn:
                continue
            answer, setup = str(family.solve(values)), fill_code(family.setup, values)
            name = f"{group}/{family.name}"
            said = conclude(_shown(fill_code(family.slips[0].code, values), setup))
            if is_same(said, conclude(answer)) or answer in ("", "[]"):
                continue
            self.drawn |= {key, prompt}
            thought = fill_code(family.think[0], values)
            reference = (act(thought, fill_code(family.code[0], values)), conclude(answer))
            wrong = (act(thought, fill_code(family.slips[0].code, values)), said)
            return Task(f"flywheel/{name}/{index}", name, prompt, answer, setup, reference, wrong)
        sys.exit(f"error: `{family.name}` has too few values for {group}")


def is_same(left: str, right: str) -> bool:
    """Whether two concluding turns give the same text or the same number."""
    texts = [turn.removeprefix(conclude("")[:-len("</solution>")]).removesuffix("</solution>") for turn in (left, right)]
    try:
        return abs(float(texts[0]) - float(texts[1])) <= 1e-6 * max(1.0, abs(float(texts[1])))
    except ValueError:
        return texts[0] == texts[1]


def _shown(code: str, setup: str) -> str:
    cell = replay(Plan("", "", "", (act("", code),), "", setup))[-1]
    if cell.error:
        sys.exit(f"error: a wrong program must run, this one raises {cell.error}\n{code}")
    return cell.text.strip()


def make_sets(seed: int) -> Sets:
    """Draw both files of tasks. The held-out tasks come first, so that more practice leaves them as they are."""
    drawer = Drawer(seed)
    seen = [task for family in PRACTISED for task in drawer.tasks(family, SEEN_EACH, "seen")]
    new = [task for family in NEW for task in drawer.tasks(family, NEW_EACH, "new-family")]
    practice = [task for family in PRACTISED for task in drawer.tasks(family, PRACTICE_EACH, "practice")]
    random.Random(f"{seed}/order").shuffle(practice)
    return Sets(practice, seen + new)


def chat() -> List[Dict[str, Any]]:
    """The held-out conversations. They are written by hand, so no seed changes them."""
    return general.rows(general.read(CHAT_SOURCE), is_validation=False, first=_CHAT_FIRST)


def lines(rows: Iterable[Dict[str, Any]]) -> str:
    """One JSON object per line."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> None:
    """Read the arguments and write the three files."""
    parser = argparse.ArgumentParser(prog="python3 -m scripts.flywheel_data", description="Generate data/flywheel.")
    parser.add_argument("--seed", type=int, default=11, help="every seed gives other values; the committed files use 11")
    parser.add_argument("--out", type=Path, default=Path("data/flywheel"), help="folder to write")
    arguments = parser.parse_args()
    sets, talks = make_sets(arguments.seed), chat()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, text in (("practice", lines(task.short() for task in sets.practice)),
                       ("held_out", lines(task.full() for task in sets.held_out)),
                       ("chat", lines(talks))):
        (arguments.out / f"{name}.jsonl").write_bytes(text.encode())
    print(f"{len(sets.practice)} tasks of {len(PRACTISED)} families to practise, {len(sets.held_out)} held out, "
          f"{len(NEW)} families of them new; {len(talks)} conversations", file=sys.stderr)
