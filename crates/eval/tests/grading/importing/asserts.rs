//! HumanEval, MBPP and InterCode: functions to write, and asserts about them.

use codeact_eval::{BESIDE_TAG, Benchmark};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::{Files, assert_sound, humaneval, lines, mbpp, task};
use crate::played;

#[test]
fn functions_are_judged_where_no_code_of_theirs_runs() {
    let rows = [
        humaneval(
            "HumanEval/0",
            "def twice(n: int) -> int:\n    \"\"\"Two times n.\"\"\"\n",
            "    return 2 * n\n",
            "\n\nMETADATA = {'author': 'us'}\n\n\ndef check(candidate):\n    assert candidate(2) == 4\n    for n in range(5):\n        assert candidate(n) == n + n\n",
        ),
        humaneval(
            "HumanEval/1",
            "import math\n\n\ndef coded(text: str):\n    return text[::-1]\n\n\ndef plain(text: str):\n    \"\"\"What was coded.\"\"\"\n",
            "    return text[::-1]\n",
            "def check(candidate):\n    assert candidate(coded('abc')) == 'abc'\n    assert math.isclose(len(candidate('ab')), 2.0)\n",
        ),
        humaneval(
            "HumanEval/2",
            "def applied(function, n):\n    \"\"\"function of n.\"\"\"\n",
            "    return function(n)\n",
            "def check(candidate):\n    assert candidate(lambda n: n + 1, 2) == 3\n",
        ),
    ];
    let files = Files::of(&[]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut packed, lines(&rows).as_bytes()).unwrap();
    std::fs::write(files.at("HumanEval.jsonl.gz"), packed.finish().unwrap()).unwrap();
    let (imported, suite) = files.imported(Benchmark::HumanEval, "HumanEval.jsonl.gz", None);
    assert_eq!((imported.tasks, imported.beside, imported.unreferenced), (3, 1, 0));
    let tagged: Vec<bool> = suite.tasks.iter().map(|task| task.tags == [BESIDE_TAG]).collect();
    assert_eq!(tagged, [false, false, true]);
    assert!(imported.table().contains("1 with the tag asserts-in-candidate"), "{}", imported.table());
    assert_sound(&suite);
    // What is equal to everything, prints what is wanted, ends the program or patches it is as wrong as anything else.
    for cheat in [
        "class All(int):\n    def __eq__(self, other):\n        return True\ndef twice(n):\n    return All(1)",
        "import os\ndef twice(n):\n    os._exit(0)",
        "import builtins\nbuiltins.AssertionError = ValueError\ndef twice(n):\n    return None",
        "import sys\nsys.exit(0)",
    ] {
        let outcome = played(task(&suite, "HumanEval/0"), &[&format!("<solution>\n{cheat}\n</solution>")]);
        assert!(!outcome.is_solved, "{cheat}");
    }
    let fenced = "<solution>\n```python\ndef applied(function, n):\n    return function(n)\n```\n</solution>";
    assert!(played(task(&suite, "HumanEval/2"), &[fenced]).is_solved);
}

#[test]
fn local_names_are_no_names_of_the_module() {
    let rows = [
        humaneval(
            "HumanEval/0",
            "def twice(n):\n    \"\"\"Two times n.\"\"\"\n",
            "    return 2 * n\n",
            "def check(candidate):\n    twice = 4\n    assert candidate(2) == twice\n",
        ),
        humaneval(
            "HumanEval/1",
            "from __future__ import annotations\n\n\ndef helper(n: Nobody):\n    total = n + 1\n    return total\n\n\ndef total(n):\n    \"\"\"n and one.\"\"\"\n",
            "    return n + 1\n",
            "def check(candidate):\n    assert candidate(2) == helper(2)\n",
        ),
    ];
    let files = Files::of(&[("rows.jsonl", lines(&rows))]);
    let (imported, suite) = files.imported(Benchmark::HumanEval, "rows.jsonl", None);
    assert_eq!((imported.tasks, imported.beside, imported.unreferenced), (2, 0, 0));
    assert_sound(&suite);
}

#[test]
fn what_a_file_says_does_not_command_a_terminal() {
    let mut row = humaneval(
        "HumanEval/0",
        "def f():\n    \"\"\"f\"\"\"\n",
        "    return 1\n",
        "def check(candidate):\n    assert candidate() == 1\n",
    );
    row["entry_point"] = json!(format!("g\u{1b}[2J\u{202e}{}", "x".repeat(10_000)));
    let told = Files::of(&[("rows.jsonl", row.to_string())]).refused(Benchmark::HumanEval, "rows.jsonl");
    assert!(told.contains("which the code does not define") || told.contains("`entry_point` is `g"), "{told}");
    assert!(!told.contains(['\u{1b}', '\u{202e}']) && told.chars().count() < 1000, "{told}");
}

#[test]
fn lists_of_asserts_become_tests() {
    let node = "class Node:\r\n    def __init__(self, value):\r\n        self.value = value\r\ndef depth(node):\r\n    return node.value";
    let rows = [
        mbpp(2, "def early(n):\n    return n", "", &["assert early(1) == 1"]),
        mbpp(
            11,
            "def test_sum(*numbers):\r\n  return sum(numbers)",
            "",
            &["assert test_sum(1, 2) == 3", "assert (test_sum())==0 "],
        ),
        mbpp(12, node, "root = Node(4)\r\nother = Node(5)", &["assert depth(root) == 4", "assert depth(other) == 5"]),
        mbpp(13, "import cmath\ndef phase(a, b):\n    return cmath.phase(a + b)", "", &["assert phase(0, 1j) > 1.57"]),
        mbpp(
            14,
            "import sys\ndef size(x):\n    return sys.getsizeof(x)",
            "",
            &["assert size(()) == sys.getsizeof(())"],
        ),
        mbpp(
            15,
            "def sum(a, b):\n    return {a + b}",
            "",
            &["assert sum(1, 2) == {3}", "assert type(sum(1, 2)) == set"],
        ),
        mbpp(
            17,
            "def kinds(values, kind):\n    return [value for value in values if isinstance(value, kind)]",
            "",
            &["assert kinds([1, 'a'], int) == [1]"],
        ),
    ];
    let sanitized = json!([
        {"source_file": "x.ipynb", "task_id": 16, "prompt": "Write a function.", "code": "def area(r):\n  return 3.14 * r * r",
         "test_imports": ["import math"], "test_list": ["assert math.isclose(area(2), 12.56, rel_tol=0.001)"]}
    ]);
    let files = Files::of(&[("mbpp.jsonl", lines(&rows)), ("sanitized-mbpp.json", sanitized.to_string())]);
    let (imported, suite) = files.imported(Benchmark::Mbpp, "mbpp.jsonl", None);
    assert_eq!((imported.suite.as_str(), imported.tasks, imported.beside), ("mbpp-test", 6, 3));
    let tagged: Vec<&str> =
        suite.tasks.iter().filter(|task| task.tags == [BESIDE_TAG]).map(|task| task.id.as_str()).collect();
    assert_eq!(tagged, ["mbpp-12", "mbpp-13", "mbpp-17"]);
    assert!(suite.tasks[0].prompt.contains("assert test_sum(1, 2) == 3\nassert (test_sum())==0"));
    assert_sound(&suite);
    let (imported, suite) = files.imported(Benchmark::Mbpp, "sanitized-mbpp.json", Some("all"));
    assert_eq!((imported.tasks, imported.beside), (1, 0));
    assert_sound(&suite);
    let interlinked = json!([{"query": "q", "gold": "def f(n):\n    return n", "tests": ["assert f(1) == 1"], "task_id": 1,
                              "test_setup_code": ""}]);
    let files = Files::of(&[
        ("ic_mbpp.json", interlinked.to_string()),
        ("sql.json", r#"[{"db": "d", "query": "q", "gold": "g"}]"#.into()),
    ]);
    let (imported, suite) = files.imported(Benchmark::InterCode, "ic_mbpp.json", None);
    assert_eq!((imported.tasks, suite.tasks[0].limits.turns), (1, Some(10)));
    assert_sound(&suite);
    assert!(files.refused(Benchmark::InterCode, "sql.json").contains("need the MySQL server"));
}
