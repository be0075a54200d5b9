//! Trajectories of teachers behind addresses, a weak and a strong one.

use serde_json::{Value, json};

use crate::endpoint::{endpoint, scripted, suite};
use crate::{assert_code, eval, json};

fn rows(text: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_strong_teacher_gets_what_the_weak_one_failed_and_what_is_true_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let rooms = ["weak", "strong"].map(|name| folder.path().join(name));
    rooms.iter().for_each(|room| std::fs::create_dir(room).unwrap());
    let weak = endpoint(&rooms[0], "0");
    let greeting = json!([{"when": "greet", "replies": ["<execute>\nprint(set('greeting'))\n</execute>", "<solution>hello</solution>"]}]);
    let strong = scripted(&rooms[1], &greeting, "0");
    let tasks = suite(folder.path(), 4);
    let [out, failures] = ["out.jsonl", "failures.jsonl"].map(|name| folder.path().join(name));
    let teachers = [format!("weak={}", weak.url), format!("strong={}", strong.url)];
    let collect = |options: &[&str]| {
        let common = ["collect", "--suite", &tasks, "--teacher", &teachers[0], "--teacher", &teachers[1], "--profile"];
        let more = ["quickstart", "--preimport=", "--samples", "2", "--enough", "1", "--replies-min", "2", "--licence"];
        let files = ["CC0", "--out", out.to_str().unwrap(), "--failures", failures.to_str().unwrap()];
        eval(&[&common[..], &more, &files, options].concat())
    };
    let done = collect(&[]);
    let said = assert_code(&done, 0);
    assert!(said.contains("weak, attempt 2: 2 tasks") && said.contains("strong, attempt 1: 2 tasks"), "{said}");
    let table = String::from_utf8_lossy(&done.stdout);
    assert!(table.contains("4 of 4 tasks solved; 3 conversations of 3 tasks kept"), "{table}");
    let report = json(folder.path().join("out.jsonl.report"));
    assert_eq!((&report["attempts"], &report["right"], &report["failures"]), (&json!(8), &json!(4), &json!(1)));
    assert_eq!(report["teachers"][0]["dropped"], json!({"wrong": 4}));
    // Two tasks are the same word for word, and so is what the teacher says.
    assert_eq!(report["teachers"][1]["dropped"], json!({"duplicate": 1}));

    let first = std::fs::read(&out).unwrap();
    let kept = rows(&first);
    let ids: Vec<&str> = kept.iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["collected/tasks/t0/weak/0", "collected/tasks/t1/strong/0", "collected/tasks/t2/weak/0"]);
    assert_eq!((&kept[0]["licence"], &kept[0]["provenance"]["verified"]), (&json!("CC0"), &json!("reproduced")));
    assert!(kept[1]["conversations"][3]["content"].as_str().unwrap().starts_with("Observation:\n{"));
    let failed = rows(&std::fs::read(&failures).unwrap());
    assert_eq!((&failed[0]["id"], failed.len()), (&json!("collected/tasks/t1/weak/0"), 1));

    // What was being written when it was killed is asked for again, and the rows are the same: a set that is printed, too.
    let attempts = folder.path().join("out.jsonl.attempts/results.jsonl");
    let whole = std::fs::read(&attempts).unwrap();
    std::fs::write(&attempts, &whole[..whole.len() - 20]).unwrap();
    std::fs::remove_file(&out).unwrap();
    let again = assert_code(&collect(&[]), 0);
    assert!(again.contains("strong, attempt 1: 1 tasks") && !again.contains("weak, attempt"), "{again}");
    assert_eq!(std::fs::read(&out).unwrap(), first);
    let other = assert_code(&collect(&["--seed", "1"]), 2);
    assert!(other.contains("seed (was 0, is 1)"), "{other}");
    for (option, value, said) in
        [("--action-format", "json", "actions as json"), ("--memory-mib", "512", "limits (was")]
    {
        let other = assert_code(&collect(&[option, value]), 2);
        assert!(other.contains(said), "{other}");
    }
    let used = collect(&["--threads", "1"]);
    assert!(assert_code(&used, 2).contains("--threads"));
}

#[test]
fn no_file_of_a_collection_is_written_over_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = suite(folder.path(), 2);
    let before = std::fs::read(&tasks).unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (out, rows) = (path("out.jsonl"), path("rows.jsonl"));
    let common = ["collect", "--suite", &tasks, "--teacher", "weak=http://127.0.0.1:1/v1"];
    for options in [
        &["--out", &tasks][..],
        &["--out", &out, "--failures", &out],
        &["--out", &out, "--pairs", &rows, "--failures", &rows],
        &["--out", &out, "--report", &path("out.jsonl.attempts")],
        &["--out", &out, "--known", &out],
    ] {
        let refused = assert_code(&eval(&[&common[..], options].concat()), 2);
        assert!(refused.contains("is named twice") && refused.contains("hint: "), "{refused}");
    }
    assert!(assert_code(&eval(&["collect", "--plans", &tasks, "--out", &tasks]), 2).contains("is named twice"));
    assert_eq!(std::fs::read(&tasks).unwrap(), before);
}
