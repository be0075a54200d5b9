//! Bytes of whole runs, counted: measuring held-out data and letting the live model act between steps takes no more
//! memory than the run has planned, and no copy of the weights.
//!
//! A program of its own, with one test: its allocator counts whatever happens in it.

#![allow(clippy::unwrap_used)] // a test may fail where it stands

#[path = "../../../tests/fuzz/allocation.rs"]
mod allocation; // every byte, on all threads

#[path = "all/tiny.rs"]
#[allow(dead_code)] // this file uses its part
mod tiny; // a model small enough to train in a blink

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use candle_core::{Device, Tensor};
use codeact_model::MemoryPlan;
use codeact_sandbox::{Policy, Session};
use codeact_train::config::Config;
use codeact_train::folder::{self, Start};
use codeact_train::prepare::Prepared;
use codeact_train::ranks::{Alone, Collective, Place, RankError};
use codeact_train::requests::Requests;
use codeact_train::run::{self, Outcome};
use serde_json::{Value, json};

use tiny::Tiny;

const STEPS: usize = 2;

/// Of all runs. Passes are short, and what they save is little, so that it is evaluating that needs the most.
const SETTINGS: [&str; 4] =
    ["train.steps=2", "train.pack_tokens=80", "train.recompute=block", "optimizer.learning_rate=1e-3"];

/// Tasks or conversations that the model is asked for, before the first step and behind the last.
const SAMPLES: usize = 2;

/// One rank, which looks at the allocator whenever it is to do something together with others: between passes, and several
/// times a second while tasks are solved.
#[derive(Debug, Default)]
struct Watched {
    /// Bytes before the first pass of any kind, 0 until then: what stays through the whole run.
    resting: AtomicUsize,
    /// The most since then.
    most: AtomicUsize,
    /// The most behind the passes of a step, when what was asked of the model before it is over.
    between: AtomicUsize,
}

impl Watched {
    fn look(&self) {
        if self.resting.load(Relaxed) > 0 {
            self.most.store(allocation::peak(), Relaxed);
        }
    }
}

impl Collective for Watched {
    fn place(&self) -> Place {
        Alone.place()
    }

    fn sum(&self, values: &Tensor) -> Result<(), RankError> {
        self.look();
        self.between.fetch_max(allocation::live(), Relaxed);
        Alone.sum(values)
    }

    fn spread(&self, values: &Tensor) -> Result<(), RankError> {
        Alone.spread(values)
    }

    fn gather(&self, mine: &[u8]) -> Result<Vec<Vec<u8>>, RankError> {
        // With nothing to tell each other all wait for the results to be written, which is not looked at here.
        if !mine.is_empty() {
            self.look();
        }
        Alone.gather(mine)
    }

    fn check(&self) -> Result<(), RankError> {
        if self.resting.load(Relaxed) == 0 {
            self.resting.store(allocation::reset_peak(), Relaxed);
        }
        self.look();
        Alone.check()
    }

    fn leave(&self, failure: Option<&str>) {
        Alone.leave(failure);
    }

    fn means(&self) -> &'static str {
        Alone.means()
    }
}

/// Bytes of a run beyond those that were there before its model was loaded, as [`Watched`] has them.
#[derive(Debug)]
struct Held {
    resting: usize,
    most: usize,
    between: usize,
    plan: MemoryPlan,
}

fn policy() -> Policy {
    Policy { imports: Vec::new(), ..Policy::default() }
}

fn has_sandbox() -> bool {
    let has = Session::start(&policy()).is_ok();
    if !has {
        println!("skipped: the memory of tasks, because no sandbox holds here");
    }
    has
}

/// The run of these settings, in a folder of its own.
fn train(tiny: &Tiny, dir: &str, settings: &[String]) -> Held {
    let mut overrides: Vec<String> = SETTINGS.iter().map(|setting| (*setting).to_owned()).collect();
    overrides.push(format!("output.dir={}", tiny.path(dir).display()));
    overrides.push(format!("train.cache={}", tiny.path("cache").display()));
    overrides.extend_from_slice(settings);
    let config = Config::load(&tiny.path("settings.toml"), &overrides).unwrap();
    let mut run = Prepared::new(config, Some(Device::Cpu), &|_| {}, &()).unwrap();
    run.policy = policy();
    let (watched, before) = (Watched::default(), allocation::live());
    let outcome = run::train(&run, &Start::Fresh, folder::Held::default(), &Requests::default(), &watched).unwrap();
    assert!(matches!(outcome, Outcome::Finished { step: STEPS, .. }), "{outcome:?}");
    let beyond = |bytes: AtomicUsize| bytes.into_inner() - before;
    let Watched { resting, most, between } = watched;
    Held { resting: beyond(resting), most: beyond(most), between: beyond(between), plan: run.fit.plan }
}

/// Trains with evaluation and without, and holds the first to its plan.
fn assert_within_plan(tiny: &Tiny, name: &str, settings: &str, evaluation: &[String]) {
    let held_out = format!("[[data]]\npath = {:?}\nheld_out = true\n", tiny.path("validation.jsonl"));
    tiny.write("settings.toml", &settings.replace(&held_out, ""));
    // This one goes first: what threads keep for the products of any run is no part of a plan, and is there from now on.
    let alone = train(tiny, &format!("{name}-alone"), &[]);
    tiny.write("settings.toml", settings);
    let (dir, samples) = (format!("{name}-evaluated"), format!("evaluation.samples={SAMPLES}"));
    let held = train(tiny, &dir, &[evaluation, &[samples]].concat());

    let rows = String::from_utf8(tiny.read(&format!("{dir}/samples.jsonl"))).unwrap();
    let rows: Vec<Value> = rows.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 2 * SAMPLES, "{name}");
    assert!(rows.iter().any(|row| row["text"] != ""), "{name}: the model wrote nothing");

    let (planned, of_training) = (held.plan.total(), alone.plan.total());
    let beside = held.most - held.resting;
    println!("{name}: {planned} bytes planned, {} used, {beside} of them to evaluate; {alone:?}, {held:?}", held.most);
    assert!(held.most <= planned, "{name}: {planned} bytes were planned, {} used", held.most);
    // That could not fail if evaluating were not counted, or training alone needed as much.
    assert!(of_training < planned, "{name}: nothing was planned for evaluating");
    assert!(held.most > of_training, "{name}: {} bytes used, training alone plans with {of_training}", held.most);
    assert!(beside < held.plan.weights, "{name}: {beside} bytes to evaluate hold a copy of the weights");
    let kept = held.between.saturating_sub(held.resting);
    assert!(kept < beside / 2, "{name}: of {beside} bytes {kept} are still there when training goes on");
}

#[test]
fn evaluating_a_live_model_takes_no_more_memory_than_its_run_has_planned() {
    let tiny = Tiny::wide();
    let settings = String::from_utf8(tiny.read("settings.toml")).unwrap();
    // The same two threads for all products.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();

    if has_sandbox() {
        let task =
            |id: &str| json!({"id": id, "family": "add", "prompt": format!("add {id}"), "answer": 7}).to_string();
        tiny.write("tasks.jsonl", &format!("{}\n{}\n", task("100"), task("200")));
        let tasks = format!("evaluation.tasks={}", tiny.path("tasks.jsonl").display());
        let tasks = [tasks, "evaluation.tasks_every=2".to_owned(), "evaluation.context_tokens=300".to_owned()];
        pool.install(|| assert_within_plan(&tiny, "lora", &settings, &tasks));
    }

    // All weights, and what the model says to held-out conversations.
    let full = settings.replace("[lora]\nrank = 4\nalpha = 16\n", "");
    let full = full.replace("[train]\n", "[train]\nmethod = \"full\"\n");
    pool.install(|| assert_within_plan(&tiny, "full", &full, &["evaluation.context_tokens=512".to_owned()]));
}
