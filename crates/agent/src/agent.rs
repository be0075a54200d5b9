//! The loop: one reply, one action, one observation, until there is an answer.

use crate::event::formats;
use crate::{AgentError, Completion, Event, FinishReason, Model, Profile};
use codeact_chat::action::{Action, ActionParser, Piece};
use codeact_chat::{Message, Role};
use codeact_sandbox::{Cell, CellEnd, Kind, Session};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bounds on one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Replies of the model, each with one action.
    pub steps_max: usize,
    /// Solutions that the wording of [`Profile::codeactinstruct`] offers. A turn ends with the first one.
    pub solutions_max: usize,
    /// Tokens of an observation that the model sees: the first and the last half of the text.
    pub observation_tokens_max: usize,
    /// The same in characters, for a model that does not count tokens.
    pub observation_chars_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { steps_max: 5, solutions_max: 2, observation_tokens_max: 700, observation_chars_max: 2000 }
    }
}

/// Why a turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TurnEnd {
    /// The model gave a solution.
    Solution,
    /// It replied without an action: the reply is the answer.
    Answer,
    /// It used all its steps.
    StepLimit,
    /// It ran the same code with the same result three times, and was told so after the second.
    Repeated,
    /// Somebody stopped it.
    Interrupted,
}

/// What one turn came to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Turn {
    /// Why it is over.
    pub end: TurnEnd,
    /// The solution or the plain reply, trimmed. `None` when there is none.
    pub answer: Option<String>,
    /// The system message and the messages of this turn; a training conversation if it ended with an answer.
    pub messages: Vec<Message>,
    /// Replies of the model.
    pub steps: usize,
    /// How many of them had code that ran.
    pub executions: usize,
    /// Tokens of all prompts of the turn, those that a cache held included.
    pub prompt_tokens: usize,
    /// Tokens of all replies.
    pub completion_tokens: usize,
}

/// Stops the running turn from any thread. Between turns it does nothing.
#[derive(Debug, Clone)]
pub struct Interrupter {
    is_wanted: Arc<AtomicBool>,
    cell: codeact_sandbox::Interrupter,
}

impl Interrupter {
    /// End the reply that is being written or the code that is running, and with it the turn.
    pub fn interrupt(&self) {
        self.is_wanted.store(true, Ordering::SeqCst);
        self.cell.interrupt();
    }

    fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::SeqCst)
    }

    fn clear(&self) {
        self.is_wanted.store(false, Ordering::SeqCst);
        self.cell.clear();
    }
}

/// A model, a Python session, and their conversation.
pub struct Agent {
    model: Box<dyn Model>,
    session: Session,
    profile: Profile,
    limits: Limits,
    messages: Vec<Message>,
    interrupter: Interrupter,
}

const REPEATED_HINT: &str =
    "[This is the same code with the same result as before. Do something else, or give the solution.]";
const CUT_HINT: &str = "[The reply was cut off before the code was complete, and nothing was run. Write less.]";

/// The state of a turn that is not over.
struct Running<'a> {
    turn: Turn,
    first_message: usize,
    /// Code and observation of the step before, and how often they came in a row.
    last: Option<(String, String)>,
    repeats: usize,
    on_event: &'a mut dyn FnMut(Event),
}

/// A reply, taken apart.
struct Reply {
    action: Action,
    /// It ended inside a tag, because of a limit.
    is_cut: bool,
}

impl Agent {
    /// A new conversation in the wording of `profile`.
    pub fn new(model: Box<dyn Model>, session: Session, profile: Profile, limits: Limits) -> Agent {
        let messages = vec![Message::system(profile.system_prompt(&limits))];
        let interrupter = Interrupter { is_wanted: Arc::default(), cell: session.interrupter() };
        Agent { model, session, profile, limits, messages, interrupter }
    }

    /// Let the model act on what the user says until it answers or may not go on.
    ///
    /// # Errors
    /// When the model gives no reply or Python cannot be started. The conversation can go on after it.
    pub fn run_turn(&mut self, user: &str, on_event: &mut dyn FnMut(Event)) -> Result<Turn, AgentError> {
        self.interrupter.clear();
        let turn = Turn {
            end: TurnEnd::StepLimit,
            answer: None,
            messages: Vec::new(),
            steps: 0,
            executions: 0,
            prompt_tokens: 0,
            completion_tokens: 0,
        };
        self.say(&self.profile.task(user));
        // Not its index before: what the user says may have continued the message of an interrupted turn.
        let first_message = self.messages.len() - 1;
        let mut running = Running { turn, first_message, last: None, repeats: 0, on_event };
        let end = loop {
            if running.turn.steps == self.limits.steps_max {
                break TurnEnd::StepLimit;
            }
            if let Some(end) = self.step(&mut running)? {
                break end;
            }
        };
        Ok(self.close(running, end))
    }

    /// The conversation so far, system message first.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The Python session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// A handle that stops the running turn from another thread.
    pub fn interrupter(&self) -> Interrupter {
        self.interrupter.clone()
    }

    /// One reply and its action. Returns how the turn ended, if it did.
    fn step(&mut self, running: &mut Running<'_>) -> Result<Option<TurnEnd>, AgentError> {
        let Some(reply) = self.reply(running)? else {
            return Ok(Some(TurnEnd::Interrupted));
        };
        running.turn.steps += 1;
        let code = match reply.action {
            Action::Solution(text) => {
                running.turn.answer = Some(text);
                return Ok(Some(TurnEnd::Solution));
            }
            Action::Answer(text) => {
                running.turn.answer = Some(text);
                return Ok(Some(TurnEnd::Answer));
            }
            Action::Execute(code) => code,
        };
        let steps_left = self.limits.steps_max - running.turn.steps;
        if reply.is_cut {
            (running.on_event)(Event::Hint { text: CUT_HINT.to_string() });
            self.say(&self.profile.observation(CUT_HINT, steps_left, self.limits.solutions_max));
            return Ok(None);
        }
        let cell = self.execute(&code, running)?;
        let mut text = self.observation(&cell);
        let is_repeat = running.last.as_ref().is_some_and(|last| (&last.0, &last.1) == (&code, &text));
        running.repeats = if is_repeat { running.repeats + 1 } else { 0 };
        running.last = Some((code, text.clone()));
        // Plain text is in the observation already.
        let has_more = cell.value.iter().any(|(mime, _)| mime != "text/plain");
        let value = if has_more { formats(&cell.value) } else { BTreeMap::new() };
        (running.on_event)(Event::Observation { text: text.clone(), end: cell.end, state: cell.state, value });
        if running.repeats == 1 {
            (running.on_event)(Event::Hint { text: REPEATED_HINT.to_string() });
            text = format!("{text}\n{REPEATED_HINT}");
        }
        self.say(&self.profile.observation(&text, steps_left, self.limits.solutions_max));
        if cell.end == CellEnd::Interrupted || self.interrupter.is_wanted() {
            return Ok(Some(TurnEnd::Interrupted));
        }
        Ok((running.repeats == 2).then_some(TurnEnd::Repeated))
    }

    /// Let the model write up to the end of its first action, and keep that in the conversation. `None`: interrupted.
    fn reply(&mut self, running: &mut Running<'_>) -> Result<Option<Reply>, AgentError> {
        let mut parser = ActionParser::new();
        let interrupter = &self.interrupter;
        let on_event = &mut *running.on_event;
        let completion = self.model.complete(&self.messages, &mut |text| {
            parser.push(text).into_iter().for_each(|piece| tell(piece, on_event));
            !parser.is_complete() && !interrupter.is_wanted()
        })?;
        let Completion { text, prompt_tokens, completion_tokens, finish } = completion;
        running.turn.prompt_tokens += prompt_tokens;
        running.turn.completion_tokens += completion_tokens;
        (running.on_event)(Event::Usage { prompt_tokens, completion_tokens });
        if self.interrupter.is_wanted() {
            if !text.trim().is_empty() {
                self.messages.push(Message::assistant(text));
            }
            return Ok(None);
        }
        let was_complete = parser.is_complete();
        parser.finish().into_iter().for_each(|piece| tell(piece, running.on_event));
        let action = parser.action().expect("finishing the parser decides the action").clone();
        self.messages.push(Message::assistant(parser.full_text()));
        let is_cut = !was_complete && finish == FinishReason::Length;
        Ok(Some(Reply { action, is_cut }))
    }

    fn execute(&mut self, code: &str, running: &mut Running<'_>) -> Result<Cell, AgentError> {
        running.turn.executions += 1;
        let on_event = &mut *running.on_event;
        on_event(Event::Execute { code: code.to_string(), step: running.turn.steps });
        let cell = self.session.run(code, &mut |event| {
            on_event(match event.kind {
                Kind::Output { stream, text } => Event::Output { stream, text: text.to_string(), is_late: false },
                Kind::Late { stream, text } => Event::Output { stream, text: text.to_string(), is_late: true },
                Kind::Display(bundle) => Event::Display { data: formats(bundle) },
            });
        })?;
        Ok(cell)
    }

    /// What the model gets to see of a cell.
    fn observation(&self, cell: &Cell) -> String {
        if self.model.count_tokens("").is_none() {
            return cell.observation(self.limits.observation_chars_max);
        }
        // A text that cannot be counted is taken for the longest that it could be.
        let count = |text: &str| self.model.count_tokens(text).unwrap_or(text.len());
        cell.observation_within(self.limits.observation_tokens_max, &count)
    }

    /// Add to the user's side. After a turn that ended on an observation that is still the same message: roles must
    /// alternate.
    fn say(&mut self, text: &str) {
        match self.messages.last_mut() {
            Some(last) if last.role == Role::User => last.content.push_str(&format!("\n\n{text}")),
            _ => self.messages.push(Message::user(text)),
        }
    }

    fn close(&self, running: Running<'_>, end: TurnEnd) -> Turn {
        let Running { mut turn, first_message, on_event, .. } = running;
        turn.end = end;
        turn.messages = [&self.messages[..1], &self.messages[first_message..]].concat();
        on_event(match (end, &turn.answer) {
            (TurnEnd::Interrupted, _) => Event::Interrupted,
            (_, Some(text)) => Event::Answer { text: text.clone() },
            (end, None) => Event::Stopped { end },
        });
        turn
    }
}

fn tell(piece: Piece, on_event: &mut dyn FnMut(Event)) {
    match piece {
        Piece::Thought(text) => on_event(Event::Text { text }),
        Piece::CodeDelta(text) => on_event(Event::Code { text }),
        Piece::SolutionDelta(text) => on_event(Event::Solution { text }),
        // The loop tells of complete actions when it acts on them.
        Piece::ExecuteEnd(_) | Piece::SolutionEnd(_) => {}
    }
}
