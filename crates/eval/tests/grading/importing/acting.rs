//! M3ToolEval, MINT and API-Bank.

use codeact_eval::{Benchmark, Grader, ImportOptions, import};
use serde_json::{Value, json};

use super::{Files, assert_sound, humaneval, lines, mbpp, task};
use crate::{played, policy};

const BAKERY: &str = r#"from ..base import Task, register_task_iterator, ToolType

PRICES = {"roll": 0.5, "loaf": 3.0}


def price(item):
    return PRICES[item]


def total(*prices):
    return sum(prices)


CUR_TASK_NAME = "bakery"
CUR_TOOLS = {
    "price": ToolType(name="price", description="The price. Arguments: item (str)", function=price,
                      fn_signature="price(item: str) -> float"),
    "max": ToolType(name="max", description="The largest.", function=max, fn_signature="max(*args: float) -> float"),
}
SECRET = "the answers"
TASKS = [
    Task(name=f"{CUR_TASK_NAME}/two", tools=CUR_TOOLS, instruction="What do a roll and a loaf cost?",
         expected_output=total(*[price(item) for item in ["roll", "loaf"]]), is_single_tool_task=False),
    Task(name=f"{CUR_TASK_NAME}/both", tools=CUR_TOOLS, instruction="List both prices.",
         expected_output=[price("roll"), price("loaf")], is_single_tool_task=False),
    Task(name=f"{CUR_TASK_NAME}/strange", tools=CUR_TOOLS, instruction="What?", expected_output=object()),
]
register_task_iterator(TASKS, len(TASKS))
"#;

const SHELVES: &str = r#"import json
import os
from collections import deque
from typing import Mapping

from ...base import Task, register_task_iterator, ToolType


class Shelf:
    def __init__(self, books):
        self.books = deque(books)

    def next(self):
        return self.books.popleft()


with open(os.path.join(os.path.dirname(__file__), "books.jsonl")) as f:
    BOOKS = [json.loads(line) for line in f.read().splitlines()]
with open(os.path.join(os.path.dirname(__file__), "answers.json")) as f:
    ANSWERS = json.load(f)


def create_tools() -> Mapping[str, ToolType]:
    shelf = Shelf(BOOKS)
    return {"next_book": ToolType(name="next_book", description="The next book.", function=shelf.next,
                                  fn_signature="next_book() -> str")}


TASKS = [Task(name="shelves/first", tools=create_tools, instruction="Which book is first?", expected_output=ANSWERS["first"])]
register_task_iterator(TASKS, 1)
"#;

#[test]
fn modules_of_tools_become_setups_without_their_answers() {
    let files = Files::of(&[
        ("m3/tasks/base.py", "raise RuntimeError('it is not needed')".into()),
        ("m3/tasks/impl/__init__.py", String::new()),
        ("m3/tasks/impl/bakery.py", BAKERY.into()),
        ("m3/tasks/impl/broken.py", "import tqdm_of_nobody".into()),
        ("m3/tasks/impl/shelves/__init__.py", SHELVES.into()),
        ("m3/tasks/impl/shelves/books.jsonl", "\"Emma\"\n\"Ulysses\"\n".into()),
        ("m3/tasks/impl/shelves/answers.json", r#"{"first": "Emma", "note": "hidden"}"#.into()),
    ]);
    let (imported, suite) = files.imported(Benchmark::M3ToolEval, "m3", None);
    assert_eq!((imported.tasks, imported.skipped.values().sum::<usize>()), (3, 2), "{:?}", imported.skipped);
    let reasons = imported.table();
    assert!(reasons.contains("the type object") && reasons.contains("tqdm_of_nobody"), "{reasons}");
    assert_sound(&suite);
    let (two, first) = (task(&suite, "bakery/two"), task(&suite, "shelves/first"));
    assert_eq!(
        (two.tools.len(), two.tools[0].signature.as_str(), two.limits.turns),
        (2, "(item: str) -> float", Some(10))
    );
    let setups = [two, first].map(|task| task.setup.clone().unwrap());
    assert!(!setups[0].contains("the answers") && !setups[1].contains("hidden") && setups[1].contains("Ulysses"));
    let outcome = played(
        two,
        &["<execute>\nprint(price('roll') + price('loaf'), max(1, 2))\n</execute>", "<solution>3.5</solution>"],
    );
    assert!(outcome.is_solved && outcome.transcript[3].content.contains("3.5 2"), "{:?}", outcome.transcript[3]);
    let look = "<execute>\nprint(next_book(), next_book(), 'PRICES' in globals(), 'Shelf' in globals())\n</execute>";
    let outcome = played(first, &[look, "<solution>Emma</solution>"]);
    assert!(outcome.is_solved && outcome.transcript[3].content.contains("Emma Ulysses False False"));
}

const LETTERS: &str = r#"from ..base import Task, register_task_iterator, ToolType


def one():
    return 1


TOOLS = {"one": ToolType(name="one", description="One.", function=one, fn_signature="one() -> int")}
register_task_iterator([Task(name="l", tools=TOOLS, instruction="Which?", expected_output=set("hgfedcba"))], 1)
"#;

#[test]
fn sets_are_written_in_the_same_order_every_time() {
    let files = Files::of(&[("m3/tasks/impl/letters.py", LETTERS.into())]);
    let (_, suite) = files.imported(Benchmark::M3ToolEval, "m3", None);
    let Grader::Set { answer, .. } = &suite.tasks[0].grader else { panic!("{:?}", suite.tasks[0].grader) };
    assert_eq!(*answer, json!(["a", "b", "c", "d", "e", "f", "g", "h"]));
    let reference = "<solution>{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}</solution>";
    assert_eq!(suite.tasks[0].reference, [reference]);
    assert_sound(&suite);
}

#[test]
fn parts_of_mint_keep_their_rules() {
    let part = |rows: &[Value]| lines(rows);
    let humaneval = humaneval(
        "HumanEval/3",
        "def one():\n    \"\"\"One.\"\"\"",
        "    return 1\n",
        "def check(candidate):\n    assert candidate() == 1\n",
    );
    let mut humaneval = humaneval;
    humaneval["id"] = json!(3);
    let mut mbpp = mbpp(16, "def one():\n    return 1", "", &["assert one() == 1"]);
    mbpp["id"] = json!(0);
    let theorem = |id: u64, reference: Value, kind: &str| json!({"id": id, "prompt": "p?", "reference": reference, "answer_type": kind});
    let files = Files::of(&[
        (
            "mint/data/processed/gsm8k/test_prompts.json",
            part(&[json!({"id": 0, "prompt": "2 + 2? Solution output format: an integer.", "reference": "4"})]),
        ),
        (
            "mint/data/processed/hotpotqa/test_prompts.json",
            part(&[
                json!({"id": 0, "prompt": "Same town?", "reference": "no"}),
                json!({"id": 1, "prompt": "Who?", "reference": "Ann (the elder)"}),
            ]),
        ),
        (
            "mint/data/processed/mmlu/test_prompts.json",
            part(&[json!({"id": 5, "prompt": "Which?\nOptions: A ) 6 , B ) a circle , C ) 8", "reference": "b"})]),
        ),
        (
            "mint/data/processed/theoremqa/test_prompts.json",
            part(&[
                theorem(1, json!([0, 5]), "list of integer"),
                theorem(2, json!(1.12), "float"),
                theorem(6, json!(-1.0), "float"),
                theorem(3, json!(25), "integer"),
                theorem(4, json!(false), "bool"),
                theorem(5, json!("c"), "option"),
            ]),
        ),
        ("mint/data/processed/humaneval/test_prompts.json", part(&[humaneval])),
        ("mint/data/processed/mbpp/test_prompts.json", part(&[mbpp])),
        ("mint/data/processed/alfworld/base_config.yaml", "x: 1".into()),
    ]);
    let (imported, suite) = files.imported(Benchmark::Mint, "mint", None);
    assert_eq!((imported.tasks, imported.skipped.len()), (12, 1), "{imported:?}");
    assert_sound(&suite);
    for (id, solution, is_right) in [
        ("gsm8k-0", "4.19", true),
        ("gsm8k-0", "4.3", false),
        ("hotpotqa-0", "No, they are not.", true),
        ("hotpotqa-0", "I know nothing", false),
        ("hotpotqa-1", "It was ann (the elder).", true),
        ("mmlu-5", "B) a circle", true),
        ("mmlu-5", "a circle", true),
        ("mmlu-5", "a big circle, so C", false),
        ("theoremqa-2", "1.15", true),
        ("theoremqa-3", "25.5", false),
        ("theoremqa-4", "false", true),
        ("theoremqa-5", "(c)", true),
    ] {
        assert_eq!(task(&suite, id).grader.judge_solution(solution).passed, is_right, "{id}: {solution}");
    }
    let one = "mint/data/processed/gsm8k/test_prompts.json";
    assert_eq!(files.imported(Benchmark::Mint, one, Some("gsm8k")).0.suite, "mint-gsm8k");
}

#[test]
fn requests_of_a_dialogue_are_compared_as_texts() {
    let api = "from apis.api import API\nclass AddNote(API):\n    description = 'Adds a note.'\n    input_parameters = {'text': {'type': 'str'}}\n    output_parameters = {}\n    def call(self):\n        raise SystemExit\n";
    let said = |role: &str, text: &str| json!({"role": role, "text": text});
    let call = |name: &str, parameters: Value| json!({"role": "API", "api_name": name, "param_dict": parameters, "result": {"api_name": name, "output": "done"}});
    let rows = [
        said("User", "Note that it's late."),
        call("AddNote", json!({"text": "it's late, x=1", "n": 2})),
        said("AI", "Done."),
        call("AddNote", json!({})),
        call("Nobody", json!({})),
    ];
    let requests = json!([
        {"file": "f", "id": 0, "instruction": "i", "input": "User: x", "expected_output": "API-Request: [AddNote(text='a', day='b')]"},
        {"file": "f", "id": 1, "instruction": "i", "input": "User: x", "expected_output": "AI: It is done."},
    ]);
    let files = Files::of(&[
        ("bank/apis/add_note.py", api.into()),
        ("bank/apis/broken.py", "class (".into()),
        ("bank/lv1-lv2-samples/level-1-given-desc/Empty-level-1-1.jsonl", String::new()),
        ("bank/lv1-lv2-samples/level-1-given-desc/AddNote-level-1-1.jsonl", lines(&rows)),
        ("level-1-api.json", requests.to_string()),
    ]);
    let (imported, suite) = files.imported(Benchmark::ApiBank, "bank", None);
    assert_eq!((imported.tasks, imported.skipped.len()), (2, 2), "{imported:?}");
    assert_sound(&suite);
    let first = task(&suite, "AddNote-level-1-1/2");
    assert!(first.prompt.contains("Adds a note.") && first.prompt.ends_with("User: Note that it's late."));
    assert!(task(&suite, "AddNote-level-1-1/4").prompt.contains("n='2')]->\"done\""));
    for (solution, is_right) in [
        ("[AddNote(n=2, text=\"it's late, x=1\")]", true),
        ("AddNote(text='it's late, x=1', n='2')", true),
        ("[AddNote(text='late', n='2')]", false),
        ("[AddNote(text='it's late, x=1', n='2', more='')]", false),
        ("nothing", false),
    ] {
        assert_eq!(played(first, &[&format!("<solution>{solution}</solution>")]).is_solved, is_right, "{solution}");
    }
    std::fs::remove_dir_all(files.at("out-none")).unwrap();
    let (imported, suite) = files.imported(Benchmark::ApiBank, "level-1-api.json", None);
    assert_eq!((imported.tasks, imported.skipped.len()), (1, 1));
    assert_sound(&suite);
}

/// A folder of API-Bank with two dialogues.
fn bank() -> Files {
    let api = |name: &str, description: &str| {
        format!(
            "class {name}(API):\n    description = {description}\n    input_parameters = {{}}\n    output_parameters = {{}}\n"
        )
    };
    let user = json!({"role": "User", "text": "Meet Ann and Bob's dog."});
    let call = |name: &str, parameters: Value| json!({"role": "API", "api_name": name, "param_dict": parameters});
    let meeting = json!({"who": ["Ann", "Bob's"], "open": true, "end": null, "much": {"a": 1.5, "b": "\"\n"}});
    let one = call("Add", json!({"n": "1"}));
    let rows = [user.clone(), call("Meet", meeting), call("Odd", json!({})), one.clone()];
    let apis = [api("Meet", "'Meets.'"), api("Add", "'Adds.'"), api("Odd", "{1, 2}")];
    let request = |expected: &str| json!({"instruction": "i", "input": "User: x", "expected_output": expected});
    Files::of(&[
        ("bank/apis/all.py", apis.concat()),
        ("bank/lv1-lv2-samples/level-1-given-desc/a.jsonl", lines(&rows)),
        ("bank/lv1-lv2-samples/level-1-given-desc/b.jsonl", lines(&[user, one])),
        ("requests.json", json!([request("AI: No."), request("API-Request: [Add(n='1')]")]).to_string()),
    ])
}

#[test]
fn requests_hold_values_of_python_and_descriptions_do_not_tell_their_order() {
    let files = bank();
    let (imported, suite) = files.imported(Benchmark::ApiBank, "bank", None);
    assert_eq!((imported.tasks, imported.skipped.len()), (3, 1), "{imported:?}");
    // Its description is a set, which JSON does not hold.
    assert!(imported.table().contains("`Odd`"), "{}", imported.table());
    assert_sound(&suite);
    let (first, second) = (task(&suite, "a/2"), task(&suite, "a/4"));
    let place = |name: &str| first.prompt.find(&format!("{{\"name\":\"{name}\"")).unwrap();
    assert!(place("Add") < place("Meet"), "{}", first.prompt);
    let told = r#"[Meet(who='['Ann', "Bob's"]', open='True', end='None', much='{'a': 1.5, 'b': '"\n'}')]->null"#;
    assert!(second.prompt.contains(told), "{}", second.prompt);
    for (solution, is_right) in [
        (r#"[Meet(who=['Ann', "Bob's"], open=True, end=None, much={'b': '"\n', 'a': 1.5})]"#, true),
        (r#"[Meet(who='["Ann", "Bob's"]', open='True', end='None', much='{"a": 1.5, "b": "\"\n"}')]"#, true),
        (r#"[Meet(who=['Ann', "Bob's"], open=1, end=None, much={'b': '"\n', 'a': 1.5})]"#, false),
        (r#"[Meet(who=["Bob's", 'Ann'], open=True, end=None, much={'b': '"\n', 'a': 1.5})]"#, false),
    ] {
        assert_eq!(played(first, &[&format!("<solution>{solution}</solution>")]).is_solved, is_right, "{solution}");
    }
}

#[test]
fn a_request_is_taken_whole_or_not_at_all() {
    let files = bank();
    let (_, suite) = files.imported(Benchmark::ApiBank, "requests.json", None);
    let add = task(&suite, "2-Add");
    for (solution, is_right) in [
        ("[Add(n=1)]", true),
        (" [ Add( n = '1', ) ] ", true),
        ("API-Request: [Add(n='1')]", true),
        ("[Add(n='1')] or so", false),
        ("It is [Add(n='1')]", false),
        ("[Add(n='2', n='1')]", false),
        ("[Add('1')]", false),
        ("[Add(n='1', 'x')]", false),
        ("[Add(n='1'), Add(n='1')]", false),
        ("[Add(n='1',,)]", false),
        ("[Add(n=True)]", false),
    ] {
        assert_eq!(played(add, &[&format!("<solution>{solution}</solution>")]).is_solved, is_right, "{solution}");
    }
}

#[test]
fn a_limit_counts_the_requests_that_become_tasks() {
    let files = bank();
    let options = ImportOptions { limit: Some(1), split: None };
    for (from, out) in [("bank", "one"), ("requests.json", "other")] {
        let imported = import(Benchmark::ApiBank, &files.at(from), &files.at(out), &options, &policy());
        assert_eq!(imported.unwrap_or_else(|error| panic!("{error}")).tasks, 1, "{from}");
    }
}
