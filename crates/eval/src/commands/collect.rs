//! `codeact-eval collect`: trajectories of teachers, or of scripted plans, whose every observation is real.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use codeact_agent::{ActionFormat, Profile};
use codeact_engine::EngineLimits;
use codeact_eval::collect::{CollectFiles, Collection, Filter, Rules, Sampling, Teacher, Watch, plans};
use codeact_eval::measure::{self, Contestant, Place};
use codeact_eval::verify::{Verdict, VerifyOptions};
use codeact_eval::{
    EvalError, SandboxArgs, ServingArgs, action_format_parser, beside, check_distinct, check_writable, load_suites,
    profile_parser, read_plans,
};

use super::progress::Progress;
use crate::stop_on_interrupt;

/// Who is asked what, and what is kept.
#[derive(clap::Args)]
pub struct CollectArgs {
    /// Tasks: a folder with suite.toml, or a .jsonl file; can be repeated
    #[arg(long = "suite", value_name = "PATH", required_unless_present = "plans")]
    suites: Vec<PathBuf>,
    /// Who is asked: NAME=MODEL[,adapter=DIR] in this process, or NAME=URL[,model=NAME] of an OpenAI-compatible API.
    /// Repeated, from the weakest to the strongest: each gets only the tasks of which nothing before it may be kept.
    /// The key of an API, if it needs one, comes from CODEACT_ENDPOINT_KEY
    #[arg(long = "teacher", value_name = "NAME=MODEL", required_unless_present = "plans", value_parser = Contestant::parse_teacher)]
    teachers: Vec<Contestant>,
    /// Conversations that are kept, one JSON line each, with provenance and licence; the attempts are beside it, in the
    /// folder of its name with .attempts, from where the same command goes on
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Failed attempts at tasks of which something is kept, for preference pairs
    #[arg(long, value_name = "FILE")]
    failures: Option<PathBuf>,
    /// Preference pairs, for the trainer's `[preference]`: what is kept, each beside each such failure of its task
    #[arg(long, value_name = "FILE")]
    pairs: Option<PathBuf>,
    /// What became of all, as JSON [default: the name of --out with .report]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Rows of an earlier collection, not to be kept again; can be repeated
    #[arg(long, value_name = "FILE")]
    known: Vec<PathBuf>,
    /// Attempts at a task by one teacher at most
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    samples: u32,
    /// Right attempts, with as many replies as asked for and an action that worked, after which a task gets no more
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    enough: u16,
    /// Sampling temperature; 0 takes the likeliest token, so that all attempts are the same
    #[arg(long, value_name = "NUMBER", default_value_t = 0.8, value_parser = super::run::temperature)]
    temperature: f64,
    /// Decides what is drawn
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Tokens of a reply, at most
    #[arg(long, value_name = "NUMBER", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    reply_tokens: u32,
    /// Replies that a conversation must have; the paper keeps those of more than two
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    replies_min: u16,
    /// Conversations of a task that are kept at most: the shortest first, then the most different
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    per_task_max: u16,
    /// What running the code again must say of a conversation that is kept
    #[arg(long, value_name = "VERDICT,..", value_delimiter = ',', default_value = "reproduced,flagged", value_enum)]
    keep: Vec<Verdict>,
    /// Under which terms the tasks may be used, where their suite does not say
    #[arg(long, value_name = "TEXT", default_value = "")]
    licence: String,
    /// Attempts that run at once
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Wording of the prompts; without it, what the codeact.json of each model says
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    profile: Option<Profile>,
    /// Form of the actions; without it, what the codeact.json of each model says
    #[arg(long, value_name = "NAME", value_parser = action_format_parser())]
    action_format: Option<ActionFormat>,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
    /// Run these scripted plans instead of asking anybody: JSON lines
    /// {"id","family","prompt","turns":[..],"answer","setup"?}. Besides it only --out and the sandbox count
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["suites", "teachers", "failures", "pairs", "report", "known", "profile", "action_format", "json"])]
    plans: Option<PathBuf>,
    #[command(flatten)]
    serving: ServingArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

pub fn collect(args: &CollectArgs) -> anyhow::Result<String> {
    if let Some(plans) = &args.plans {
        return play(plans, args);
    }
    let files = args.files()?;
    if args.teachers.iter().all(|teacher| matches!(teacher.place, Place::Elsewhere { .. })) {
        args.serving.check_unused()?;
    }
    let suites = load_suites(&args.suites)?;
    let (session, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    drop(session);
    eprintln!("{}", sandbox.announcement(""));
    let entrants = measure::find(&args.teachers, &|text| eprintln!("{text}"))?;
    let serving = args.serving.options();
    let limits = EngineLimits { running_max: args.parallel.into(), ..args.serving.limits() };
    let wording = || (args.profile.clone(), args.action_format);
    let teachers: Vec<Teacher<'_>> =
        entrants.iter().map(|entrant| Teacher::of(entrant, &serving, &limits, wording())).collect();
    let collection = Collection {
        suites: &suites,
        teachers: &teachers,
        sampling: args.sampling(),
        rules: Rules {
            filter: Filter { replies_min: args.replies_min.into() },
            per_task_max: args.per_task_max.into(),
            verify: VerifyOptions { keep: args.keep.clone(), ..VerifyOptions::of(sandbox.policy) },
            licence: args.licence.clone(),
        },
        files,
    };
    let stop = stop_on_interrupt("attempts")?;
    let shown: Mutex<Option<Progress>> = Mutex::new(None);
    let right = AtomicUsize::new(0);
    let watch = Watch {
        is_stopped: &|| stop.load(Ordering::Relaxed),
        is_over: &|| false,
        on_wave: &|teacher, sample, count| {
            eprintln!("{teacher}, attempt {}: {count} tasks", sample + 1);
            right.store(0, Ordering::Relaxed);
            let mut shown = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(before) = shown.replace(Progress::new(count)) {
                before.finish();
            }
        },
        on_attempt: &|attempt| {
            let is_right = usize::from(attempt.is_solved);
            let right = right.fetch_add(is_right, Ordering::Relaxed) + is_right;
            let shown = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            shown.iter().for_each(|progress| progress.step(&format!("{right} right")));
        },
    };
    let summary = collection.run(&watch);
    if let Some(progress) = shown.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        progress.finish();
    }
    let summary = summary?;
    eprintln!("{} conversations written to `{}`", summary.kept, args.out.display());
    match args.json {
        true => Ok(serde_json::to_string_pretty(&summary)? + "\n"),
        false => Ok(summary.table()),
    }
}

impl CollectArgs {
    fn sampling(&self) -> Sampling {
        Sampling {
            samples: self.samples,
            enough: self.enough.into(),
            temperature: self.temperature,
            seed: self.seed,
            parallel: self.parallel.into(),
            reply_tokens_max: self.reply_tokens as usize,
        }
    }

    /// Where everything is written.
    ///
    /// # Errors
    /// When two of the files are the same.
    fn files(&self) -> Result<CollectFiles, EvalError> {
        let files = CollectFiles {
            attempts: beside(&self.out, ".attempts"),
            out: self.out.clone(),
            failures: self.failures.clone(),
            pairs: self.pairs.clone(),
            report: self.report.clone().unwrap_or_else(|| beside(&self.out, ".report")),
            known: self.known.clone(),
        };
        let CollectFiles { attempts, out, failures, pairs, report, known } = &files;
        let written = [Some(out), Some(report), failures.as_ref(), pairs.as_ref(), Some(attempts)];
        let written: Vec<&Path> = written.into_iter().flatten().map(PathBuf::as_path).collect();
        let read: Vec<&Path> = known.iter().chain(&self.suites).map(PathBuf::as_path).collect();
        check_distinct(&written, &read)?;
        Ok(files)
    }
}

/// Scripted plans instead of a model.
fn play(path: &Path, args: &CollectArgs) -> anyhow::Result<String> {
    let out = &args.out;
    check_distinct(&[out], &[path])?;
    let plans = read_plans(path)?;
    check_writable(out)?;
    let (_, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    eprintln!("{}", sandbox.announcement(""));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let progress = Progress::new(plans.len());
    let conversations = plans::play(&plans, &Profile::quickstart(), &sandbox.policy, threads, &|| progress.step(""));
    progress.finish();
    let conversations = conversations?;
    codeact_chat::write_jsonl(out, &conversations).map_err(|source| EvalError::Write { path: out.clone(), source })?;
    eprintln!("{} conversations written to `{}`", conversations.len(), out.display());
    Ok(String::new())
}
