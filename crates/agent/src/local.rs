//! Replies of an engine in this process: messages to ids, ids to text.

use crate::sent::Sent;
use crate::{AgentError, Ask, Completion, FinishReason, Model, Room};
use codeact_chat::{ChatFormat, Message};
use codeact_engine::{Engine, EngineError, Event, Request, Sampling, SessionPin};
use codeact_grammar::Matcher;
use codeact_model::serving::ServedAdapter;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// How often the listener is asked whether it still waits.
const LOOK: Duration = Duration::from_millis(100);

/// A model that this process runs itself. Many can share one engine and one format.
pub struct LocalModel {
    engine: Engine,
    adapter: Option<Arc<ServedAdapter>>,
    /// Keeps what was computed for one turn until the next.
    session: SessionPin,
    format: Arc<ChatFormat>,
    sampling: Sampling,
    constraint: Option<Matcher>,
    salt: u128,
    sent: Sent,
}

impl LocalModel {
    /// `format` must be the one the engine's model was trained with. It says at which tokens a reply ends, besides
    /// those in `sampling`.
    pub fn new(
        engine: Engine,
        adapter: Option<Arc<ServedAdapter>>,
        format: Arc<ChatFormat>,
        mut sampling: Sampling,
    ) -> LocalModel {
        for id in format.end_of_turn_ids() {
            if !sampling.stop_ids.contains(id) {
                sampling.stop_ids.push(*id);
            }
        }
        LocalModel {
            session: engine.open_session(),
            engine,
            adapter,
            format,
            sampling,
            constraint: None,
            salt: 0,
            sent: Sent::default(),
        }
    }

    /// Lets replies be only what `matcher` allows, such as text with one well-formed action at its end
    /// ([`codeact_grammar::Grammar::action`]). Its vocabulary is that of the format's tokens ([`ChatFormat::token_bytes`]).
    #[must_use]
    pub fn constrained(mut self, matcher: Matcher) -> LocalModel {
        self.constraint = Some(matcher);
        self
    }

    /// Uses what was computed for prompts with the same salt only: [`Request::salt`].
    #[must_use]
    pub fn salted(mut self, salt: u128) -> LocalModel {
        self.salt = salt;
        self
    }

    fn request(&mut self, ask: &Ask<'_>) -> Result<Request, AgentError> {
        let spelled = self.format.prompt_ids(ask.messages)?;
        let format = &self.format;
        let is_end = |id| format.end_of_turn_ids().contains(&id);
        let prompt_ids = self.sent.continued(spelled, is_end, |ids| format.decode(ids, false));
        let mut sampling = self.sampling.clone();
        sampling.max_new_tokens = sampling.max_new_tokens.min(ask.tokens_max.unwrap_or(usize::MAX));
        Ok(Request {
            adapter: self.adapter.clone(),
            session: Some(self.session.id()),
            constraint: self.constraint.clone(),
            salt: self.salt,
            ..Request::new(prompt_ids, sampling)
        })
    }
}

impl Model for LocalModel {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        let request = self.request(ask)?;
        let prompt_tokens = request.prompt_ids.len();
        let mut stream = self.format.stream();
        let mut text = String::new();
        let (mut cached_tokens, mut completion_tokens) = (0, 0);
        let (sender, events) = channel();
        // Dropping the ticket cancels the request.
        let _ticket = self.engine.submit(request, Box::new(move |event| drop(sender.send(event))))?;
        let finish = loop {
            let goes_on = match events.recv_timeout(LOOK) {
                Ok(Event::Token(token)) => {
                    completion_tokens += 1;
                    self.sent.given(token.id);
                    stream.push(token.id).is_none_or(|piece| {
                        text.push_str(&piece);
                        on_text(&piece)
                    })
                }
                Ok(Event::Done(finished)) => break finish_of(finished.finish),
                Ok(Event::Failed(error)) => return Err(error.into()),
                Ok(Event::Started { cached_tokens: cached, .. }) => {
                    cached_tokens = cached;
                    on_text("")
                }
                Ok(Event::Embedding(_)) | Err(RecvTimeoutError::Timeout) => on_text(""),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(EngineError::Stopped { reason: "its thread is gone".to_owned() }.into());
                }
            };
            if !goes_on {
                break FinishReason::Cancelled;
            }
        };
        let rest = stream.finish();
        if finish != FinishReason::Cancelled && !rest.is_empty() {
            text.push_str(&rest);
            on_text(&rest);
        }
        Ok(Completion { text, prompt_tokens, cached_tokens, completion_tokens, finish })
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        self.format.encode_text(text).ok().map(|ids| ids.len())
    }

    fn room(&self, messages: &[Message]) -> Result<Option<Room>, AgentError> {
        let prompt_tokens = self.format.prompt_ids(messages)?.len();
        let context = self.engine.context_tokens_max();
        // A reply that may be longer than the context must still leave room for what it replies to.
        let reply = self.sampling.max_new_tokens.clamp(1, (context / 4).max(1));
        Ok(Some(Room { prompt_tokens, prompt_tokens_max: context.saturating_sub(reply) }))
    }
}

fn finish_of(finish: codeact_engine::FinishReason) -> FinishReason {
    match finish {
        codeact_engine::FinishReason::Stop => FinishReason::Stop,
        codeact_engine::FinishReason::Length
        | codeact_engine::FinishReason::Context
        | codeact_engine::FinishReason::Deadline => FinishReason::Length,
        codeact_engine::FinishReason::Cancelled => FinishReason::Cancelled,
    }
}
