//! Choose the next token from logits.
//!
//! The choice depends on the logits, the settings, the seed, the position and the request's own tokens, and on nothing
//! else: not on what was drawn before, not on the batch, not on the processor. So a request can be paused, batched or
//! continued and still gives the same tokens, and a guess at its next tokens can be checked by choosing them.

mod settings; // read first: what a caller may ask for

mod scan; // passes over all logits
mod history; // penalties
mod draw; // top-k, top-p, min-p, and the draw
mod logprobs;

#[cfg(test)]
mod tests;

pub use settings::{Sampling, SamplingError, Token, TokenLogprobs};

use history::History;
use logprobs::LogTotal;
use scan::{Candidate, argmax};

/// Chooses the tokens of one request, one position after the other.
///
/// A request that gives up its pages and is computed again keeps its sampler. To check a guess, call
/// [`Sampler::choose`] with the logits after each guessed token, and [`Sampler::accept`] between: the first choice
/// that differs from the guess is the token that comes there.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    history: History,
    /// For candidates, kept from choice to choice.
    room: Vec<Candidate>,
}

impl Sampler {
    /// A sampler for the answer to `prompt_ids`. The settings are those that [`Sampling::check`] accepts.
    pub fn new(sampling: Sampling, prompt_ids: &[u32]) -> Sampler {
        let history = History::new(&sampling, prompt_ids);
        Sampler { sampling, history, room: Vec::new() }
    }

    /// The settings.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// The token that comes at `position` (its index in the sequence, prompt included).
    ///
    /// * `logits`: `(V,)`, changed on the way. What is not finite is never chosen. Equal logits are ordered by id,
    ///   smaller first.
    ///
    /// The token only counts as part of the answer after [`Sampler::accept`].
    ///
    /// # Errors
    /// When no logit is finite.
    pub fn choose(&mut self, logits: &mut [f32], position: usize) -> Result<Token, SamplingError> {
        let wanted = self.sampling.logprobs;
        let raw = wanted.and_then(|top| LogTotal::new(logits).map(|total| (total, total.top(logits, top))));
        let mut changed = Vec::new();
        self.adjust(logits, &mut |id, logit| {
            if wanted.is_some() {
                changed.push((id, logit));
            }
        });
        let best = argmax(logits).ok_or(SamplingError::NotFinite { position })?;
        let id = if self.sampling.is_greedy() {
            best.id
        } else {
            draw::draw(logits, best.logit, &self.sampling, position, &mut self.room)
        };
        let logprobs = raw.map(|(total, top)| {
            // A token may have been changed twice; its raw logit is what the first change saw.
            let raw = changed.iter().find(|(changed, _)| *changed == id).map_or(logits[id as usize], |(_, raw)| *raw);
            TokenLogprobs { logprob: total.of(raw), top }
        });
        Ok(Token { id, logprobs })
    }

    /// Takes `id` as the next token of the answer.
    ///
    /// # Errors
    /// None so far that a caller could meet; see [`SamplingError`].
    pub fn accept(&mut self, id: u32) -> Result<(), SamplingError> {
        self.history.add(id);
        Ok(())
    }

    /// Penalties and bias.
    fn adjust(&self, logits: &mut [f32], on_change: &mut dyn FnMut(u32, f32)) {
        self.history.penalise(logits, on_change);
        for &(id, bias) in &self.sampling.logit_bias {
            if let Some(logit) = logits.get_mut(id as usize).filter(|logit| logit.is_finite()) {
                on_change(id, *logit);
                *logit = (*logit + bias).clamp(f32::MIN, f32::MAX);
            }
        }
    }
}
