//! `codeact-eval run`: every task of some suites, by some contestants, in some forms of action, so many times.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ArgGroup;
use codeact_agent::{ActionFormat, Profile};
use codeact_chat::disguises_name;
use codeact_engine::EngineLimits;
use codeact_eval::help::HelpFiles;
use codeact_eval::measure::{self, Contestant, Key, Matrix, Place, Results, Settings};
use codeact_eval::{
    EvalError, SandboxArgs, ServingArgs, Suite, action_format_parser, check_writable, load_suites, profile_parser,
    write_atomically,
};

use super::progress::Progress;
use super::report::{printed, write_page};
use crate::stop_on_interrupt;

/// Temperature of several tries, unless told otherwise.
const TEMPERATURE: f64 = 0.7;

/// What is measured, how, and where it is written.
#[derive(clap::Args)]
#[command(group = ArgGroup::new("who").required(true).multiple(true).args(["model", "endpoint", "contestant", "contestants"]))]
pub struct RunArgs {
    /// Suites: folders with suite.toml, or .jsonl files
    #[arg(required = true, value_name = "SUITE")]
    suites: Vec<PathBuf>,
    /// Folder for results.jsonl, summary.json and report.html; the same command goes on where it was stopped
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Model to measure: a folder, a GGUF file, or a name on the hub
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// PEFT adapter on top of the model
    #[arg(long, value_name = "DIR", requires = "model")]
    adapter: Option<PathBuf>,
    /// A model elsewhere: the base of an OpenAI-compatible API, such as http://127.0.0.1:8000/v1. Its key, if it needs
    /// one, comes from CODEACT_ENDPOINT_KEY
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Which of its models; without it, the first
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    endpoint_model: Option<String>,
    /// One of several to measure: NAME=MODEL[,adapter=DIR] or NAME=URL[,model=NAME]. Those of the same MODEL share its
    /// weights. Behind it can stand what it is given besides the tasks: `,examples=FILE` for solved tasks that are like the
    /// one at hand, `,examples_max=NUMBER` and `,examples_tokens=NUMBER` for how much of them, and `,skills=DIR` for
    /// functions that are defined already
    #[arg(long, value_name = "NAME=MODEL", value_parser = Contestant::parse)]
    contestant: Vec<Contestant>,
    /// TOML file with contestants: [[contestant]] with name, model or url, and the same keys
    #[arg(long, value_name = "FILE")]
    contestants: Option<PathBuf>,
    /// Forms of action to measure; without it, the one that the codeact.json of the model says
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', value_parser = action_format_parser())]
    action_format: Vec<ActionFormat>,
    /// Wording of the prompts; without it, what the codeact.json of the model says
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    profile: Option<Profile>,
    /// Tries of each task
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    samples: u32,
    /// What all draws follow from: a model here gives the same results for the same seed
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Sampling temperature [default: 0, which draws nothing, for one try; 0.7 for several]
    #[arg(long, value_name = "NUMBER", value_parser = temperature)]
    temperature: Option<f64>,
    /// Tokens of a reply, at most
    #[arg(long, value_name = "NUMBER", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    reply_tokens: u32,
    /// Tries that run at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Only the first N tasks of each suite
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only tasks with one of these tags
    #[arg(long, value_name = "TAG,..", value_delimiter = ',')]
    tags: Vec<String>,
    /// Print the numbers as JSON instead of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    serving: ServingArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

pub(super) fn temperature(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number| (0.0..=100.0).contains(number));
    number.ok_or_else(|| "it must be a number from 0 to 100".to_owned())
}

pub fn run(args: &RunArgs) -> anyhow::Result<String> {
    let contestants = args.contestants()?;
    let temperature = args.temperature()?;
    args.check_serving(&contestants)?;
    let suites = args.chosen(load_suites(&args.suites)?)?;
    // A session of its own, to learn before anything loads whether Python starts and what protects this machine.
    let (session, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    drop(session);
    eprintln!("{}", sandbox.announcement(""));
    let entrants = measure::find(&contestants, &|text| eprintln!("{text}"))?;
    let settings = Settings {
        formats: distinct(&args.action_format),
        profile: args.profile.clone(),
        samples: args.samples,
        seed: args.seed,
        temperature,
        reply_tokens_max: args.reply_tokens as usize,
        policy: sandbox.policy,
        serving: args.serving.options(),
        limits: EngineLimits { running_max: args.parallel.into(), ..args.serving.limits() },
        parallel: args.parallel.into(),
    };
    let matrix = Matrix::new(suites, entrants, settings);
    matrix.check_help()?;
    let (results, done) = Results::open(&args.out, &matrix.identity())?;
    let (summary_path, page_path) = (args.out.join("summary.json"), args.out.join("report.html"));
    check_writable(&summary_path)?;
    check_writable(&page_path)?;
    let done: HashSet<Key> = done.into_iter().map(|record| record.key).collect();
    measure_all(&matrix, &results, &done)?;
    // So that the page, read from the same file, has everything.
    drop(results);
    let summary = write_page(std::slice::from_ref(&args.out), &page_path)?;
    write_atomically(&summary_path, (serde_json::to_string_pretty(&summary)? + "\n").as_bytes())?;
    printed(&summary, args.json)
}

fn measure_all(matrix: &Matrix, results: &Results, done: &HashSet<Key>) -> anyhow::Result<()> {
    let all = matrix.count();
    if !done.is_empty() {
        eprintln!("{} of {all} tries are done already", done.len());
    }
    let stop = stop_on_interrupt("tasks")?;
    let progress = Progress::new(all);
    progress.begin(done.len());
    let (ended, solved) = (AtomicUsize::new(done.len()), AtomicUsize::new(0));
    let run = matrix.run(results, done, stop, &|record| {
        ended.fetch_add(1, Ordering::Relaxed);
        let is_solved = usize::from(record.is_solved);
        let solved = solved.fetch_add(is_solved, Ordering::Relaxed) + is_solved;
        progress.step(&format!("{solved} solved"));
    });
    progress.finish();
    run?;
    match ended.into_inner() {
        ended if ended < all => {
            Err(EvalError::Interrupted { done: ended, all, path: results.path().to_owned() }.into())
        }
        _ => Ok(()),
    }
}

fn distinct(formats: &[ActionFormat]) -> Vec<ActionFormat> {
    let mut distinct: Vec<ActionFormat> = Vec::new();
    for format in formats {
        if !distinct.contains(format) {
            distinct.push(*format);
        }
    }
    distinct
}

impl RunArgs {
    fn contestants(&self) -> Result<Vec<Contestant>, EvalError> {
        let help = HelpFiles::default;
        let here = self.model.iter().map(|model| {
            let name = short_name(self.adapter.as_deref().unwrap_or(Path::new(model)));
            Contestant {
                name,
                place: Place::Here { model: model.clone(), adapter: self.adapter.clone() },
                help: help(),
            }
        });
        let elsewhere = self.endpoint.iter().map(|url| {
            let name = self.endpoint_model.clone().unwrap_or_else(|| "endpoint".to_owned());
            Contestant {
                name,
                place: Place::Elsewhere { url: url.clone(), model: self.endpoint_model.clone() },
                help: help(),
            }
        });
        let listed = self.contestants.as_deref().map(measure::read_contestants).transpose()?;
        Ok(here.chain(elsewhere).chain(self.contestant.iter().cloned()).chain(listed.into_iter().flatten()).collect())
    }

    fn temperature(&self) -> Result<f64, EvalError> {
        let default = if self.samples > 1 { TEMPERATURE } else { 0.0 };
        let temperature = self.temperature.unwrap_or(default);
        match self.samples > 1 && temperature == 0.0 {
            true => Err(EvalError::Options(format!(
                "{} tries at temperature 0 would all be the same\nhint: give a higher one, or leave it out",
                self.samples
            ))),
            false => Ok(temperature),
        }
    }

    /// Options about a model here mean nothing where all are elsewhere.
    fn check_serving(&self, contestants: &[Contestant]) -> Result<(), EvalError> {
        match contestants.iter().any(|contestant| matches!(contestant.place, Place::Here { .. })) {
            true => self.serving.check(),
            false => self.serving.check_unused(),
        }
    }

    /// The tasks that were asked for.
    fn chosen(&self, mut suites: Vec<Suite>) -> Result<Vec<Suite>, EvalError> {
        let all: std::collections::BTreeSet<String> =
            suites.iter().flat_map(|suite| &suite.tasks).flat_map(|task| task.tags.iter().cloned()).collect();
        for suite in &mut suites {
            suite.tasks.retain(|task| self.tags.is_empty() || task.tags.iter().any(|tag| self.tags.contains(tag)));
            suite.tasks.truncate(self.limit.map_or(usize::MAX, |limit| limit as usize));
        }
        suites.retain(|suite| !suite.tasks.is_empty());
        match suites.is_empty() {
            true => {
                let (asked, known) = (self.tags.join(", "), all.into_iter().collect::<Vec<_>>().join(", "));
                Err(EvalError::Options(format!("no task has one of the tags {asked}\nhint: there are {known}")))
            }
            false => Ok(suites),
        }
    }
}

/// The last two parts of a path: `runs/quickstart/merged` is `quickstart/merged`.
fn short_name(path: &Path) -> String {
    let parts: Vec<String> = path.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let name = parts[parts.len().saturating_sub(2)..].join("/");
    name.chars().filter(|character| !disguises_name(*character)).take(60).collect()
}
