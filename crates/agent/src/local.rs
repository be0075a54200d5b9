//! Replies of an engine in this process: messages to ids, ids to text.

use crate::{AgentError, Completion, FinishReason, Model};
use codeact_chat::{ChatFormat, Message};
use codeact_engine::{Engine, Request, Sampling, SessionPin};
use codeact_model::serving::ServedAdapter;
use std::sync::Arc;

/// A model that this process runs itself. Many can share one engine and one format.
pub struct LocalModel {
    engine: Engine,
    adapter: Option<Arc<ServedAdapter>>,
    /// Keeps what was computed for one turn until the next.
    session: SessionPin,
    format: Arc<ChatFormat>,
    sampling: Sampling,
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
        LocalModel { session: engine.open_session(), engine, adapter, format, sampling }
    }
}

impl Model for LocalModel {
    fn complete(
        &mut self,
        messages: &[Message],
        on_text: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Completion, AgentError> {
        let prompt_ids = self.format.prompt_ids(messages)?;
        let mut stream = self.format.stream();
        let mut text = String::new();
        let request = Request {
            adapter: self.adapter.clone(),
            session: Some(self.session.id()),
            ..Request::new(prompt_ids, self.sampling.clone())
        };
        let generated = self.engine.generate(request, &mut |token| match stream.push(token.id) {
            Some(piece) => {
                text.push_str(&piece);
                on_text(&piece)
            }
            None => true,
        })?;
        let finish = match generated.finish {
            codeact_engine::FinishReason::Stop => FinishReason::Stop,
            codeact_engine::FinishReason::Length
            | codeact_engine::FinishReason::Context
            | codeact_engine::FinishReason::Deadline => FinishReason::Length,
            codeact_engine::FinishReason::Cancelled => FinishReason::Cancelled,
        };
        let rest = stream.finish();
        if finish != FinishReason::Cancelled && !rest.is_empty() {
            text.push_str(&rest);
            on_text(&rest);
        }
        let completion_tokens = generated.tokens.len();
        Ok(Completion { text, prompt_tokens: generated.prompt_tokens, completion_tokens, finish })
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        self.format.encode_text(text).ok().map(|ids| ids.len())
    }
}
