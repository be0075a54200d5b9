//! Why a request got no answer.

use crate::sampling::SamplingError;

/// Why a request got no answer, or an engine no start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// There is nothing to continue.
    #[error("the prompt has no tokens")]
    PromptEmpty,
    /// The prompt leaves no room for an answer.
    #[error(
        "the prompt of {prompt_tokens} tokens does not fit in the context of {context_tokens_max}, which must also \
         hold the answer\nhint: shorten the conversation or start a new one"
    )]
    PromptTooLong {
        /// Length of the prompt.
        prompt_tokens: usize,
        /// The longest sequence this engine takes, which is also what fits in its pages.
        context_tokens_max: usize,
    },
    /// A token the model does not know.
    #[error("prompt token {index} is {token_id}, but the vocabulary has {vocab_size} tokens")]
    TokenUnknown {
        /// Where in the prompt.
        index: usize,
        /// The token.
        token_id: u32,
        /// The vocabulary of the model and the request's adapter.
        vocab_size: usize,
    },
    /// A sampling setting is out of range, or the constraint allows no token.
    #[error(transparent)]
    Sampling(SamplingError),
    /// A limit is out of range.
    #[error("`{field}` is {value}; it must be {range}")]
    Limits {
        /// The limit.
        field: &'static str,
        /// What it is.
        value: usize,
        /// What it may be.
        range: &'static str,
    },
    /// The model cannot go through the adapter.
    #[error("{reason}")]
    Adapter {
        /// Why.
        reason: String,
    },
    /// Too many requests wait already.
    #[error("{waiting_max} requests are waiting already\nhint: try again later")]
    Busy {
        /// The bound.
        waiting_max: usize,
    },
    /// The engine finishes what it has and takes nothing new.
    #[error("the engine is shutting down and takes no new requests")]
    Draining,
    /// The model failed while this request was running.
    #[error("the model failed: {reason}")]
    Model {
        /// What it said.
        reason: String,
    },
    /// The model gave numbers that are none.
    #[error("the model gave no finite logits for the token at position {position}")]
    NotFinite {
        /// Index of the token that was to be chosen.
        position: usize,
    },
    /// A health check got no answer in time.
    #[error("the model gave no answer within {within_ms} ms")]
    Unresponsive {
        /// The time it had.
        within_ms: u64,
    },
    /// The engine's thread is gone.
    #[error("the engine has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
}

impl From<SamplingError> for EngineError {
    fn from(error: SamplingError) -> EngineError {
        match error {
            SamplingError::NotFinite { position } => EngineError::NotFinite { position },
            error => EngineError::Sampling(error),
        }
    }
}
