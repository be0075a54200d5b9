//! `codeact-chat`: a conversation in the terminal with a model that runs Python.

use std::io::{BufRead, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Parser;
use codeact_agent::{Agent, Profile, Turn};
use codeact_engine::Sampling;
use codeact_eval::{Actor, Sandbox, SandboxArgs, ServingArgs, profile_parser};
use codeact_model::source::ModelFiles;
use codeact_sandbox::Interpreter;
use codeact_serve::{Console, DoctorError, is_bad_input, start_lines};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

/// Talk to a model that thinks, runs Python, sees the output, and answers.
///
/// Ctrl-C interrupts the turn. At the prompt, Ctrl-C twice or Ctrl-D leaves. Where the input is not a terminal, every
/// line is a task of the same conversation.
#[derive(Parser)]
#[command(name = "codeact-chat", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Model: a folder, a GGUF file, or a name on the hub
    #[arg(long, value_name = "DIR", required = true)]
    model: Option<String>,
    /// PEFT adapter on top of the model
    #[arg(long, value_name = "DIR")]
    adapter: Option<PathBuf>,
    /// Run one task and exit: 0 with an answer, 1 without
    #[arg(long, value_name = "TEXT")]
    task: Option<String>,
    /// Print one JSON event per line
    #[arg(long)]
    json: bool,
    /// 0 takes the most likely token every time
    #[arg(long, default_value_t = 0.0, value_name = "NUMBER")]
    temperature: f64,
    /// The same seed gives the same conversation
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    seed: u64,
    /// Folder in which the code runs and may write; without it a private one
    #[arg(long, value_name = "DIR")]
    workspace: Option<PathBuf>,
    /// Wording of the prompts; without it, what the codeact.json of the model says
    #[arg(long, value_name = "NAME", value_parser = profile_parser())]
    profile: Option<Profile>,
    #[command(flatten)]
    serving: ServingArgs,
    #[command(flatten)]
    sandbox: SandboxArgs,
    #[cfg(feature = "jupyter")]
    #[command(flatten)]
    jupyter: codeact_serve::JupyterArgs,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Try out whether the sandbox holds on this machine: 0 if it does, 1 if not. Needs no model
    Doctor {
        /// Print one JSON object per line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        sandbox: Box<SandboxArgs>,
    },
}

/// What a signal means depends on it.
static IS_TURN_RUNNING: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Doctor { json, sandbox }) = &args.command {
        return examine(sandbox, *json);
    }
    let agent = match prepare(&args) {
        Ok(agent) => agent,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(if is_bad_input(&error) { 2 } else { 1 });
        }
    };
    match converse(&args, agent) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn examine(sandbox: &SandboxArgs, is_json: bool) -> ExitCode {
    match codeact_serve::examine(&sandbox.policy(None), is_json, &mut std::io::stdout()) {
        Ok(true) => ExitCode::SUCCESS,
        // Asked for what cannot be: another Python, say. The report has it already.
        Err(DoctorError::Sandbox(error)) if error.is_bad_input() => ExitCode::from(2),
        Ok(false) | Err(DoctorError::Sandbox(_)) => ExitCode::from(1),
        Err(DoctorError::Output(error)) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}

/// Loads the model, starts Python and says so.
fn prepare(args: &Args) -> anyhow::Result<Agent> {
    let sampling = Sampling { temperature: args.temperature, seed: args.seed, ..Sampling::default() };
    // Nothing of it depends on the vocabulary, and a wrong number should not wait for the weights.
    sampling.check(usize::MAX)?;
    let model = args.model.as_deref().expect("the arguments need it where there is no command");
    // Python first: it starts faster than the weights load.
    let (session, sandbox) = start(args)?;
    let files = ModelFiles::find(model, &|text| eprintln!("{text}"))?;
    let mut actor = Actor::load(&files, args.adapter.as_deref(), &args.serving.options(), args.serving.limits())?;
    let shown = shown_model(model, files.folder(), args.adapter.as_deref());
    eprintln!("{}", start_lines(&shown, &actor.facts, &sandbox));
    let model = Box::new(actor.model(sampling));
    actor.profile = args.profile.clone().unwrap_or(actor.profile);
    Ok(Agent::new(model, session, actor.options()))
}

/// Starts what runs the code.
fn start(args: &Args) -> anyhow::Result<(Box<dyn Interpreter>, Sandbox)> {
    #[cfg(feature = "jupyter")]
    if let Some((kernel, sandbox)) = args.jupyter.start(args.sandbox.policy(args.workspace.clone()))? {
        return Ok((Box::new(kernel), sandbox));
    }
    let (session, sandbox) = args.sandbox.start(args.workspace.clone())?;
    Ok((Box::new(session), sandbox))
}

fn shown_model(model: &str, folder: &Path, adapter: Option<&Path>) -> String {
    // A GGUF file is unpacked into a folder that says nothing.
    let model = if Path::new(model).is_file() { Path::new(model) } else { folder };
    match adapter {
        Some(adapter) => format!("{} + {}", model.display(), adapter.display()),
        None => model.display().to_string(),
    }
}

/// Runs the turns. Gives whether the last one ended with an answer.
fn converse(args: &Args, mut agent: Agent) -> anyhow::Result<bool> {
    let interrupter = agent.interrupter();
    ctrlc::set_handler(move || {
        if IS_TURN_RUNNING.load(Ordering::SeqCst) {
            interrupter.interrupt();
        } else {
            // At the prompt the editor reads Ctrl-C itself; this is a pipe that waits, or a request to terminate.
            std::process::exit(130);
        }
    })?;
    let stdout = std::io::stdout();
    let is_coloured = stdout.is_terminal();
    let mut console = Console::new(stdout, args.json, is_coloured);
    if let Some(task) = &args.task {
        return run_turn(&mut agent, task, &mut console).map(|turn| turn.is_some_and(|turn| turn.answer.is_some()));
    }
    if std::io::stdin().is_terminal() {
        return talk(&mut agent, &mut console).map(|()| true);
    }
    let mut has_answer = true;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            let turn = run_turn(&mut agent, &line, &mut console)?;
            has_answer &= turn.is_some_and(|turn| turn.answer.is_some());
        }
    }
    Ok(has_answer)
}

fn talk(agent: &mut Agent, console: &mut Console<std::io::Stdout>) -> anyhow::Result<()> {
    let mut editor = DefaultEditor::new()?;
    let mut is_leaving = false;
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                is_leaving = false;
                if line.trim().is_empty() {
                    continue;
                }
                editor.add_history_entry(&line)?;
                run_turn(agent, &line, console)?;
            }
            Err(ReadlineError::Interrupted) if !is_leaving => {
                is_leaving = true;
                eprintln!("Ctrl-C again or Ctrl-D leaves");
            }
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// One turn, shown as it happens. `None`: it failed, and that was said; the conversation can go on.
fn run_turn<W: std::io::Write>(
    agent: &mut Agent,
    task: &str,
    console: &mut Console<W>,
) -> anyhow::Result<Option<Turn>> {
    let interrupter = agent.interrupter();
    IS_TURN_RUNNING.store(true, Ordering::SeqCst);
    let mut shown = Ok(());
    let result = agent.run_turn(task, &mut |event| {
        if shown.is_ok() {
            shown = console.show(&event);
            if shown.is_err() {
                // Nobody reads any more, so nothing more should run.
                interrupter.interrupt();
            }
        }
    });
    IS_TURN_RUNNING.store(false, Ordering::SeqCst);
    shown?;
    match result {
        Ok(turn) => Ok(Some(turn)),
        Err(error) => {
            // On a terminal it would stand there twice.
            if !std::io::stdout().is_terminal() {
                eprintln!("error: {error}");
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
