//! The agent while it is trained: tasks solved by the live model in the sandbox, early ends and results by them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use codeact_agent::Profile;
use codeact_engine::{EngineLimits, Sampling};
use codeact_eval::{Actor, read_tasks, run_task};
use codeact_model::serving::ServingOptions;
use codeact_model::source::ModelFiles;
use codeact_sandbox::{Policy, Session};
use serde_json::{Value, json};

use crate::tiny::{Ended, Tiny, names};

/// As a run that nobody disturbs: the tiny model learns to say 7, and can get no better than two of three tasks.
const SETTINGS: [&str; 9] = [
    "train.steps=120",
    "optimizer.schedule=constant",
    "optimizer.learning_rate=1e-2",
    "evaluation.every=40",
    "evaluation.tasks_every=10",
    "evaluation.context_tokens=400",
    "evaluation.metric=success",
    "evaluation.samples=2",
    "checkpoint.keep_last=99",
];

/// Modules that no task needs take a second of each test.
const PYTHON: [&str; 1] = ["--preimport="];

fn policy() -> Policy {
    Policy { imports: Vec::new(), ..Policy::default() }
}

fn has_sandbox() -> bool {
    let has = Session::start(&policy()).is_ok();
    if !has {
        println!("skipped: 1 test of tasks, because no sandbox holds here");
    }
    has
}

fn tiny() -> Tiny {
    let tiny = Tiny::new();
    let rows = (0..24).map(|index| {
        let turns = json!([
            {"role": "system", "content": "Solve tasks by running Python."},
            {"role": "user", "content": format!("add {index}")},
            {"role": "assistant", "content": "<solution>7</solution>"},
        ]);
        json!({"id": format!("row {index}"), "conversations": turns}).to_string() + "\n"
    });
    tiny.write("train.jsonl", &rows.collect::<String>());
    let task = |id: &str, answer: u32| {
        json!({"id": id, "family": "seen/add", "prompt": format!("add {id}"), "answer": answer}).to_string() + "\n"
    };
    tiny.write("tasks.jsonl", &[task("100", 7), task("200", 8), task("300", 7)].concat());
    tiny
}

fn arguments(tiny: &Tiny, more: &[&str]) -> Vec<String> {
    let tasks = format!("evaluation.tasks={}", tiny.path("tasks.jsonl").display());
    let settings = SETTINGS.iter().copied().chain([tasks.as_str()]).chain(more.iter().copied());
    let settings = settings.flat_map(|setting| ["--set".to_owned(), setting.to_owned()]);
    settings.chain(PYTHON.iter().map(|argument| (*argument).to_owned())).collect()
}

fn run(tiny: &Tiny, more: &[&str], flags: &[&str]) -> Ended {
    let arguments = arguments(tiny, more);
    tiny.run(&arguments.iter().map(String::as_str).chain(flags.iter().copied()).collect::<Vec<_>>())
}

fn lines(tiny: &Tiny, name: &str) -> Vec<Value> {
    let text = String::from_utf8(tiny.read(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn rows(tiny: &Tiny, key: &str) -> Vec<Value> {
    lines(tiny, "run/metrics.jsonl").into_iter().filter(|row| !row[key].is_null()).collect()
}

/// What a served model says in the task's turn.
fn served(tiny: &Tiny, model: &str, adapter: Option<&str>) -> Vec<String> {
    let files = ModelFiles::in_folder(tiny.path(model));
    let options = ServingOptions { kv_bytes: Some(1 << 20), ..ServingOptions::default() };
    let adapter = adapter.map(|adapter| tiny.path(adapter));
    let limits = EngineLimits { context_tokens_max: Some(400), ..EngineLimits::default() };
    let actor = Actor::load(&files, adapter.as_deref(), &options, limits).unwrap();
    // Checkpoints do not say it, results do.
    let actor = Actor { profile: Profile::quickstart(), ..actor };
    let tasks = read_tasks(&tiny.path("tasks.jsonl")).unwrap();
    let replies = tasks.iter().map(|task| {
        let model = Box::new(actor.model(Sampling::default()));
        let outcome = run_task(task, model, &actor.options(), &policy()).unwrap();
        let said = outcome.transcript[2..].iter().map(|message| message.content.clone());
        said.collect::<Vec<_>>().join("\n\n")
    });
    replies.collect()
}

#[test]
fn the_live_model_solves_what_its_export_does_and_the_best_step_by_tasks_is_kept() {
    if !has_sandbox() {
        return;
    }
    let tiny = tiny();
    let ended = run(&tiny, &["evaluation.patience=2"], &[]).expect_code(0);
    let tried = rows(&tiny, "success_rate");
    let solved: Vec<u64> = tried.iter().map(|row| row["solved"].as_u64().unwrap()).collect();
    assert_eq!((solved[0], solved.iter().max()), (0, Some(&2)), "{}", ended.stderr);
    let best = solved.iter().position(|solved| *solved == 2).unwrap();
    let step = tried[best]["step"].as_u64().unwrap();
    assert_eq!(tried.last().unwrap()["step"], step + 20, "it ends two evaluations behind the best");
    assert_eq!(tried[best]["solved_by_family"], json!({"seen/add": [2, 3]}));
    let ended = ended.says("no more tasks solved in the last 2 measures");
    let ended = ended.says(&format!("the results are of step {step}, which solves the most tasks, 2 of 3"));
    let ended = ended.says("tasks    3, their code in the sandbox");
    ended.says("in all, and 13 times 3 tasks, however long they take");
    assert_eq!(rows(&tiny, "best").last().unwrap()["step"], step);

    // Word for word what the adapter says that was saved at that step, and what the results say.
    let samples = lines(&tiny, "run/samples.jsonl");
    let texts = |step: u64| {
        let of_step = samples.iter().filter(move |row| row["step"] == step);
        of_step.map(|row| row["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(samples.len(), 2 * tried.len());
    for step in [step, step + 20] {
        let adapter = format!("run/step-{step:06}");
        assert_eq!(texts(step), served(&tiny, "model", Some(&adapter))[..2], "step {step}");
    }
    assert!(
        tiny.read("run/adapter/adapter_model.safetensors")
            == tiny.read(&format!("run/step-{step:06}/adapter_model.safetensors"))
    );

    let report =
        Command::new(env!("CARGO_BIN_EXE_codeact-train")).arg("report").arg(tiny.path("run")).output().unwrap();
    assert!(report.status.success());
    let page = String::from_utf8(tiny.read("run/report.html")).unwrap();
    for shown in ["&lt;solution&gt;7&lt;/solution&gt;", "<h3>add 100</h3>", "Success rate"] {
        assert!(page.contains(shown), "no `{shown}` in the report");
    }
}

#[test]
fn weights_that_are_all_trained_solve_what_their_export_does() {
    if !has_sandbox() {
        return;
    }
    let tiny = tiny();
    let text = String::from_utf8(tiny.read("settings.toml")).unwrap();
    let text = text.replace("[lora]\nrank = 4\nalpha = 16\n", "").replace("[train]\n", "[train]\nmethod = \"full\"\n");
    tiny.write("settings.toml", &text);
    // One of the tasks stands in the data: that is told, and no fault.
    let learned = json!({"id": "seen", "family": "seen/add", "prompt": "add  5 ", "answer": 7}).to_string() + "\n";
    let tasks = String::from_utf8(tiny.read("tasks.jsonl")).unwrap();
    tiny.write("tasks.jsonl", &(tasks + &learned));
    let short = ["train.steps=60", "optimizer.learning_rate=3e-3", "evaluation.tasks_every=20"];
    let ended = run(&tiny, &short, &[]).expect_code(0);
    let ended = ended
        .says("task `seen` is learned, word for word but for case and blanks: the first message of the user in `")
        .says("train.jsonl` line 6");
    let tried = rows(&tiny, "success_rate");
    let solved: Vec<u64> = tried.iter().map(|row| row["solved"].as_u64().unwrap()).collect();
    assert_eq!((solved[0], solved.len(), solved.iter().max()), (0, 4, Some(&3)), "{}", ended.stderr);
    let best = tried.iter().find(|row| row["solved"] == 3).unwrap()["step"].as_u64().unwrap();
    let samples = lines(&tiny, "run/samples.jsonl");
    let of_best = samples.iter().filter(|row| row["step"] == best);
    let texts: Vec<&str> = of_best.map(|row| row["text"].as_str().unwrap()).collect();
    assert_eq!(texts, served(&tiny, "run/model", None)[..2]);
}

#[test]
fn evaluating_changes_no_bit_and_neither_does_resuming_between_evaluations() {
    if !has_sandbox() {
        return;
    }
    let tiny = tiny();
    let short = ["train.steps=20", "checkpoint.every=5"];
    run(&tiny, &short, &[]).expect_code(0);
    let files = ["run/step-000020/adapter_model.safetensors", "run/samples.jsonl", "run/step-000020/state.json"];
    let (wanted, tried) = (files.map(|file| tiny.read(file)), rows(&tiny, "success_rate"));
    assert_eq!(tried.len(), 3);
    for name in ["step-000010", "step-000015", "step-000020", "adapter", "merged"] {
        std::fs::remove_dir_all(tiny.path("run").join(name)).unwrap();
    }
    run(&tiny, &short, &["--resume"]).expect_code(0).says("step-000005");
    assert!(files.map(|file| tiny.read(file)) == wanted && rows(&tiny, "success_rate") == tried);
    let settings = ["train.steps=20", "optimizer.schedule=constant", "optimizer.learning_rate=1e-2"];
    let settings: Vec<&str> =
        settings.iter().chain(&["output.overwrite=true"]).flat_map(|key| ["--set", key]).collect();
    tiny.run(&settings).expect_code(0);
    assert!(tiny.read(files[0]) == wanted[0], "a run without tasks ends in the same bits");
}

#[test]
fn without_a_sandbox_nothing_is_trained() {
    let tiny = tiny();
    let ended = run(&tiny, &[], &["--python", "/no/such/python"]).expect_code(2);
    ended.says("`evaluation.tasks` is set").says("cannot run Python `/no/such/python`");
    assert!(!tiny.path("run").exists());
    tiny.write("tasks.jsonl", "{\"id\": 5}\n");
    run(&tiny, &[], &[]).expect_code(2).says("tasks.jsonl` line 1");
    let success = ["--set", "evaluation.metric=success", "--set", "evaluation.patience=1"];
    tiny.run(&success).expect_code(2).says("`evaluation.metric` needs `evaluation.tasks`");
    let tasks = [&success[..], &["--set", "evaluation.tasks=tasks.jsonl"]].concat();
    tiny.run(&tasks).expect_code(2).says("`evaluation.patience` needs `evaluation.tasks_every`");
}

#[test]
fn a_signal_ends_an_evaluation_at_once_and_sessions_that_die_are_tasks_not_solved() {
    if !has_sandbox() {
        return;
    }
    let tiny = tiny();
    let task = |id: &str, setup: &str| {
        json!({"id": id, "family": "f", "prompt": "p", "answer": 1, "setup": setup}).to_string() + "\n"
    };
    let dying = "import os\nos.kill(os.getpid(), 9)";
    tiny.write("tasks.jsonl", &[task("dies", dying), task("sleeps", "import time\ntime.sleep(25)")].concat());
    let arguments = arguments(&tiny, &[]);
    let mut command = tiny.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(said.any(|line| line.starts_with("warning: not solved") && line.contains("dies")));
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let rest: Vec<String> = said.collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(begun.elapsed() < Duration::from_secs(20), "it waited for the cell");
    assert!(rest.iter().any(|line| line.starts_with("stopped before the first step")), "{rest:?}");
    assert!(names(&tiny.path("run")).iter().all(|name| !name.starts_with("step-")));
    assert!(rows(&tiny, "success_rate").is_empty());
}
