//! What a caller hears.

use crate::error::EngineError;
use crate::sampling::{Token, TokenLogprobs};

/// What happens to one request, in this order: `Started` once, then `Token`s or one `Embedding`, then `Done`. `Failed`
/// may come at any point, and `Done` early when the request is cancelled or late. Nothing follows `Done` or `Failed`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The prompt has been read.
    Started {
        /// How many of its tokens were not computed again, because their pages were there.
        cached_tokens: usize,
        /// For each prompt token how likely it was there; `None` for the first. Only if asked for.
        prompt_logprobs: Option<Vec<Option<TokenLogprobs>>>,
    },
    /// The next token of the answer. Stop tokens are not shown.
    Token(Token),
    /// `(C,)`, C the model's hidden size, not normalised.
    Embedding(Vec<f32>),
    /// There is no more.
    Done(Finished),
    /// There is no answer, or no more of it.
    Failed(EngineError),
}

/// How an answer ended, and what it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Why there are no more tokens.
    pub finish: FinishReason,
    /// Length of the prompt.
    pub prompt_tokens: usize,
    /// How many of the prompt's tokens were not computed again.
    pub cached_tokens: usize,
    /// Tokens of the answer, without the stop token.
    pub completion_tokens: usize,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model gave one of the stop tokens, or the constraint is complete.
    Stop,
    /// `max_new_tokens` were given.
    Length,
    /// The sequence is as long as the context.
    Context,
    /// The caller wanted no more.
    Cancelled,
    /// The request's deadline came.
    Deadline,
}

/// A whole answer, as [`crate::Engine::generate`] returns it.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The new tokens, without the stop token.
    pub tokens: Vec<Token>,
    /// Why there are no more.
    pub finish: FinishReason,
    /// Length of the prompt.
    pub prompt_tokens: usize,
    /// How many of the prompt's tokens were not computed again.
    pub cached_tokens: usize,
    /// As in [`Event::Started`].
    pub prompt_logprobs: Option<Vec<Option<TokenLogprobs>>>,
}

impl Generated {
    /// The ids of the new tokens.
    pub fn token_ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }
}
