//! What the loop asks of a model: the next reply, as it comes.

use crate::AgentError;
use codeact_chat::Message;

/// Something that continues a conversation.
pub trait Model: Send {
    /// Write the next assistant message after the messages of `ask`, whose last one is the user's.
    ///
    /// `on_text` gets the reply in pieces of whole characters; when it returns `false` the reply ends there. While
    /// nothing comes it is called with an empty text, several times a second, so that whoever waits can end the wait.
    ///
    /// # Errors
    /// When there is no reply at all. A reply that was cut is one: see [`FinishReason`].
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError>;

    /// How many tokens `text` takes; `None` if the model does not count.
    fn count_tokens(&self, _text: &str) -> Option<usize> {
        None
    }

    /// How large the prompt for `messages` is, and how large it may be; `None` if the model does not know.
    ///
    /// # Errors
    /// When the messages cannot be turned into a prompt.
    fn room(&self, _messages: &[Message]) -> Result<Option<Room>, AgentError> {
        Ok(None)
    }
}

/// What a model is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// The conversation, system message first.
    pub messages: &'a [Message],
    /// What may follow only once: a model elsewhere is told to stop there, and puts back what it stopped at.
    pub stops: &'a [&'a str],
    /// Most tokens of the reply, besides what the model's own settings say.
    pub tokens_max: Option<usize>,
}

/// A prompt beside the context it has to fit in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Tokens of the whole prompt, template included.
    pub prompt_tokens: usize,
    /// Tokens that a prompt may have, so that a reply fits behind it.
    pub prompt_tokens_max: usize,
}

impl Room {
    /// Whether there is room for a reply.
    pub fn is_enough(self) -> bool {
        self.prompt_tokens <= self.prompt_tokens_max
    }
}

/// A reply, and what it cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The text, all pieces together.
    pub text: String,
    /// Tokens of the prompt, 0 if the model does not count.
    pub prompt_tokens: usize,
    /// How many of them were in a cache, so that nothing had to be computed for them; 0 also where nobody says.
    pub cached_tokens: usize,
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
