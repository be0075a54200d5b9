//! Fine-tune a Llama-family model on code-action conversations.

mod arguments;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use arguments::{Args, Cli, Colour, Look, OnDevice};
use candle_core::Device;
use clap::Parser;
use clap::error::ErrorKind;
use codeact_data::preview::Style;
use codeact_eval::SandboxArgs;
use codeact_train::config::Config;
use codeact_train::folder::{self, Held, Start};
use codeact_train::look::{self, Pick, Show};
use codeact_train::prepare::Prepared;
use codeact_train::progress::{self, EncodeProgress};
use codeact_train::ranks::launch::{self, Started};
use codeact_train::ranks::{self, Collective, RankError, Team, agreement};
use codeact_train::requests::Requests;
use codeact_train::run::{self, Outcome};
use codeact_train::{TrainError, checkpoint, describe, devices, flywheel, preflight, report, tasks};

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

fn main() -> ExitCode {
    codeact_ops::allocator::keep_freed_pages();
    let cli = match Cli::try_parse() {
        Ok(args) => args,
        Err(error) if error.kind() == ErrorKind::DisplayVersion => {
            println!("{error}{}", devices::version_details());
            return ExitCode::SUCCESS;
        }
        Err(error) => error.exit(),
    };
    if let Some(look) = &cli.look {
        return concluded(show(look));
    }
    let mut args = cli.train.expect("settings are required without a subcommand");
    // The last word: after what `--set` says.
    args.overrides.extend(args.device.map(|device| match device {
        OnDevice::Cpu => "train.device=cpu".to_owned(),
        OnDevice::Cuda => "train.device=cuda".to_owned(),
    }));
    concluded(begin(&args, &cli.sandbox))
}

fn concluded(result: Result<ExitCode, TrainError>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", error.report());
            ExitCode::from(error.exit_code())
        }
    }
}

fn load(path: &Path, overrides: &[String]) -> Result<Config, TrainError> {
    let config = Config::load(path, overrides)?;
    if let Some(threads) = config.train.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        pool.map_err(|source| TrainError::Threads { count: threads, source })?;
    }
    Ok(config)
}

fn say(line: &str) {
    progress::tell(line);
}

/// To stdout. Whoever has seen enough of it may close it.
fn print(text: &str) {
    if let Err(error) = std::io::stdout().write_all(text.as_bytes())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        eprintln!("error: cannot write to stdout: {error}");
        std::process::exit(1);
    }
}

fn show(look: &Look) -> Result<ExitCode, TrainError> {
    let watch = EncodeProgress::default();
    match look {
        Look::Report { runs, out } => eprintln!("wrote `{}`", report::write(runs, out.as_deref())?.display()),
        Look::ConfigSchema => print(&format!("{:#}\n", Config::schema())),
        Look::Stats { settings, json } => {
            let stats = look::statistics(&load(&settings.config, &settings.overrides)?, &say, &watch)?;
            match json {
                true => print(&format!("{}\n", serde_json::to_string_pretty(&stats).expect("plain values are JSON"))),
                false => print(&stats.to_string()),
            }
        }
        Look::Export(command) => print(&command.run(&say)?),
        Look::Preview { settings, index, id, random, html, ids, color } => {
            // Nobody wants to see the same ones again.
            let seed = || std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
            let pick = match (index, id, random) {
                (Some(index), ..) => Pick::Index(*index),
                (_, Some(id), _) => Pick::Id(id.clone()),
                (.., Some(count)) => Pick::Random(*count, seed()),
                _ => Pick::First,
            };
            let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let colors =
                *color == Colour::Always || *color == Colour::Auto && std::io::stdout().is_terminal() && !is_plain;
            let show = match (html, ids) {
                (Some(_), _) => Show::Page,
                (None, true) => Show::Ids,
                (None, false) => Show::Text(if colors { Style::Colors } else { Style::Marks }),
            };
            let text = look::preview(&load(&settings.config, &settings.overrides)?, &pick, show, &say, &watch)?;
            match html {
                Some(path) => {
                    folder::write_file(path, text.as_bytes())?;
                    eprintln!("wrote `{}`", path.display());
                }
                None => print(&text),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Meets the other ranks, if there are any, trains with them, and tells them how it ended here.
fn begin(args: &Args, sandbox: &SandboxArgs) -> Result<ExitCode, TrainError> {
    launch::end_with_parent()?;
    let config = load(&args.config, &args.overrides)?;
    if args.dry_run {
        return plan(config, args, sandbox);
    }
    let requests = Requests::of_signals(leave).map_err(TrainError::Signals)?;
    if config.flywheel.is_some() {
        requests.begin();
        let has_ranks = args.gpus.is_some_and(|count| count > 1);
        print(&flywheel::command(config, args.resume, has_ranks, (sandbox, &requests), &say)?);
        return Ok(ExitCode::SUCCESS);
    }
    let (started, team, point) = match (args.gpus.unwrap_or(1), Team::of_environment()?) {
        (1, team) => (None, team, None),
        (_, Some(_)) => return Err(RankError::Twice { there: "WORLD_SIZE" }.into()),
        (count, None) => {
            devices::check_count(&config, usize::from(count))?;
            let (started, team, point) = Started::start(None, &arguments_of_ranks(args), usize::from(count))?;
            (Some(started), Some(team), Some(point))
        }
    };
    let is_first = team.as_ref().is_none_or(|team| team.place.is_first());
    let say: &dyn Fn(&str) = if is_first { &say } else { &|_| {} };
    let device = devices::open(&config, false, team.as_ref(), say)?;
    let ranks = ranks::join(team.as_ref(), point, device.as_ref().unwrap_or(&Device::Cpu), say, give_up)?;
    let result = train(config, (args, sandbox, &requests), device, ranks.as_ref(), say);
    ranks.leave(result.as_ref().err().map(TrainError::report).as_deref());
    if let (Ok(_), Some(started)) = (&result, started) {
        started.wait();
    }
    if let (false, Err(error)) = (is_first, &result) {
        eprintln!("error: on rank {}: {}", ranks.place().rank, error.report());
        return Ok(ExitCode::from(error.exit_code()));
    }
    result
}

/// Ends a program that hangs while another rank is gone.
fn give_up(error: &RankError) {
    eprintln!("error: {}", TrainError::from(error.clone()).report());
    std::process::exit(1);
}

/// Ends a program that has nothing to save yet as one that was stopped later: who preempts it may start it again.
fn leave() {
    eprintln!("stopped before there was anything to save\nhint: the same command begins again");
    std::process::exit(0);
}

/// As the ranks that `--gpus` starts have them.
fn arguments_of_ranks(args: &Args) -> Vec<std::ffi::OsString> {
    let mut arguments = vec!["--config".into(), args.config.clone().into()];
    for typed in &args.overrides {
        arguments.extend(["--set".into(), typed.into()]);
    }
    arguments.extend(args.resume.then(|| "--resume".into()));
    arguments
}

fn plan(config: Config, args: &Args, sandbox: &SandboxArgs) -> Result<ExitCode, TrainError> {
    let device = devices::open(&config, true, None, &say)?;
    start(&config, args)?;
    let mut run = Prepared::new(config, device, &say, &EncodeProgress::default())?;
    tasks::open_sandbox(&mut run, sandbox, &say)?;
    print(&describe::whole(&run)?);
    preflight::check_disk(&run)?;
    Ok(ExitCode::SUCCESS)
}

fn train(
    config: Config,
    (args, sandbox, requests): (&Args, &SandboxArgs, &Requests),
    device: Option<Device>,
    ranks: &dyn Collective,
    say: &dyn Fn(&str),
) -> Result<ExitCode, TrainError> {
    let is_first = ranks.place().is_first();
    let held = if is_first { Held::of(Path::new(&config.output.dir))? } else { Held::default() };
    // Where rank 0 begins, all begin.
    let start = if is_first { start(&config, args)? } else { Start::Fresh };
    let mut run = match is_first {
        true => agreement::prepared(config, device, ranks, say, &EncodeProgress::default())?,
        false => agreement::prepared(config, device, ranks, say, &())?,
    };
    if is_first {
        tasks::open_sandbox(&mut run, sandbox, say)?;
        eprint!("{}{}", describe::summary(&run), describe::outlook(&run)?);
        preflight::check_disk(&run)?;
        match &start {
            Start::Continue(checkpoint) => eprintln!("continuing `{}`", checkpoint.display()),
            Start::Fresh if args.resume => {
                eprintln!("no checkpoint in `{}` yet: starting at step 1", run.dir().display());
            }
            Start::Fresh => {}
        }
    }
    requests.begin();
    let outcome = run::train(&run, &start, held, requests, ranks).inspect_err(|_| {
        if let Some((_, newest)) = folder::checkpoints(run.dir()).pop().filter(|_| is_first) {
            eprintln!("saved so far: checkpoint `{}`", newest.display());
        }
    })?;
    Ok(conclude(&run, args, &outcome))
}

/// Asked early, so that nobody waits for a download to hear it; no result of an earlier run is lost by it.
fn start(config: &Config, args: &Args) -> Result<Start, TrainError> {
    let dir = Path::new(&config.output.dir);
    if !args.dry_run {
        folder::recover(dir)?;
    }
    let start = match folder::inspect(dir, args.resume, config.output.overwrite) {
        Ok(Start::Continue(_)) => checkpoint::newest_whole(dir, !args.dry_run, &say).map(|newest| match newest {
            Some(checkpoint) => Ok(Start::Continue(checkpoint)),
            // It was there a moment ago: no reason to begin anew over what is left.
            None => Err(TrainError::NothingToResume { dir: dir.to_owned() }),
        })?,
        start => start,
    };
    match start {
        // A plan can be looked at while its folder is in use.
        Err(error) if args.dry_run && !matches!(error, TrainError::NotAFolder { .. }) => Ok(Start::Fresh),
        start => start,
    }
}

fn conclude(run: &Prepared, args: &Args, outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Finished { exports, step, is_early, held_out_loss } => {
            if *is_early {
                let (patience, last) = (run.config.evaluation.patience.unwrap_or(0), run.plan.steps.len());
                let what = run.config.evaluation.metric.no_progress();
                eprintln!("ended before step {last}: {what} in the last {patience} measures");
            }
            if let Some((before, after)) = held_out_loss {
                eprintln!("held-out loss before training and after step {step}: {before:.4} -> {after:.4}");
            }
            let model = exports.model.display();
            match &exports.adapter {
                Some(adapter) => println!("adapter  {}\nmerged   {model}", adapter.display()),
                None => println!("model    {model}"),
            }
            println!("\nTry it:\n\n  cargo run --release --bin codeact-chat -- --model {model}");
            ExitCode::SUCCESS
        }
        Outcome::Followed => ExitCode::SUCCESS,
        Outcome::Stopped { checkpoint } => {
            match checkpoint {
                Some(path) => eprintln!("stopped; checkpoint `{}`", path.display()),
                None => eprintln!("stopped before the first step of `{}` was finished", run.dir().display()),
            }
            let overrides = args.overrides.iter().map(|typed| format!(" --set '{typed}'")).collect::<String>();
            let config = args.config.display();
            eprintln!("hint: continue with `codeact-train --config {config}{overrides} --resume`");
            ExitCode::SUCCESS
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
