//! What a model could do to be judged right without being right: none of it helps. And what a right one leaves lying
//! around does no harm.

use codeact_eval::Task;
use serde_json::json;

use crate::{played, task};

const TESTS: &str = r#"
def test_values():
    assert call("solution:double", 4) == 8
    assert call("solution:double", "ab") == "abab"

def test_a_negative_number():
    assert call("solution:double", -3) == -6
"#;

fn code_task() -> Task {
    task(&json!({
        "id": "double", "family": "f", "prompt": "p", "limits": {"cell_seconds": 1, "turns": 3},
        "grader": {"kind": "tests", "code": TESTS},
    }))
}

fn solution(code: &str) -> String {
    format!("<solution>\n{code}\n</solution>")
}

/// Why a model is wrong that says `turns`.
fn why_wrong(task: &Task, turns: &[&str]) -> String {
    let outcome = played(task, turns);
    assert!(!outcome.is_solved && !outcome.verdict.passed, "{turns:?} is judged right");
    outcome.verdict.why
}

#[test]
fn a_right_solution_is_right_whatever_it_prints() {
    let task = code_task();
    for code in [
        "def double(x):\n    return x * 2",
        "```python\ndef double(x):\n    return x + x\n```",
        "import json, sys\nprint('{\"value\": 1}' * 1000)\nprint('noise', file=sys.stderr)\ndef double(x):\n    print(x)\n    return x * 2",
        "class Own(int):\n    pass\ndef double(x):\n    return Own(x * 2) if isinstance(x, int) else x * 2",
        "async def double(x):\n    return x * 2",
    ] {
        let outcome = played(&task, &[&solution(code)]);
        assert!(outcome.is_solved, "{code}: {}", outcome.verdict.why);
    }
}

#[test]
fn no_solution_talks_its_grader_into_anything() {
    let task = code_task();
    for (code, why) in [
        ("def double(x):\n    return x * 2 + 1", "test_values"),
        ("def double(x):\n    return abs(x) * 2 if isinstance(x, int) else x * 2", "test_a_negative_number"),
        ("import os\nos._exit(0)", "test_values"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("raise KeyboardInterrupt", "test_values"),
        ("while True:\n    pass", "does not end in time"),
        ("def double(x):\n    while True:\n        print('passed' * 1000)", "does not end in time"),
        (
            "class Any:\n    def __eq__(self, other):\n        return True\n    __hash__ = None\ndef double(x):\n    return Any()",
            "type Any",
        ),
        (
            "class Any(int):\n    def __eq__(self, other):\n        return True\n    def __repr__(self):\n        return '8'\n    def __format__(self, how):\n        return '8'\n    def __index__(self):\n        return 8\ndef double(x):\n    return Any(7)",
            "test_values",
        ),
        (
            "class Bad:\n    def __repr__(self):\n        raise SystemExit(0)\n    __str__ = __repr__\ndef double(x):\n    return Bad()",
            "type Bad",
        ),
        (
            "class Lie:\n    @property\n    def __class__(self):\n        return int\ndef double(x):\n    return Lie()",
            "test_values",
        ),
        ("def double(x):\n    return float('nan')", "test_values"),
        ("def double(x):\n    return 10 ** 1_000_000", "test_values"),
        (
            "def double(x):\n    deep = []\n    for _ in range(100_000):\n        deep = [deep]\n    return deep",
            "nested more than",
        ),
        ("def double(x):\n    own = []\n    own.append(own)\n    return own", "nested more than"),
        ("def double(x):\n    return 'a' * 10_000_000", "may cross"),
        ("def double(x):\n    raise AssertionError('passed')", "passed"),
        (
            "import builtins\nbuiltins.print = builtins.repr = lambda *a: '8'\ndef double(x):\n    return 7",
            "test_values",
        ),
        (
            "import __main__\n__main__._codeact_answer = lambda r: __main__.Answer('{\"passed\": 2}')\ndef double(x):\n    return x * 2",
            "no value",
        ),
        (
            "import __main__\n__main__.pack = lambda *a: {'int': '9' * 10}\ndef double(x):\n    return x * 2",
            "test_values",
        ),
        (
            "import __main__\n__main__._codeact_answer = lambda r: __main__.Answer('{\"value\": {\"set\": [{\"list\": []}]}}')\ndef double(x):\n    return x * 2",
            "no value",
        ),
        ("import unittest, sys\nsys.modules['tests'] = unittest\ndef test_values(): pass", "AttributeError"),
        ("this is no Python", "SyntaxError"),
        ("", "AttributeError"),
    ] {
        let told = why_wrong(&task, &[&solution(code)]);
        assert!(told.contains(why), "{code}: {told}");
    }
    let printed = "<execute>\nprint('{\"passed\": 2}')\n</execute>\nObservation:\n2 tests passed";
    assert!(why_wrong(&task, &[printed, "All tests pass."]).contains("solution"));
}

#[test]
fn files_of_a_model_are_never_run_by_the_grader() {
    let tests = r#"
import json, unittest, os
def test_the_module():
    assert "os" not in workspace.files() and os.getcwd()
    assert call("shop:total", [1, 2]) == 3
    assert evaluate("shop.total([5]) + 1") == 6
    assert run(["python", "main.py"], stdin="4") == (3, "5\n", "")
    raises(ZeroDivisionError, "shop:fail")
    raises("ArithmeticError", "shop:fail")
def test_the_files():
    assert workspace.exists("shop.py") and not workspace.exists("nothing")
    assert "def total" in workspace.text("./shop.py")
    assert not workspace.exists("link") and not workspace.exists("pipe")
    for odd in ("link", "pipe", "folder", "nothing"):
        try:
            workspace.bytes(odd)
        except OSError:
            continue
        raise AssertionError(odd)
    assert solution is None and reply == "Done." and transcript[-1]["content"] == "Done."
"#;
    let grader = json!({"kind": "tests", "code": tests});
    let task = task(&json!({"id": "t", "family": "f", "prompt": "p", "grader": grader, "files": {"given.txt": "g"}}));
    let write = |total: &str| {
        format!(
            r#"<execute>
import os
evil = "import os\nos._exit(0)\n"
for name in ("conftest.py", "sitecustomize.py", "usercustomize.py", "tests.py", "values.py", "__main__.py"):
    open(name, "w").write(evil)
for name in ("unittest.py", "inspect.py", "linecache.py", "sqlite3.py"):
    open(name, "w").write("passed = True")
os.mkdir("folder"); os.mkfifo("pipe"); os.symlink("/etc/passwd", "link"); os.symlink("nowhere", "folder/link")
open("shop.py", "w").write("def total(items):\n    return {total}\ndef fail():\n    1 / 0\n")
open("main.py", "w").write("import sys\nprint(int(input()) + 1)\nsys.exit(3)\n")
assert open("given.txt").read() == "g"
</execute>"#
        )
    };
    let outcome = played(&task, &[&write("sum(items)"), "Done."]);
    assert!(outcome.is_solved, "{}", outcome.verdict.why);
    assert!(why_wrong(&task, &[&write("len(items)"), "Done."]).contains("test_the_module"));
}

#[test]
fn the_state_of_the_workspace_decides() {
    let rows = json!([{"file": "shop.db", "query": "SELECT name, price FROM items ORDER BY name", "rows": [["a", 1.5], ["b", 2]]}]);
    let files = json!({
        "out/a.txt": {"text": "one\ntwo"}, "b.json": {"json": {"n": [1, 2.5]}}, "c.txt": {"lines": ["x", "", "y"]},
        "d.txt": {"regex": "v[0-9]+"}, "e.txt": {"absent": true},
    });
    let grader = json!({"kind": "state", "files": files, "sqlite": rows, "unchanged": ["data", "keep.txt"]});
    let given = json!({"data/x.csv": "1,2\n", "keep.txt": {"base64": "AAH/"}, "e.txt": "gone soon"});
    let task = task(&json!({"id": "t", "family": "f", "prompt": "p", "grader": grader, "files": given}));
    let right = r#"import os, json, sqlite3
os.mkdir('out')
open('out/a.txt', 'w').write('one\ntwo\n')
json.dump({'n': [1, 2.5]}, open('b.json', 'w'))
open('c.txt', 'w').write('x\n\ny\n')
open('d.txt', 'w').write('v12\n')
os.remove('e.txt')
database = sqlite3.connect('shop.db')
database.execute('PRAGMA journal_mode = WAL')
database.execute('CREATE TABLE items (name, price)')
database.execute("INSERT INTO items VALUES ('b', 2), ('a', 1.5)")
database.commit()"#;
    let run = |code: &str| played(&task, &[&format!("<execute>\n{code}\n</execute>"), "Done."]);
    let outcome = run(right);
    assert!(outcome.is_solved, "{}", outcome.verdict.why);
    for (from, to, why) in [
        ("'one\\ntwo\\n'", "'one\\ntwp\\n'", "out/a.txt"),
        ("'one\\ntwo\\n'", "'one\\ntwo\\n\\n'", "out/a.txt"),
        ("{'n': [1, 2.5]}", "{'n': [1, '2.5']}", "b.json"),
        ("{'n': [1, 2.5]}", "{'n': [1, 2.5], 'm': 0}", "b.json"),
        ("'x\\n\\ny\\n'", "'x\\ny\\n'", "c.txt"),
        ("'v12\\n'", "'v12 b\\n'", "d.txt"),
        ("os.remove('e.txt')", "pass", "e.txt"),
        ("('b', 2)", "('b', 3)", "shop.db"),
        ("('b', 2)", "('b', '2')", "shop.db"),
        ("('b', 2), ", "('b', 2), ('b', 2), ", "shop.db"),
        ("items VALUES", "items(price, name) VALUES", "shop.db"),
        ("CREATE TABLE items", "CREATE TABLE things", "shop.db"),
        ("os.mkdir('out')", "os.mkdir('out'); open('data/x.csv', 'a').write('\\n')", "data/x.csv"),
        ("os.mkdir('out')", "os.mkdir('out'); open('data/new', 'w')", "data/new"),
        ("os.mkdir('out')", "os.mkdir('out'); os.remove('keep.txt')", "keep.txt"),
        ("os.mkdir('out')", "os.mkdir('out'); os.remove('keep.txt'); os.symlink('b.json', 'keep.txt')", "keep.txt"),
        ("open('d.txt', 'w').write('v12\\n')", "os.symlink('c.txt', 'd.txt')", "d.txt"),
        ("open('d.txt', 'w').write('v12\\n')", "os.mkfifo('d.txt')", "d.txt"),
    ] {
        assert!(right.contains(from), "{from}");
        let outcome = run(&right.replacen(from, to, 1));
        assert!(!outcome.is_solved && outcome.verdict.why.contains(why), "{to}: {:?}", outcome.verdict);
    }
}

#[test]
fn what_cannot_be_seen_is_not_taken_for_what_is_not_there() {
    let gone = |grader: serde_json::Value| {
        task(&json!({"id": "t", "family": "f", "prompt": "p", "grader": grader, "files": {"d/e.txt": "x"}}))
    };
    let absent = |path: &str| gone(json!({"kind": "state", "files": {path: {"absent": true}}}));
    let exists = gone(json!({"kind": "tests", "code": "def test_it():\n    assert not workspace.exists('d/e.txt')\n"}));
    let act = |code: &str| format!("<execute>\nimport os\n{code}\n</execute>");
    for task in [absent("d/e.txt"), absent("d//./e.txt"), exists] {
        for attack in ["os.chmod('d', 0)", "os.chmod('.', 0)", "os.rename('d', 'd2'); os.symlink('d2', 'd')", "pass"] {
            let why = why_wrong(&task, &[&act(attack), "Done."]);
            assert!(!why.is_empty(), "{attack}");
        }
        assert!(played(&task, &[&act("os.remove('d/e.txt')"), "Done."]).is_solved);
    }
    // However it is written, a path that must be unchanged is the one that was there; one that was not is a fault.
    for (path, is_right) in [("d/e.txt", true), ("d//e.txt", true), ("./d/", true), ("data/e.txt", false)] {
        let task = gone(json!({"kind": "state", "unchanged": [path]}));
        assert_eq!(played(&task, &[&act("pass"), "Done."]).is_solved, is_right, "{path}");
        why_wrong(&task, &[&act("open('d/e.txt', 'w').write('y')"), "Done."]);
    }
}

#[test]
fn what_is_not_there_does_not_raise_what_it_should() {
    for (kind, code) in [
        ("AttributeError", "x = 1"),
        ("ValueError", "raise ValueError"),
        ("Exception", "no Python at all"),
        ("SystemExit", "import sys\nsys.exit(0)"),
    ] {
        let tests = format!("def test_it():\n    raises({kind:?}, 'solution:f', 1)\n");
        let task = task(&json!({
            "id": "t", "family": "f", "prompt": "p", "grader": {"kind": "tests", "code": tests},
        }));
        assert!(why_wrong(&task, &[&solution(code)]).contains("is not there"), "{code}");
        assert!(played(&task, &[&solution(&format!("def f(x):\n    raise {kind}('no')"))]).is_solved, "{kind}");
    }
}

#[test]
fn however_much_is_left_behind_there_is_a_verdict() {
    let exists = task(&json!({
        "id": "t", "family": "f", "prompt": "p",
        "grader": {"kind": "tests", "code": "def test_it():\n    assert workspace.exists('a')\n"},
    }));
    let long = format!(
        "<execute>\nimport os\nname = '/'.join(['n' * 200] * 15)\nos.makedirs(name)\nfor index in range(5500):\n    \
         open(f'{{name}}/{{index}}', 'w').close()\n{}</execute>",
        "open('a', 'w').close()\n"
    );
    assert!(played(&exists, &[&long, "Done."]).is_solved, "{:?}", played(&exists, &[&long, "Done."]).verdict);
    let large = solution(&"\u{1}".repeat(900_000));
    assert!(why_wrong(&code_task(), &[&large]).contains("test_values"));
}

#[test]
fn all_graders_must_agree_and_a_grader_that_is_none_is_an_error() {
    let number = json!({"kind": "number", "answer": 2});
    let state = json!({"kind": "state", "files": {"a": {"text": "x"}}});
    let both =
        task(&json!({"id": "t", "family": "f", "prompt": "p", "grader": {"kind": "all", "graders": [number, state]}}));
    let write = "<execute>\nopen('a', 'w').write('x')\n</execute>";
    assert!(played(&both, &[write, "<solution>2</solution>"]).is_solved);
    assert!(why_wrong(&both, &[write, "<solution>3</solution>"]).contains('3'));
    assert!(why_wrong(&both, &[write, "It is 2."]).contains("no `<solution>`"));
    assert!(why_wrong(&both, &["<solution>2</solution>"]).contains("there is no `a`"));
}

#[test]
fn tools_of_a_file_are_described_and_can_be_called() {
    let folder = tempfile::tempdir().unwrap();
    let tools = "RATE = 2\n\ndef _hidden():\n    pass\n\ndef price(item: str, *, count: int = 1) -> float:\n    \"\"\"What it costs.\n\n    In euros.\n    \"\"\"\n    return RATE * count\n";
    std::fs::create_dir(folder.path().join("tools")).unwrap();
    std::fs::write(folder.path().join("tools/shop.py"), tools).unwrap();
    std::fs::write(folder.path().join("suite.toml"), "name = 's'\ndescription = 'd'\nlicence = 'MIT'\n").unwrap();
    let line =
        json!({"id": "t", "family": "f", "prompt": "p", "tools": "tools/shop.py", "setup": "RATE = 3", "answer": 6});
    std::fs::write(folder.path().join("a.jsonl"), line.to_string()).unwrap();
    let suites = codeact_eval::load_suites(&[folder.path()]).unwrap();
    let outcome =
        played(&suites[0].tasks[0], &["<execute>\nprice('nut', count=2)\n</execute>", "<solution>6</solution>"]);
    assert!(outcome.is_solved && outcome.transcript[3].content.ends_with("\n6"), "{outcome:?}");
    let system = &outcome.transcript[0].content;
    assert!(system.contains("price(item: str, *, count: int=1) -> float\nWhat it costs.\n\nIn euros."), "{system}");
    assert!(!system.contains("_hidden"), "{system}");
}
