//! Log-probabilities of the raw logits.

use super::scan::{Weigh, argmax, likeliest};
use super::settings::TokenLogprobs;

/// What is subtracted from a logit to give its log-probability: the logarithm of the sum of all exponentials.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogTotal(f64);

impl LogTotal {
    /// `None` when no logit is finite.
    pub fn new(logits: &[f32]) -> Option<LogTotal> {
        let largest = argmax(logits)?.logit;
        let mass = Weigh { largest, scale: 1.0 }.all(logits);
        Some(LogTotal(f64::from(largest) + mass.ln()))
    }

    /// The log-probability of a token with this logit.
    pub fn of(self, logit: f32) -> f32 {
        if logit.is_finite() { (f64::from(logit) - self.0) as f32 } else { f32::NEG_INFINITY }
    }

    /// The `count` likeliest tokens.
    pub fn top(self, logits: &[f32], count: usize) -> Vec<(u32, f32)> {
        let mut kept = Vec::new();
        likeliest(logits, count, &mut kept);
        kept.iter().map(|candidate| (candidate.id, self.of(candidate.logit))).collect()
    }
}

impl TokenLogprobs {
    /// How likely the model holds token `id`, and the `top` likeliest beside it; `None` when no logit is finite. For
    /// tokens that were given, not chosen.
    pub fn of(logits: &[f32], id: u32, top: usize) -> Option<TokenLogprobs> {
        let total = LogTotal::new(logits)?;
        let logit = logits.get(id as usize).copied().unwrap_or(f32::NEG_INFINITY);
        Some(TokenLogprobs { logprob: total.of(logit), top: total.top(logits, top) })
    }
}
