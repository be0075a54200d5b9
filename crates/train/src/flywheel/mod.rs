//! The flywheel: collect what the adapter does right, train on it, measure on tasks that are never trained, keep the
//! better one, and do it again.
//!
//! Every stage writes into a folder of its own and can be interrupted; `flywheel.json` says which are over, and holds all
//! that was measured. One model is in memory at a time.

mod wheel; // read first: what all stages work with

mod stages; // collecting, training, measuring
mod pairs; // training on pairs besides

mod figures; // what was measured
mod unchanged; // whether files are still what was written
mod verdict; // what is kept
mod state; // how far it is

mod page; // one page about it
mod table; // the same for a terminal

pub use figures::{Figures, Rate, Versus};
pub use state::{Collected, Pairs, Round, State, Trained};
pub use verdict::Verdict;

use std::path::{Path, PathBuf};

use codeact_eval::{EvalError, SandboxArgs};

use crate::config::Config;
use crate::error::TrainError;
use crate::folder::{self, Held};
use crate::ranks::{RankError, Team};
use crate::requests::Requests;
use wheel::Wheel;

/// Name of the page in the folder.
pub const PAGE: &str = "flywheel.html";

/// Name of the link to the folder of the best run.
const BEST: &str = "best";

/// How it ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// All rounds are over.
    Finished {
        /// All that was measured.
        state: Box<State>,
        /// The same as a table.
        table: String,
        /// Folder of the best adapter.
        best: PathBuf,
    },
    /// It was asked to stop, and goes on from there with `--resume`.
    Stopped,
}

/// The command: all rounds, told to `say`; returns what goes to stdout.
///
/// * `has_ranks`: whether more than one process was asked for.
///
/// # Errors
/// As [`run`], and when there are ranks.
pub fn command(
    config: Config,
    resume: bool,
    has_ranks: bool,
    (sandbox, requests): (&SandboxArgs, &Requests),
    say: &dyn Fn(&str),
) -> Result<String, TrainError> {
    if has_ranks || Team::of_environment()?.is_some() {
        return Err(RankError::FlywheelAlone.into());
    }
    match run(config, resume, sandbox, requests, say)? {
        Ended::Finished { table, best, .. } => Ok(format!("{table}\nadapter  {}\n", best.display())),
        Ended::Stopped => {
            say("stopped\nhint: the same command with `--resume` goes on from here");
            Ok(String::new())
        }
    }
}

/// Takes all rounds, or those that are left. `say` gets lines for the user.
///
/// # Errors
/// Everything that is wrong with settings, tasks and data, before anything is written; later what a stage says. What is
/// done stays.
pub fn run(
    config: Config,
    resume: bool,
    sandbox: &SandboxArgs,
    requests: &Requests,
    say: &dyn Fn(&str),
) -> Result<Ended, TrainError> {
    let wheel = Wheel::new(config, sandbox, requests, say)?;
    let mut held = Held::of(wheel.dir())?;
    let mut state = begin(&wheel, &mut held, resume)?;
    match turn(&wheel, &mut state) {
        Ok(true) => {}
        Ok(false) => return Ok(Ended::Stopped),
        Err(TrainError::Eval(error)) if matches!(*error, EvalError::Paused { .. }) => return Ok(Ended::Stopped),
        Err(error) => return Err(error),
    }
    let best = state.best().and_then(|best| best.adapter.clone()).unwrap_or_default();
    let table = table::table(&state);
    Ok(Ended::Finished { state: Box::new(state), table, best })
}

/// The state that is there, or a new one in a folder that is made.
fn begin(wheel: &Wheel<'_>, held: &mut Held, resume: bool) -> Result<State, TrainError> {
    let dir = wheel.dir();
    let names = names(dir)?;
    if let Some(entry) = names.iter().find(|name| !is_own(name)) {
        return Err(TrainError::FolderForeign { dir: dir.to_owned(), entry: entry.clone() });
    }
    let identity = wheel.identity();
    if resume {
        folder::remove(&dir.join(format!("{}.partial", state::NAME)))?;
        if let Some(mut state) = State::load(dir, &identity)? {
            if let Some(adapter) = &wheel.config.model.adapter {
                state.start_from(Path::new(adapter));
            }
            unchanged::check(dir, &state)?;
            (wheel.say)(&format!("continuing `{}`, {} rounds are over", dir.display(), state.rounds_over()));
            return Ok(state);
        }
        (wheel.say)(&format!("nothing in `{}` yet: starting at the beginning", dir.display()));
    } else if !names.is_empty() {
        if !wheel.config.output.overwrite {
            return Err(TrainError::FolderTaken { dir: dir.to_owned() });
        }
        // The state first: what is left behind by a crash here is of no flywheel.
        let mut state_first = names.iter().filter(|name| *name == state::NAME).chain(&names);
        state_first.try_for_each(|name| folder::remove(&dir.join(name)))?;
    }
    held.make(dir)?;
    let state = State::new(identity);
    state.save(dir)?;
    Ok(state)
}

/// All stages that are left. False when it was asked to stop.
fn turn(wheel: &Wheel<'_>, state: &mut State) -> Result<bool, TrainError> {
    let dir = wheel.dir();
    if state.base.is_none() && wheel.flywheel.measure_base {
        let figures = stages::measure(wheel, "base", None, &dir.join("base"), None)?;
        state.base = Some(figures);
        save(wheel, state)?;
    }
    if state.start.is_none() {
        let adapter = match &wheel.config.model.adapter {
            Some(adapter) => PathBuf::from(adapter),
            // Trained, and not measured: what is measured is of these very files.
            None if state.start_seconds.is_some() => start_adapter(dir),
            None => {
                let Some(trained) = stages::train(wheel, wheel.start_config())? else { return Ok(false) };
                (state.start_seconds, state.start_sha256) = (Some(trained.seconds), Some(trained.sha256));
                save(wheel, state)?;
                trained.adapter
            }
        };
        let before = state.base.clone();
        state.start = Some(stages::measure(wheel, "start", Some(&adapter), &dir.join("start"), before.as_ref())?);
        save(wheel, state)?;
    }
    while state.rounds_over() < wheel.flywheel.rounds {
        if !round(wheel, state)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Folder of the adapter that is trained first.
fn start_adapter(dir: &Path) -> PathBuf {
    dir.join("start").join("train").join("adapter")
}

/// What is left of a round, up to its verdict, or of its pairs behind that. False when it was asked to stop.
fn round(wheel: &Wheel<'_>, state: &mut State) -> Result<bool, TrainError> {
    let number = state.open_round().number;
    if state.open_round().verdict.is_some() {
        return pairs::learn(wheel, state);
    }
    let best = state.best().cloned().expect("the adapter of the start was measured");
    let dir = wheel.round_dir(number);
    if state.open_round().collected.is_none() {
        let collected = stages::collect(wheel, state, number, &best)?;
        (wheel.say)(&format!("round {number}: {} conversations collected", collected.kept));
        let pairs = pairs::begin(wheel, number)?;
        if wheel.config.preference.is_some() {
            (wheel.say)(&format!("round {number}: {}", pairs::told(pairs.as_ref())));
        }
        let round = state.open_round();
        (round.collected, round.pairs) = (Some(collected), pairs);
        save(wheel, state)?;
    }
    if state.open_round().collected.as_ref().is_some_and(|collected| collected.kept == 0) {
        let why = "nothing was collected that was not known".to_owned();
        state.open_round().verdict = Some(Verdict { is_kept: false, why });
        save(wheel, state)?;
        return Ok(true);
    }
    if state.open_round().trained.is_none() {
        let config = wheel.round_config(number, &state.collected(), &best);
        let Some(trained) = stages::train(wheel, config)? else { return Ok(false) };
        state.open_round().trained = Some(trained);
        save(wheel, state)?;
    }
    let trained = state.open_round().trained.clone().expect("it was trained just now");
    let name = format!("round {number}");
    let figures = stages::measure(wheel, &name, Some(&trained.adapter), &dir, Some(&best))?;
    let start = state.start.clone().expect("the adapter of the start was measured");
    let verdict = verdict::verdict(&start, &best, &figures, wheel.flywheel.chat_loss_ratio_max);
    (wheel.say)(&format!("{name}: {}: {}", if verdict.is_kept { "kept" } else { "rejected" }, verdict.why));
    let round = state.open_round();
    (round.figures, round.verdict) = (Some(figures), Some(verdict));
    save(wheel, state)?;
    Ok(true)
}

/// The state, a page about it, and the link to the best run.
fn save(wheel: &Wheel<'_>, state: &State) -> Result<(), TrainError> {
    let dir = wheel.dir();
    state.save(dir)?;
    let html = page::html(&dir.display().to_string(), &wheel.config.model.name, wheel.flywheel.rounds, state);
    folder::write_file(&dir.join(PAGE), html.as_bytes())?;
    let run = state.best().and_then(|best| best.adapter.as_deref()?.parent());
    match run.and_then(|run| run.strip_prefix(dir).ok()) {
        Some(run) => link(run, dir),
        // It lies elsewhere, where the settings say.
        None => Ok(()),
    }
}

/// Lets `best` lead to a folder of `dir`.
fn link(run: &Path, dir: &Path) -> Result<(), TrainError> {
    let (link, partial) = (dir.join(BEST), dir.join(format!("{BEST}.partial")));
    folder::remove(&partial)?;
    let linked = std::os::unix::fs::symlink(run, &partial).and_then(|()| std::fs::rename(&partial, &link));
    linked.map_err(TrainError::write(&link))
}

/// Names in a folder, sorted; none when it is missing.
fn names(dir: &Path) -> Result<Vec<String>, TrainError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(TrainError::NotAFolder { dir: dir.to_owned() });
        }
        entries => entries.map_err(TrainError::write(dir))?,
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<String>, _>>().map_err(TrainError::write(dir))?;
    names.sort();
    Ok(names)
}

fn is_own(name: &str) -> bool {
    let name = name.strip_suffix(".partial").unwrap_or(name);
    let is_round = name.strip_prefix("round-").is_some_and(|number| number.parse::<usize>().is_ok());
    [state::NAME, PAGE, BEST, "base", "start"].contains(&name) || is_round
}
