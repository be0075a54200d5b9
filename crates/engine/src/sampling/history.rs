//! What a request has in its prompt and its answer, and how that changes logits.

use std::collections::HashMap;

use super::settings::Sampling;

/// Counts of a request's own tokens, kept up to date one token at a time; empty when no setting asks for them.
#[derive(Debug, Clone)]
pub(super) struct History {
    repetition: f32,
    frequency: f32,
    presence: f32,
    /// How often each token is in the answer; 0 for those that are only in the prompt.
    counts: HashMap<u32, u32>,
}

impl History {
    pub fn new(sampling: &Sampling, prompt_ids: &[u32]) -> History {
        let repetition = sampling.repetition_penalty as f32;
        let seen = if repetition == 1.0 { &[] } else { prompt_ids };
        History {
            repetition,
            frequency: sampling.frequency_penalty as f32,
            presence: sampling.presence_penalty as f32,
            counts: seen.iter().map(|&id| (id, 0)).collect(),
        }
    }

    /// Whether any logit may be changed, now or later.
    pub fn penalises(&self) -> bool {
        self.repetition != 1.0 || self.frequency != 0.0 || self.presence != 0.0
    }

    /// Counts a token of the answer.
    pub fn add(&mut self, id: u32) {
        if self.penalises() {
            *self.counts.entry(id).or_insert(0) += 1;
        }
    }

    /// Penalises the finite logits of what was seen; `on_change` gets each id and its logit before.
    pub fn penalise(&self, logits: &mut [f32], on_change: &mut dyn FnMut(u32, f32)) {
        for (&id, &count) in &self.counts {
            let Some(logit) = logits.get_mut(id as usize).filter(|logit| logit.is_finite()) else {
                continue;
            };
            on_change(id, *logit);
            let mut penalised = if *logit < 0.0 { *logit * self.repetition } else { *logit / self.repetition };
            if count > 0 {
                penalised -= self.frequency * count as f32 + self.presence;
            }
            // Only absurd logits get this far; they must not become infinite, which would rule them out.
            *logit = penalised.clamp(f32::MIN, f32::MAX);
        }
    }
}
