//! `codeact-eval`: how many tasks does a model solve by acting? Also checks suites of tasks and imports published ones,
//! collects trajectories from scripted plans, and verifies those of a data set.

mod commands;

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use codeact_eval::verify::VerifyArgs;
use codeact_eval::{CheckArgs, EvalError, ImportArgs, NewTaskArgs, new_task};

use commands::collect::CollectArgs;
use commands::report::ReportArgs;
use commands::run::RunArgs;
use commands::skills::SkillsArgs;

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

/// Measure how many tasks models solve by acting, and make and verify data for that.
#[derive(Parser)]
#[command(name = "codeact-eval", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Let models solve tasks, and measure how well they do
    ///
    /// Every task of every suite is tried by every contestant in every form of action. What ended is kept in
    /// `results.jsonl`, so that the same command goes on after a stop or a kill.
    Run(Box<RunArgs>),
    /// Write a page about the results of one run, or of several beside each other
    Report(ReportArgs),
    /// Let teachers try tasks, and keep the conversations that are worth learning from
    ///
    /// What is right, with actions that ran, not twice the same, and true when it is run again is kept, by the rules of the
    /// CodeAct paper. Attempts are kept too, so that the same command goes on after a stop or a kill.
    Collect(Box<CollectArgs>),
    /// Run the code of a data set again, and keep the rows whose observations are true
    ///
    /// Each row's code runs turn by turn in a fresh Python, and what it gives is compared with the observations of the
    /// row: but for addresses, measured times, paths, noise of computing, and how a notebook shows values and errors.
    /// A run that was stopped or killed goes on when it is started again.
    Verify(Box<VerifyArgs>),
    /// Keep functions of solved tasks as skills
    ///
    /// Functions that a program defined and called are kept in a store, where a conversation finds them defined already:
    /// those that need nothing but imports and each other, and give alone, in a fresh sandbox, what they gave there.
    Skills(SkillsArgs),
    /// Whether suites of tasks are sound: every reference solves its task, and no plausible mistake does
    Check(Box<CheckArgs>),
    /// Make a suite of a published benchmark, out of files that you have
    ///
    /// docs/benchmarks.md says where they are published, what becomes of them, and what differs from their own scoring.
    /// What is Python in them is parsed or run in the sandbox, without a network and without modules that are imported
    /// before: --network, --preimport and --cell-seconds do not count here.
    Import(Box<ImportArgs>),
    /// Write a task to begin with, which `check` accepts
    NewTask(NewTaskArgs),
}

fn main() -> ExitCode {
    let result = match &Args::parse().command {
        Command::Run(args) => commands::run::run(args),
        Command::Report(args) => commands::report::report(args),
        Command::Collect(args) => commands::collect::collect(args),
        Command::Skills(args) => commands::skills::skills(args),
        Command::Verify(args) => commands::verify::verify(args),
        Command::Check(args) => commands::check::check(args),
        Command::Import(args) => commands::import::import(args),
        Command::NewTask(args) => new_task(&args.folder, &args.kind).map(|()| String::new()).map_err(Into::into),
    };
    match result {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(match error.downcast_ref::<EvalError>() {
                Some(EvalError::Stopped { .. } | EvalError::Interrupted { .. } | EvalError::Paused { .. }) => 130,
                Some(error) if error.is_bad_input() => 2,
                _ => 1,
            })
        }
    }
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_belong_to_their_commands() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        for good in [
            "codeact-eval run tasks --model m --out o --parallel 4",
            "codeact-eval run a b.jsonl --contestant x=m --contestant y=m,adapter=d --out o --action-format code,json",
            "codeact-eval run tasks --endpoint http://h/v1 --model m --out o --samples 4 --seed 1 --tags a,b",
            "codeact-eval run a --contestants who.toml --contestant x=m,examples=e,examples_max=4,skills=s --out o",
            "codeact-eval skills a.jsonl lib.py --store s --sandbox weak",
            "codeact-eval report a b --out page.html",
            "codeact-eval import gsm8k test.jsonl --out o --limit 3 --sandbox weak",
            "codeact-eval import api-bank folder --out o --split x",
            "codeact-eval collect --plans p --out o --sandbox weak",
            "codeact-eval collect --suite s --suite t --teacher a=m --teacher b=http://h/v1 --out o --failures f",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "codeact-eval",
            "codeact-eval run tasks --out o",
            "codeact-eval run --model m --out o",
            "codeact-eval run tasks --model m",
            "codeact-eval run tasks --model m --out o --parallel 0",
            "codeact-eval run tasks --model m --out o --profile slowstart",
            "codeact-eval run tasks --model m --out o --action-format code,yaml",
            "codeact-eval run tasks --contestant m --out o",
            "codeact-eval run tasks --endpoint http://h/v1 --adapter d --out o",
            "codeact-eval run tasks --model m --out o --temperature -1",
            "codeact-eval run tasks --contestant x=m,examples_max=2 --out o",
            "codeact-eval skills --store s",
            "codeact-eval skills a.jsonl",
            "codeact-eval collect --suite s --teacher a=m,skills=d --out o",
            "codeact-eval report",
            "codeact-eval import gsm8k --out o",
            "codeact-eval import gsm9k test.jsonl --out o",
            "codeact-eval import gsm8k test.jsonl --out o --limit 0",
            "codeact-eval collect --plans p",
            "codeact-eval collect --plans p --suite s --teacher a=m --out o",
            "codeact-eval collect --suite s --out o",
            "codeact-eval collect --suite s --teacher m --out o",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
