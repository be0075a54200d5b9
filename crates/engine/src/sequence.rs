//! One request from its arrival to its end: what is known of it, how far it is computed, and what its rows mean.

use std::time::Instant;

use crate::error::EngineError;
use crate::event::{Event, FinishReason, Finished};
use crate::forward::Wanted;
use crate::inbox::Job;
use crate::pages::Holding;
use crate::radix::Tree;
use crate::request::{Output, Request};
use crate::sampling::{Sampler, Token, TokenLogprobs};
use crate::speculate::{Acceptance, Lookup};

/// Prompt tokens that are scored in one pass at most: each gives a whole row of logits.
const SCORED_MAX: usize = 64;

/// A request that waits or runs.
pub(crate) struct Sequence<A> {
    pub job: Job<A>,
    /// Where its pages are shared.
    pub tree: Tree,
    /// The prompt and what was generated.
    pub known: Vec<u32>,
    /// How many of them are in the pages. Less than `known` until the end.
    pub computed: usize,
    /// Empty while it waits.
    pub holding: Holding,
    reading: Reading,
    pub lookup: Lookup,
    pub acceptance: Acceptance,
    /// Set when it runs for the first time: prompt tokens that were there.
    pub cached_tokens: Option<usize>,
    has_started: bool,
    /// When its newest token was given.
    pub last_token: Option<Instant>,
}

/// What is gathered while the prompt is read.
enum Reading {
    Nothing,
    /// One entry for each prompt token so far.
    Logprobs {
        top: usize,
        rows: Vec<Option<TokenLogprobs>>,
    },
    /// Sums of the first `count` hidden states.
    Mean {
        sums: Vec<f64>,
        count: usize,
    },
}

/// What a sequence brings to a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Share {
    /// How many known tokens.
    pub tokens: usize,
    /// Guessed tokens behind them.
    pub draft: Vec<u32>,
}

/// What a pass gave one sequence.
#[derive(Debug, Default)]
pub(crate) struct Gain {
    /// Tokens chosen, in order, without a stop token.
    pub tokens: Vec<Token>,
    /// Guessed tokens that were right, so that their pages hold what they should.
    pub accepted: usize,
    /// Why it ends, if it does.
    pub end: Option<Result<FinishReason, EngineError>>,
    /// No further row counts: a guess was wrong, or this is the end.
    is_settled: bool,
}

/// Takes the rows of one sequence during a pass.
pub(crate) struct Rows<'a, A> {
    request: &'a Request<A>,
    sampler: &'a mut Sampler,
    reading: &'a mut Reading,
    /// Tokens known before the pass.
    known: usize,
    /// Position of the first token of the step.
    first: usize,
    /// The longest sequence there may be.
    context_tokens_max: usize,
    pub draft: &'a [u32],
    pub gain: Gain,
}

impl<A> Sequence<A> {
    pub fn new(job: Job<A>, adapter: Option<u64>) -> Sequence<A> {
        let request = &job.request;
        let tree = Tree { adapter, salt: request.salt };
        let reading = match (request.output, request.prompt_logprobs) {
            (Output::Embedding, _) => Reading::Mean { sums: Vec::new(), count: 0 },
            (Output::Tokens, Some(top)) => Reading::Logprobs { top, rows: vec![None] },
            (Output::Tokens, None) => Reading::Nothing,
        };
        Sequence {
            tree,
            known: request.prompt_ids.clone(),
            computed: 0,
            holding: Holding::default(),
            reading,
            lookup: Lookup::default(),
            acceptance: Acceptance::default(),
            cached_tokens: None,
            has_started: false,
            last_token: None,
            job,
        }
    }

    /// How many tokens at the beginning need not be computed where their pages are there. The last known token is not
    /// among them: what comes after it is wanted. Nor is any whose row is still wanted.
    pub fn reusable(&self) -> usize {
        let but_last = self.known.len() - 1;
        match &self.reading {
            Reading::Nothing => but_last,
            Reading::Logprobs { rows, .. } => but_last.min(rows.len() - 1),
            Reading::Mean { count, .. } => but_last.min(*count),
        }
    }

    /// Whether only the newest token is to be computed, to choose the next.
    pub fn is_generating(&self) -> bool {
        self.computed + 1 == self.known.len() && self.job.request.is_answered()
    }

    /// Known tokens that are to be computed.
    pub fn remaining(&self) -> usize {
        self.known.len() - self.computed
    }

    /// How many of them one pass takes at most.
    pub fn most(&self) -> usize {
        if self.wants_logprobs() { SCORED_MAX } else { usize::MAX }
    }

    /// Tokens that may still be given.
    pub fn room(&self, context_tokens_max: usize) -> usize {
        let request = &self.job.request;
        let given = self.known.len() - request.prompt_ids.len();
        let by_length = request.sampling.max_new_tokens.saturating_sub(given);
        by_length.min(context_tokens_max - self.known.len())
    }

    /// What it wants to see of a pass in which it brings `share`.
    pub fn wanted(&self, share: &Share) -> Wanted {
        let is_last = self.computed + share.tokens == self.known.len();
        if matches!(self.reading, Reading::Mean { .. }) {
            Wanted::Hidden
        } else if self.wants_logprobs() {
            Wanted::Logits { from: 0 }
        } else if is_last && self.job.request.is_answered() {
            Wanted::Logits { from: share.tokens - 1 }
        } else {
            Wanted::Nothing
        }
    }

    fn wants_logprobs(&self) -> bool {
        let prompt_tokens = self.job.request.prompt_ids.len();
        matches!(&self.reading, Reading::Logprobs { rows, .. } if rows.len() < prompt_tokens)
    }

    /// Takes the rows of a pass in which it brings `share`; beside it what the model needs for the step.
    pub fn split<'a>(
        &'a mut self,
        share: &'a Share,
        context_tokens_max: usize,
    ) -> (Rows<'a, A>, &'a [u32], Option<&'a A>) {
        let Job { request, sampler, .. } = &mut self.job;
        let request = &*request;
        let rows = Rows {
            request,
            sampler,
            reading: &mut self.reading,
            known: self.known.len(),
            first: self.computed,
            context_tokens_max,
            draft: &share.draft,
            gain: Gain::default(),
        };
        (rows, self.holding.pages(), request.adapter.as_deref())
    }

    /// Tells the caller what became of a prompt that is read, once.
    pub fn start(&mut self) {
        if std::mem::replace(&mut self.has_started, true) {
            return;
        }
        let reading = std::mem::replace(&mut self.reading, Reading::Nothing);
        let (prompt_logprobs, mean) = match reading {
            Reading::Nothing => (None, None),
            Reading::Logprobs { rows, .. } => (Some(rows), None),
            Reading::Mean { sums, count } => (None, Some(sums.iter().map(|sum| (sum / count as f64) as f32).collect())),
        };
        let cached_tokens = self.cached_tokens.unwrap_or(0);
        self.tell(Event::Started { cached_tokens, prompt_logprobs });
        if let Some(mean) = mean {
            self.tell(Event::Embedding(mean));
        }
    }

    /// A caller that cannot listen any more is one that has cancelled.
    pub fn tell(&mut self, event: Event) {
        if !self.job.caller.tell(event) {
            self.job.is_cancelled.store(true, std::sync::atomic::Ordering::Release);
        }
    }

    /// The last event of an answer that ended for this reason.
    pub fn finished(&self, finish: FinishReason) -> Finished {
        let prompt_tokens = self.job.request.prompt_ids.len();
        let completion_tokens = self.known.len() - prompt_tokens;
        Finished { finish, prompt_tokens, cached_tokens: self.cached_tokens.unwrap_or(0), completion_tokens }
    }
}

impl<A> Rows<'_, A> {
    /// Takes the row after the token at `index` of the step.
    pub fn take(&mut self, index: usize, row: &mut [f32]) {
        if self.gain.is_settled {
            return;
        }
        let position = self.first + index;
        if let Err(error) = self.read(position, row) {
            return self.end(Err(error));
        }
        if position + 1 >= self.known && self.request.is_answered() {
            self.choose(position + 1, row);
        }
    }

    /// Gathers what is wanted of the prompt's rows.
    fn read(&mut self, position: usize, row: &[f32]) -> Result<(), EngineError> {
        let not_finite = EngineError::NotFinite { position: position + 1 };
        match self.reading {
            Reading::Nothing => {}
            Reading::Logprobs { top, rows } => {
                let next = self.request.prompt_ids.get(position + 1);
                if let Some(&id) = next.filter(|_| rows.len() == position + 1) {
                    rows.push(Some(TokenLogprobs::of(row, id, *top).ok_or(not_finite)?));
                }
            }
            Reading::Mean { sums, count } => {
                if *count == position {
                    sums.resize(row.len(), 0.0);
                    sums.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
                    *count += 1;
                    if !row.iter().all(|value| value.is_finite()) {
                        return Err(not_finite);
                    }
                }
            }
        }
        Ok(())
    }

    /// Chooses the token at `position`, and goes on behind it if it was guessed.
    fn choose(&mut self, position: usize, logits: &mut [f32]) {
        let token = match self.sampler.choose(logits, position) {
            Ok(token) => token,
            Err(error) => return self.end(Err(error.into())),
        };
        if self.sampler.is_end(token.id) {
            return self.end(Ok(FinishReason::Stop));
        }
        if let Err(error) = self.sampler.accept(token.id) {
            return self.end(Err(error.into()));
        }
        let is_guessed = self.draft.get(position - self.known) == Some(&token.id);
        self.gain.accepted += usize::from(is_guessed);
        self.gain.is_settled = !is_guessed;
        self.gain.tokens.push(token);
        if self.sampler.is_done() {
            self.end(Ok(FinishReason::Stop));
        } else if position + 1 - self.request.prompt_ids.len() == self.request.sampling.max_new_tokens {
            self.end(Ok(FinishReason::Length));
        } else if position + 1 == self.context_tokens_max {
            self.end(Ok(FinishReason::Context));
        }
    }

    fn end(&mut self, reason: Result<FinishReason, EngineError>) {
        self.gain.end = Some(reason);
        self.gain.is_settled = true;
    }
}
