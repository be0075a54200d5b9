//! What a caller may ask for, what comes back, and what can go wrong.

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

/// How one request chooses its tokens, and when it ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// 0 takes the most likely token every time (greedy); larger is more varied.
    pub temperature: f64,
    /// Choose among the `top_k` most likely tokens only.
    pub top_k: Option<usize>,
    /// Choose among the fewest tokens whose probabilities reach `top_p`, in `(0, 1]`.
    pub top_p: f64,
    /// The same seed and prompt give the same tokens.
    pub seed: u64,
    /// Tokens generated at most.
    pub max_new_tokens: usize,
    /// Tokens that end the answer. They are not part of it.
    pub stop_ids: Vec<u32>,
}

impl Default for Sampling {
    /// Greedy, at most 512 tokens, without stop tokens.
    fn default() -> Self {
        Sampling { temperature: 0.0, top_k: None, top_p: 1.0, seed: 0, max_new_tokens: 512, stop_ids: Vec::new() }
    }
}

impl Sampling {
    /// Whether an engine would take these settings.
    ///
    /// # Errors
    /// When a value is out of its range; the message gives both.
    pub fn check(&self) -> Result<(), EngineError> {
        let refuse = |field, value: String, range| Err(EngineError::Sampling { field, value, range });
        if !(0.0..=100.0).contains(&self.temperature) {
            return refuse("temperature", self.temperature.to_string(), "from 0 to 100");
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return refuse("top_p", self.top_p.to_string(), "above 0, at most 1");
        }
        if self.top_k == Some(0) {
            return refuse("top_k", "0".to_owned(), "at least 1");
        }
        if self.max_new_tokens == 0 {
            return refuse("max_new_tokens", "0".to_owned(), "at least 1");
        }
        Ok(())
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
