//! Bounds on what an engine does at once.

use std::time::Duration;

use crate::error::EngineError;

/// Bounds on what an engine does at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineLimits {
    /// Requests that hold pages at the same time, at most.
    pub running_max: usize,
    /// Requests that wait while `running_max` run. One more is refused at once with [`EngineError::Busy`]: an engine
    /// holds at most `running_max + waiting_max` requests.
    pub waiting_max: usize,
    /// Prompt tokens read in one pass at most, over all requests. A request that generates waits for at most so many
    /// between two of its tokens. At least `running_max`, so that no prompt is left out of a pass.
    pub prompt_tokens_per_pass: usize,
    /// How long a pass should take that reads prompts: where `prompt_tokens_per_pass` take longer, it reads fewer, though
    /// one of each prompt. `None`: however long.
    pub pass_time_target: Option<Duration>,
    /// Longest sequence, prompt and answer together. `None`: what the model was made for. Never more than fits in the
    /// model's pages.
    pub context_tokens_max: Option<usize>,
    /// Guessed tokens that one request may add to a pass; 0 switches guessing off for all.
    pub draft_tokens_max: usize,
    /// Nothing is guessed while more requests than this generate: their rows already fill a pass.
    pub draft_requests_max: usize,
}

impl Default for EngineLimits {
    fn default() -> Self {
        EngineLimits {
            running_max: 64,
            waiting_max: 256,
            prompt_tokens_per_pass: 256,
            pass_time_target: Some(Duration::from_millis(500)),
            context_tokens_max: None,
            draft_tokens_max: 8,
            draft_requests_max: 4,
        }
    }
}

impl EngineLimits {
    /// Whether an engine can work within these.
    ///
    /// # Errors
    /// [`EngineError::Limits`] with the first limit that is out of range.
    pub fn check(&self) -> Result<(), EngineError> {
        let at_least_one = [
            ("running_max", self.running_max),
            ("waiting_max", self.waiting_max),
            ("context_tokens_max", self.context_tokens_max.unwrap_or(2).saturating_sub(1)),
        ];
        if let Some(&(field, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            let (value, range) = match field {
                "context_tokens_max" => (self.context_tokens_max.unwrap_or(0), "at least 2"),
                _ => (0, "at least 1"),
            };
            return Err(EngineError::Limits { field, value, range });
        }
        if self.prompt_tokens_per_pass < self.running_max {
            let (field, value) = ("prompt_tokens_per_pass", self.prompt_tokens_per_pass);
            return Err(EngineError::Limits { field, value, range: "at least `running_max`" });
        }
        Ok(())
    }
}
