//! Files in the shape of published benchmarks, with content of our own: what becomes of them is sound.

mod acting; // tools, parts of MINT, requests

mod asserts; // functions to write

mod broken; // files that somebody broke

use std::path::{Path, PathBuf};

use codeact_eval::{Benchmark, ImportOptions, Imported, Suite, check, import, load_suites};
use serde_json::{Value, json};

use crate::{played, policy};

/// Files in a folder that goes with them.
struct Files(tempfile::TempDir);

impl Files {
    fn of(files: &[(&str, String)]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Files(folder)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn imported(&self, benchmark: Benchmark, name: &str, split: Option<&str>) -> (Imported, Suite) {
        let out = self.at(&format!("out-{}", split.unwrap_or("none")));
        let options = ImportOptions { limit: None, split: split.map(str::to_owned) };
        let imported = import(benchmark, &self.at(name), &out, &options, &policy());
        let imported = imported.unwrap_or_else(|error| panic!("{error}"));
        let suite = load_suites(&[out]).unwrap_or_else(|error| panic!("{error}")).remove(0);
        assert_eq!((suite.name.as_str(), suite.tasks.len()), (imported.suite.as_str(), imported.tasks));
        assert!(!suite.licence.is_empty() && suite.description.contains("imported from"), "{suite:?}");
        (imported, suite)
    }

    fn refused(&self, benchmark: Benchmark, name: &str) -> String {
        let out = self.at("refused");
        let error = import(benchmark, &self.at(name), &out, &ImportOptions::default(), &policy()).unwrap_err();
        assert!(error.is_bad_input(), "{error}");
        let left: Vec<_> = std::fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("refused")), "{left:?}");
        error.to_string()
    }
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// Every reference is right, and every plausible mistake wrong.
#[track_caller]
fn assert_sound(suite: &Suite) {
    let found = check(std::slice::from_ref(suite), &policy(), 2, &|| {});
    assert_eq!(found.faults, Vec::<String>::new());
}

fn task<'a>(suite: &'a Suite, id: &str) -> &'a codeact_eval::Task {
    suite.tasks.iter().find(|task| task.id == id).unwrap_or_else(|| panic!("{id}"))
}

#[test]
fn sums_in_words_are_numbers() {
    let rows = [
        json!({"question": "Ann has 3 crates of 400 nuts. How many nuts?", "answer": "3*400 = <<3*400=1200>>1200\n#### 1,200"}),
        json!({"question": "A 5 l jar is half full.", "answer": "5/2 = $<<5/2=2.5>>2.5\nso 2.5-3 = <<2.5-3=-0.5>>-0.5\n#### -0.5"}),
    ];
    let files = Files::of(&[("gsm/test.jsonl", lines(&rows)), ("gsm/train.jsonl", lines(&rows[..1]))]);
    let (imported, suite) = files.imported(Benchmark::Gsm8k, "gsm", None);
    assert_eq!((imported.suite.as_str(), imported.tasks, imported.unreferenced), ("gsm8k-test", 2, 0));
    assert!(suite.description.contains("test.jsonl") && suite.licence.contains("MIT"));
    assert_eq!(suite.tasks[1].wrong, [["<solution>2.5</solution>"]]);
    assert_sound(&suite);
    assert!(played(&suite.tasks[0], &["<solution>1200.0</solution>"]).is_solved);
    let (imported, _) = files.imported(Benchmark::Gsm8k, "gsm", Some("train"));
    assert_eq!((imported.suite.as_str(), imported.tasks), ("gsm8k-train", 1));
    let options = ImportOptions { limit: None, split: Some("train".into()) };
    let refused = import(Benchmark::Gsm8k, &files.at("gsm/test.jsonl"), &files.at("out"), &options, &policy());
    assert!(refused.unwrap_err().to_string().contains("is named as the split `test`"));
}

fn humaneval(id: &str, prompt: &str, body: &str, test: &str) -> Value {
    let entry = prompt.rsplit("def ").next().unwrap().split('(').next().unwrap();
    json!({"task_id": id, "prompt": prompt, "entry_point": entry, "canonical_solution": body, "test": test})
}

fn mbpp(id: u64, code: &str, setup: &str, tests: &[&str]) -> Value {
    json!({"text": "Write a function.", "code": code, "task_id": id, "test_setup_code": setup, "test_list": tests,
           "challenge_test_list": []})
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_nothing_is_written() {
    let gsm = json!({"question": "q", "answer": "#### 1"});
    let whole = humaneval(
        "HumanEval/0",
        "def f():\n    \"\"\"f\"\"\"\n",
        "    return 1\n",
        "def check(candidate):\n    assert candidate() == 1\n",
    );
    let with = |key: &str, value: Value| {
        let mut row = whole.clone();
        row[key] = value;
        lines(&[whole.clone(), row])
    };
    let cases: [(Benchmark, String, &str); 14] = [
        (
            Benchmark::Gsm8k,
            lines(&[gsm.clone(), json!({"question": 1, "answer": "#### 1"})]),
            "line 2: `question` must be a text, and is 1",
        ),
        (
            Benchmark::Gsm8k,
            lines(&[gsm.clone(), json!({"question": "q", "answer": "it is 1"})]),
            "line 2: `answer` has no line",
        ),
        (Benchmark::Gsm8k, lines(&[json!({"question": "q", "answer": "#### one"})]), "no number after `####`"),
        (
            Benchmark::Gsm8k,
            with("x", json!(1)),
            "line 1: missing field `question`\nhint: its keys are those of `humaneval`",
        ),
        (Benchmark::Gsm8k, "{\"question\": \"q\",".into(), "line 1: column"),
        (Benchmark::Gsm8k, "{\"question\": \"q\", \"question\": \"q\"}".into(), "comes twice"),
        (Benchmark::Gsm8k, "[1]".into(), "item 1: must be an object, and is 1"),
        (Benchmark::Gsm8k, "\n \n".into(), "has no rows"),
        (
            Benchmark::HumanEval,
            with("canonical_solution", json!("    return (")),
            "line 2: `canonical_solution` is no Python",
        ),
        (Benchmark::HumanEval, with("test", json!("assert f() == 1")), "line 2: `test` defines no function `check`"),
        (
            Benchmark::HumanEval,
            with("entry_point", json!("g")),
            "line 2: `entry_point` is `g`, which the code does not define",
        ),
        (Benchmark::HumanEval, with("task_id", json!("HumanEval/0")), "was used in"),
        (
            Benchmark::Mbpp,
            lines(&[mbpp(900, "def f(): pass", "", &["assert f() is None"])]),
            "has no task of the split `test`",
        ),
        (
            Benchmark::Mbpp,
            lines(&[mbpp(20, "def f(): pass", "", &["assert 1 == 1"])]),
            "line 1: `test_list` asks for no function",
        ),
    ];
    for (benchmark, text, expected) in cases {
        let files = Files::of(&[("rows.jsonl", text)]);
        let told = files.refused(benchmark, "rows.jsonl");
        assert!(told.contains(expected) && told.contains(".jsonl"), "{expected}\nin\n{told}");
    }
}

#[test]
fn a_suite_appears_whole_in_a_new_folder() {
    let files = Files::of(&[("rows.jsonl", lines(&[json!({"question": "q", "answer": "#### 1"})]))]);
    std::fs::create_dir(files.at("there")).unwrap();
    let try_out = |out: &Path, split: Option<&str>| {
        let options = ImportOptions { limit: Some(1), split: split.map(str::to_owned) };
        import(Benchmark::Gsm8k, &files.at("rows.jsonl"), out, &options, &policy()).map_err(|error| error.to_string())
    };
    assert!(try_out(&files.at("there"), None).unwrap_err().contains("is there already"));
    assert!(try_out(&files.at("x"), Some("dev")).unwrap_err().contains("no split `dev`"));
    assert!(try_out(Path::new("/nowhere/at/all"), None).unwrap_err().contains("cannot write"));
    std::fs::create_dir(files.at("cut.partial")).unwrap();
    assert!(try_out(&files.at("cut"), None).unwrap_err().contains("an import was cut off"));
    assert!(try_out(&files.at("made/"), None).is_ok() && files.at("made/suite.toml").is_file());
}

#[test]
fn the_command_imports_and_says_what() {
    let files = Files::of(&[("test.jsonl", lines(&vec![json!({"question": "q", "answer": "#### 1"}); 3]))]);
    let program = |out: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_codeact-eval"));
        command
            .args(["import", "gsm8k"])
            .arg(files.at("test.jsonl"))
            .arg("--out")
            .arg(files.at(out))
            .args(["--limit", "2"]);
        command.output().unwrap()
    };
    let output = program("made");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "gsm8k-test: 2 tasks\n");
    assert_eq!(program("made").status.code(), Some(2));
}

#[test]
fn what_needs_a_python_announces_its_sandbox() {
    let row = humaneval(
        "HumanEval/0",
        "def f():\n    \"\"\"f\"\"\"\n",
        "    return 1\n",
        "def check(candidate):\n    assert candidate() == 1\n",
    );
    let files = Files::of(&[
        ("test.jsonl", lines(&[json!({"question": "q", "answer": "#### 1"})])),
        ("HumanEval.jsonl", lines(&[row])),
    ]);
    let said = |out: &str, format: &str, file: &str, more: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_codeact-eval"));
        command.args(["import", format]).arg(files.at(file)).arg("--out").arg(files.at(out)).args(more);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let said_of_code = said("a", "humaneval", "HumanEval.jsonl", &[]);
    assert!(said_of_code.contains("sandbox: rung") && !said_of_code.contains("NO SANDBOX"), "{said_of_code}");
    let warned = said("b", "humaneval", "HumanEval.jsonl", &["--unsafe-no-sandbox"]);
    assert!(warned.contains("NO SANDBOX"), "{warned}");
    let nothing = said("c", "gsm8k", "test.jsonl", &["--unsafe-no-sandbox"]);
    assert!(!nothing.to_lowercase().contains("sandbox"), "{nothing}");
}
