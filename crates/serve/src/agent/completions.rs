//! `POST /v1/chat/completions` with model `codeact-agent`: the whole loop behind OpenAI's API, for clients that know
//! nothing of agents.
//!
//! The answer is a text: thoughts, code and output in fences, and what the turn came to. A conversation is known by its
//! messages: who sends them back with one more goes on in the same Python. The key is part of that.

use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event as Frame, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use codeact_agent::{Agent, AgentOptions, Event, Interrupter, TurnEnd};
use codeact_chat::{Message, Role};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::agent::fences::{Fences, messages_of};
use crate::agent::flat::Flat;
use crate::agent::kept::Name;
use crate::agent::lazy::Lazy;
use crate::agent::owners::Counted;
use crate::agent::{Caller, blocking};
use crate::brain::{AGENT, Brain};
use crate::edge::Record;
use crate::fields::{Fields, Ignored};
use crate::openai::agent_fields;
use crate::openai::{Choice, Cost, Delta, Envelope, Said, Settings, Usage};
use crate::{ApiError, AppState};

const NEW_PYTHON: &str = "A new Python was started: what earlier code defined is not there.";

/// Whether a request's `model` names the agent.
pub(crate) fn is_agent(model: Option<&Value>) -> bool {
    let name = model.and_then(Value::as_str).unwrap_or_default();
    name == AGENT || name.strip_prefix(AGENT).is_some_and(|rest| rest.starts_with(':'))
}

/// The agent in the list of models, with each adapter.
pub(crate) fn agent_cards(state: &AppState) -> Vec<Value> {
    let card = |name: String| json!({"id": name, "object": "model", "created": state.started, "owned_by": "codeact"});
    let adapters = state.models.as_ref().map(|models| models.adapter_names()).unwrap_or_default();
    let names = adapters.iter().map(|name| format!("{AGENT}:{name}"));
    std::iter::once(AGENT.to_owned()).chain(names).map(card).collect()
}

/// A request, checked.
struct Asked {
    brain: Brain,
    messages: Vec<Message>,
    settings: Settings,
    time_max: Duration,
}

/// One turn on its way to its reader.
enum Piece {
    Text(String),
    End { reason: &'static str, usage: Usage },
    Failed(ApiError),
}

/// Stops the turn when its reader leaves.
struct Leaving(Option<Interrupter>);

impl Leaving {
    /// There is nothing left to stop.
    fn is_done(&mut self) {
        self.0 = None;
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if let Some(interrupter) = &self.0 {
            interrupter.interrupt();
        }
    }
}

/// Answers as the agent.
pub(crate) async fn chat(
    state: AppState,
    caller: Caller,
    record: Arc<Record>,
    headers: &HeaderMap,
    body: Value,
) -> Result<Response, ApiError> {
    let time_max = state.edge.time_max(headers)?;
    let (asked, begun) = blocking(move || {
        let mut ignored = Ignored { is_lenient: state.edge.settings.is_lenient, names: Vec::new() };
        let asked = read(&state, Fields::new(body, "")?, &mut ignored, time_max)?;
        let mut facts = record.facts();
        (facts.ignored, facts.model) = (ignored.names, Some(asked.brain.agent_name.clone()));
        drop(facts);
        let begun = begin(&state, &caller, &asked)?;
        Ok((asked, begun))
    })
    .await?;
    let (pieces, leaving) = begun;
    match asked.settings.is_stream {
        true => Ok(streamed(&asked, pieces, leaving)),
        false => whole(&asked, pieces, leaving).await,
    }
}

fn read(state: &AppState, mut body: Fields, ignored: &mut Ignored, time_max: Duration) -> Result<Asked, ApiError> {
    let brain = state.brain(body.text("model")?.as_deref())?;
    let vocab_size = brain.vocab_size.unwrap_or(u32::MAX as usize);
    let (messages, settings) = agent_fields(&mut body, vocab_size, ignored)?;
    body.finish(ignored)?;
    if messages.last().is_none_or(|last| last.role != Role::User) {
        return Err(ApiError::invalid("messages", "the last of `messages` must be of the user"));
    }
    if messages.iter().skip(1).any(|message| message.role == Role::System) {
        return Err(ApiError::invalid("messages", "only the first of `messages` can be of the system"));
    }
    Ok(Asked { brain, messages, settings, time_max })
}

fn name(caller: &Caller, model: &str, messages: &[Message]) -> Name {
    let mut digest = Sha256::new();
    digest.update(model);
    for Message { role, content } in messages {
        let content = content.trim();
        digest.update(format!("\0{}\0{}\0", role.name(), content.len()));
        digest.update(content);
    }
    Name::Chat(caller.clone(), digest.finalize().into())
}

/// Finds the conversation, or takes it up anew, and lets the agent act.
fn begin(
    state: &AppState,
    caller: &Caller,
    asked: &Asked,
) -> Result<(mpsc::UnboundedReceiver<Piece>, Leaving), ApiError> {
    let counted = state.agents.turns.take(caller)?;
    let Some((last, before)) = asked.messages.split_last() else {
        return Err(ApiError::invalid("messages", "`messages` is empty"));
    };
    let known = state.agents.kept.take::<Agent>(&name(caller, &asked.brain.agent_name, before));
    let (agent, note) = match known {
        Some(mut agent) => {
            agent.set_model(asked.brain.model(asked.sampling(state), caller)?);
            (agent, None)
        }
        None => taken_up(state, caller, asked, before)?,
    };
    let leaving = Leaving(Some(agent.interrupter()));
    let (sender, pieces) = mpsc::unbounded_channel();
    let turn = Turn {
        state: state.clone(),
        caller: caller.clone(),
        model: asked.brain.agent_name.clone(),
        messages: asked.messages.clone(),
        said: String::new(),
        fences: Fences::default(),
        sender,
    };
    let content = last.content.clone();
    let thread = std::thread::Builder::new().name("turn".to_owned());
    let spawned = thread.spawn(move || turn.run(agent, &content, note, counted));
    spawned.map_err(|error| ApiError::internal(format!("the turn cannot begin: {error}")))?;
    Ok((pieces, leaving))
}

/// A conversation that nobody here knows: a Python of its own, and what was said as far as it can be read back.
fn taken_up(
    state: &AppState,
    caller: &Caller,
    asked: &Asked,
    before: &[Message],
) -> Result<(Agent, Option<&'static str>), ApiError> {
    let options = asked.options(state);
    let mut system = options.system_message();
    let mut messages = Vec::new();
    let mut has_code = false;
    for message in before {
        match message.role {
            Role::System => system = format!("{system}\n\n{}", unwrapped(&message.content)),
            Role::User => say(&mut messages, options.profile.task(&message.content)),
            Role::Assistant => {
                let read = messages_of(&message.content, &options);
                has_code |= read.len() > 1;
                messages.extend(read);
            }
        }
    }
    messages.insert(0, Message::system(system));
    let model = asked.brain.model(asked.sampling(state), caller)?;
    let agent = Agent::resume(model, Box::new(Lazy::new(state)), options, messages);
    Ok((agent, has_code.then_some(NEW_PYTHON)))
}

fn say(messages: &mut Vec<Message>, text: String) {
    match messages.last_mut() {
        Some(last) if last.role == Role::User => last.content.push_str(&format!("\n\n{text}")),
        _ => messages.push(Message::user(text)),
    }
}

/// The chat page of the original sends its system prompt with the template around it.
fn unwrapped(system: &str) -> &str {
    let inner = system.trim().strip_prefix("<|im_start|>system\n").and_then(|rest| rest.strip_suffix("<|im_end|>"));
    inner.map_or(system, str::trim_end)
}

impl Asked {
    fn options(&self, state: &AppState) -> AgentOptions {
        let mut options = AgentOptions::new(self.brain.profile.clone());
        options.format = self.brain.format;
        options.tools = state.tools();
        options.limits.turn_tokens_max = self.settings.max_tokens;
        options.limits.turn_time_max = Some(self.time_max);
        options
    }

    fn sampling(&self, state: &AppState) -> codeact_engine::Sampling {
        let most = state.limits.session_reply_tokens_max;
        let max_new_tokens = self.settings.max_tokens.map_or(most, |asked| asked.min(most));
        codeact_engine::Sampling { max_new_tokens, ..self.settings.of_choice(0) }
    }
}

struct Turn {
    state: AppState,
    caller: Caller,
    model: String,
    messages: Vec<Message>,
    said: String,
    fences: Fences,
    /// The limits of the turn bound what may wait in it.
    sender: mpsc::UnboundedSender<Piece>,
}

impl Turn {
    fn run(mut self, mut agent: Agent, content: &str, note: Option<&str>, counted: Counted) {
        if let Some(note) = note {
            let text = self.fences.note(note);
            self.send(text);
        }
        let interrupter = agent.interrupter();
        let (mut end, mut used) = (TurnEnd::Error, Usage::default());
        let result = agent.run_turn(content, &mut |event| {
            if let Event::TurnEnd { end: how, prompt_tokens, completion_tokens, .. } = event {
                (end, used) = (how, Usage { prompt_tokens, completion_tokens, cached_tokens: 0 });
            }
            let text = match event {
                // What failed is told as the error of the answer.
                Event::Error { .. } => String::new(),
                event => self.fences.take(&event),
            };
            self.send(text);
            if self.sender.is_closed() {
                interrupter.interrupt();
            }
        });
        drop(counted);
        let last = match result {
            Err(error) => Piece::Failed(ApiError::from(error)),
            Ok(_) => Piece::End { reason: reason(end), usage: used },
        };
        self.keep(agent);
        // Whoever has left does not wait for it.
        let _ = self.sender.send(last);
    }

    fn send(&mut self, text: String) {
        if !text.is_empty() {
            self.said.push_str(&text);
            let _ = self.sender.send(Piece::Text(text));
        }
    }

    /// Without a Python there is nothing to keep: all there is stands in the messages.
    fn keep(&mut self, mut agent: Agent) {
        if agent.interpreter().cells() > 0 && !self.sender.is_closed() {
            self.messages.push(Message::assistant(self.said.as_str()));
            self.state.agents.kept.put(name(&self.caller, &self.model, &self.messages), agent);
        }
    }
}

fn reason(end: TurnEnd) -> &'static str {
    match end {
        TurnEnd::Solution | TurnEnd::Answer | TurnEnd::Repeated => "stop",
        _ => "length",
    }
}

async fn whole(
    asked: &Asked,
    mut pieces: mpsc::UnboundedReceiver<Piece>,
    leaving: Leaving,
) -> Result<Response, ApiError> {
    let mut leaving = leaving;
    let mut text = String::new();
    let mut last = None;
    while let Some(piece) = pieces.recv().await {
        match piece {
            Piece::Text(more) => text.push_str(&more),
            Piece::Failed(error) => {
                leaving.is_done();
                return Err(error);
            }
            Piece::End { reason, usage } => last = Some((reason, usage)),
        }
    }
    leaving.is_done();
    let (reason, used) = last.ok_or_else(|| ApiError::internal("the turn crashed"))?;
    let message = Said::Message { role: "assistant", content: &text, refusal: None };
    let choice = Choice { finish_reason: Some(reason), ..message.into() };
    let body = Envelope::of_agent(&asked.brain.agent_name, false).body(&[choice], Cost::Said(used));
    let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([json], body).into_response())
}

fn streamed(asked: &Asked, pieces: mpsc::UnboundedReceiver<Piece>, mut leaving: Leaving) -> Response {
    let envelope = Envelope::of_agent(&asked.brain.agent_name, true);
    let with_usage = asked.settings.is_usage_streamed;
    let chunk = move |delta: Option<Delta<'_>>, finish_reason, cost| {
        let choice = delta.map(|delta| Choice { finish_reason, ..Said::Delta(delta).into() });
        Frame::default().data(envelope.body(choice.as_slice(), cost))
    };
    let going_on = if with_usage { Cost::Later } else { Cost::Unsaid };
    let first = chunk(Some(Delta { role: Some("assistant"), content: Some("") }), None, going_on);
    let rest = UnboundedReceiverStream::new(pieces).map(move |piece| {
        // The agent may be in its next turn already when the reader has the end of this one.
        if !matches!(piece, Piece::Text(_)) {
            leaving.is_done();
        }
        match piece {
            Piece::Text(text) => vec![chunk(Some(Delta { role: None, content: Some(&text) }), None, going_on)],
            Piece::Failed(error) => vec![Frame::default().data(error.body().to_string())],
            Piece::End { reason, usage } => {
                // Who asks for the counts gets them in a chunk of its own, others with the end.
                let cost = if with_usage { Cost::Later } else { Cost::Said(usage) };
                let end = chunk(Some(Delta { role: None, content: None }), Some(reason), cost);
                let counts = with_usage.then(|| chunk(None, None, Cost::Said(usage)));
                let done = Frame::default().data("[DONE]");
                std::iter::once(end).chain(counts).chain([done]).collect()
            }
        }
    });
    let frames = tokio_stream::once(vec![first]).chain(rest);
    let frames = Flat::new(frames);
    let headers = [(axum::http::HeaderName::from_static("x-accel-buffering"), "no")];
    (headers, Sse::new(frames).keep_alive(KeepAlive::default())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_named_by_itself_or_with_an_adapter() {
        for (name, expected) in [("codeact-agent", true), ("codeact-agent:sql", true), ("codeact-agents", false)] {
            assert_eq!(is_agent(Some(&json!(name))), expected, "{name}");
        }
        assert!(!is_agent(None) && !is_agent(Some(&json!(5))));
    }

    #[test]
    fn a_conversation_is_known_by_what_was_said_in_it() {
        let caller = Caller(None);
        let messages = |text: &str| [Message::user(text), Message::assistant("b")];
        let named = |text: &str| name(&caller, "m", &messages(text));
        assert_eq!(named("a"), named(" a\n"));
        assert_ne!(named("a"), named("b"));
        assert_ne!(name(&caller, "m", &messages("a")), name(&caller, "n", &messages("a")));
        let split = name(&caller, "m", &[Message::user("a\0assistant\0b")]);
        assert_ne!(named("a"), split);
    }

    #[test]
    fn a_system_prompt_in_the_template_is_taken_out_of_it() {
        assert_eq!(unwrapped("<|im_start|>system\nBe brief.\n<|im_end|>\n"), "Be brief.");
        assert_eq!(unwrapped("Be <|im_end|> brief."), "Be <|im_end|> brief.");
    }
}
