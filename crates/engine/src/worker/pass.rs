//! One pass of the model over all running requests, and what comes of it.

use std::time::Instant;

use super::Worker;
use crate::error::EngineError;
use crate::event::{Event, FinishReason};
use crate::forward::{Forward, Step};
use crate::inbox::lock;
use crate::sequence::{Gain, Rows, Sequence, Share};

impl<F: Forward> Worker<F> {
    /// Plans and runs a pass, and tells the callers what it gave.
    pub(super) fn pass(&mut self) {
        let shares = self.plan();
        let begun = (self.clock)();
        let gains = self.forward(&shares);
        let now = (self.clock)();
        let seconds = now.saturating_duration_since(begun).as_secs_f64();
        {
            let mut metrics = lock(&self.metrics);
            metrics.passes += 1;
            metrics.pass_seconds += seconds;
        }
        match gains {
            Ok(gains) => {
                let is_reading = |(index, _): &&(usize, Share)| !self.running[*index].is_generating();
                self.pace.learn(shares.iter().filter(is_reading).map(|(_, share)| share.tokens).sum(), seconds);
                self.judge(&shares, &gains, seconds);
                self.hand_out(shares, gains, now);
            }
            // What the pages of these requests hold is undefined; the others go on.
            Err(reason) => {
                for (index, _) in shares.into_iter().rev() {
                    let sequence = self.running.remove(index);
                    self.fail(sequence, EngineError::Model { reason: reason.clone() });
                }
            }
        }
    }

    /// Runs the model. Gives what each share gained.
    fn forward(&mut self, shares: &[(usize, Share)]) -> Result<Vec<Gain>, String> {
        let token_ids: Vec<Vec<u32>> = shares
            .iter()
            .map(|(index, share)| {
                let Sequence { known, computed, .. } = &self.running[*index];
                [&known[*computed..computed + share.tokens], &share.draft].concat()
            })
            .collect();
        let mut rows: Vec<Rows<'_, F::Adapter>> = Vec::with_capacity(shares.len());
        let mut steps: Vec<Step<'_, F::Adapter>> = Vec::with_capacity(shares.len());
        let mut next = shares.iter().zip(&token_ids).peekable();
        for (index, running) in self.running.iter_mut().enumerate() {
            let Some(((_, share), token_ids)) = next.next_if(|((wanted, _), _)| *wanted == index) else {
                continue;
            };
            let (wanted, first) = (running.wanted(share), running.computed);
            let (row, pages, adapter) = running.split(share, self.context_tokens_max);
            rows.push(row);
            steps.push(Step { token_ids, first, pages, adapter, wanted });
        }
        self.model.forward(&steps, &mut |step, index, row| rows[step].take(index, row))?;
        drop(steps);
        Ok(rows.into_iter().map(|rows| rows.gain).collect())
    }

    /// Learns whether guessing pays.
    fn judge(&mut self, shares: &[(usize, Share)], gains: &[Gain], seconds: f64) {
        let is_generating = |(index, _): &(usize, Share)| self.running[*index].is_generating();
        if shares.iter().all(is_generating) {
            let with_guesses = shares.iter().any(|(_, share)| !share.draft.is_empty());
            let tokens = gains.iter().map(|gain| gain.tokens.len()).sum();
            self.payoff.learn(shares.len(), with_guesses, seconds, tokens);
        }
    }

    /// Adds what each request gained, tells its caller, and ends those that are done.
    fn hand_out(&mut self, shares: Vec<(usize, Share)>, gains: Vec<Gain>, now: Instant) {
        // From the back, so that the indices still to come stay right.
        for ((index, share), mut gain) in shares.into_iter().zip(gains).rev() {
            let end = gain.end.take();
            let is_read = self.running[index].remaining() == share.tokens;
            if !gain.tokens.is_empty() || (is_read && !matches!(end, Some(Err(_)))) {
                self.running[index].start();
            }
            self.count(index, &share, &gain, now);
            let sequence = &mut self.running[index];
            sequence.known.extend(gain.tokens.iter().map(|token| token.id));
            gain.tokens.into_iter().for_each(|token| sequence.tell(Event::Token(token)));
            if let Some(Err(error)) = end {
                // A row was no good, so none of these pages is shared.
                let sequence = self.running.remove(index);
                self.fail(sequence, error);
                continue;
            }
            sequence.computed += share.tokens + gain.accepted;
            self.pages.share(&mut sequence.holding, &sequence.known[..sequence.computed]);
            let end = end.and_then(Result::ok);
            let is_scored = is_read && !sequence.job.request.is_answered();
            if let Some(reason) = end.or(is_scored.then_some(FinishReason::Length)) {
                let sequence = self.running.remove(index);
                self.finish(sequence, reason);
            }
        }
    }

    /// Counts what a request gained, and learns how good its guesses are.
    fn count(&mut self, index: usize, share: &Share, gain: &Gain, now: Instant) {
        let sequence = &mut self.running[index];
        let (drafted, given) = (share.draft.len(), gain.tokens.len());
        if drafted > 0 {
            sequence.acceptance.learn(drafted, gain.accepted);
        }
        sequence.acceptance.pass(given);
        if sequence.job.is_probe {
            return;
        }
        let mut metrics = lock(&self.metrics);
        metrics.drafted_tokens += drafted as u64;
        metrics.accepted_tokens += gain.accepted as u64;
        metrics.generated_tokens += given as u64;
        if given > 0 {
            let is_first = sequence.known.len() == sequence.job.request.prompt_ids.len();
            let since = sequence.last_token.replace(now).unwrap_or(sequence.job.submitted);
            let seconds = now.saturating_duration_since(since).as_secs_f64();
            match is_first {
                true => metrics.first_token_seconds.add(seconds, 1),
                false => metrics.inter_token_seconds.add(seconds / given as f64, given as u64),
            }
        }
    }
}
