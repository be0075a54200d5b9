"""The generator keeps its promises: one plan in three forms, right answers, and nothing that is measured.

usage: python3 -m unittest scripts.action_formats.test_action_formats
"""

import functools
import json
import re
import unittest
from collections import Counter
from pathlib import Path

from scripts.quickstart_data.plan import Plan
from scripts.quickstart_data.replay import replay

from . import measured, pools
from .family import Said, bare, spoken
from .forms import FORMS, code, grader, json_action, text_action
from .generate import FAMILIES, VALIDATION_EVERY, is_clear, make_sets
from .trace import functions, run, tool_file

DATA = Path(__file__).resolve().parents[2] / "data" / "action_formats"
RUN_WORDS = 8
PLAIN_WORDS = 5


@functools.lru_cache(maxsize=None)
def committed_sets():
    """The tasks of the committed files, drawn once."""
    return make_sets(23)


def read(name: str) -> list:
    """The conversations of a committed file."""
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def words(prompt: str) -> list:
    """The words of a prompt, with one mark for whatever is quoted, has a digit, or is a name."""
    prompt = re.sub(r'"[^"]*"', " # ", prompt)
    return ["#" if re.search(r"\d", word) or word[:1].isupper() and at else word.lower()
            for at, word in enumerate(re.findall(r"[\w'#.-]+", prompt))]


def runs(prompt: str) -> set:
    """All runs of so many words that say something besides values; the whole of a shorter prompt."""
    found = words(prompt)
    all_runs = [tuple(found[at:at + RUN_WORDS]) for at in range(max(1, len(found) - RUN_WORDS + 1))]
    return {each for each in all_runs if sum(word != "#" for word in each) >= PLAIN_WORDS}


class Tasks(unittest.TestCase):
    """What is drawn."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.sets = committed_sets()
        cls.all = cls.sets.training + cls.sets.validation

    def test_the_same_seed_gives_the_same_tasks(self) -> None:
        self.assertEqual(make_sets(23), self.sets)

    def test_another_seed_gives_other_tasks(self) -> None:
        prompts = {task.prompt for task in make_sets(24).training}
        shared = [task.prompt for task in self.sets.training if task.prompt in prompts]
        self.assertLess(len(shared), len(prompts) / 3)

    def test_no_prompt_and_no_id_comes_twice(self) -> None:
        for names in ([task.prompt for task in self.all], [task.id for task in self.all]):
            self.assertEqual([name for name, count in Counter(names).items() if count > 1], [])

    def test_every_family_gives_a_task_and_has_a_name_of_its_own(self) -> None:
        names = [f"{family.domain}/{family.name}" for family in FAMILIES]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(set(names), {"/".join(task.id.split("/")[1:3]) for task in self.sets.training})

    def test_about_half_take_several_calls(self) -> None:
        several = sum(task.calls > 1 for task in self.sets.training) / len(self.sets.training)
        self.assertTrue(0.4 < several < 0.6, several)

    def test_every_tool_of_both_suites_is_called_but_some(self) -> None:
        called = {(task.domain, json.loads(turn.split("Action: ")[1])["tool"])
                  for task in self.sets.training for turn in task.turns["json"] if "Action: " in turn}
        domains = {path.stem for suite in ("tools", "atomic") for path in (measured.SUITES / suite / "tools").glob("*.py")}
        known = {(domain, tool) for domain in domains for tool in functions(domain)}
        self.assertLessEqual(called, known)
        self.assertGreater(len(called), 0.85 * len(known), sorted(known - called))
        self.assertEqual({domain for domain, _ in called}, domains)

    def test_the_code_prints_the_answer_in_the_session_of_the_tools(self) -> None:
        for task in self.all:
            setup = tool_file(task.domain).read_text(encoding="utf-8")
            plan = Plan(task.id, "", task.prompt, tuple(task.turns["code"]), str(task.answer), setup)
            self.assertEqual([(cell.text, cell.error) for cell in replay(plan)], [(f"{task.answer}\n", "")], task.id)

    def test_the_json_actions_alone_give_what_the_plan_was_given(self) -> None:
        for task in self.all:
            tools = functions(task.domain)
            actions = [json.loads(turn.split("\nAction: ")[1]) for turn in task.turns["json"][:-1]]
            results = [tools[action["tool"]](**action["args"]) for action in actions]
            self.assertEqual(results, [call.result for call in traced(task).calls], task.id)

    def test_all_forms_end_in_the_same_solution(self) -> None:
        for task in self.all:
            ends = {re.search(r"<solution>(.*)</solution>$", task.turns[form][-1])[1] for form in FORMS}
            self.assertEqual(ends, {str(task.answer)}, task.id)
            self.assertEqual({len(task.turns[form]) for form in ("json", "text")}, {task.calls + 1})


class Leakage(unittest.TestCase):
    """What is measured is not practised."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.sets = committed_sets()
        cls.all = cls.sets.training + cls.sets.validation
        cls.measured = measured.read()

    def test_both_suites_are_read_with_their_calls(self) -> None:
        self.assertEqual(Counter(task.suite for task in self.measured), {"tools": 109, "atomic": 135})
        self.assertEqual([task.prompt for task in self.measured if not task.calls], [])
        self.assertTrue(all(len(task.calls) == 1 for task in self.measured if task.suite == "atomic"))

    def test_no_prompt_is_one_of_a_suite(self) -> None:
        theirs = {" ".join(words(task.prompt)) for task in self.measured}
        self.assertEqual([task.prompt for task in self.all if " ".join(words(task.prompt)) in theirs], [])

    def test_no_wording_is_one_of_a_suite(self) -> None:
        theirs = {run for task in self.measured for run in runs(task.prompt)}
        self.assertEqual([task.prompt for task in self.all if runs(task.prompt) & theirs], [])

    def test_no_call_of_atomic_is_practised(self) -> None:
        theirs = {(task.domain, call) for task in self.measured if task.suite == "atomic" for call in task.calls}
        ours = {(task.domain, call.asked) for task in self.all for call in traced(task).calls}
        self.assertEqual(ours & theirs, set())

    def test_no_answer_and_no_set_of_calls_is_measured_in_its_domain(self) -> None:
        answers = {(task.domain, task.answer) for task in self.measured}
        calls = {(task.domain, task.calls) for task in self.measured}
        for task in self.all:
            self.assertNotIn((task.domain, measured.told(task.answer)), answers, task.id)
            self.assertNotIn((task.domain, frozenset(call.asked for call in traced(task).calls)), calls, task.id)

    def test_what_is_measured_would_be_found(self) -> None:
        known = measured.Measured()
        self.assertTrue(known.has("tram", "Anything", 0, frozenset({"next_tram('Zoo')"})))
        self.assertTrue(known.has("tram", "Anything", 14, frozenset({"next_tram('Old Bridge')"})))
        self.assertTrue(known.has("menu", "How much is the fish pie?", 0, frozenset()))
        self.assertFalse(known.has("tram", "Anything", 6, frozenset({"next_tram('Old Bridge')"})))
        trace = run("paint", "paint_litres(20)")
        self.assertEqual(trace.calls[0].asked, run("paint", "paint_litres(square_metres=20, coats=1)").calls[0].asked)

    def test_no_validation_plan_is_trained(self) -> None:
        trained = {(task.domain, task.turns["code"][0]) for task in self.sets.training}
        self.assertEqual([task.id for task in self.sets.validation if (task.domain, task.turns["code"][0]) in trained], [])
        self.assertGreater(len(self.sets.validation), len(FAMILIES) / VALIDATION_EVERY / 2)


def traced(task):
    """What the plan of a task calls, read back from its code."""
    cell = re.search(r"<execute>\n(.*)\n</execute>", task.turns["code"][0], re.DOTALL)[1]
    before, _, last = cell.rpartition("\n")
    return run(task.domain, f"{before}\n{last[len('print('):-1]}".strip())


class Forms(unittest.TestCase):
    """How calls are written."""

    def test_a_plan_becomes_code_that_prints_and_calls_that_stand_alone(self) -> None:
        plan = 'ages = [tree_age(kind, 90) for kind in ["oak", "yew"]]\nmax(ages)'
        trace = run("trees", plan)
        self.assertEqual(trace.answer, 82)
        self.assertEqual(code(plan), 'ages = [tree_age(kind, 90) for kind in ["oak", "yew"]]\nprint(max(ages))')
        self.assertEqual([json_action(call) for call in trace.calls], [
            'Action: {"tool": "tree_age", "args": {"kind": "oak", "girth_cm": 90}}',
            'Action: {"tool": "tree_age", "args": {"kind": "yew", "girth_cm": 90}}'])
        self.assertEqual([text_action(call) for call in trace.calls], ['Action: tree_age, "oak", 90', 'Action: tree_age, "yew", 90'])

    def test_text_names_what_stands_behind_a_gap(self) -> None:
        call = run("restaurant", 'reserve_table("Iyer", 2, "2025-01-01", "18:00", high_chairs=1)').calls[0]
        self.assertEqual(text_action(call), 'Action: reserve_table, "Iyer", 2, "2025-01-01", "18:00", high_chairs=1')
        call = run("postage", "postage(20, abroad=True)").calls[0]
        self.assertEqual((text_action(call), json_action(call)),
                         ("Action: postage, 20, True", 'Action: {"tool": "postage", "args": {"grams": 20, "abroad": true}}'))

    def test_later_arguments_follow_from_earlier_results(self) -> None:
        trace = run("shop", 'name = product("LT-RR")["supplier"]\nsupplier(name)["delivery_days"]')
        self.assertEqual([call.arguments for call in trace.calls], [{"sku": "LT-RR"}, {"name": "Lumo"}])
        self.assertEqual((trace.calls[1].known["name"], trace.answer), ("Lumo", 12))

    def test_no_task_sees_what_another_one_changed(self) -> None:
        plan = 'book_seats("LX101", 2)\ntrain_details("LX101")["seats"]'
        self.assertEqual([run("travel", plan).answer for _ in range(2)], [12, 12])

    def test_a_plan_that_shares_the_first_place_is_not_clear(self) -> None:
        plan = 'starts = {name: person(name)["starts"] for name in ["Amara", "Farid"]}\nmin(starts, key=starts.get)'
        self.assertFalse(is_clear(plan, run("planner", plan)))
        self.assertFalse(is_clear("", run("library", 'search(author="Nobody")')))
        with self.assertRaises(ValueError):
            run("tram", "wait = next_tram('Zoo')")

    def test_answers_are_graded_by_what_they_are(self) -> None:
        self.assertEqual(grader([1, "a"]), {"grader": {"kind": "list", "answer": [1, "a"]}})
        self.assertEqual(grader("T-1"), {"answer": "T-1"})

    def test_values_are_said_as_people_say_them(self) -> None:
        self.assertEqual(spoken(["a", Said(2, "two"), "c"]), "a, two and c")
        self.assertEqual(bare([Said(2, "two"), "c"]), [2, "c"])
        told = {pools._told(hour, minute) for hour, minute in ((19, 30), (8, 45), (13, 10), (12, 0), (17, 40))}
        self.assertEqual(told, {"half past seven in the evening", "a quarter to nine in the morning",
                                "ten past one in the afternoon", "noon", "twenty to six in the afternoon"})
        self.assertEqual([pools.worded(number) for number in (7, 19, 40, 42)], ["seven", "nineteen", "forty", "forty-two"])


class Committed(unittest.TestCase):
    """The files in data/action_formats belong to the generator as it is, and to each other."""

    def test_conversations_are_those_of_seed_23(self) -> None:
        sets = committed_sets()
        for form in FORMS:
            for name, tasks in ((form, sets.training), (f"{form}_validation", sets.validation)):
                rows = read(name)
                self.assertEqual([row["id"] for row in rows], [task.id for task in tasks])
                for row, task in zip(rows, tasks):
                    turns = row["conversations"]
                    self.assertEqual([turn["content"] for turn in turns if turn["role"] == "assistant"], task.turns[form])
                    self.assertEqual(turns[1], {"role": "user", "content": task.prompt})
                    self.assertEqual([turn["role"] for turn in turns[:2]], ["system", "user"])

    def test_every_call_is_followed_by_what_the_session_said(self) -> None:
        for form in FORMS:
            for row in read(form):
                turns = row["conversations"]
                seen = [turn["content"] for turn in turns[3::2]]
                self.assertTrue(all(text.startswith("Observation:\n") and "Error" not in text for text in seen), row["id"])
                self.assertEqual(len(seen), len(turns) // 2 - 1)

    def test_the_forms_differ_in_system_prompt_and_actions_alone(self) -> None:
        for rows in zip(*(read(form) for form in FORMS)):
            systems = [row["conversations"][0]["content"] for row in rows]
            self.assertEqual(len({system[system.index("\n[1] "):] for system in systems}), 1)
            self.assertEqual(len({row["conversations"][1]["content"] for row in rows}), 1)


if __name__ == "__main__":
    unittest.main()
