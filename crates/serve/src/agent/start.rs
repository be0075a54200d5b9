//! An agent put together: model, Python, wording, tools and skills, for a new session or for one from the disk.

use std::path::Path;
use std::sync::{Arc, RwLock};

use codeact_agent::{Agent, AgentOptions};
use codeact_sandbox::{CellEnd, Files, Interpreter, Policy, Recovery, SandboxError, Session, Tool, Toolbox};
use serde_json::Value;

use crate::agent::pythons::Place;
use crate::agent::record::{Conversation, SessionRecord};
use crate::agent::store::SessionFolder;
use crate::mcp::Ask;
use crate::{ApiError, AppState};

/// Characters of a failure that are told.
const REASON_CHARS_MAX: usize = 2000;

/// Whether what runs code is written down, and where.
#[derive(Debug, Clone, Copy)]
pub enum Recording<'a> {
    /// It is not.
    None,
    /// From its start on, in this folder.
    New(&'a Path),
    /// It is brought back from this folder, and goes on being recorded there.
    Restored(&'a Path),
}

/// What runs code, started.
pub struct Started {
    /// It.
    pub interpreter: Box<dyn Interpreter>,
    /// How it came back, if it was restored.
    pub recovery: Option<Recovery>,
}

/// An agent with a Python that runs.
pub(crate) struct Live {
    pub agent: Agent,
    /// Its workspace, which can be reached while a turn runs.
    pub files: Option<Arc<Files>>,
    /// Shared with the branches that take turns in the same sandbox; read while a turn runs.
    pub family: Arc<RwLock<()>>,
    pub _place: Place,
}

impl Live {
    /// The workspace, unless it is shared with branches.
    pub fn own_files(&self) -> Option<Arc<Files>> {
        self.files.clone().filter(|_| Arc::strong_count(&self.family) == 1)
    }
}

/// A sandboxed session.
///
/// # Errors
/// As [`Session::start`] and [`Session::restore`].
pub(crate) fn start_session(policy: &Policy, recording: Recording<'_>) -> Result<Started, SandboxError> {
    let (session, recovery) = match recording {
        Recording::None => (Session::start(policy)?, None),
        Recording::New(folder) => (Session::start_recorded(policy, folder)?, None),
        Recording::Restored(folder) => {
            let (session, recovery) = Session::restore(policy, folder)?;
            (session, Some(recovery))
        }
    };
    Ok(Started { interpreter: Box::new(session), recovery })
}

/// A Python of its own for a session that begins: modules that must be there are, and skills are defined.
pub(crate) fn begin(
    state: &AppState,
    record: &SessionRecord,
    folder: &SessionFolder,
    place: Place,
) -> Result<Live, ApiError> {
    let policy = policy(state, record)?;
    let journal = folder.journal();
    let mut interpreter = (state.make_interpreter)(&policy, Recording::New(&journal))?.interpreter;
    require(&mut *interpreter, &record.packages)?;
    define_skills(state, &mut *interpreter, &record.skills)?;
    let model = state.brain(Some(&record.model))?.model(record.sampling.sampling(), &record.caller())?;
    let files = interpreter.files();
    let agent = Agent::new(model, interpreter, options(state, record)?);
    Ok(Live { agent, files, family: Arc::default(), _place: place })
}

/// The Python of a session from the disk, by running its cells again, and what came out differently.
pub(crate) fn restore(
    state: &AppState,
    record: &SessionRecord,
    folder: &SessionFolder,
    conversation: Conversation,
    place: Place,
) -> Result<(Live, Option<Recovery>), ApiError> {
    let journal = folder.journal();
    let Started { interpreter, recovery } =
        (state.make_interpreter)(&policy(state, record)?, Recording::Restored(&journal))?;
    let model = state.brain(Some(&record.model))?.model(record.sampling.sampling(), &record.caller())?;
    let files = interpreter.files();
    let agent = Agent::resume(model, interpreter, options(state, record)?, conversation.messages);
    Ok((Live { agent, files, family: Arc::default(), _place: place }, recovery))
}

fn policy(state: &AppState, record: &SessionRecord) -> Result<Policy, ApiError> {
    let policy = record.limits.apply(&state.sandbox.policy);
    Ok(Policy { tools: chosen(state, &record.tools, None)?, ..policy })
}

/// What the agent of a session is set up with.
pub(crate) fn options(state: &AppState, record: &SessionRecord) -> Result<AgentOptions, ApiError> {
    let options = record.options().ok_or_else(|| {
        let SessionRecord { profile, action_format, .. } = record;
        ApiError::internal(format!("this server has no profile `{profile}`, or no action format `{action_format}`"))
    })?;
    let tools = chosen(state, &record.tools, None)?.map(|tools| tools.tools()).unwrap_or_default();
    Ok(AgentOptions { tools, skills_prompt: skills_prompt(state, &record.skills)?, ..options })
}

/// Some of the tools of the server.
#[derive(Debug)]
struct Chosen {
    all: Arc<dyn Toolbox>,
    names: Vec<String>,
}

impl Toolbox for Chosen {
    fn tools(&self) -> Vec<Tool> {
        let chosen = |tool: &Tool| self.names.contains(&tool.name);
        self.all.tools().into_iter().filter(chosen).collect()
    }

    fn approve(&self, name: &str, arguments: &Value) -> codeact_sandbox::Approval {
        self.all.approve(name, arguments)
    }

    fn call(&self, name: &str, arguments: Value) -> Result<Value, String> {
        self.all.call(name, arguments)
    }
}

/// The tools of these names; `None` where none is named. `ask`: who is asked before calls whose settings want that.
///
/// # Errors
/// When there is one that the server does not have (any more).
pub(crate) fn chosen(
    state: &AppState,
    names: &[String],
    ask: Option<Arc<Ask>>,
) -> Result<Option<Arc<dyn Toolbox>>, ApiError> {
    if names.is_empty() {
        return Ok(None);
    }
    let all = state.tools();
    let missing = names.iter().find(|name| !all.iter().any(|tool| tool.name == **name));
    match (missing, &state.mcp) {
        (None, Some(mcp)) => Ok(Some(Arc::new(Chosen { all: mcp.toolbox(ask), names: names.to_vec() }))),
        (name, _) => {
            let name = name.or(names.first()).map_or("", String::as_str);
            let message = format!("there is no tool `{name}`\nhint: GET /v1/agent/tools lists them");
            Err(ApiError::invalid("tools", message))
        }
    }
}

/// # Errors
/// With the names of modules that Python does not find: 400.
fn require(interpreter: &mut dyn Interpreter, packages: &[String]) -> Result<(), ApiError> {
    if packages.is_empty() {
        return Ok(());
    }
    // Names are checked where they come in: dotted identifiers. An own function, so that nothing else is defined.
    let names = packages.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    let code = format!(
        "def missing(names):\n    import importlib.util\n    found = []\n    for name in names:\n        try:\n            \
         there = importlib.util.find_spec(name) is not None\n        except Exception:\n            there = False\n        \
         if not there:\n            found.append(name)\n    return ' '.join(found)\nprint(missing([{names}]))\ndel missing\n"
    );
    let cell = interpreter.run(&code, &mut |_| {})?;
    if cell.end != CellEnd::Finished {
        let reason = cell.observation(REASON_CHARS_MAX);
        return Err(ApiError::internal(format!("cannot look for packages: {reason}")));
    }
    let missing: Vec<String> = cell.stdout.split_whitespace().map(|name| format!("`{name}`")).collect();
    if !missing.is_empty() {
        let message = format!(
            "Python has no module {}\nhint: install it for the server's `--python`, or leave it out",
            missing.join(", ")
        );
        return Err(ApiError::invalid("packages", message));
    }
    // It leaves nothing behind, so a backend that cannot undo does not matter.
    let _ = interpreter.undo(1);
    Ok(())
}

fn define_skills(state: &AppState, interpreter: &mut dyn Interpreter, names: &[String]) -> Result<(), ApiError> {
    if names.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let store = state.agents.skills()?;
    let prelude = store.prelude(&names).map_err(|error| ApiError::invalid("skills", error.to_string()))?;
    codeact_agent::define_skills(&prelude, interpreter)?
        .map_err(|reason| ApiError::invalid("skills", format!("the skills cannot be defined here: {reason}")))
}

/// What the model is told of skills.
fn skills_prompt(state: &AppState, names: &[String]) -> Result<Option<String>, ApiError> {
    if names.is_empty() {
        return Ok(None);
    }
    let (skills, _) = state.agents.skills()?.skills().map_err(|error| ApiError::internal(error.to_string()))?;
    Ok(codeact_agent::skills_prompt(skills.iter().filter(|skill| names.contains(&skill.name))))
}
