//! What the loop asks of a model: the next reply, as it comes.

use crate::AgentError;
use codeact_chat::Message;

/// Something that continues a conversation.
pub trait Model: Send {
    /// Write the next assistant message after `messages`, whose last one is the user's.
    ///
    /// `on_text` gets the reply in pieces of whole characters; when it returns `false` the reply ends there.
    ///
    /// # Errors
    /// When there is no reply at all. A reply that was cut is one: see [`FinishReason`].
    fn complete(
        &mut self,
        messages: &[Message],
        on_text: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Completion, AgentError>;

    /// How many tokens `text` takes; `None` if the model does not count.
    fn count_tokens(&self, _text: &str) -> Option<usize> {
        None
    }
}

/// A reply, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The text, all pieces together.
    pub text: String,
    /// Tokens of the prompt, 0 if the model does not count.
    pub prompt_tokens: usize,
    /// Tokens of the reply, 0 if the model does not count.
    pub completion_tokens: usize,
    /// Why it ended.
    pub finish: FinishReason,
}

/// Why a reply ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn.
    Stop,
    /// It ran into the limit of new tokens, or of the context.
    Length,
    /// The listener had enough.
    Cancelled,
}
