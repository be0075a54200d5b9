"""The generator keeps its promises: same seed, same bytes; right answers; nothing held out is trained.

usage: python3 -m unittest scripts.quickstart_data.test_quickstart_data
"""

import json
import re
import unittest
from pathlib import Path
from string import Template

from . import general
from .catalogue import NEW, TRAINED
from .generate import PER_FAMILY, plan_sets
from .replay import fault, replay

DATA = Path(__file__).resolve().parents[2] / "data" / "quickstart"


def shape_of(template: str) -> str:
    """A wording without its values, its case and the mark at its end."""
    return re.sub(r"\s+", " ", re.sub(r"\$\{?\w+\}?", " ", template).lower()).strip(" .?:")


def read(name: str) -> list:
    """The rows of a committed file."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


class Plans(unittest.TestCase):
    """What the families give, before the product executes it."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.sets = plan_sets(7)

    def test_the_same_seed_gives_the_same_plans(self) -> None:
        self.assertEqual(plan_sets(7), self.sets)

    def test_another_seed_gives_other_values(self) -> None:
        prompts = {plan.prompt for plan in plan_sets(8).training}
        shared = [plan.prompt for plan in self.sets.training if plan.prompt in prompts]
        self.assertLess(len(shared), len(prompts) / 4)

    def test_every_plan_ends_in_the_independent_answer(self) -> None:
        self.assertEqual([text for plan in self.sets.training + self.sets.validation if (text := fault(plan))], [])

    def test_a_wrong_answer_is_found(self) -> None:
        wrong = self.sets.training[0].__class__(**{**vars(self.sets.training[0]), "answer": "no such answer"})
        self.assertIn("the answer is", fault(wrong))

    def test_a_fifth_of_the_trajectories_repairs_an_error(self) -> None:
        repaired = [plan for plan in self.sets.training if any(cell.error for cell in replay(plan))]
        self.assertGreaterEqual(len(repaired), len(self.sets.training) / 5)
        kinds = {cell.error for plan in repaired for cell in replay(plan) if cell.error}
        self.assertGreaterEqual(len(kinds), 4)

    def test_no_prompt_comes_twice_in_any_set(self) -> None:
        prompts = [plan.prompt for part in self.sets for plan in part]
        self.assertEqual(len(prompts), len(set(prompts)))

    def test_ids_are_unique(self) -> None:
        ids = [plan.id for part in self.sets for plan in part]
        self.assertEqual(len(ids), len(set(ids)))

    def test_no_family_is_left_short(self) -> None:
        made = {}
        for plan in self.sets.training:
            made[plan.family] = made.get(plan.family, 0) + 1
        # A family may run out of values (there are few factorials); half of what was wanted must be there.
        self.assertEqual([family.name for family in TRAINED if made[family.name] < PER_FAMILY // 2], [])


class Leakage(unittest.TestCase):
    """New families and new wordings are new."""

    def test_new_families_are_not_trained(self) -> None:
        self.assertEqual({family.name for family in NEW} & {family.name for family in TRAINED}, set())

    def test_family_names_are_unique(self) -> None:
        names = [family.name for family in TRAINED + NEW]
        self.assertEqual(len(names), len(set(names)))

    def test_held_wordings_are_not_trained(self) -> None:
        trained = {shape_of(wording) for family in TRAINED for wording in family.ask}
        held = {shape_of(wording) for family in TRAINED for wording in family.held}
        held |= {shape_of(wording) for family in NEW for wording in family.ask}
        self.assertEqual(trained & held, set())

    def test_wordings_use_only_values_of_their_family(self) -> None:
        for plan in plan_sets(7).heldout:
            self.assertEqual(Template(plan.prompt).safe_substitute(), plan.prompt)


class Committed(unittest.TestCase):
    """The files in data/quickstart belong to the generator as it is."""

    def test_trajectories_are_those_of_seed_7(self) -> None:
        sets = plan_sets(7)
        rows = read("codeact.jsonl")
        self.assertEqual([plan.id for plan in sets.training], [row["id"] for row in rows])
        for plan, row in zip(sets.training, rows):
            said = [turn["content"] for turn in row["conversations"] if turn["role"] == "assistant"]
            self.assertEqual(list(plan.turns), said)
            self.assertEqual(row["conversations"][-2]["content"], f"Observation:\n{plan.answer}")

    def test_heldout_tasks_are_those_of_seed_7(self) -> None:
        self.assertEqual([plan.task() for plan in plan_sets(7).heldout], read("heldout.jsonl"))

    def test_general_conversations_are_those_of_the_source(self) -> None:
        self.assertEqual(general.rows(general.read(general.SOURCE), is_validation=False), read("general.jsonl"))

    def test_nothing_held_out_is_in_a_training_file(self) -> None:
        trained = {turn["content"] for name in ("codeact.jsonl", "general.jsonl") for row in read(name)
                   for turn in row["conversations"] if turn["role"] == "user"}
        self.assertEqual([task["id"] for task in read("heldout.jsonl") if task["prompt"] in trained], [])
        first = [next(turn["content"] for turn in row["conversations"] if turn["role"] == "user") for row in read("validation.jsonl")]
        self.assertEqual([prompt for prompt in first if prompt in trained], [])

    def test_every_conversation_alternates_and_ends_with_the_assistant(self) -> None:
        for name in ("codeact.jsonl", "general.jsonl", "validation.jsonl"):
            for row in read(name):
                roles = [turn["role"] for turn in row["conversations"] if turn["role"] != "system"]
                self.assertEqual(roles, ["user", "assistant"] * (len(roles) // 2), row["id"])


if __name__ == "__main__":
    unittest.main()
