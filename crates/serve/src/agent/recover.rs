//! What a crash left of a session, made whole.

use std::io;

use codeact_agent::{Event, Mark, TurnEnd, Verdict};

use crate::agent::log::{EventLog, Tail};
use crate::agent::record::{Conversation, RunningTurn, SessionRecord, TurnRecord};
use crate::agent::store::SessionFolder;

const ENDED: &str = "this turn did not come to its end: the server was gone\nhint: what its code did in Python comes back with the next message; what the model said of it does not";

/// Brings the session and its events together again: a turn that has no end gets one, told as an error, and the end of
/// a turn that was written into the one file only is written into the other.
pub(crate) fn recover(
    record: &mut SessionRecord,
    folder: &SessionFolder,
    log: &EventLog,
    tail: &Tail,
) -> io::Result<()> {
    let next = record.turns.len() + 1;
    let is_torn = tail.turn as usize == next && !tail.is_ended;
    let torn = record.running.take().or_else(|| {
        let Tail { first_event, content, .. } = tail.clone();
        is_torn.then_some(RunningTurn { turn: next, content, first_event })
    });
    if let Some(torn) = torn {
        return close(record, folder, log, tail, torn);
    }
    match record.turns.last() {
        // The session is written first, and says where the end will stand.
        Some(last) if last.last_event > log.written().last => {
            tell(log, last.turn, &last.end_event())?;
            log.sync()
        }
        _ => Ok(()),
    }
}

fn close(
    record: &mut SessionRecord,
    folder: &SessionFolder,
    log: &EventLog,
    tail: &Tail,
    torn: RunningTurn,
) -> io::Result<()> {
    let mut conversation = folder.conversation()?;
    let before = conversation.now;
    let mut turn = TurnRecord {
        turn: torn.turn,
        content: torn.content.clone(),
        answer: None,
        end: TurnEnd::Interrupted,
        steps: tail.steps,
        executions: tail.executions,
        prompt_tokens: tail.prompt_tokens,
        completion_tokens: tail.completion_tokens,
        seconds: tail.newest - tail.began,
        first_event: torn.first_event,
        last_event: 0,
        before,
    };
    if tail.turn as usize != torn.turn {
        // Not even its beginning reached the disk.
        turn.first_event = tell(log, torn.turn, &Event::TurnStart { content: torn.content })?;
    }
    if !tail.is_ended || tail.turn as usize != torn.turn {
        if let Some(approval) = tail.question.clone().filter(|_| tail.turn as usize == torn.turn) {
            let decision = Verdict::Interrupted;
            tell(log, torn.turn, &Event::ApprovalResolved { approval, decision, reason: None, code: None })?;
        }
        tell(log, torn.turn, &Event::Error { message: ENDED.to_owned(), code: "server_ended".to_owned() })?;
        tell(log, torn.turn, &turn.end_event())?;
    }
    log.sync()?;
    turn.last_event = log.written().last;
    remember(record, &mut conversation, &turn);
    record.last_event = turn.last_event;
    record.turns.push(turn);
    folder.save(record, Some(&conversation))
}

/// What was asked stays in the conversation, so that the model knows of it.
fn remember(record: &SessionRecord, conversation: &mut Conversation, turn: &TurnRecord) {
    let Some(options) = record.options() else { return };
    let asked = format!("{}\n\n[This was interrupted.]", options.profile.task(&turn.content));
    match conversation.messages.last_mut() {
        Some(last) if last.role == codeact_chat::Role::User => last.content.push_str(&format!("\n\n{asked}")),
        _ => conversation.messages.push(codeact_chat::Message::user(asked)),
    }
    let last_bytes = conversation.messages.last().map_or(0, |last| last.content.len());
    conversation.now = Mark { messages: conversation.messages.len(), last_bytes, ..conversation.now };
}

fn tell(log: &EventLog, turn: usize, event: &Event) -> io::Result<u64> {
    log.append(turn as u64, &serde_json::to_string(event)?)
}

impl TurnRecord {
    /// The event that ended it.
    pub fn end_event(&self) -> Event {
        let TurnRecord { end, steps, executions, prompt_tokens, completion_tokens, seconds, .. } = *self;
        Event::TurnEnd { end, steps, executions, prompt_tokens, completion_tokens, seconds }
    }
}
