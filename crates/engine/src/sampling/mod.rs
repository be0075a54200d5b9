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

use codeact_grammar::{Allowed, GrammarError, Matcher};
use codeact_model::serving::Choice;

use history::History;
use logprobs::LogTotal;
use scan::{Candidate, argmax, rule_out};

/// Chooses the tokens of one request, one position after the other.
///
/// A request that gives up its pages and is computed again keeps its sampler. To check a guess, call
/// [`Sampler::choose`] with the logits after each guessed token, and [`Sampler::accept`] between: the first choice
/// that differs from the guess is the token that comes there.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    history: History,
    constraint: Option<Constraint>,
    /// For candidates, kept from choice to choice.
    room: Vec<Candidate>,
}

/// What the answer must look like.
#[derive(Debug, Clone)]
struct Constraint {
    matcher: Matcher,
    /// Tokens the answer may still have.
    left: usize,
}

impl Sampler {
    /// A sampler for the answer to `prompt_ids`. The settings are those that [`Sampling::check`] accepts.
    pub fn new(sampling: Sampling, prompt_ids: &[u32]) -> Sampler {
        let history = History::new(&sampling, prompt_ids);
        Sampler { sampling, history, constraint: None, room: Vec::new() }
    }

    /// Lets only tokens be chosen that `matcher` allows. `tokens_max`: what the answer may have, by
    /// [`Sampling::max_new_tokens`] and by the context; a matcher that knows how closes the answer within it.
    ///
    /// # Errors
    /// When so few tokens cannot make an answer.
    pub fn constrained(mut self, matcher: Matcher, tokens_max: usize) -> Result<Sampler, SamplingError> {
        if let Some(needed) = matcher.closing_tokens().filter(|&needed| needed > tokens_max) {
            return Err(GrammarError::NoRoom { needed, left: tokens_max }.into());
        }
        self.constraint = Some(Constraint { matcher, left: tokens_max });
        Ok(self)
    }

    /// The settings.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// How a model that chooses tokens itself chooses the one at `position`; `None` when it takes more than the logits and
    /// a few numbers: a constraint, penalties, biases, log-probabilities.
    ///
    /// The likeliest token is the same one as [`Sampler::choose`] takes, of equal ones the smaller id. A drawn one has the
    /// same random number and the same order of tokens, but masses are rounded in another way: where the number falls
    /// next to the border between two tokens, a card may take the other one.
    pub fn choice(&self, position: usize) -> Option<Choice> {
        let sampling = &self.sampling;
        let is_plain = self.constraint.is_none()
            && sampling.logprobs.is_none()
            && sampling.logit_bias.is_empty()
            && !self.history.penalises();
        is_plain.then(|| match sampling.is_greedy() {
            true => Choice::GREEDY,
            false => Choice {
                temperature: sampling.temperature as f32,
                top_k: sampling.top_k.and_then(|top_k| u32::try_from(top_k).ok()),
                top_p: sampling.top_p as f32,
                min_p: sampling.min_p as f32,
                random: draw::uniform(sampling.seed, position),
            },
        })
    }

    /// The token that comes at `position` (its index in the sequence, prompt included).
    ///
    /// * `logits`: `(V,)`, changed on the way. What is not finite is never chosen. Equal logits are ordered by id,
    ///   smaller first.
    ///
    /// The token only counts as part of the answer after [`Sampler::accept`].
    ///
    /// # Errors
    /// When no logit is finite, or the constraint takes more work than a token may.
    pub fn choose(&mut self, logits: &mut [f32], position: usize) -> Result<Token, SamplingError> {
        let wanted = self.sampling.logprobs;
        let raw = wanted.and_then(|top| LogTotal::new(logits).map(|total| (total, total.top(logits, top))));
        let mut changed = Vec::new();
        self.adjust(logits, &mut |id, logit| {
            if wanted.is_some() {
                changed.push((id, logit));
            }
        });
        let id = self.pick(logits, position)?;
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
    /// When the constraint does not allow it; never for the token that was chosen last.
    pub fn accept(&mut self, id: u32) -> Result<(), SamplingError> {
        if let Some(constraint) = &mut self.constraint {
            constraint.matcher.accept(id)?;
            constraint.left = constraint.left.saturating_sub(1);
        }
        self.history.add(id);
        Ok(())
    }

    /// Whether `id` ends the answer without being part of it: a stop token that counts, or the end of a constraint.
    pub fn is_end(&self, id: u32) -> bool {
        let ends = |constraint: &Constraint| constraint.matcher.end_ids().contains(&id);
        (!self.sampling.ignore_eos && self.sampling.stop_ids.contains(&id))
            || self.constraint.as_ref().is_some_and(ends)
    }

    /// Whether the constraint lets nothing follow: the answer has ended, with the last token as part of it.
    pub fn is_done(&self) -> bool {
        self.constraint.as_ref().is_some_and(|constraint| constraint.matcher.is_done())
    }

    /// The id of the next token, from adjusted logits.
    fn pick(&mut self, logits: &mut [f32], position: usize) -> Result<u32, SamplingError> {
        let not_finite = SamplingError::NotFinite { position };
        let mut best = argmax(logits).ok_or(not_finite.clone())?;
        if let Some(Constraint { matcher, left }) = &mut self.constraint {
            // The likeliest token of all is also the likeliest of those allowed, if it is one of them. To find that
            // out is much cheaper than to find them all.
            if self.sampling.is_greedy() && matcher.allows(best.id, *left)? {
                return Ok(best.id);
            }
            if let Allowed::Only(allowed) = matcher.allowed_within(*left)? {
                rule_out(logits, allowed);
                best = argmax(logits).ok_or(not_finite)?;
            }
        }
        if self.sampling.is_greedy() {
            return Ok(best.id);
        }
        let random = draw::uniform(self.sampling.seed, position);
        Ok(draw::draw(logits, best.logit, &self.sampling, random, &mut self.room))
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

/// What a model that chooses tokens chooses, for the tests' model.
#[cfg(test)]
pub(crate) fn chosen(logits: &[f32], choice: &Choice) -> Option<u32> {
    let best = argmax(logits)?;
    if choice.temperature == 0.0 {
        return Some(best.id);
    }
    let sampling = Sampling {
        temperature: choice.temperature.into(),
        top_k: choice.top_k.map(|top_k| top_k as usize),
        top_p: choice.top_p.into(),
        min_p: choice.min_p.into(),
        ..Sampling::default()
    };
    Some(draw::draw(logits, best.logit, &sampling, choice.random, &mut Vec::new()))
}
