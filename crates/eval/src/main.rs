//! `codeact-eval`: how many tasks does a model solve by acting? Also collects trajectories from scripted plans, and
//! verifies those of a data set.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use codeact_agent::{ActionFormat, AgentOptions, Profile};
use codeact_engine::EngineLimits;
use codeact_eval::verify::{Verdict, Verification, VerifyArgs};
use codeact_eval::{
    Actor, CheckArgs, EvalError, NewTaskArgs, Outcome, Report, SandboxArgs, ServingArgs, Solver, Task,
    action_format_parser, check_writable, in_order, new_task, profile_parser, read_plans, read_tasks, run_task,
};
use codeact_model::source::ModelFiles;
use codeact_sandbox::Policy;
use indicatif::{ProgressBar, ProgressStyle};

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

/// Measure how many tasks a model solves by writing and running Python.
///
/// A task is solved when the text of `<solution>` equals the answer after trimming; numbers may differ by 1e-6,
/// absolutely or relatively.
#[derive(Parser)]
#[command(name = "codeact-eval", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Model to measure: a folder, a GGUF file, or a name on the hub
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// A model elsewhere in place of --model: the base of an OpenAI-compatible API, such as http://127.0.0.1:8000/v1. Its
    /// key, if it needs one, comes from CODEACT_ENDPOINT_KEY
    #[arg(long, value_name = "URL", conflicts_with = "model")]
    endpoint: Option<String>,
    /// Which of its models; without it, the first
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    endpoint_model: Option<String>,
    /// PEFT adapter on top of the model
    #[arg(long, value_name = "DIR", requires = "model")]
    adapter: Option<PathBuf>,
    /// Tasks: JSON lines {"id","family","prompt","answer","setup"?,"tools"?}
    #[arg(long, value_name = "FILE")]
    tasks: Option<PathBuf>,
    /// Write results and transcripts as JSON
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Tasks that run at once
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Only the first N tasks
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    serving: ServingArgs,
    /// Wording of the prompts; without it, what the codeact.json of the model says
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    profile: Option<Profile>,
    /// Form of the actions; without it, what the codeact.json of the model says
    #[arg(long, value_name = "NAME", value_parser = action_format_parser())]
    action_format: Option<ActionFormat>,
    #[command(flatten)]
    sandbox: SandboxArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Run scripted plans and write the conversations, every observation real
    Collect {
        /// Plans: JSON lines {"id","family","prompt","turns":[..],"answer","setup"?}
        #[arg(long, value_name = "FILE")]
        plans: PathBuf,
        /// Conversations, in the order of the plans
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        sandbox: Box<SandboxArgs>,
    },
    /// Run the code of a data set again, and keep the rows whose observations are true
    ///
    /// Each row's code runs turn by turn in a fresh Python, and what it gives is compared with the observations of the
    /// row: but for addresses, measured times, paths, noise of computing, and how a notebook shows values and errors.
    /// A run that was stopped or killed goes on when it is started again.
    Verify(Box<VerifyArgs>),
    /// Whether suites of tasks are sound: every reference solves its task, and no plausible mistake does
    Check(Box<CheckArgs>),
    /// Write a task to begin with, which `check` accepts
    NewTask(NewTaskArgs),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match &args.command {
        Some(Command::Collect { plans, out, sandbox }) => collect(plans, out, sandbox),
        Some(Command::Verify(args)) => verify(args),
        Some(Command::Check(args)) => check(args),
        Some(Command::NewTask(args)) => new_task(&args.folder, &args.kind).map_err(Into::into),
        None => evaluate(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(match error.downcast_ref::<EvalError>() {
                Some(EvalError::Stopped { .. }) => 130,
                Some(error) if error.is_bad_input() => 2,
                _ => 1,
            })
        }
    }
}

fn collect(plans_path: &Path, out: &Path, sandbox: &SandboxArgs) -> anyhow::Result<()> {
    let plans = read_plans(plans_path)?;
    check_writable(out)?;
    let (_, sandbox) = sandbox.start(None).map_err(EvalError::from)?;
    eprintln!("{}", sandbox.announcement(""));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let progress = Progress::new(plans.len());
    let conversations =
        codeact_eval::collect(&plans, &Profile::quickstart(), &sandbox.policy, threads, &|| progress.step(""));
    progress.finish();
    let conversations = conversations?;
    codeact_chat::write_jsonl(out, &conversations)
        .map_err(|source| EvalError::Write { path: out.to_owned(), source })?;
    eprintln!("{} conversations written to `{}`", conversations.len(), out.display());
    Ok(())
}

fn check(args: &CheckArgs) -> anyhow::Result<()> {
    let suites = args.suites()?;
    let (_, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    eprintln!("{}", sandbox.announcement(""));
    let progress = Progress::new(suites.iter().map(|suite| suite.tasks.len()).sum());
    let checked = codeact_eval::check(&suites, &sandbox.policy, args.threads(), &|| progress.step(""));
    progress.finish();
    print!("{}", checked.table());
    match checked.faults.is_empty() {
        true => Ok(()),
        false => Err(EvalError::Suites { count: checked.faults.len(), faults: checked.faults }.into()),
    }
}

fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let files = args.files()?;
    let (session, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    drop(session);
    eprintln!("{}", sandbox.announcement(""));
    let verification = Verification::open(files, args.options(sandbox.policy)?)?;
    let (all, done) = (verification.row_count(), verification.done_count());
    if done > 0 {
        eprintln!("{done} of {all} rows are done already");
    }
    let progress = Progress::new(all);
    progress.begin(done);
    let dropped = AtomicUsize::new(0);
    let summary = verification.run(stop_on_interrupt("rows")?, &|report| {
        let is_dropped = usize::from(report.verdict == Verdict::Dropped);
        let dropped = dropped.fetch_add(is_dropped, Ordering::Relaxed) + is_dropped;
        progress.step(&format!("{dropped} dropped"));
    });
    progress.finish();
    let summary = summary?;
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&summary)?),
        false => print!("{}", summary.table()),
    }
    let (out, report, seconds) = (&summary.out, &summary.report, summary.seconds);
    eprintln!("{} of {all} rows kept in `{out}`, reasons in `{report}`, {seconds:.1} s", summary.kept);
    Ok(())
}

/// A flag that Ctrl-C sets; the second one ends the program.
fn stop_on_interrupt(what: &'static str) -> anyhow::Result<&'static AtomicBool> {
    static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if IS_INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // A closed stderr must not keep the second Ctrl-C from working, as a panic here would.
        let _ = writeln!(std::io::stderr(), "stopping after the {what} at hand; once more to stop at once");
    })?;
    Ok(&IS_INTERRUPTED)
}

fn evaluate(args: &Args) -> anyhow::Result<()> {
    let (Some(tasks_path), true) = (&args.tasks, args.model.is_some() || args.endpoint.is_some()) else {
        let message = "`--tasks FILE` is needed, and `--model DIR` or `--endpoint URL`; or one of the commands `collect` and `verify`";
        Args::command().error(ErrorKind::MissingRequiredArgument, message).exit()
    };
    let mut tasks = read_tasks(tasks_path)?;
    tasks.truncate(args.limit.map_or(usize::MAX, |limit| limit as usize));
    if let Some(out) = &args.out {
        check_writable(out)?;
    }
    // A session of its own, to learn before the model loads whether Python starts and what protects this machine.
    let (_, sandbox) = args.sandbox.start(None).map_err(EvalError::from)?;
    eprintln!("{}", sandbox.announcement(""));
    let (mut solver, name) = solver(args)?;
    solver.worded(args.profile.clone(), args.action_format);
    let AgentOptions { profile, format, .. } = solver.options();
    let (profile, format, line) = (profile.name(), format.name(), solver.line());
    eprintln!("{} tasks, model `{name}`, {line}, profile {profile}, actions as {format}", tasks.len());
    let started = Instant::now();
    let outcomes = run_all(&solver, &sandbox.policy, &tasks, args.parallel.into())?;
    let adapter = args.adapter.as_ref().map(|adapter| adapter.display().to_string());
    let mut report = Report::new(name, adapter, solver.dtype(), profile.into(), outcomes);
    report.action_format = format.to_owned();
    report.seconds = started.elapsed().as_secs_f64();
    print!("{}", report.table());
    if let Some(out) = &args.out {
        report.write(out)?;
        eprintln!("results and transcripts written to `{}`", out.display());
    }
    Ok(())
}

/// What solves the tasks, and what it is called.
fn solver(args: &Args) -> Result<(Solver, String), EvalError> {
    if let Some(url) = &args.endpoint {
        args.serving.check_unused()?;
        return Solver::at(url, args.endpoint_model.clone());
    }
    let model = args.model.clone().unwrap_or_default();
    let files = ModelFiles::find(&model, &|text| eprintln!("{text}"))?;
    let limits = EngineLimits { running_max: args.parallel.into(), ..args.serving.limits() };
    let actor = Actor::load(&files, args.adapter.as_deref(), &args.serving.options(), limits)?;
    Ok((Solver::Local(actor), model))
}

/// All tasks, several at once. The first failure ends the run, and so does Ctrl-C after the tasks at hand.
fn run_all(solver: &Solver, policy: &Policy, tasks: &[Task], parallel: usize) -> anyhow::Result<Vec<Outcome>> {
    let is_interrupted = stop_on_interrupt("tasks")?;
    let progress = Progress::new(tasks.len());
    let solved = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    let outcomes = in_order(tasks, parallel, |_, task| {
        if is_interrupted.load(Ordering::Relaxed) {
            return None;
        }
        match solver.model().and_then(|model| run_task(task, model, &solver.options(), policy)) {
            Ok(outcome) => {
                let solved = solved.fetch_add(usize::from(outcome.is_solved), Ordering::Relaxed)
                    + usize::from(outcome.is_solved);
                progress.step(&format!("{solved} solved"));
                Some(outcome)
            }
            Err(error) => {
                failure.lock().expect("nothing panics while it holds this lock").get_or_insert(error);
                None
            }
        }
    });
    progress.finish();
    if let Some(error) = failure.into_inner().expect("nothing panics while it holds a lock") {
        return Err(error.into());
    }
    let outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
    match outcomes.len() == tasks.len() {
        true => Ok(outcomes),
        false => Err(EvalError::Interrupted { done: outcomes.len(), all: tasks.len() }.into()),
    }
}

/// A bar on a terminal, a line for every tenth elsewhere; both on stderr.
struct Progress {
    bar: ProgressBar,
    done: AtomicUsize,
    all: usize,
}

impl Progress {
    fn new(all: usize) -> Progress {
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {elapsed} (ETA {eta})");
        let bar = ProgressBar::new(all as u64).with_style(style.expect("the template is a constant that parses"));
        Progress { bar, done: AtomicUsize::new(0), all }
    }

    /// What an earlier run has done counts, but not for the time that is left.
    fn begin(&self, done: usize) {
        self.done.store(done, Ordering::Relaxed);
        self.bar.set_position(done as u64);
        self.bar.reset_eta();
    }

    fn step(&self, message: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_message(message.to_owned());
        self.bar.set_position(done as u64);
        let is_tenth = done * 10 / self.all != (done - 1) * 10 / self.all;
        if self.bar.is_hidden() && is_tenth {
            eprintln!("{done}/{}  {message}", self.all);
        }
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn collect_and_evaluation_do_not_mix() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("codeact-eval --model m --tasks t --parallel 4").is_ok());
        assert!(parse("codeact-eval collect --plans p --out o").is_ok());
        assert!(parse("codeact-eval --model m --tasks t --profile quickstart").is_ok());
        assert!(parse("codeact-eval --model m --tasks t --profile slowstart").is_err());
        assert!(parse("codeact-eval --model m collect --plans p --out o").is_err());
        assert!(parse("codeact-eval --model m --tasks t --parallel 0").is_err());
        assert!(parse("codeact-eval collect --plans p").is_err());
        assert!(parse("codeact-eval collect --plans p --out o --sandbox weak").is_ok());
        assert!(parse("codeact-eval --sandbox weak collect --plans p --out o").is_err());
    }
}
