//! One task through the loop.

use std::collections::BTreeSet;
use std::time::Instant;

use codeact_agent::{Agent, AgentError, AgentOptions, Event, Model, Turn, TurnEnd};
use codeact_chat::Message;
use codeact_sandbox::{CellEnd, Policy, Session};

use crate::grade::{Attempt, Tree};
use crate::help::{Help, Helped};
use crate::measure::{Actions, Watch};
use crate::task::Task;
use crate::{EvalError, Verdict};

/// What a model made of a task.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Outcome {
    /// The task.
    pub id: String,
    /// Its family.
    pub family: String,
    /// The right solution, where the task has it in the short form.
    pub answer: Option<String>,
    /// What the model proposed in `<solution>`, if it did.
    pub solution: Option<String>,
    /// Whether the task is solved: what the verdict says.
    pub is_solved: bool,
    /// Whether it is, and if not, why.
    pub verdict: Verdict,
    /// Why the turn ended.
    pub end: TurnEnd,
    /// Why it failed: the conversation outgrew the context, or a model elsewhere gave no reply.
    pub error: Option<String>,
    /// Replies of the model.
    pub steps: usize,
    /// How many of them had code that ran.
    pub executions: usize,
    /// What became of the actions.
    pub actions: Actions,
    /// Tokens of all prompts, those in a cache included.
    pub prompt_tokens: usize,
    /// Tokens the model wrote.
    pub completion_tokens: usize,
    /// Wall-clock time in seconds, starting Python included.
    pub seconds: f64,
    /// What it was given besides the task; `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helped: Option<Helped>,
    /// The conversation, without the examples that it was shown.
    pub transcript: Vec<Message>,
}

/// Lets `model` solve `task` in a session of its own under `policy`. The limits of the task go before those of `options`
/// and `policy`.
///
/// # Errors
/// When Python does not start, the task's files, tools or setup fail, the model does, or the grader is none. Not when the
/// conversation outgrows the context, nor when a model elsewhere does not answer a request for reasons of its own (see
/// [`codeact_agent::EndpointError::is_of_request`]): these are an [`Outcome`].
pub fn run_task(
    task: &Task,
    model: Box<dyn Model>,
    options: &AgentOptions,
    policy: &Policy,
) -> Result<Outcome, EvalError> {
    run_task_with(task, model, options, policy, &Help::default())
}

/// As [`run_task`], with examples before the task, as if they had been said, and with skills that are defined before the
/// task's own tools and setup, which go before them.
///
/// # Errors
/// As [`run_task`], and when the help cannot be given.
pub fn run_task_with(
    task: &Task,
    model: Box<dyn Model>,
    options: &AgentOptions,
    policy: &Policy,
    help: &Help,
) -> Result<Outcome, EvalError> {
    let started = Instant::now();
    help.check(options.format)?;
    let (mut options, policy) = (options_for(task, options, policy)?, policy_for(task, policy));
    if let Some(skills) = &help.skills {
        options.skills_prompt = Some(skills.prompt().to_owned());
    }
    let session = helped_session(task, &policy, help)?;
    let files = session.files();
    let before = if task.grader.needs_before() { Tree::of(&files) } else { Tree::default() };
    let (messages, mut helped) = beginning(task, model.as_ref(), &options, help)?;
    let shown = messages.len();
    let mut agent = Agent::resume(model, Box::new(session), options, messages);
    let (mut error, mut over, mut watch, mut called) = (None, None, Watch::default(), BTreeSet::new());
    let turn = agent.run_turn(&task.prompt, &mut |event| {
        watch.see(&event);
        if let (Event::ExecStart { code, .. }, Some(skills)) = (&event, &help.skills) {
            skills.note_calls(code, &mut called);
        }
        match event {
            Event::Error { message, .. } => error = Some(message),
            event => over = ended(event),
        }
    });
    let turn = turn.or_else(|source| unanswered(task, source, over))?;
    let after = if task.grader.needs_files() { Tree::of(&files) } else { Tree::default() };
    // What stands in examples is nothing that the model did.
    let mut transcript = agent.messages().to_vec();
    transcript.drain(1..shown);
    if let Some(helped) = &mut helped {
        helped.called = called.into_iter().collect();
    }
    // What the code left running ends with it.
    drop(agent);
    let solution = turn.answer.filter(|_| turn.end == TurnEnd::Solution);
    let attempt = Attempt { solution: solution.as_deref(), transcript: &transcript, before: &before, after: &after };
    let verdict = match turn.end {
        TurnEnd::Error => Verdict::wrong(no_reply(error.as_deref().unwrap_or_default())),
        _ => task.grader.judge(&attempt, &policy)?,
    };
    Ok(Outcome {
        id: task.id.clone(),
        family: task.family.clone(),
        answer: task.grader.answer().map(str::to_owned),
        is_solved: verdict.passed,
        verdict,
        solution,
        end: turn.end,
        error,
        steps: turn.steps,
        executions: turn.executions,
        actions: watch.actions(),
        prompt_tokens: turn.prompt_tokens,
        completion_tokens: turn.completion_tokens,
        seconds: started.elapsed().as_secs_f64(),
        helped,
        transcript,
    })
}

/// The turn that ends with this event, without what was said in it.
fn ended(event: Event) -> Option<Turn> {
    let Event::TurnEnd { end, steps, executions, prompt_tokens, completion_tokens, seconds } = event else {
        return None;
    };
    let (answer, messages) = (None, Vec::new());
    Some(Turn { end, answer, messages, steps, executions, prompt_tokens, completion_tokens, seconds })
}

/// The turn up to a request that a model elsewhere did not answer.
fn unanswered(task: &Task, source: AgentError, over: Option<Turn>) -> Result<Turn, EvalError> {
    let is_of_request = matches!(&source, AgentError::Endpoint(error) if error.is_of_request());
    let failed = || EvalError::Agent { id: task.id.clone(), source };
    over.filter(|_| is_of_request).ok_or_else(failed)
}

/// In one line: what helps is for whoever makes the whole run.
fn no_reply(message: &str) -> String {
    format!("the model gave no reply: {}", message.lines().next().unwrap_or_default())
}

/// What the conversation begins with: the system message, and the examples. Also what that comes to, if there is help.
fn beginning(
    task: &Task,
    model: &dyn Model,
    options: &AgentOptions,
    help: &Help,
) -> Result<(Vec<Message>, Option<Helped>), EvalError> {
    let mut messages = vec![Message::system(options.system_message())];
    if help.is_empty() {
        return Ok((messages, None));
    }
    let skills = help.skills.as_ref().map_or(0, |skills| skills.count());
    let mut helped = Helped { skills, ..Helped::default() };
    if let Some(shots) = &help.shots {
        let head = [messages[0].clone(), Message::user(options.profile.task(&task.prompt))];
        let chosen = shots.choose(task, options.format, model, &head);
        for example in chosen.map_err(|source| EvalError::Agent { id: task.id.clone(), source })? {
            messages.extend_from_slice(example.messages());
            helped.examples.push(example.id().to_owned());
        }
    }
    Ok((messages, Some(helped)))
}

/// `options` with the tools and the turns of the task.
fn options_for(task: &Task, options: &AgentOptions, policy: &Policy) -> Result<AgentOptions, EvalError> {
    let mut options = options.clone();
    options.tools.extend(task.tools(policy)?);
    if let Some(turns) = task.limits.turns {
        (options.limits.steps_max, options.limits.executions_max) = (turns, turns);
    }
    Ok(options)
}

/// `policy` with the time that cells of the task may take.
pub(crate) fn policy_for(task: &Task, policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    if let Some(seconds) = task.limits.cell_seconds {
        policy.limits.wall_ms_max = seconds * 1000;
    }
    policy
}

/// A fresh Python with the task's files, in which its tools are defined and its setup has run.
pub(crate) fn prepared_session(task: &Task, policy: &Policy) -> Result<Session, EvalError> {
    let failed = |source| EvalError::Agent { id: task.id.clone(), source: AgentError::Sandbox(source) };
    let mut session = Session::start(policy).map_err(failed)?;
    prepare(task, &mut session)?;
    Ok(session)
}

/// The same, with skills, if there are some: first, as where an agent runs, so that what the task defines goes before.
fn helped_session(task: &Task, policy: &Policy, help: &Help) -> Result<Session, EvalError> {
    let Some(skills) = &help.skills else { return prepared_session(task, policy) };
    let failed = |source| EvalError::Agent { id: task.id.clone(), source: AgentError::Sandbox(source) };
    let mut session = Session::start(policy).map_err(failed)?;
    skills.define(&mut session)?;
    prepare(task, &mut session)?;
    Ok(session)
}

/// Puts the task's files into a session, and runs its tools and its setup.
pub(crate) fn prepare(task: &Task, session: &mut Session) -> Result<(), EvalError> {
    let failed = |source| EvalError::Agent { id: task.id.clone(), source: AgentError::Sandbox(source) };
    let files = session.files();
    for (path, bytes) in &task.files {
        let written = files.write(path, &mut &bytes[..], bytes.len() as u64);
        written.map_err(|source| EvalError::Files { id: task.id.clone(), source })?;
    }
    for code in task.tool_file.iter().map(|file| file.source.as_str()).chain(task.setup.as_deref()) {
        let cell = session.run(code, &mut |_| {}).map_err(failed)?;
        if cell.end != CellEnd::Finished {
            let observation = cell.observation(SETUP_CHARS_MAX);
            return Err(EvalError::Setup { id: task.id.clone(), observation });
        }
    }
    Ok(())
}

/// How much of a failed setup is shown.
const SETUP_CHARS_MAX: usize = 2000;

#[cfg(test)]
mod tests {
    use codeact_agent::{ActionFormat, Profile, ScriptedModel};

    use super::*;
    use crate::Grader;

    fn task(answer: &str, setup: Option<&str>) -> Task {
        let grader = Grader::Answer { answer: answer.into() };
        Task { setup: setup.map(Into::into), ..Task::new("t", "seen/f", "How many?", grader) }
    }

    fn run(task: &Task, turns: &[&str]) -> Result<Outcome, EvalError> {
        let model = ScriptedModel::new(turns.iter().copied());
        run_task(task, Box::new(model), &AgentOptions::new(Profile::quickstart()), &Policy::default())
    }

    #[test]
    fn a_right_solution_after_code_is_solved() {
        let task = task("42", Some("def stock():\n    return 42"));
        let turns = ["I ask.\n<execute>\nstock()\n</execute>", "It is <solution>42.0</solution>"];
        let outcome = run(&task, &turns).unwrap();
        assert!(outcome.is_solved);
        assert_eq!((outcome.executions, outcome.steps), (1, 2));
        assert_eq!(outcome.transcript[3].content, "Observation:\n42");
    }

    #[test]
    fn functions_of_the_setup_can_be_tools_of_any_format() {
        let setup = Some("def stock(item: str) -> int:\n    return {'nuts': 42}[item]");
        let line = r#"{"name": "stock", "signature": "(item: str) -> int", "doc": "How many there are."}"#;
        let task = Task { tools: vec![serde_json::from_str(line).unwrap()], ..task("42", setup) };
        for (format, action) in [
            (ActionFormat::Code, "<execute>\nstock('nuts')\n</execute>"),
            (ActionFormat::Json, "Action: {\"tool\": \"stock\", \"args\": {\"item\": \"nuts\"}}"),
            (ActionFormat::Text, "Action: stock, nuts"),
        ] {
            let options = AgentOptions { format, ..AgentOptions::new(Profile::quickstart()) };
            let model = ScriptedModel::new([action, "<solution>42</solution>"]);
            let outcome = run_task(&task, Box::new(model), &options, &Policy::default()).unwrap();
            assert!(outcome.is_solved && outcome.executions == 1, "{outcome:?}");
            assert!(outcome.transcript[0].content.contains("stock(item: str) -> int\nHow many there are."));
            assert_eq!(outcome.transcript[3].content, "Observation:\n42");
        }
    }

    #[test]
    fn a_wrong_solution_and_a_plain_reply_are_not() {
        let wrong = run(&task("42", None), &["<solution>41</solution>"]).unwrap();
        assert_eq!((wrong.is_solved, wrong.solution.as_deref()), (false, Some("41")));
        let plain = run(&task("42", None), &["42"]).unwrap();
        assert_eq!((plain.is_solved, plain.solution), (false, None));
        assert_eq!(plain.end, TurnEnd::Answer);
    }

    #[test]
    fn a_setup_that_raises_is_named() {
        let error = run(&task("1", Some("x = undefined")), &["1"]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("setup of `t`") && text.contains("NameError"), "{text}");
        assert!(error.is_bad_input());
    }
}
