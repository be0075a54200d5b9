"""The generator keeps its promises: same seed, same bytes; right answers; nothing to practise gives its solution away.

usage: python3 -m unittest scripts.flywheel_data.test_flywheel_data
"""

import json
import re
import unittest
from collections import Counter
from pathlib import Path

from scripts.quickstart_data import catalogue, general
from scripts.quickstart_data.plan import Plan, conclude
from scripts.quickstart_data.replay import replay
from scripts.quickstart_data.test_quickstart_data import read, shape_of

from .generate import CHAT_SOURCE, NEW, NEW_EACH, PRACTICE_EACH, PRACTISED, SEEN_EACH, chat, is_same, lines, make_sets

DATA = Path(__file__).resolve().parents[2] / "data" / "flywheel"


def matches(wording: str, prompt: str) -> bool:
    """Whether `prompt` is `wording` with values in place of its `$name`."""
    parts = [re.escape(part) for part in re.split(r"\$\w+", wording)]
    return re.fullmatch(".+?".join(parts), prompt) is not None


def shown(task, turns) -> str:
    """What the program of `turns` prints."""
    cell = replay(Plan(task.id, task.family, task.prompt, turns, task.answer, task.setup))[-1]
    return cell.error or cell.text.strip()


def normal(text: str) -> str:
    """`text` in lower case, without punctuation."""
    return " ".join(re.findall(r"\w+", text.lower()))


def said_by(role: str, rows) -> list:
    """What `role` says in the conversations of `rows`."""
    return [turn["content"] for row in rows for turn in row["conversations"] if turn["role"] == role]


def shared_prompts(ours, theirs) -> list:
    """What the user says in both sets of conversations."""
    known = {normal(text) for text in said_by("user", theirs)}
    return [text for text in said_by("user", ours) if normal(text) in known]


class Tasks(unittest.TestCase):
    """What is drawn."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.sets = make_sets(11)
        cls.all = cls.sets.practice + cls.sets.held_out

    def test_the_same_seed_gives_the_same_tasks(self) -> None:
        self.assertEqual(make_sets(11), self.sets)

    def test_another_seed_gives_other_tasks(self) -> None:
        prompts = {task.prompt for task in make_sets(12).practice}
        shared = [task.prompt for task in self.sets.practice if task.prompt in prompts]
        self.assertLess(len(shared), len(prompts) / 4)

    def test_the_reference_shows_the_independent_answer(self) -> None:
        for task in self.all:
            self.assertTrue(is_same(conclude(shown(task, task.reference)), conclude(task.answer)), task.id)

    def test_the_wrong_turns_run_and_say_something_else(self) -> None:
        for task in self.all:
            said = conclude(shown(task, task.wrong))
            self.assertEqual(said, task.wrong[-1], task.id)
            self.assertFalse(is_same(said, conclude(task.answer)), task.id)

    def test_no_prompt_and_no_id_comes_twice(self) -> None:
        for names in ([task.prompt for task in self.all], [task.id for task in self.all]):
            self.assertEqual([name for name, count in Counter(names).items() if count > 1], [])

    def test_every_family_has_all_its_tasks(self) -> None:
        wanted = {f"practice/{family.name}": PRACTICE_EACH for family in PRACTISED}
        wanted |= {f"seen/{family.name}": SEEN_EACH for family in PRACTISED}
        wanted |= {f"new-family/{family.name}": NEW_EACH for family in NEW}
        self.assertEqual(Counter(task.family for task in self.all), wanted)

    def test_what_is_practised_comes_without_a_solution(self) -> None:
        for task in self.sets.practice:
            self.assertLessEqual(set(task.short()), {"id", "family", "prompt", "answer", "setup"})


    def test_held_out_tasks_do_not_name_the_way(self) -> None:
        hinted = {shape_of(wording) for family in PRACTISED for wording in family.hinted}
        plain = {shape_of(wording) for family in PRACTISED for wording in family.ask}
        self.assertEqual(hinted & plain, set())
        count = 0
        for task in self.sets.practice:
            family = next(family for family in PRACTISED if task.family == f"practice/{family.name}")
            count += any(matches(wording, task.prompt) for wording in family.hinted)
        self.assertTrue(len(self.sets.practice) / 6 < count < len(self.sets.practice) / 2, count)
        for task in self.sets.held_out:
            for family in PRACTISED:
                if task.family == f"seen/{family.name}":
                    self.assertFalse(any(matches(wording, task.prompt) for wording in family.hinted), task.id)


class Leakage(unittest.TestCase):
    """New is new: for the trained model, and for the practised one."""

    def test_no_family_is_one_of_the_quickstart(self) -> None:
        ours = [family.name for family in PRACTISED + NEW]
        theirs = {family.name for family in catalogue.TRAINED + catalogue.NEW}
        self.assertEqual([name for name in ours if name in theirs], [])
        self.assertEqual(len(ours), len(set(ours)))

    def test_no_program_is_one_of_the_quickstart(self) -> None:
        ours = {code for family in PRACTISED + NEW for code in family.code}
        theirs = {code for family in catalogue.TRAINED for code in family.code}
        self.assertEqual(ours & theirs, set())

    def test_no_wording_is_shared(self) -> None:
        groups = [[*family.ask, *family.hinted] for family in PRACTISED]
        groups += [[*family.ask, *family.held] for family in NEW + catalogue.TRAINED + catalogue.NEW]
        shapes = Counter(shape for group in groups for shape in {shape_of(wording) for wording in group})
        self.assertEqual([shape for shape, count in shapes.items() if count > 1], [])

    def test_no_prompt_is_one_of_the_quickstart(self) -> None:
        theirs = {task["prompt"] for task in read("heldout.jsonl")}
        theirs |= {turn["content"] for row in read("codeact.jsonl") for turn in row["conversations"]}
        sets = make_sets(11)
        self.assertEqual([task.id for task in sets.practice + sets.held_out if task.prompt in theirs], [])


class Chat(unittest.TestCase):
    """The held-out conversations are of the kinds that are trained, and none of them is."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.chat = chat()
        cls.quickstart = read("general.jsonl") + read("validation.jsonl")

    def test_no_prompt_is_one_of_the_quickstart(self) -> None:
        self.assertEqual(shared_prompts(self.chat, self.quickstart), [])

    def test_a_shared_prompt_is_found(self) -> None:
        row = {"id": "general/copy/0", "conversations": [{"role": "user", "content": "what is  a NOUN"}]}
        self.assertEqual(shared_prompts([*self.chat, row], self.quickstart), ["what is  a NOUN"])

    def test_nothing_is_said_twice(self) -> None:
        for role in ("user", "assistant"):
            counts = Counter(normal(text) for text in said_by(role, self.chat))
            self.assertEqual([text for text, count in counts.items() if count > 1], [])

    def test_ids_are_general_and_unique_beside_the_quickstart(self) -> None:
        counts = Counter(row["id"] for row in self.chat + self.quickstart)
        self.assertEqual([name for name, count in counts.items() if count > 1], [])
        self.assertEqual([row["id"] for row in self.chat if not row["id"].startswith("general/")], [])

    def test_the_source_loses_no_conversation(self) -> None:
        self.assertEqual(len(self.chat), len(general.read(CHAT_SOURCE)))
        self.assertGreaterEqual(len(self.chat), 200)

    def test_no_reply_acts(self) -> None:
        acting = [text for text in said_by("assistant", self.chat) if "<execute>" in text or "<solution>" in text]
        self.assertEqual(acting, [])

    def test_turns_alternate_and_end_with_the_assistant(self) -> None:
        for row in self.chat:
            roles = [turn["role"] for turn in row["conversations"] if turn["role"] != "system"]
            self.assertEqual(roles, ["user", "assistant"] * max(1, len(roles) // 2), row["id"])

    def test_kinds_are_about_as_frequent_as_in_training(self) -> None:
        theirs = general.read(general.SOURCE)
        ours = general.read(CHAT_SOURCE)
        trained, held = (Counter(talk.topic for talk in talks) for talks in (theirs, ours))
        self.assertEqual(set(trained), set(held))
        for topic, count in trained.items():
            self.assertAlmostEqual(held[topic] / len(ours), count / len(theirs), delta=0.01, msg=topic)
        prompted = [sum("prompt" in talk.flags for talk in talks) / len(talks) for talks in (theirs, ours)]
        self.assertAlmostEqual(*prompted, delta=0.05)


class Committed(unittest.TestCase):
    """The files in data/flywheel belong to the generator as it is."""

    def test_files_are_those_of_seed_11(self) -> None:
        sets = make_sets(11)
        self.assertEqual((DATA / "practice.jsonl").read_text(encoding="utf-8"), lines(task.short() for task in sets.practice))
        self.assertEqual((DATA / "held_out.jsonl").read_text(encoding="utf-8"), lines(task.full() for task in sets.held_out))
        self.assertEqual((DATA / "chat.jsonl").read_text(encoding="utf-8"), lines(chat()))

    def test_every_line_is_an_object_with_a_prompt_and_an_answer(self) -> None:
        for name in ("practice", "held_out"):
            for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
                task = json.loads(line)
                self.assertTrue(task["prompt"] and task["answer"], task["id"])


if __name__ == "__main__":
    unittest.main()
