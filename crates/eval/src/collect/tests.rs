//! What is kept of attempts that are there, and that nothing is asked or lost twice.

use std::path::Path;

use codeact_agent::{ActionFormat, AgentOptions, Profile, ScriptedModel, TurnEnd};
use codeact_chat::Message;
use codeact_sandbox::Policy;

use super::*;
use crate::measure::{Actions, Key};
use crate::verify::VerifyOptions;
use crate::{Grader, Task, run_task};

/// An attempt that nothing is special about.
pub(crate) fn record(contestant: &str, task: &str, is_solved: bool) -> Record {
    let key = Key {
        contestant: contestant.to_owned(),
        format: "code".to_owned(),
        suite: "s".to_owned(),
        task: task.to_owned(),
        sample: 0,
    };
    Record {
        key,
        family: "f".to_owned(),
        is_solved,
        solution: None,
        reason: None,
        end: TurnEnd::Solution,
        failure: None,
        steps: 2,
        actions: Actions { tried: 1, ..Actions::default() },
        prompt_tokens: 1,
        completion_tokens: 1,
        seconds: 0.1,
        helped: None,
        transcript: Vec::new(),
    }
}

/// A suite of tasks whose answer is 1.
pub(crate) fn suite(ids: &[&str]) -> Suite {
    let task = |id: &&str| Task::new(id, "f", id, Grader::Answer { answer: "1".to_owned() });
    Suite {
        name: "s".to_owned(),
        description: String::new(),
        licence: "MIT".to_owned(),
        path: PathBuf::from("s.jsonl"),
        tasks: ids.iter().map(task).collect(),
    }
}

/// An attempt with a conversation: code, and what it is said to have given.
fn attempt(teacher: &str, task: &str, sample: u32, is_solved: bool, (code, output): (&str, &str)) -> Record {
    let transcript = vec![
        Message::user(task),
        Message::assistant(format!("I run it.\n<execute>\n{code}\n</execute>")),
        Message::user(format!("Observation:\n{output}")),
        Message::assistant("<solution>1</solution>"),
    ];
    let mut record = record(teacher, task, is_solved);
    record.key.sample = sample;
    Record { transcript, ..record }
}

/// A teacher who must not be asked.
fn silent(name: &str) -> Teacher<'static> {
    Teacher {
        name: name.to_owned(),
        model: format!("model of {name}"),
        adapter: None,
        fingerprint: name.to_owned(),
        open: Box::new(|| Err(EvalError::Options("nobody was to be asked".to_owned()))),
    }
}

fn collection<'a>(
    folder: &Path,
    suites: &'a [Suite],
    teachers: &'a [Teacher<'a>],
    replies_min: usize,
) -> Collection<'a> {
    let policy = Policy { imports: Vec::new(), ..Policy::default() };
    Collection {
        suites,
        teachers,
        sampling: Sampling { samples: 2, enough: 2, temperature: 0.5, seed: 3, parallel: 2, reply_tokens_max: 9 },
        rules: Rules {
            filter: Filter { replies_min },
            per_task_max: 2,
            verify: VerifyOptions::of(policy),
            licence: String::new(),
        },
        files: CollectFiles {
            attempts: folder.join("attempts"),
            out: folder.join("out.jsonl"),
            failures: Some(folder.join("failures.jsonl")),
            pairs: Some(folder.join("pairs.jsonl")),
            report: folder.join("report.json"),
            known: Vec::new(),
        },
    }
}

fn run(collection: &Collection<'_>) -> Result<CollectSummary, EvalError> {
    let watch = Watch { is_stopped: &|| false, is_over: &|| false, on_wave: &|_, _, _| {}, on_attempt: &|_| {} };
    collection.run(&watch)
}

fn write(collection: &Collection<'_>, attempts: &[Record]) {
    let names: Vec<String> = collection.teachers.iter().map(|teacher| teacher.name.clone()).collect();
    let (results, _) = Results::open(&collection.files.attempts, &collection.identity(&names)).unwrap();
    attempts.iter().for_each(|attempt| results.add(attempt).unwrap());
}

#[test]
fn what_is_right_new_and_true_is_kept_with_where_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let suites = [suite(&["a", "b"])];
    let teachers = [silent("weak"), silent("strong")];
    let collection = collection(folder.path(), &suites, &teachers, 2);
    write(
        &collection,
        &[
            attempt("weak", "a", 0, true, ("print(1)", "1")),
            attempt("weak", "a", 1, true, ("print( 1 )", "1")),
            attempt("weak", "b", 0, false, ("print(2)", "2")),
            attempt("weak", "b", 1, false, ("print(3)", "3")),
            attempt("strong", "b", 0, true, ("print(4)", "5")),
            attempt("strong", "b", 1, true, ("x = 1\nprint(x)", "1")),
        ],
    );
    let summary = run(&collection).unwrap();
    assert_eq!((summary.tasks, summary.solved, summary.attempts, summary.right, summary.kept), (2, 2, 6, 4, 2));
    let weak = &summary.teachers[0];
    assert_eq!(weak.dropped, DropCounts::from([(Dropped::Wrong, 2), (Dropped::Duplicate, 1)]));
    assert_eq!(summary.teachers[1].dropped, DropCounts::from([(Dropped::NotReproduced, 1)]));
    let rows: Vec<Row> = std::fs::read_to_string(&collection.files.out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["collected/s/a/weak/0", "collected/s/b/strong/1"]);
    assert!(rows.iter().all(|row| row.licence == "MIT" && row.provenance.verdict == "right"));
    assert_eq!(rows[1].provenance.teacher, "model of strong");
    let failures = std::fs::read_to_string(collection.files.failures.as_ref().unwrap()).unwrap();
    assert_eq!(failures.lines().count(), 2);
    assert!(failures.contains(r#""verdict":"wrong""#) && failures.contains("collected/s/b/weak/0"));
    let pairs = std::fs::read_to_string(collection.files.pairs.as_ref().unwrap()).unwrap();
    let pairs: Vec<serde_json::Value> = pairs.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pair = "collected/s/b/strong/1 over collected/s/b/weak/0";
    assert_eq!((pairs.len(), pairs[0]["id"].as_str()), (2, Some(pair)));
    assert!(summary.pairs == Some(2) && summary.table().ends_with("\n2 pairs of a success and a failure\n"));
    assert_eq!(pairs[0]["chosen"][0], pairs[0]["rejected"][0]);
    // Everything was done, so nobody was asked, and other rules give other rows of the same attempts. By them the weak
    // one has nothing to show for a task that the strong one did not try.
    let stricter =
        Collection { rules: Rules { filter: Filter { replies_min: 3 }, ..collection.rules.clone() }, ..collection };
    assert!(run(&stricter).unwrap_err().to_string().contains("nobody was to be asked"));
    let missing = [0, 1].map(|sample| attempt("strong", "a", sample, false, ("print(5)", "5")));
    write(&stricter, &missing);
    let summary = run(&stricter).unwrap();
    assert_eq!((summary.kept, summary.teachers[0].dropped[&Dropped::TooShort]), (0, 2));
    assert!(summary.table().contains("\nno pairs: ") && summary.table().ends_with("`--enough`\n"));
}

#[test]
fn right_calls_are_kept_in_each_form_of_action() {
    let mut suites = [suite(&["a"])];
    let task = &mut suites[0].tasks[0];
    task.setup = Some("def stock(item: str) -> int:\n    return {'nuts': 42, 'bolts': 7}[item]".to_owned());
    let tool = r#"{"name": "stock", "signature": "(item: str) -> int", "doc": "How many there are."}"#;
    task.tools = vec![serde_json::from_str(tool).unwrap()];
    let teachers = [silent("weak")];
    let json = ["{\"tool\": \"stock\"}", "{\"tool\": \"stok\"}", "{\"tool\": \"stock\", \"args\": [\"nuts\"]}"];
    for (format, calls) in [(ActionFormat::Json, json), (ActionFormat::Text, ["stock", "stok", "stock, nuts"])] {
        let folder = tempfile::tempdir().unwrap();
        let collection = collection(folder.path(), &suites, &teachers, 2);
        let calls = calls.map(|call| format!("Action: {call}"));
        let model = ScriptedModel::new(calls.into_iter().chain(["<solution>1</solution>".to_owned()]));
        let options = AgentOptions { format, ..AgentOptions::new(Profile::quickstart()) };
        let policy = &collection.rules.verify.policy;
        let outcome = run_task(&suites[0].tasks[0], Box::new(model), &options, policy).unwrap();
        assert!(outcome.transcript[3].content.contains("[The signature of the tool is "), "{outcome:?}");
        let mut right = record("weak", "a", true);
        (right.key.format, right.transcript) = (format.name().to_owned(), outcome.transcript);
        let mut untrue = right.clone();
        untrue.key.sample = 1;
        untrue.transcript.iter_mut().for_each(|message| message.content = message.content.replace("nuts", "bolts"));
        write(&collection, &[right, untrue]);
        let summary = run(&collection).unwrap();
        assert_eq!((summary.kept, &summary.teachers[0].dropped), (1, &DropCounts::from([(Dropped::NotReproduced, 1)])));
        let kept = std::fs::read_to_string(&collection.files.out).unwrap();
        assert!(kept.contains("collected/s/a/weak/0") && kept.contains(r#""verified":"reproduced""#), "{kept}");
    }
}

#[test]
fn what_an_earlier_collection_has_is_not_kept_again() {
    let folder = tempfile::tempdir().unwrap();
    let suites = [suite(&["a"])];
    let teachers = [silent("weak")];
    let mut collection = collection(folder.path(), &suites, &teachers, 2);
    let both = [attempt("weak", "a", 0, true, ("print(1)", "1")), attempt("weak", "a", 1, true, ("1", "1"))];
    write(&collection, &both);
    assert_eq!(run(&collection).unwrap().kept, 2);
    let known = folder.path().join("known.jsonl");
    std::fs::copy(&collection.files.out, &known).unwrap();
    collection.files.known = vec![known];
    assert_eq!(run(&collection).unwrap().kept, 0);
}

#[test]
fn attempts_of_another_collection_are_refused_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let suites = [suite(&["a"])];
    let teachers = [silent("weak")];
    let mut collection = collection(folder.path(), &suites, &teachers, 2);
    write(&collection, &[attempt("weak", "a", 0, true, ("print(1)", "1"))]);
    let before = std::fs::read(collection.files.attempts.join("results.jsonl")).unwrap();
    collection.sampling.seed = 4;
    let error = run(&collection).unwrap_err();
    assert!(error.to_string().contains("seed (was 3, is 4)") && error.is_bad_input(), "{error}");
    // With the second attempt left to make, the teacher is opened, which fails here, and nothing is lost either.
    collection.sampling.seed = 3;
    assert!(run(&collection).unwrap_err().to_string().contains("nobody was to be asked"));
    assert_eq!(std::fs::read(collection.files.attempts.join("results.jsonl")).unwrap(), before);
}
