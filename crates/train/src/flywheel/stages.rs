//! The three things a round does: collect, train, measure. Each goes on where it was interrupted.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use codeact_data::{hash, plan};
use codeact_eval::collect::{CollectFiles, Collection, Filter, Rules, Sampling, Teacher, Watch};
use codeact_eval::measure::{Key, Matrix, Record, Results, Settings, read_results};
use codeact_eval::verify::VerifyOptions;
use codeact_eval::{EvalError, Suite};
use codeact_model::{Adapter, Decoder};

use super::figures::{self, Figures};
use super::state::{Collected, State, Trained};
use super::unchanged;
use super::wheel::Wheel;
use crate::config::Config;
use crate::describe;
use crate::error::TrainError;
use crate::evaluate::batch;
use crate::folder::{self, Held, Start};
use crate::prepare::Prepared;
use crate::progress::{EncodeProgress, tell};
use crate::ranks::Alone;
use crate::run::{self, Outcome};
use crate::{checkpoint, preflight};

/// Name of the folder with attempts, in a folder of a stage.
const MEASURED: &str = "measured";

/// Tells how attempts go on, a line for every tenth.
#[derive(Default)]
struct Told {
    done: AtomicUsize,
    right: AtomicUsize,
    all: AtomicUsize,
}

impl Told {
    fn begin(&self, what: &str, count: usize) {
        tell(&format!("{what}: {count} tasks"));
        self.all.store(count, Ordering::Relaxed);
        [&self.done, &self.right].into_iter().for_each(|counter| counter.store(0, Ordering::Relaxed));
    }

    fn step(&self, record: &Record) {
        let right = usize::from(record.is_solved);
        let right = self.right.fetch_add(right, Ordering::Relaxed) + right;
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let all = self.all.load(Ordering::Relaxed).max(1);
        if done * 10 / all != (done - 1) * 10 / all {
            tell(&format!("  {done}/{all}  {right} right"));
        }
    }
}

/// Lets the best adapter practise, and keeps what is right.
pub(super) fn collect(
    wheel: &Wheel<'_>,
    state: &State,
    number: usize,
    best: &Figures,
) -> Result<Collected, TrainError> {
    let (started, settings) = (Instant::now(), &wheel.flywheel);
    let dir = wheel.round_dir(number).join("collect");
    std::fs::create_dir_all(&dir).map_err(TrainError::write(&dir))?;
    let suites = drawn(wheel, state, number)?;
    let entrant = wheel.entrant(&best.name, best.adapter.as_deref())?;
    let ((serving, limits), (profile, format)) = (wheel.serving(), wheel.wording());
    let teacher = Teacher::of(&entrant, &serving, &limits, (Some(profile), Some(format)));
    // Whoever reads the provenance knows the model by the name in the settings.
    let teachers = [Teacher { model: wheel.config.model.name.clone(), ..teacher }];
    let file = dir.join("conversations.jsonl");
    let collection = Collection {
        suites: &suites,
        teachers: &teachers,
        sampling: Sampling {
            samples: settings.samples as u32,
            enough: settings.enough,
            temperature: settings.temperature,
            seed: wheel.config.train.seed.wrapping_add(number as u64),
            parallel: settings.parallel,
            reply_tokens_max: settings.reply_tokens_max,
        },
        rules: Rules {
            filter: Filter { replies_min: settings.replies_min },
            per_task_max: settings.per_task_max,
            verify: VerifyOptions::of(wheel.policy.clone()),
            licence: settings.licence.clone().unwrap_or_default(),
        },
        files: CollectFiles {
            attempts: dir.join("attempts"),
            out: file.clone(),
            failures: Some(dir.join("failures.jsonl")),
            pairs: wheel.config.preference.as_ref().map(|_| wheel.pairs(number)),
            report: dir.join("report.json"),
            known: state.collected(),
        },
    };
    let told = Told::default();
    let minutes = settings.minutes_max.map(|minutes| Duration::from_secs(60 * minutes as u64));
    let watch = Watch {
        is_stopped: &|| wheel.requests.wants_stop(),
        is_over: &|| minutes.is_some_and(|minutes| started.elapsed() > minutes),
        on_wave: &|_, sample, count| told.begin(&format!("round {number}, attempt {}", sample + 1), count),
        on_attempt: &|record| told.step(record),
    };
    let summary = collection.run(&watch)?;
    let mut dropped = BTreeMap::new();
    for (why, count) in summary.teachers.iter().flat_map(|teacher| &teacher.dropped) {
        *dropped.entry(why.words().to_owned()).or_default() += count;
    }
    Ok(Collected {
        teacher: best.name.clone(),
        sha256: unchanged::of_file(&file)?,
        file,
        tasks: summary.tried,
        solved: summary.solved,
        attempts: summary.attempts,
        right: summary.right,
        kept: summary.kept,
        dropped,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// The tasks of a round: those that no round before has solved, then the others, each drawn by the seed.
fn drawn(wheel: &Wheel<'_>, state: &State, number: usize) -> Result<Vec<Suite>, TrainError> {
    let Some(count) = wheel.flywheel.tasks_max else { return Ok(wheel.practice.clone()) };
    let mut solved: BTreeSet<(String, String)> = BTreeSet::new();
    for round in state.rounds.iter().filter(|round| round.number < number && round.collected.is_some()) {
        let attempts = wheel.round_dir(round.number).join("collect").join("attempts");
        let right = read_results(&attempts, 0)?.records.into_iter().filter(|record| record.is_solved);
        solved.extend(right.map(|record| (record.key.suite, record.key.task)));
    }
    let mut order: Vec<(bool, String, usize, usize)> = Vec::new();
    for (suite_index, suite) in wheel.practice.iter().enumerate() {
        for (task_index, task) in suite.tasks.iter().enumerate() {
            let is_solved = solved.contains(&(suite.name.clone(), task.id.clone()));
            let draw = hash::of_text(&format!("{}\n{number}\n{}\n{}", wheel.config.train.seed, suite.name, task.id));
            order.push((is_solved, draw, suite_index, task_index));
        }
    }
    order.sort();
    order.truncate(count);
    let wanted: BTreeSet<(usize, usize)> = order.into_iter().map(|(_, _, suite, task)| (suite, task)).collect();
    let suites = wheel.practice.iter().enumerate().map(|(suite_index, suite)| {
        let tasks = suite.tasks.iter().enumerate().filter(|(index, _)| wanted.contains(&(suite_index, *index)));
        Suite { tasks: tasks.map(|(_, task)| task.clone()).collect(), ..suite.clone() }
    });
    Ok(suites.filter(|suite| !suite.tasks.is_empty()).collect())
}

/// A run of its own, from the start or its newest checkpoint. None when it was asked to stop.
pub(super) fn train(wheel: &Wheel<'_>, config: Config) -> Result<Option<Trained>, TrainError> {
    let started = Instant::now();
    let dir = PathBuf::from(&config.output.dir);
    let held = Held::of(&dir)?;
    folder::recover(&dir)?;
    let start = match folder::inspect(&dir, true, false)? {
        Start::Continue(_) => checkpoint::newest_whole(&dir, true, wheel.say)?.map_or(Start::Fresh, Start::Continue),
        start => start,
    };
    let prepared = Prepared::new(config, Some(wheel.device.clone()), wheel.say, &EncodeProgress::default())?;
    tell(describe::summary(&prepared).trim_end());
    preflight::check_disk(&prepared)?;
    match run::train(&prepared, &start, held, wheel.requests, &Alone)? {
        Outcome::Finished { exports, .. } => {
            let adapter = exports.adapter.expect("a flywheel trains adapters, as its settings were checked for");
            Ok(Some(Trained {
                sha256: unchanged::of_adapter(&adapter)?,
                adapter,
                steps: prepared.plan.steps.len(),
                conversations: prepared.data.train.documents.len(),
                seconds: started.elapsed().as_secs_f64(),
            }))
        }
        Outcome::Stopped { .. } | Outcome::Followed => Ok(None),
    }
}

/// Solves the held-out tasks greedily, compares with `before`, and measures the chat loss.
///
/// * `dir`: folder of the round; attempts go into `measured/` in it.
///
/// # Errors
/// When something cannot be read, loaded or written, the chat loss is no number, or somebody stopped it.
pub(super) fn measure(
    wheel: &Wheel<'_>,
    name: &str,
    adapter: Option<&Path>,
    dir: &Path,
    before: Option<&Figures>,
) -> Result<Figures, TrainError> {
    let (started, told) = (Instant::now(), Told::default());
    let attempts = dir.join(MEASURED);
    let ((serving, limits), (profile, format)) = (wheel.serving(), wheel.wording());
    let settings = Settings {
        formats: vec![format],
        profile: Some(profile),
        samples: 1,
        seed: wheel.config.train.seed,
        temperature: 0.0,
        reply_tokens_max: wheel.flywheel.reply_tokens_max,
        policy: wheel.policy.clone(),
        serving,
        limits,
        parallel: wheel.flywheel.parallel,
    };
    let matrix = Matrix::new(wheel.held_out.clone(), vec![wheel.entrant(name, adapter)?], settings);
    let (results, done) = Results::open(&attempts, &matrix.identity())?;
    let done: HashSet<Key> = done.into_iter().map(|record| record.key).collect();
    told.begin(&format!("measuring {name}"), matrix.count() - done.len());
    matrix.run(&results, &done, wheel.requests.stop_flag(), &|record| told.step(record))?;
    drop((results, matrix));
    let records = read_results(&attempts, 0)?.records;
    if wheel.requests.wants_stop() {
        return Err(EvalError::Paused { done: records.len(), path: attempts }.into());
    }
    let earlier = before.map(|before| read_results(&before.attempts, 0).map(|found| found.records)).transpose()?;
    let earlier = before.zip(earlier.as_deref()).map(|(before, records)| (before.name.as_str(), records));
    let paths = (adapter.map(Path::to_owned), attempts);
    let figures = figures::figures(name, paths, wheel.flywheel.metric.as_deref(), &records, earlier);
    let chat_loss = finite(name, chat_loss(wheel, adapter)?)?;
    let figures = Figures { chat_loss, seconds: started.elapsed().as_secs_f64(), ..figures };
    let (solved, tasks) = (figures.metric.solved, figures.metric.tasks);
    (wheel.say)(&format!("{name}: {solved} of {tasks} held-out tasks solved, chat loss {chat_loss:.4}"));
    Ok(figures)
}

/// A loss that others can be held against: `flywheel.json` has no way to write another one.
fn finite(name: &str, value: f64) -> Result<f64, TrainError> {
    match value.is_finite() {
        true => Ok(value),
        false => Err(TrainError::ChatLoss { name: name.to_owned(), value }),
    }
}

/// Loss of the held-out chat, nats per supervised token.
fn chat_loss(wheel: &Wheel<'_>, adapter: Option<&Path>) -> Result<f64, TrainError> {
    let config = &wheel.config;
    let decoder = Decoder::load(&wheel.base_dir, config.weights(), &wheel.device).map_err(TrainError::Load)?;
    let adapter = match adapter {
        Some(folder) => Adapter::load(folder, &wheel.model, &wheel.device),
        // Every `B` is zero, and so nothing changes but for the tokens that it adds.
        None => decoder.new_adapter_with(
            &config.lora_config().expect("a flywheel trains adapters, as its settings were checked for"),
            wheel.material.format.vocab_size(),
            config.train.seed,
            config.new_rows(),
        ),
    };
    let adapter = adapter.map_err(TrainError::Load)?;
    let part = &wheel.material.data.validation;
    let (mut sum, mut count) = (0.0, 0);
    for pack in plan::fill(&part.documents, &wheel.chat, config.train.pack_tokens) {
        let loss = decoder.loss(Some(&adapter), &batch(part, &pack, 0)?);
        sum += loss.map_err(|source| TrainError::Step { step: 0, source })?;
        count += pack.target_count;
    }
    Ok(sum / count.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_loss_that_is_no_number_is_an_error_that_says_whose() {
        assert_eq!(finite("start", 1.5).expect("a number"), 1.5);
        for value in [f64::NAN, f64::INFINITY] {
            let error = finite("round 2", value).expect_err("no number");
            assert!(error.to_string().starts_with(&format!("the chat loss of round 2 is {value}")), "{error}");
            assert!(error.to_string().contains("\nhint: ") && error.exit_code() == 1, "{error}");
        }
    }
}
