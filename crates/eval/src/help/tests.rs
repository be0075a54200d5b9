//! Which examples are shown, in which order, and that none is the task; and functions that code finds defined.

use std::sync::{Arc, Mutex};

use codeact_agent::{AgentError, AgentOptions, Ask, Completion, Model, Profile, Room, ScriptedModel};
use codeact_chat::Message;
use codeact_sandbox::skills::{Candidate, SkillStore, Verdict};
use codeact_sandbox::{Policy, Session};
use serde_json::json;

use super::*;
use crate::{Grader, Outcome, Task, run_task_with};

fn row(id: &str, prompt: &str) -> serde_json::Value {
    json!({"id": id, "conversations": [
        {"role": "system", "content": "another prompt"},
        {"role": "user", "content": prompt},
        {"role": "assistant", "content": format!("<execute>\nprint('{id}')\n</execute>")},
        {"role": "user", "content": format!("Observation:\n{id}")},
        {"role": "assistant", "content": format!("<solution>{id}</solution>")},
    ]})
}

fn load(rows: &[serde_json::Value]) -> Result<Examples, EvalError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    std::fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    Examples::load(&path)
}

fn shots(rows: &[serde_json::Value], count_max: usize, tokens_max: usize) -> Shots {
    Shots { examples: Arc::new(load(rows).unwrap()), count_max, tokens_max }
}

fn task(prompt: &str) -> Task {
    Task::new("the task", "f", prompt, Grader::Answer { answer: "42".into() })
}

/// A model that notes what it is asked, and whose context has so many words.
struct Hearing {
    model: ScriptedModel,
    heard: Arc<Mutex<Vec<Vec<Message>>>>,
    words_max: usize,
}

impl Hearing {
    fn new(replies: &[&str], words_max: usize) -> Hearing {
        Hearing { model: ScriptedModel::new(replies.iter().copied()), heard: Arc::default(), words_max }
    }
}

impl Model for Hearing {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        self.heard.lock().unwrap().push(ask.messages.to_vec());
        self.model.complete(ask, on_text)
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        Some(text.split_whitespace().count())
    }

    fn room(&self, messages: &[Message]) -> Result<Option<Room>, AgentError> {
        let prompt_tokens = messages.iter().map(|message| message.content.split_whitespace().count()).sum();
        Ok(Some(Room { prompt_tokens, prompt_tokens_max: self.words_max }))
    }
}

fn chosen(shots: &Shots, prompt: &str, words_max: usize) -> Vec<String> {
    let (model, head) = (Hearing::new(&[], words_max), [Message::system("be good"), Message::user(prompt)]);
    let chosen = shots.choose(&task(prompt), ActionFormat::Code, &model, &head).unwrap();
    chosen.into_iter().map(|example| example.id().to_owned()).collect()
}

#[test]
fn the_most_similar_stand_last_and_numbers_do_not_count() {
    let rows = [
        row("far", "Sort the words by length."),
        row("near", "What is the area of a circle of radius 3?"),
        row("number", "Ten apples and 77 pears: how many pieces?"),
        row("nearest", "What is the area of a square field of side 5?"),
        row("same words", "What is the area of a square field of side 6?"),
    ];
    let prompt = "What is the area of a square of side 77?";
    // Of equals the first.
    assert_eq!(chosen(&shots(&rows, 3, 1000), prompt, 1000), ["near", "same words", "nearest"]);
    assert_eq!(chosen(&shots(&rows, 1, 1000), prompt, 1000), ["nearest"]);
    assert!(chosen(&shots(&rows, 9, 1000), "77", 1000).is_empty(), "a number is no likeness");
    assert!(chosen(&shots(&rows, 9, 1000), "zebra", 1000).is_empty());
}

#[test]
fn no_example_is_the_task_itself_whatever_its_case_and_its_place() {
    let mut collected = row("collected/s/the task/m/0", "Another wording of the square");
    collected["provenance"] = json!({"task": "the task", "verdict": "right", "action_format": "code"});
    let mut later = row("later", "What is a square?");
    later["conversations"][3]["content"] = json!("Now: area of  the square 7");
    let rows = [
        row("same", "Area of the square 7?"),
        row("other case", "  area OF\nthe square 7"),
        row("inside", "Task:\nArea of the square 7? Answer briefly."),
        row("the task", "Something about a square"),
        collected,
        later,
        row("other number", "Area of the square 77?"),
        row("other", "Area of the square?"),
    ];
    let ids = chosen(&shots(&rows, 9, 1000), "Area of the square 7?", 1000);
    assert_eq!(ids, ["other", "other number"], "of {} rows", rows.len());
}

#[test]
fn an_example_with_less_text_than_the_task_is_the_task() {
    let rows = [
        row("less", "A farmer has four sheep and three goats: how many animals?"),
        row("few words", "How many sheep and goats?"),
        row("another", "A farmer has four sheep and three hens: how many animals?"),
    ];
    let prompt =
        "A farmer has four sheep and three goats: how many animals? How many sheep and goats? Give the number.";
    let mut ids = chosen(&shots(&rows, 9, 1000), prompt, 1000);
    ids.sort();
    assert_eq!(ids, ["another", "few words"]);
}

#[test]
fn what_does_not_fit_is_passed_over() {
    let long = format!("area {}", "area of squares ".repeat(40));
    let rows = [row("long", &long), row("short", "area of squares"), row("shorter", "squares, in words")];
    // Each of the short ones has 8 words and some.
    assert_eq!(chosen(&shots(&rows, 3, 30), "The area of squares", 1000), ["shorter", "short"]);
    assert_eq!(chosen(&shots(&rows, 3, 10), "The area of squares", 1000), ["short"]);
    assert!(chosen(&shots(&rows, 3, 5), "The area of squares", 1000).is_empty());
    // Half of the context stays free.
    assert_eq!(chosen(&shots(&rows, 3, 1000), "The area of squares", 50), ["shorter", "short"]);
    assert_eq!(chosen(&shots(&rows, 3, 1000), "The area of squares", 34), ["short"]);
    assert!(chosen(&shots(&rows, 3, 1000), "The area of squares", 20).is_empty());
}

#[test]
fn only_what_solved_its_task_is_an_example() {
    let mut wrong = row("wrong", "area");
    wrong["provenance"] = json!({"verdict": "wrong"});
    let mut open = row("open", "area");
    open["conversations"].as_array_mut().unwrap().pop();
    let mut plain = row("plain", "area");
    plain["conversations"][4]["content"] = json!("It is done.");
    let mut twice = row("twice", "area");
    twice["conversations"][2] = json!({"role": "user", "content": "and?"});
    let rows = [wrong, open, plain.clone(), twice];
    let error = load(&rows).unwrap_err();
    assert!(error.to_string().contains("no conversation that could be an example") && error.is_bad_input());
    plain["provenance"] = json!({"verdict": "right"});
    assert_eq!(chosen(&shots(&[plain], 2, 1000), "an area", 1000), ["plain"]);
    let mut as_json = row("as json", "area");
    as_json["provenance"] = json!({"action_format": "json"});
    let examples = load(&[as_json]).unwrap();
    assert!(examples.check(ActionFormat::Json).is_ok());
    assert!(examples.check(ActionFormat::Code).unwrap_err().to_string().contains("no example with actions as code"));
    let broken = [json!({"id": "a", "conversations": [{"role": "user", "content": 1}]})];
    assert!(load(&broken).unwrap_err().to_string().contains("line 1"));
    let strange = [json!({"id": "a", "conversations": [{"role": "user", "content": "x"}], "provenance": "me"})];
    assert!(load(&strange).unwrap_err().to_string().contains("`provenance`"));
}

fn help(folder: &std::path::Path) -> Help {
    let store = SkillStore::open(folder).unwrap();
    let candidate = Candidate {
        name: "twice".into(),
        signature: "twice(x)".into(),
        doc: "Two times x.".into(),
        source: "import math\n\ndef twice(x):\n    return math.prod([2, x])".into(),
        tests: "assert twice(2) == 4".into(),
    };
    store.add::<std::convert::Infallible>(&candidate, &mut |_| Ok(Verdict::Passed)).unwrap();
    let skills = Some(Arc::new(Skills::load(folder).unwrap()));
    Help {
        shots: Some(shots(&[row("near", "double it"), row("far", "see it"), row("me", "Double 21")], 2, 100)),
        skills,
    }
}

#[test]
fn examples_come_before_the_task_and_skills_are_defined_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let help = help(folder.path());
    let run = |replies: &[&str]| -> (Outcome, Vec<Vec<Message>>) {
        let model = Hearing::new(replies, 1000);
        let heard = Arc::clone(&model.heard);
        let options = AgentOptions::new(Profile::quickstart());
        let policy = Policy { imports: Vec::new(), ..Policy::default() };
        let outcome = run_task_with(&task("Double 21"), Box::new(model), &options, &policy, &help).unwrap();
        let heard = heard.lock().unwrap().clone();
        (outcome, heard)
    };
    let (outcome, heard) = run(&["<execute>\nprint(twice(21))\n</execute>", "<solution>42</solution>"]);
    assert!(outcome.is_solved);
    let told: Vec<&str> = heard[0].iter().map(|message| message.content.as_str()).collect();
    let system = "Solve tasks by running Python.\n\nFunctions that are defined already:\ntwice(x)\nTwo times x.";
    let near = ["double it", "<execute>\nprint('near')\n</execute>", "Observation:\nnear", "<solution>near</solution>"];
    // `see it` has no word in common with it that means something, and `Double 21` is the task.
    assert_eq!(told, [&[system][..], &near, &["Double 21"]].concat());
    let helped = outcome.helped.unwrap();
    assert_eq!((helped.examples, helped.skills, helped.called), (vec!["near".into()], 1, vec!["twice".into()]));
    // The grader and the results see what the model did, and nothing else.
    let said: Vec<&str> = outcome.transcript.iter().map(|message| message.content.as_str()).collect();
    let did = ["<execute>\nprint(twice(21))\n</execute>", "Observation:\n42", "<solution>42</solution>"];
    assert_eq!(said, [&[system, "Double 21"][..], &did].concat());
    // An example's solution is not the model's.
    let (outcome, _) = run(&["I do not know."]);
    assert!(!outcome.is_solved && outcome.solution.is_none() && outcome.helped.unwrap().called.is_empty());
}

#[test]
fn calls_are_told_from_what_only_looks_like_one() {
    let folder = tempfile::tempdir().unwrap();
    let skills = help(folder.path()).skills.unwrap();
    let calls = |code: &str| {
        let mut called = std::collections::BTreeSet::new();
        skills.note_calls(code, &mut called);
        called.len()
    };
    for code in ["twice(1)", "print(twice (1))", "x = [twice(y) for y in z]", "def f():\n    return twice(3)"] {
        assert_eq!(calls(code), 1, "{code}");
    }
    for code in ["twice", "not_twice(1)", "twice_more(1)", "self.twice(1)", "def twice(x):\n    return x", ""] {
        assert_eq!(calls(code), 0, "{code}");
    }
    for code in [
        "# twice(1)",
        "x = 1  # as twice(1) does",
        "print('twice(1)')",
        r#"print("it's \"twice(1)\"")"#,
        "'''one\ntwice(1)\n'''",
        "x = b'twice(1)'",
    ] {
        assert_eq!(calls(code), 0, "{code}");
    }
    for code in [
        "print('#', twice(1))",
        "'''it's'''\ntwice(1)",
        "print(f'{twice(1)} of it')",
        "x = 'not closed\ntwice(1)",
        "# it's\ntwice(1)",
        "'é' + twice(1)",
    ] {
        assert_eq!(calls(code), 1, "{code}");
    }
}

#[test]
fn a_store_is_known_by_its_contents_and_must_be_whole() {
    let folder = tempfile::tempdir().unwrap();
    let first = help(folder.path()).skills.unwrap();
    assert_eq!(first.line(), Skills::load(folder.path()).unwrap().line());
    let store = SkillStore::open(folder.path()).unwrap();
    // A use is not a change of what is offered.
    store.record_use("twice", true).unwrap();
    assert_eq!(first.line(), Skills::load(folder.path()).unwrap().line());
    let source = "def twice(x):\n    return x + x".to_owned();
    let other = Candidate {
        name: "twice".into(),
        signature: "twice(x)".into(),
        doc: "Two times x.".into(),
        source,
        tests: "assert twice(2) == 4".into(),
    };
    store.add::<std::convert::Infallible>(&other, &mut |_| Ok(Verdict::Passed)).unwrap();
    assert_ne!(first.line(), Skills::load(folder.path()).unwrap().line());
    std::fs::write(folder.path().join("twice/skill.py"), "import os").unwrap();
    let error = Skills::load(folder.path()).unwrap_err();
    assert!(error.to_string().contains("is passed over") && error.is_bad_input(), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(Skills::load(empty.path()).unwrap_err().to_string().contains("it has no skills"));
    let missing = empty.path().join("missing");
    assert!(Skills::load(&missing).unwrap_err().to_string().contains("no such folder") && !missing.exists());
}

#[test]
fn a_prelude_that_does_not_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = SkillStore::open(folder.path()).unwrap();
    let candidate = Candidate {
        name: "broken".into(),
        signature: "broken()".into(),
        doc: "Needs what is not here.".into(),
        source: "import no_such_module\n\ndef broken():\n    return 1".into(),
        tests: "assert broken() == 1".into(),
    };
    store.add::<std::convert::Infallible>(&candidate, &mut |_| Ok(Verdict::Passed)).unwrap();
    let skills = Skills::load(folder.path()).unwrap();
    let mut session = Session::start(&Policy { imports: Vec::new(), ..Policy::default() }).unwrap();
    let error = skills.define(&mut session).unwrap_err().to_string();
    assert!(error.contains("cannot be defined") && error.contains("no_such_module"), "{error}");
}
