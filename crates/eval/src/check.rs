//! Whether suites are sound: every reference is judged right, and every plausible mistake wrong.

use std::path::PathBuf;

use codeact_agent::{AgentOptions, Profile, ScriptedModel, TurnEnd};
use codeact_chat::Role;
use codeact_sandbox::Policy;

use crate::suite::Suite;
use crate::task::Task;
use crate::{EvalError, Outcome, SandboxArgs, in_order, run_task};

/// Options of `check`.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// Suites: folders with suite.toml, folders with task.toml, or .jsonl files
    #[arg(value_name = "PATH", required = true)]
    pub paths: Vec<PathBuf>,
    /// Only tasks whose id holds this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Tasks that run at once; without it, one for each processor
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: Option<u16>,
    /// See there.
    #[command(flatten)]
    pub sandbox: SandboxArgs,
}

impl CheckArgs {
    /// How many tasks run at once.
    pub fn threads(&self) -> usize {
        let all = || std::thread::available_parallelism().map_or(1, usize::from);
        self.parallel.map_or_else(all, usize::from)
    }

    /// The suites, with the tasks that were asked for.
    ///
    /// # Errors
    /// When one is not as it should be, or no task was asked for.
    pub fn suites(&self) -> Result<Vec<Suite>, EvalError> {
        let mut suites = crate::load_suites(&self.paths)?;
        if !self.only.is_empty() {
            let is_wanted = |task: &Task| self.only.iter().any(|text| task.id.contains(text));
            suites.iter_mut().for_each(|suite| suite.tasks.retain(is_wanted));
            suites.retain(|suite| !suite.tasks.is_empty());
        }
        match suites.is_empty() {
            true => Err(EvalError::Options(format!("no task has an id with `{}`", self.only.join("` or `")))),
            false => Ok(suites),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// By suite: name, tasks, attempts that were run.
    pub suites: Vec<(String, usize, usize)>,
    /// What is wrong, each with suite, task, place and reason.
    pub faults: Vec<String>,
}

/// Runs the references and the wrong attempts of all tasks through the loop, in sessions under `policy`, on up to
/// `threads` threads. `on_done` is called after each task, from any thread.
pub fn check(suites: &[Suite], policy: &Policy, threads: usize, on_done: &(dyn Fn() + Sync)) -> Checked {
    let tasks: Vec<(&Suite, &Task)> =
        suites.iter().flat_map(|suite| suite.tasks.iter().map(move |task| (suite, task))).collect();
    let found = in_order(&tasks, threads, |_, (_, task)| {
        let faults = faults_of(task, policy);
        on_done();
        Some(faults)
    });
    let named = tasks.iter().zip(found.into_iter().flatten()).flat_map(|((suite, task), faults)| {
        let place = format!("suite `{}`, task `{}`, {}", suite.name, task.id, task.place);
        faults.into_iter().map(move |fault| format!("{place}: {fault}"))
    });
    let faults = named.collect();
    let counted = suites.iter().map(|suite| {
        let attempts = |task: &Task| task.wrong.len() + usize::from(!task.reference.is_empty());
        (suite.name.clone(), suite.tasks.len(), suite.tasks.iter().map(attempts).sum())
    });
    Checked { suites: counted.collect(), faults }
}

impl Checked {
    /// A line for each suite.
    pub fn table(&self) -> String {
        let line =
            |(name, tasks, attempts): &(String, usize, usize)| format!("{name}: {tasks} tasks, {attempts} attempts\n");
        self.suites.iter().map(line).collect()
    }
}

/// What is wrong with one task.
fn faults_of(task: &Task, policy: &Policy) -> Vec<String> {
    let mut faults = Vec::new();
    match task.reference.is_empty() {
        true => faults.push("it has no `reference`".to_owned()),
        false => faults.extend(reference_fault(task, policy).map(|fault| format!("the reference {fault}"))),
    }
    if task.wrong.is_empty() {
        faults.push("it has no `wrong`: a plausible mistake that the grader must refuse".to_owned());
    }
    for (index, attempt) in task.wrong.iter().enumerate() {
        let name =
            if task.wrong.len() == 1 { "the wrong one".to_owned() } else { format!("wrong attempt {}", index + 1) };
        faults.extend(wrong_fault(task, attempt, policy).map(|fault| format!("{name} {fault}")));
    }
    faults
}

fn reference_fault(task: &Task, policy: &Policy) -> Option<String> {
    let outcome = match played(task, &task.reference, policy) {
        Ok(outcome) => outcome,
        Err(fault) => return Some(fault),
    };
    match outcome.end {
        TurnEnd::Solution | TurnEnd::Answer if outcome.is_solved => None,
        TurnEnd::Solution | TurnEnd::Answer => {
            Some(format!("is judged wrong: {}{}", outcome.verdict.why, last_seen(&outcome)))
        }
        end => {
            Some(format!("does not come to an end: {end:?}; `limits.turns` may be too small{}", last_seen(&outcome)))
        }
    }
}

fn wrong_fault(task: &Task, attempt: &[String], policy: &Policy) -> Option<String> {
    match played(task, attempt, policy) {
        Err(fault) => Some(fault),
        Ok(outcome) if outcome.is_solved => Some("is judged right".to_owned()),
        Ok(outcome) if task.grader.needs_solution() && outcome.solution.is_none() => {
            Some("gives no `<solution>`, so that it is no plausible mistake".to_owned())
        }
        Ok(_) => None,
    }
}

/// What comes of these turns, all of which must have been said as they stand there.
fn played(task: &Task, turns: &[String], policy: &Policy) -> Result<Outcome, String> {
    let model = ScriptedModel::new(turns.iter().cloned());
    let options = AgentOptions::new(Profile::codeactinstruct());
    let outcome = run_task(task, Box::new(model), &options, policy);
    let outcome = outcome.map_err(|error| format!("fails: {:#}", anyhow::Error::from(error)))?;
    let said = outcome.transcript.iter().filter(|message| message.role == Role::Assistant);
    let said: Vec<&str> = said.map(|message| message.content.as_str()).collect();
    if let Some(index) = (0..said.len()).find(|&index| said[index].trim_end() != turns[index].trim_end()) {
        return Err(format!(
            "ends its turn {} early, as a model would: it becomes {:?}, and what follows is lost",
            index + 1,
            crate::grade::shown(said[index])
        ));
    }
    if said.len() < turns.len() {
        let hint = "; several attempts are a list of lists, or are separated by `===`";
        return Err(format!("is over after {} of {} turns: {:?}{hint}", said.len(), turns.len(), outcome.end));
    }
    Ok(outcome)
}

/// What the model was last told, which may say what went wrong.
fn last_seen(outcome: &Outcome) -> String {
    let told = outcome.transcript.iter().skip(2).rev().find(|message| message.role == Role::User);
    told.map(|message| format!("\n  the last observation: {:?}", crate::grade::shown(&message.content)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
