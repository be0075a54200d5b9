//! Bounds on an engine, what comes back from it, and what can go wrong.

use crate::sampling::SamplingError;

/// Bounds on what an engine does at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineLimits {
    /// Requests that generate at the same time; each holds a cache.
    pub running_max: usize,
    /// Requests that wait for a place. One more is refused with [`EngineError::Busy`].
    pub waiting_max: usize,
    /// Prompt tokens read in one pass, over all requests. Bounds how long a long prompt holds up the others.
    pub prompt_tokens_per_pass: usize,
    /// Longest sequence, prompt and answer together. `None`: what the model was made for.
    pub context_tokens_max: Option<usize>,
    /// Finished requests whose caches are kept for prompts that continue them.
    pub kept_caches_max: usize,
    /// Bytes of kept caches.
    pub kept_bytes_max: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            running_max: 8,
            waiting_max: 64,
            prompt_tokens_per_pass: 512,
            context_tokens_max: None,
            kept_caches_max: 16,
            kept_bytes_max: 1 << 30,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FinishReason {
    /// The model gave one of the stop tokens.
    Stop,
    /// `max_new_tokens` were given.
    Length,
    /// The sequence is as long as the context.
    Context,
    /// The caller wanted no more.
    Cancelled,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The new tokens, without the stop token.
    pub token_ids: Vec<u32>,
    /// Why there are no more.
    pub finish: FinishReason,
    /// Length of the prompt.
    pub prompt_tokens: usize,
    /// How many of the prompt's tokens were already in a kept cache.
    pub cached_tokens: usize,
}

/// Why a request got no answer.
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
        /// The longest sequence this engine takes.
        context_tokens_max: usize,
    },
    /// A token the model does not know.
    #[error("prompt token {index} is {token_id}, but the vocabulary has {vocab_size} tokens")]
    TokenUnknown {
        /// Where in the prompt.
        index: usize,
        /// The token.
        token_id: u32,
        /// The model's vocabulary.
        vocab_size: usize,
    },
    /// A sampling setting is out of range.
    #[error("`{field}` is {value}; it must be {range}")]
    Sampling {
        /// The setting.
        field: &'static str,
        /// What it is.
        value: String,
        /// What it may be.
        range: &'static str,
    },
    /// Too many requests wait already.
    #[error("{waiting_max} requests are waiting already\nhint: try again later")]
    Busy {
        /// The bound.
        waiting_max: usize,
    },
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
            SamplingError::Refused { field, value, range } => EngineError::Sampling { field, value, range },
            SamplingError::NotFinite { position } => EngineError::NotFinite { position },
        }
    }
}
