//! The agent's sessions: a bounded map from id to conversation.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use codeact_agent::{Agent, Interrupter};

use crate::ApiError;
use crate::state::fresh_seed;

/// One conversation with its Python.
pub(crate) struct AgentSession {
    /// Held while a turn runs.
    pub agent: Mutex<Agent>,
    /// Stops the running turn.
    pub interrupter: Interrupter,
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

    /// A place under a new id that cannot be guessed.
    ///
    /// # Errors
    /// When all places are taken.
    pub fn reserve(&self) -> Result<Place<'_>, ApiError> {
        let mut map = self.map();
        if map.len() >= self.count_max {
            let message = format!("all {} sessions are in use; delete one or try again later", self.count_max);
            return Err(ApiError::Busy(message));
        }
        let id = format!("{:016x}{:016x}", fresh_seed(), fresh_seed());
        map.insert(id.clone(), None);
        Ok(Place { sessions: self, id })
    }

    /// # Errors
    /// When there is no such session, or it is still starting.
    pub fn get(&self, id: &str) -> Result<Arc<AgentSession>, ApiError> {
        let session = self.map().get(id).cloned().flatten();
        session.ok_or_else(|| not_found(id))
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

    fn map(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<AgentSession>>>> {
        self.map.lock().expect("nothing panics while it holds this lock")
    }
}

impl Place<'_> {
    /// Puts a session in; gives its id.
    pub fn fill(self, agent: Agent) -> String {
        let interrupter = agent.interrupter();
        let session = AgentSession { agent: Mutex::new(agent), interrupter };
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
    ApiError::NotFound(format!("there is no session `{id}`"))
}
