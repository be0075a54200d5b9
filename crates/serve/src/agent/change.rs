//! What can be done with a session between its turns: back, and on in another one; and its settings.

use std::sync::Arc;

use codeact_agent::{Event, Mark};
use codeact_sandbox::Restored;
use serde_json::{Value, json};

use crate::agent::log::{EventLog, unix_seconds};
use crate::agent::pythons::Holder;
use crate::agent::record::{ApprovalMode, Conversation, Parent, SessionRecord};
use crate::agent::session::{AgentSession, Exclusive};
use crate::agent::start::{Live, restore};
use crate::agent::turn::restored;
use crate::{ApiError, AppState};

/// What of a session is to be another.
#[derive(Debug, Default)]
pub(crate) struct Update {
    pub title: Option<String>,
    pub approval: Option<ApprovalMode>,
    pub model: Option<String>,
}

impl Exclusive {
    /// The agent; brought back from the disk if it has to be.
    ///
    /// # Errors
    /// When there is no room for its Python, or it does not start.
    pub fn live(&mut self, state: &AppState) -> Result<&mut Live, ApiError> {
        if self.live.is_none() {
            let place = state.agents.pythons.reserve()?;
            let record = self.session.state().record.clone();
            let unread = |error| ApiError::internal(format!("the conversation cannot be read: {error}"));
            let conversation = self.session.folder.conversation().map_err(unread)?;
            let began = unix_seconds();
            let (live, recovery) = restore(state, &record, &self.session.folder, conversation, place)?;
            if let Some(recovery) = recovery {
                let told = restored(&recovery, unix_seconds() - began);
                let failed = |error| ApiError::internal(format!("the event cannot be written down: {error}"));
                self.session.log()?.append(record.turns.len() as u64, &told).map_err(failed)?;
            }
            self.live = Some(live);
        }
        self.live.as_mut().ok_or_else(|| ApiError::internal("the agent went away"))
    }
}

/// The mark, as far as Python can go back to it: a cell that the journal did not take does not count after a restart.
fn within(mark: Mark, live: &mut Live) -> Mark {
    Mark { cells: mark.cells.min(live.agent.interpreter().cells()), ..mark }
}

/// Takes the last `count` turns back.
///
/// # Errors
/// When there are fewer, or while a turn runs.
pub(crate) fn undo(state: &AppState, session: &Arc<AgentSession>, count: usize) -> Result<Value, ApiError> {
    let mut exclusive = session.exclusive()?;
    let (at, before) = {
        let inner = session.state();
        let turns = &inner.record.turns;
        let at = turns.len().checked_sub(count).ok_or_else(|| {
            let message = format!("`turns` is {count}, but there are {} that can be undone", turns.len());
            ApiError::invalid("turns", message)
        })?;
        (at, turns.get(at).map(|turn| turn.before))
    };
    let live = exclusive.live(state)?;
    let restored = match before {
        Some(before) => {
            let mark = within(before, live);
            live.agent.undo_to(&mark)?
        }
        None => Restored::Resumed,
    };
    let conversation = Conversation { messages: live.agent.messages().to_vec(), now: live.agent.mark() };
    let mut inner = session.state();
    inner.record.turns.truncate(at);
    session.tell(&mut inner, &Event::Undone { turns: count, restored: restored.clone() })?;
    session.save(&mut inner, Some(&conversation))?;
    drop(inner);
    drop(exclusive);
    Ok(json!({"session": session.object(true)?, "restored": restored}))
}

/// Another session that goes on behind turn `turn` of this one (0: before the first), with its Python as it was then.
///
/// # Errors
/// When there is no such turn, or no room for another session; or while a turn runs.
pub(crate) fn branch(state: &AppState, session: &Arc<AgentSession>, turn: usize) -> Result<Value, ApiError> {
    let counted = state.agents.stored.take(&session.owner)?;
    let mut exclusive = session.exclusive()?;
    let (parent, at) = {
        let inner = session.state();
        if turn > inner.record.turns.len() {
            let message = format!("`turn` is {turn}, but there are {} turns", inner.record.turns.len());
            return Err(ApiError::invalid("turn", message));
        }
        (inner.record.clone(), inner.record.turns.get(turn).map(|next| next.before))
    };
    let model = state.brain(Some(&parent.model))?.model(parent.sampling.sampling(), &parent.caller())?;
    let live = exclusive.live(state)?;
    let place = state.agents.pythons.reserve()?;
    let id = crate::agent::fresh_id()?;
    let unmade = |error| ApiError::internal(format!("the session cannot be written down: {error}"));
    let folder = state.agents.store.create(&id).map_err(unmade)?;
    let made = || -> Result<(Arc<AgentSession>, Restored), ApiError> {
        let mark = within(at.unwrap_or_else(|| live.agent.mark()), live);
        let (mut agent, restored) = live.agent.branch(&mark, model, Some(&folder.journal()))?;
        let record = SessionRecord {
            id: id.clone(),
            created: unix_seconds() as u64,
            parent: Some(Parent { session: parent.id.clone(), turn }),
            turns: parent.turns[..turn].to_vec(),
            last_event: parent.turns[..turn].last().map_or(0, |turn| turn.last_event),
            running: None,
            ..parent
        };
        let log = match record.last_event {
            0 => EventLog::create(&folder.events()).map_err(unmade)?,
            last => folder.copy_events(&*session.log()?, last).map_err(unmade)?,
        };
        let conversation = Conversation { messages: agent.messages().to_vec(), now: agent.mark() };
        folder.save(&record, Some(&conversation)).map_err(unmade)?;
        let files = agent.interpreter().files();
        let live = Live { agent, files, family: Arc::clone(&live.family), _place: place };
        Ok((AgentSession::new(folder.clone(), record, Some(live), Some(log), counted), restored))
    };
    let (made, restored) = made().inspect_err(|_| folder.remove())?;
    state.agents.add(&made);
    let mut inner = session.state();
    session.tell(&mut inner, &Event::Branched { session: id, at: turn })?;
    drop(inner);
    drop(exclusive);
    Ok(json!({"session": made.object(true)?, "restored": restored}))
}

/// Changes settings. Title and approval count at once, also in a turn that runs; a model from the next turn on.
///
/// # Errors
/// When there is no such model, or another one is wanted while a turn runs.
pub(crate) fn update(state: &AppState, session: &Arc<AgentSession>, update: Update) -> Result<Value, ApiError> {
    let mut exclusive = None;
    if let Some(name) = &update.model {
        let brain = state.brain(Some(name))?;
        let mut taken = session.exclusive()?;
        let (sampling, owner) = {
            let inner = session.state();
            (inner.record.sampling.sampling(), inner.record.caller())
        };
        if let Some(live) = &mut taken.live {
            live.agent.set_model(brain.model(sampling, &owner)?);
        }
        exclusive = Some((taken, brain.name));
    }
    session.log()?;
    let mut inner = session.state();
    if let Some(title) = &update.title {
        inner.record.title = Some(title.clone());
    }
    if let Some(approval) = update.approval {
        inner.record.approval = approval;
    }
    let model = exclusive.as_ref().map(|(_, name)| name.clone());
    if let Some(name) = &model {
        inner.record.model = name.clone();
    }
    let approval = update.approval.map(|mode| mode.name().to_owned());
    if update.title.is_some() || approval.is_some() || model.is_some() {
        session.tell(&mut inner, &Event::Updated { title: update.title, approval, model })?;
        session.save(&mut inner, None)?;
    }
    // Whoever waits for a decision may wait no longer.
    session.notify();
    drop(inner);
    drop(exclusive);
    session.object(true)
}

/// Whether its Python can be taken away without a loss: used by whoever makes room.
pub(crate) fn as_holder(session: &Arc<AgentSession>) -> std::sync::Weak<dyn Holder> {
    let weak: std::sync::Weak<AgentSession> = Arc::downgrade(session);
    weak
}
