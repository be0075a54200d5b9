//! The agent over HTTP: sessions in which a model runs Python, kept on the disk; Python by itself; and the agent as a
//! model of OpenAI's API.

mod record; // read first: what is kept of a session
mod owners; // whose it is
mod pythons; // who may have a Python
mod log; // its events
mod store; // on the disk
mod recover; // after a crash
mod start; // model, Python and wording put together
mod session; // one thing at a time
mod approval; // code that waits for somebody
mod turn; // a turn on a thread of its own
mod change; // undo, branch, settings
mod request; // what requests say
mod query; // what stands behind the question mark
mod stream; // events on their way out
mod files; // the workspace
mod export; // transcripts
mod routes; // sessions and turns
mod execute; // Python by itself
mod kept; // Pythons that are found again
mod completions; // the agent as a model
mod fences; // a turn as text, and back

mod flat; // frames one by one
mod lazy; // a Python that starts when it is needed

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use codeact_sandbox::skills::SkillStore;
use serde_json::json;

use crate::openai::completions::crashed;
use crate::{ApiError, AppState};

pub(crate) use completions::{agent_cards, chat as chat_with_agent, is_agent};
pub use owners::Caller;
pub(crate) use owners::{Counted, PerOwner};
pub(crate) use query::{At, Query};
pub use record::ApprovalMode;
pub(crate) use routes::routes;
pub(crate) use start::start_session;
pub use start::{Recording, Started};
pub use store::StateError;

use kept::Kept;
use pythons::Pythons;
use session::{AgentSession, not_found};
use store::Store;

/// How often idle Pythons are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// How sessions are kept.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// The folder with all of them.
    pub state_dir: PathBuf,
    /// The folder with skills; `None`: one in `state_dir`.
    pub skills_dir: Option<PathBuf>,
    /// Whether code waits for a decision where a session does not say.
    pub approval: ApprovalMode,
    /// A Python that does nothing for so long ends. That of a session comes back with its next message.
    pub idle_time_max: Duration,
    /// What one session may take of the disk.
    pub session_bytes_max: u64,
    /// Size of a file that goes in or out.
    pub file_bytes_max: u64,
    /// Sessions of one key, those without a Python included.
    pub sessions_per_key_max: usize,
    /// Turns of one key at once.
    pub turns_per_key_max: usize,
    /// The plain model's answers keep `</execute>` where it is the stop string that ended them.
    pub keep_execute_stop: bool,
}

impl AgentSettings {
    /// What holds where nothing is said, in this folder.
    pub fn new(state_dir: PathBuf) -> AgentSettings {
        AgentSettings {
            state_dir,
            skills_dir: None,
            approval: ApprovalMode::Auto,
            idle_time_max: Duration::from_secs(600),
            session_bytes_max: 1 << 30,
            file_bytes_max: 32 << 20,
            sessions_per_key_max: 1000,
            turns_per_key_max: 64,
            keep_execute_stop: true,
        }
    }
}

/// All sessions, and what they share.
pub(crate) struct Agents {
    pub settings: AgentSettings,
    pub store: Store,
    pub pythons: Arc<Pythons>,
    /// Turns that run.
    pub turns: Arc<PerOwner>,
    /// Sessions on the disk.
    pub stored: Arc<PerOwner>,
    /// Pythons without a session, by what their callers call them.
    pub kept: Arc<Kept>,
    sessions: Mutex<HashMap<String, Arc<AgentSession>>>,
}

impl Agents {
    /// The sessions of the folder for state; in words what could not be read of it.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(settings: AgentSettings, pythons_max: usize) -> Result<(Arc<Agents>, Vec<String>), StateError> {
        let store = Store::open(&settings.state_dir)?;
        let (found, problems) = store.load()?;
        let pythons = Pythons::new(pythons_max);
        let agents = Arc::new(Agents {
            turns: PerOwner::new(settings.turns_per_key_max, "turns running"),
            stored: PerOwner::new(settings.sessions_per_key_max, "sessions"),
            kept: Kept::new(Arc::clone(&pythons)),
            pythons,
            settings,
            store,
            sessions: Mutex::default(),
        });
        for (folder, record) in found {
            let counted = agents.stored.note(&record.caller());
            agents.add(&AgentSession::new(folder, record, None, None, counted));
        }
        agents.sweep_from_now_on();
        Ok((agents, problems))
    }

    /// From now on it can be found.
    pub fn add(&self, session: &Arc<AgentSession>) {
        self.pythons.add(change::as_holder(session));
        self.sessions().insert(session.id.clone(), Arc::clone(session));
    }

    /// # Errors
    /// When there is no such session, or it is another's: 404.
    pub fn find(&self, id: &str, caller: &Caller) -> Result<Arc<AgentSession>, ApiError> {
        let found = self.sessions().get(id).cloned();
        found.filter(|session| session.owner == *caller).ok_or_else(|| not_found(id))
    }

    /// Those of a caller, newest first.
    pub fn of(&self, caller: &Caller) -> Vec<Arc<AgentSession>> {
        let mut own: Vec<_> = self.sessions().values().filter(|it| it.owner == *caller).cloned().collect();
        own.sort_by_key(|session| {
            let created = session.state().record.created;
            (std::cmp::Reverse(created), session.id.clone())
        });
        own
    }

    /// Ends a session. Blocks.
    ///
    /// # Errors
    /// As [`Agents::find`].
    pub fn delete(&self, id: &str, caller: &Caller) -> Result<(), ApiError> {
        let session = self.find(id, caller)?;
        self.sessions().remove(id);
        session.delete();
        Ok(())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.sessions().len()
    }

    /// The skills that sessions can have.
    ///
    /// # Errors
    /// When their folder cannot be used.
    pub fn skills(&self) -> Result<SkillStore, ApiError> {
        let folder = self.settings.skills_dir.clone().unwrap_or_else(|| self.settings.state_dir.join("skills"));
        SkillStore::open(&folder).map_err(|error| ApiError::internal(error.to_string()))
    }

    /// Waits until no turn runs, and stops those that run when the time is over. Blocks.
    pub fn end(&self, time_max: Duration) {
        let deadline = std::time::Instant::now() + time_max;
        let all: Vec<_> = self.sessions().values().cloned().collect();
        for session in &all {
            let mut inner = session.state();
            while inner.turn.is_some() && std::time::Instant::now() < deadline {
                inner = session.wait(inner, Duration::from_millis(50));
            }
        }
        let running: Vec<_> = all.iter().filter(|session| session.interrupt()).collect();
        let grace = std::time::Instant::now() + Duration::from_secs(2);
        for session in running {
            let mut inner = session.state();
            while inner.turn.is_some() && std::time::Instant::now() < grace {
                inner = session.wait(inner, Duration::from_millis(50));
            }
        }
    }

    fn sweep_from_now_on(self: &Arc<Self>) {
        let agents: Weak<Agents> = Arc::downgrade(self);
        let sweep = move || {
            while let Some(agents) = agents.upgrade() {
                agents.pythons.sweep(agents.settings.idle_time_max);
                drop(agents);
                std::thread::sleep(SWEEP_EVERY);
            }
        };
        // Without it Pythons stay until others need their places.
        if let Err(error) = std::thread::Builder::new().name("sweep".to_owned()).spawn(sweep) {
            crate::edge::log::log(&json!({"error": format!("idle sessions cannot be looked for: {error}")}));
        }
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<AgentSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs what blocks outside of the threads that serve.
///
/// # Errors
/// Those of `work`, and when it panics.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(crashed)?
}

/// An id that cannot be guessed.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn fresh_id() -> Result<String, ApiError> {
    let mut bytes = [0; 16];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match got {
        Ok(16) => Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
        _ => Err(ApiError::internal("the system gives no randomness")),
    }
}

/// The tools and skills that sessions can have, for those who ask.
impl AppState {
    /// All tools of the server.
    pub(crate) fn tools(&self) -> Vec<codeact_sandbox::Tool> {
        self.mcp.as_ref().map(|mcp| mcp.tools()).unwrap_or_default()
    }

    /// What a Python outside of sessions runs under: it has all tools, and nobody who could be asked.
    pub(crate) fn policy(&self) -> codeact_sandbox::Policy {
        let tools = self.mcp.as_ref().map(|mcp| mcp.toolbox(None));
        codeact_sandbox::Policy { tools, ..self.sandbox.policy.clone() }
    }
}
