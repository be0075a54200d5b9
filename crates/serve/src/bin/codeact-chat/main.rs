//! `codeact-chat`: a conversation in the terminal with a model that runs Python.

mod args; // read first: the command line

mod setup; // model, Python, tools and skills, ready to talk

mod source; // where replies come from

mod talk; // somebody types

mod commands; // lines for the program

mod input; // how lines are typed

mod conversation; // turns, the way back, and branches

mod asking; // somebody is asked before code runs

mod files; // files in and out

mod skills; // functions that outlive a conversation

use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use args::{Args, Command};
use clap::Parser;
use codeact_agent::Interrupter;
use codeact_eval::SandboxArgs;
use codeact_serve::{DoctorError, is_bad_input};
use talk::Talk;

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

/// What stops the turn that runs. `None`: none does, and a signal means something else.
static RUNNING: Mutex<Option<Interrupter>> = Mutex::new(None);
/// Whether an editor has the terminal, and its Ctrl-C.
static IS_EDITING: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(Command::Doctor { json, sandbox }) = &args.command {
        return examine(sandbox, *json);
    }
    let talk = match setup::prepare(&args) {
        Ok(talk) => talk,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(if is_bad_input(&error) { 2 } else { 1 });
        }
    };
    match converse(&args, talk) {
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

/// Runs the turns. Gives whether all that were asked on the way ended with an answer.
fn converse(args: &Args, mut talk: Talk) -> anyhow::Result<bool> {
    ctrlc::set_handler(|| {
        if !IS_EDITING.load(Ordering::SeqCst) && !interrupt() {
            // At the prompt the editor reads Ctrl-C itself; this is a pipe that waits, or a request to terminate.
            std::process::exit(130);
        }
    })?;
    if let Some(task) = &args.task {
        return talk.turn(task);
    }
    if std::io::stdin().is_terminal() {
        return talk.run().map(|()| true);
    }
    let mut has_answer = true;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            has_answer &= talk.turn(&line)?;
        }
    }
    Ok(has_answer)
}

/// Stops the turn that runs. Gives whether one did.
fn interrupt() -> bool {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.as_ref().map(Interrupter::interrupt).is_some()
}

/// Whether the turn that runs is to end.
fn is_interrupted() -> bool {
    let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    running.as_ref().is_none_or(Interrupter::is_wanted)
}

fn begin_turn(interrupter: Interrupter) {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = Some(interrupter);
}

fn end_turn() {
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
}
