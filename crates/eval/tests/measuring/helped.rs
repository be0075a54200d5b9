//! The same model plain, with similar solved tasks as examples, and with functions that are defined already.

use serde_json::{Value, json};

use crate::endpoint::scripted;
use crate::{assert_code, eval, json, records};

/// A conversation that solved `prompt`.
fn solved(id: &str, prompt: &str) -> Value {
    json!({"id": id, "conversations": [
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": "<execute>\nprint(1)\n</execute>"},
        {"role": "user", "content": "Observation:\n1"},
        {"role": "assistant", "content": "<solution>1</solution>"},
    ]})
}

#[test]
fn examples_and_skills_reach_the_model_and_are_part_of_what_results_depend_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    // Its second reply is behind 4 messages, and behind 8 more with two examples.
    let replies = ["<execute>\nprint(twice({{1}}))\n</execute>", "<solution>{{count}}</solution>"];
    let endpoint = scripted(folder.path(), &json!([{"when": "double (\\d+)", "replies": replies}]), "0");
    write("tasks.jsonl", &json!({"id": "t", "family": "f", "prompt": "double 4", "answer": "12"}).to_string());
    let rows = [solved("long", "double the word"), solved("near", "Double 3"), solved("itself", "DOUBLE  4!")];
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    write("rows.jsonl", &rows);
    write("library.py", "def twice(x):\n    '''Two times x.'''\n    return 2 * x\n\n\nassert twice(3) == 6\n");
    let skills = |library: &str| eval(&["skills", &path(library), "--store", &path("store"), "--preimport="]);
    let earned = skills("library.py");
    assert_code(&earned, 0);
    assert!(String::from_utf8_lossy(&earned.stdout).contains("kept twice(x)  (version 1)"));

    let entry = |name: &str, help: &str| format!("[[contestant]]\nname = '{name}'\nurl = '{}'\n{help}\n", endpoint.url);
    let shown = format!("examples = '{}'\nexamples_max = 2", path("rows.jsonl"));
    let skilled = format!("skills = '{}'", path("store"));
    write("who.toml", &[entry("plain", ""), entry("shown", &shown), entry("skilled", &skilled)].concat());
    let (tasks, who) = (path("tasks.jsonl"), path("who.toml"));
    let run = |out: &str, options: &[&str]| {
        let common = ["run", &tasks, "--contestants", &who, "--preimport=", "--profile", "quickstart", "--out", out];
        eval(&[&common[..], options].concat())
    };
    let [out, again] = ["out", "again"].map(path);
    let done = run(&out, &[]);
    assert_code(&done, 0);
    let table = String::from_utf8_lossy(&done.stdout);
    assert!(table.lines().next().unwrap().contains("examples  skills  called"), "{table}");

    let records_of = |out: &str| records(std::path::Path::new(out));
    let found = records_of(&out);
    let is_solved: Vec<&Value> = found.iter().map(|record| &record["is_solved"]).collect();
    assert_eq!(is_solved, [&json!(false), &json!(true), &json!(false)], "plain, shown, skilled");
    let failed: Vec<&Value> = found.iter().map(|record| &record["actions"]["failed"]).collect();
    assert_eq!(failed, [&json!(1), &json!(1), &json!(0)]);
    assert!(found[0].get("helped").is_none());
    // The nearest next to the task, and never the task itself.
    assert_eq!(found[1]["helped"], json!({"examples": ["long", "near"], "skills": 0, "called": []}));
    assert_eq!(found[2]["helped"], json!({"examples": [], "skills": 1, "called": ["twice"]}));
    let system = found[2]["transcript"][0]["content"].as_str().unwrap();
    assert!(system.ends_with("Functions that are defined already:\ntwice(x)\nTwo times x."), "{system}");
    assert_eq!(found[1]["transcript"].as_array().unwrap().len(), 5);
    let help = &json(folder.path().join("out/summary.json"))["columns"][2]["all"]["help"];
    assert_eq!(help, &json!({"examples": 0.0, "skills": 1.0, "tries_with_call": 1}));
    let page = std::fs::read_to_string(folder.path().join("out/report.html")).unwrap();
    assert!(page.contains("Tries that called a skill") && page.contains("examples shown: long, near"));

    assert_code(&run(&again, &[]), 0);
    assert_eq!(records_of(&again), found);
    assert!(assert_code(&run(&out, &[]), 0).contains("3 of 3 tries are done already"));
    let refused = assert_code(&run(&path("json"), &["--action-format", "json"]), 2);
    assert!(refused.contains("no example with actions as json"), "{refused}");

    // Other examples and other functions make another run.
    write("rows.jsonl", &(rows.clone() + &solved("more", "double it").to_string()));
    let refused = assert_code(&run(&out, &[]), 2);
    assert!(refused.contains("examples shown (was 2 of 3 in"), "{refused}");
    write("rows.jsonl", &rows);
    write("other.py", "def twice(x):\n    '''Two times x.'''\n    return x + x\n\n\nassert twice(3) == 6\n");
    let replaced = skills("other.py");
    assert_code(&replaced, 0);
    assert!(String::from_utf8_lossy(&replaced.stdout).contains("kept twice(x)  (version 2)"));
    let refused = assert_code(&run(&out, &[]), 2);
    assert!(refused.contains("skills skilled (was 1 in"), "{refused}");
    assert_eq!(records_of(&out), found);
}
