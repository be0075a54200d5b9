//! Replies given beforehand: for tests, and to make trajectories whose observations come from really running the code.

use crate::{AgentError, Ask, Completion, FinishReason, Model};
use std::collections::VecDeque;

/// Gives one prepared reply after another, whatever it is asked.
#[derive(Debug, Clone)]
pub struct ScriptedModel {
    replies: VecDeque<String>,
    replies_count: usize,
}

impl ScriptedModel {
    /// A model that will say these replies, in this order.
    pub fn new<Text: Into<String>>(replies: impl IntoIterator<Item = Text>) -> ScriptedModel {
        let replies: VecDeque<String> = replies.into_iter().map(Into::into).collect();
        ScriptedModel { replies_count: replies.len(), replies }
    }
}

impl Model for ScriptedModel {
    /// Hands the reply out word by word, as a model would.
    fn complete(&mut self, _ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        let ended = AgentError::ScriptEnded { replies: self.replies_count };
        let reply = self.replies.pop_front().ok_or(ended)?;
        let mut text = String::new();
        let mut finish = FinishReason::Stop;
        for word in reply.split_inclusive(' ') {
            text.push_str(word);
            if !on_text(word) {
                finish = FinishReason::Cancelled;
                break;
            }
        }
        Ok(Completion { text, prompt_tokens: 0, cached_tokens: 0, completion_tokens: 0, finish })
    }
}
