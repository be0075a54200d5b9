//! The agent's sessions: a bounded map from id to conversation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use codeact_agent::{Agent, Interrupter};

use crate::ApiError;
use crate::state::fresh_seed;

/// A session that nobody has used for so long gives its place to a new one.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);

/// One conversation with its Python.
pub(crate) struct AgentSession {
    /// Held while a turn runs.
    pub agent: Mutex<Agent>,
    /// Stops the running turn.
    pub interrupter: Interrupter,
    last_used: Mutex<Instant>,
}

impl AgentSession {
    /// Notes that somebody uses it, so that it stays.
    pub fn touch(&self) {
        *self.last_used.lock().expect("nothing panics while it holds this lock") = Instant::now();
    }

    fn is_idle(&self, now: Instant) -> bool {
        let last_used = *self.last_used.lock().expect("nothing panics while it holds this lock");
        let is_running = matches!(self.agent.try_lock(), Err(TryLockError::WouldBlock));
        !is_running && now.saturating_duration_since(last_used) > IDLE_MAX
    }
}

/// All sessions, and places promised to those that start.
pub(crate) struct Sessions {
    map: Mutex<HashMap<String, Option<Arc<AgentSession>>>>,
    count_max: usize,
}

/// A place for a session that starts; given back unless it is filled.
pub(crate) struct Place<'a> {
    sessions: &'a Sessions,
    id: String,
}

impl Sessions {
    pub fn new(count_max: usize) -> Sessions {
        Sessions { map: Mutex::new(HashMap::new()), count_max }
    }

    /// A place under a new id that cannot be guessed. Sessions that were idle for too long end; this may block.
    ///
    /// # Errors
    /// When all places are taken.
    pub fn reserve(&self) -> Result<Place<'_>, ApiError> {
        self.reserve_at(Instant::now())
    }

    fn reserve_at(&self, now: Instant) -> Result<Place<'_>, ApiError> {
        let is_idle = |session: &Option<Arc<AgentSession>>| session.as_ref().is_some_and(|it| it.is_idle(now));
        // Declared before the lock, so dropped after it: ending a Python takes a while.
        let _ended: Vec<_>;
        let mut map = self.map();
        _ended = map.extract_if(|_, session| is_idle(session)).collect();
        if map.len() >= self.count_max {
            let message = format!("all {} sessions are in use; delete one or try again later", self.count_max);
            return Err(ApiError::busy(message));
        }
        let id = format!("{:016x}{:016x}", fresh_seed(), fresh_seed());
        map.insert(id.clone(), None);
        Ok(Place { sessions: self, id })
    }

    /// # Errors
    /// When there is no such session, or it is still starting.
    pub fn get(&self, id: &str) -> Result<Arc<AgentSession>, ApiError> {
        let map = self.map();
        let session = map.get(id).cloned().flatten().ok_or_else(|| not_found(id))?;
        // Under the lock: it must not end between here and its turn.
        session.touch();
        Ok(session)
    }

    /// # Errors
    /// When there is no such session, or it is still starting.
    pub fn remove(&self, id: &str) -> Result<Arc<AgentSession>, ApiError> {
        let mut map = self.map();
        match map.get(id) {
            Some(Some(_)) => Ok(map.remove(id).flatten().expect("it was there a moment ago, under this lock")),
            _ => Err(not_found(id)),
        }
    }

    /// How many there are, those that start included.
    pub fn count(&self) -> usize {
        self.map().len()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<AgentSession>>>> {
        self.map.lock().expect("nothing panics while it holds this lock")
    }
}

impl Place<'_> {
    /// Puts a session in; gives its id.
    pub fn fill(self, agent: Agent) -> String {
        let interrupter = agent.interrupter();
        let session = AgentSession { agent: Mutex::new(agent), interrupter, last_used: Mutex::new(Instant::now()) };
        self.sessions.map().insert(self.id.clone(), Some(Arc::new(session)));
        self.id.clone()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut map = self.sessions.map();
        if let Some(None) = map.get(&self.id) {
            map.remove(&self.id);
        }
    }
}

fn not_found(id: &str) -> ApiError {
    ApiError::not_found(format!("there is no session `{id}`"))
}

#[cfg(test)]
mod tests {
    use codeact_agent::{AgentOptions, Profile, ScriptedModel};
    use codeact_sandbox::{Policy, Session};

    use super::*;

    fn agent() -> Agent {
        let session = Session::start(&Policy::default()).unwrap();
        let model = Box::new(ScriptedModel::new([""; 0]));
        Agent::new(model, Box::new(session), AgentOptions::new(Profile::quickstart()))
    }

    #[test]
    fn idle_sessions_end_when_another_starts_and_busy_ones_stay() {
        let sessions = Sessions::new(2);
        let idle = sessions.reserve().unwrap().fill(agent());
        let busy = sessions.reserve().unwrap().fill(agent());
        let in_use = sessions.get(&busy).unwrap();
        let turn = in_use.agent.lock().unwrap();
        assert!(sessions.reserve_at(Instant::now() + IDLE_MAX / 2).is_err());
        let place = sessions.reserve_at(Instant::now() + IDLE_MAX * 2).unwrap();
        drop(turn);
        assert!(sessions.get(&idle).is_err());
        assert!(sessions.get(&busy).is_ok());
        drop(place);
    }
}
