//! Tasks solved by a model behind an address.

use serde_json::json;

use crate::endpoint::{endpoint, scripted, suite};
use crate::{assert_code, eval, json, records};

#[test]
fn formats_and_contestants_are_measured_beside_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path(), "0");
    let (tasks, out) = (suite(folder.path(), 4), folder.path().join("out"));
    let contestants = ["one", "two"].map(|name| format!("{name}={},model=scripted", endpoint.url));
    let run = |options: &[&str]| {
        let common = ["run", &tasks, "--out", out.to_str().unwrap(), "--preimport=", "--profile", "quickstart"];
        eval(&[&common[..], &["--contestant", &contestants[0], "--contestant", &contestants[1]], options].concat())
    };
    let done = run(&["--action-format", "code,json"]);
    assert_code(&done, 0);
    let table = String::from_utf8_lossy(&done.stdout);
    assert!(table.contains("one, json – one, code") && table.contains("seen/double"), "{table}");

    let summary = json(out.join("summary.json"));
    let columns = summary["columns"].as_array().unwrap();
    let name =
        |column: &serde_json::Value| ["contestant", "format"].map(|key| column[key].as_str().unwrap().to_owned());
    let names: Vec<String> = columns.iter().map(|column| name(column).join(" ")).collect();
    assert_eq!(names, ["one code", "one json", "two code", "two json"]);
    // As JSON nothing of this is an action: the reply is taken for the answer.
    let code = &columns[0]["all"];
    assert_eq!((&code["tasks"], &code["solved"], &code["solved_by_actions"]), (&json!(4), &json!(2), &json!(2)));
    assert_eq!(
        (&code["failed_actions"], &code["tries_with_failure"], &code["repaired"]),
        (&json!(2), &json!(2), &json!(0))
    );
    assert_eq!(code["failures"], json!({"wrong solution": 2}));
    assert_eq!(columns[0]["suites"]["tasks"]["groups"]["seen"]["rate"], json!(1.0));
    assert_eq!((&columns[1]["all"]["solved"], &columns[1]["all"]["failures"]), (&json!(0), &json!({"no solution": 4})));
    let pair = &summary["comparisons"][0];
    assert_eq!((&pair["only_first"], &pair["only_second"], &pair["p_value"]), (&json!(2), &json!(0), &json!(0.5)));
    assert_eq!(records(&out).len(), 16);

    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Success rate by form of action") && page.contains("content=\"default-src 'none'"));
    assert!(page.contains("NameError") && page.ends_with("</html>\n"));
    // Again there is nothing to do, and the numbers are the same.
    let again = run(&["--action-format", "code,json", "--json"]);
    assert!(assert_code(&again, 0).contains("16 of 16 tries are done already"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&again.stdout).unwrap(), summary);
}

#[test]
fn several_tries_are_drawn_and_runs_are_compared_on_a_page() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path(), "0");
    let tasks = suite(folder.path(), 2);
    let outs = ["a", "b"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    for (out, options) in [(&outs[0], &["--samples", "3"][..]), (&outs[1], &["--limit", "1"])] {
        let common = ["run", &tasks, "--out", out, "--preimport=", "--endpoint", &endpoint.url];
        assert_code(&eval(&[&common[..], options].concat()), 0);
    }
    let summary = json(folder.path().join("a/summary.json"));
    assert_eq!(summary["columns"][0]["all"]["pass_at"], json!({"1": 0.5, "2": 0.5, "3": 0.5}));
    let done = eval(&["report", &outs[0], &outs[1], "--json"]);
    assert!(assert_code(&done, 0).contains("a/comparison.html"));
    let compared: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(compared["columns"][1]["contestant"], "b: endpoint");
    // Of different tasks there is nothing to compare.
    assert_eq!((&compared["comparisons"], compared["notes"].as_array().unwrap().len()), (&json!([]), 2));
}

#[test]
fn a_request_that_is_refused_is_a_failed_try_and_several_in_a_row_end_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let room = |name: &str| {
        let room = folder.path().join(name);
        std::fs::create_dir(&room).unwrap();
        room
    };
    let refusing = |name: &str, when: &str, status: u16| {
        let double = json!({"when": "double (\\d+)", "replies": ["<solution>{{1}}</solution>"]});
        let refused = json!({"when": when, "replies": [""], "status": status});
        scripted(&room(name), &json!([refused, double]), "0")
    };
    let tasks = suite(folder.path(), 8);
    let run = |url: &str, out: &str| {
        let out = folder.path().join(out);
        let common = ["run", &tasks, "--preimport=", "--parallel", "1", "--endpoint", url, "--out"];
        (eval(&[&common[..], &[out.to_str().unwrap()]].concat()), out)
    };
    let some = refusing("some", "greet", 400);
    let (done, out) = run(&some.url, "some-out");
    assert_code(&done, 0);
    let failures = &json(out.join("summary.json"))["columns"][0]["all"]["failures"];
    assert_eq!((&failures["model error"], records(&out).len()), (&json!(4), 8), "{failures}");
    let refused = &records(&out)[1];
    assert_eq!((&refused["task"], &refused["end"]), (&json!("t1"), &json!("error")));
    assert!(refused["reason"].as_str().unwrap().contains("status 400: the script says so"), "{refused}");
    assert!(assert_code(&run(&some.url, "some-out").0, 0).contains("8 of 8 tries are done already"));
    let collected = folder.path().join("collected.jsonl");
    let common = ["collect", "--suite", &tasks, "--preimport=", "--samples", "1", "--parallel", "1"];
    let teacher = format!("weak={}", some.url);
    let more = ["--teacher", &teacher, "--out", collected.to_str().unwrap()];
    assert_code(&eval(&[&common[..], &more].concat()), 0);
    let dropped = &json(folder.path().join("collected.jsonl.report"))["teachers"][0]["dropped"];
    assert_eq!(dropped["no_solution"], json!(4), "{dropped}");

    let all = refusing("all", "double|greet", 400);
    let (ended, out) = run(&all.url, "all-out");
    let said = assert_code(&ended, 1);
    assert!(said.contains("5 tries in a row") && said.contains("task `t4`") && said.contains("hint: "), "{said}");
    assert_eq!(records(&out).len(), 4);
    // The next one goes on behind them.
    assert!(assert_code(&run(&all.url, "all-out").0, 0).contains("4 of 8 tries are done already"));
    assert_eq!(records(&out).len(), 8);
    let (ended, out) = run(&refusing("key", "greet|double", 401).url, "key-out");
    assert!(assert_code(&ended, 1).contains("CODEACT_ENDPOINT_KEY"));
    assert!(records(&out).is_empty());
}

#[test]
fn what_means_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path(), "0");
    let (tasks, out) = (suite(folder.path(), 2), folder.path().join("out"));
    let common = ["run", &tasks, "--out", out.to_str().unwrap(), "--preimport="];
    let refused = |options: &[&str], code: i32| assert_code(&eval(&[&common[..], options].concat()), code);
    let there = ["--endpoint", &endpoint.url];
    refused(&[&there[..], &["--threads", "1"]].concat(), 2);
    assert!(refused(&[&there[..], &["--tags", "hard"]].concat(), 2).contains("no task has one of the tags hard"));
    let same = refused(&[&there[..], &["--samples", "2", "--temperature", "0"]].concat(), 2);
    assert!(same.contains("would all be the same"), "{same}");
    let twice = format!("endpoint={}", endpoint.url);
    assert!(refused(&[&there[..], &["--contestant", &twice]].concat(), 2).contains("two contestants"));
    refused(&["--endpoint", "no address"], 2);
    assert!(refused(&["--endpoint", "http://127.0.0.1:1/v1"], 1).contains("127.0.0.1:1"));
    assert!(!out.join("summary.json").exists());
    assert_code(&eval(&["report", out.to_str().unwrap()]), 2);
}
