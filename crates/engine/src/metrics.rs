//! Counts and times of what an engine does.

use crate::event::FinishReason;

/// A snapshot. Counters only grow while the engine lives; times are in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// Requests that hold pages now.
    pub running: usize,
    /// Requests that wait for pages or a place now.
    pub waiting: usize,
    /// Sessions that are open now.
    pub sessions: usize,
    /// Pages of the key-value cache that requests and sessions share.
    pub pages_total: usize,
    /// Pages that running requests or open sessions hold now.
    pub pages_used: usize,
    /// Pages that nobody holds, kept for prompts that begin with their tokens; the least recently used go first.
    pub pages_cached: usize,
    /// Pages that open sessions keep, at most half of all. A page may also be used.
    pub pages_pinned: usize,

    /// Requests taken.
    pub accepted: u64,
    /// Requests refused because too many waited.
    pub refused: u64,
    /// Requests that ended with [`crate::FinishReason::Stop`].
    pub finished_stop: u64,
    /// Requests that ended with [`crate::FinishReason::Length`].
    pub finished_length: u64,
    /// Requests that ended with [`crate::FinishReason::Context`].
    pub finished_context: u64,
    /// Requests that were cancelled.
    pub cancelled: u64,
    /// Requests whose deadline came.
    pub expired: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests that gave up their pages to older ones and were computed again later.
    pub preemptions: u64,
    /// Passes of the model.
    pub passes: u64,
    /// Time spent in passes.
    pub pass_seconds: f64,
    /// Tokens of the prompts that were begun.
    pub prompt_tokens: u64,
    /// How many of them were not computed again.
    pub prefix_hit_tokens: u64,
    /// Tokens given out.
    pub generated_tokens: u64,
    /// Tokens guessed.
    pub drafted_tokens: u64,
    /// Guessed tokens that were right.
    pub accepted_tokens: u64,

    /// From the request to its first pass.
    pub queue_seconds: Histogram,
    /// From the request to its first token.
    pub first_token_seconds: Histogram,
    /// Between two tokens of an answer; tokens of one pass share the time since the pass before.
    pub inter_token_seconds: Histogram,
    /// From the request to its end, of requests that were finished.
    pub request_seconds: Histogram,
}

/// How often values fell between bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

/// Upper bounds for waiting times and whole requests.
const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0];

/// Upper bounds for the time between two tokens.
const SHORT_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0];

impl Histogram {
    fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: vec![0; bounds.len() + 1], sum: 0.0 }
    }

    pub(crate) fn add(&mut self, value: f64, times: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        self.counts[bucket] += times;
        self.sum += value * times as f64;
    }

    /// The bounds below infinity, each with how many values were at most so large.
    pub fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let sums = self.counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        self.bounds.iter().copied().zip(sums)
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their sum.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

impl Metrics {
    pub(crate) fn new(pages_total: usize) -> Metrics {
        Metrics {
            running: 0,
            waiting: 0,
            sessions: 0,
            pages_total,
            pages_used: 0,
            pages_cached: 0,
            pages_pinned: 0,
            accepted: 0,
            refused: 0,
            finished_stop: 0,
            finished_length: 0,
            finished_context: 0,
            cancelled: 0,
            expired: 0,
            failed: 0,
            preemptions: 0,
            passes: 0,
            pass_seconds: 0.0,
            prompt_tokens: 0,
            prefix_hit_tokens: 0,
            generated_tokens: 0,
            drafted_tokens: 0,
            accepted_tokens: 0,
            queue_seconds: Histogram::new(SECONDS),
            first_token_seconds: Histogram::new(SECONDS),
            inter_token_seconds: Histogram::new(SHORT_SECONDS),
            request_seconds: Histogram::new(SECONDS),
        }
    }

    /// Counts an answer that ended `seconds` after it was asked for.
    pub(crate) fn end(&mut self, reason: FinishReason, seconds: f64) {
        let (count, is_finished) = match reason {
            FinishReason::Stop => (&mut self.finished_stop, true),
            FinishReason::Length => (&mut self.finished_length, true),
            FinishReason::Context => (&mut self.finished_context, true),
            FinishReason::Cancelled => (&mut self.cancelled, false),
            FinishReason::Deadline => (&mut self.expired, false),
        };
        *count += 1;
        if is_finished {
            self.request_seconds.add(seconds, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_at_or_below_their_bound() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        histogram.add(1.0, 1);
        histogram.add(1.5, 2);
        histogram.add(9.0, 1);
        assert_eq!(histogram.cumulative().collect::<Vec<_>>(), [(1.0, 1), (2.0, 3)]);
        assert_eq!((histogram.count(), histogram.sum()), (4, 13.0));
    }
}
