//! The thread that owns the model: take requests, run passes, hand out tokens.

mod admit; // read first: when a waiting request may run
mod plan; // then: what the running ones bring to a pass
mod pass; // then: the pass, and what comes of it

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::error::EngineError;
use crate::event::{Event, FinishReason};
use crate::forward::Forward;
use crate::inbox::{Arrivals, Caller, Inbox, Phase, SessionList, lock};
use crate::limits::EngineLimits;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::pages::Pages;
use crate::sequence::Sequence;
use crate::speculate::Payoff;

/// Says what time it is.
pub(crate) type Clock = Box<dyn FnMut() -> Instant + Send>;

/// All state of the engine's thread.
pub(crate) struct Worker<F: Forward> {
    model: F,
    limits: EngineLimits,
    context_tokens_max: usize,
    inbox: Arc<Inbox<F::Adapter>>,
    metrics: Arc<Mutex<Metrics>>,
    clock: Clock,
    pages: Pages,
    /// In the order of arrival, health checks first.
    waiting: Vec<Sequence<F::Adapter>>,
    /// In the order of arrival. They hold pages.
    running: Vec<Sequence<F::Adapter>>,
    payoff: Payoff,
    pace: Pace,
    /// Last events, told when the pages are back and the counts are right.
    farewells: Vec<(Caller, Event)>,
}

impl<F: Forward> Worker<F> {
    pub fn new(
        model: F,
        limits: EngineLimits,
        context_tokens_max: usize,
        inbox: Arc<Inbox<F::Adapter>>,
        metrics: Arc<Mutex<Metrics>>,
        clock: Clock,
    ) -> Worker<F> {
        Worker {
            pages: Pages::new(model.page_count(), model.page_tokens()),
            payoff: Payoff::new(limits.draft_requests_max),
            pace: Pace::new(limits.pass_time_target),
            model,
            limits,
            context_tokens_max,
            inbox,
            metrics,
            clock,
            waiting: Vec::new(),
            running: Vec::new(),
            farewells: Vec::new(),
        }
    }

    /// Serves until it is told to stop.
    pub fn run(&mut self) {
        loop {
            let arrivals = self.inbox.take(self.is_idle());
            if arrivals.phase == Phase::Stopping {
                return;
            }
            self.step(arrivals);
        }
    }

    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// Takes what came in, lets go what is to end, and runs one pass.
    fn step(&mut self, arrivals: Arrivals<F::Adapter>) {
        for job in arrivals.jobs {
            lock(&self.metrics).accepted += u64::from(!job.is_probe);
            let adapter = job.request.adapter.as_deref().map(F::adapter_id);
            self.wait(Sequence::new(job, adapter));
        }
        arrivals.closed_sessions.into_iter().for_each(|session| self.pages.unpin(session));
        // A caller that cancels and asks again set its flag before its new request came in: letting go first gives the
        // new one what the old one has computed.
        self.release();
        self.admit();
        if !self.running.is_empty() {
            self.pass();
        }
        self.show_gauges();
        for (mut caller, event) in self.farewells.drain(..) {
            caller.tell(event);
        }
    }

    /// Lets go of requests that were cancelled or are late.
    fn release(&mut self) {
        let now = (self.clock)();
        let is_over = |sequence: &mut Sequence<F::Adapter>| sequence.job.is_cancelled() || sequence.job.is_late(now);
        let waiting = self.waiting.extract_if(.., is_over);
        let over: Vec<_> = waiting.chain(self.running.extract_if(.., is_over)).collect();
        for sequence in over {
            let is_cancelled = sequence.job.is_cancelled();
            self.finish(sequence, if is_cancelled { FinishReason::Cancelled } else { FinishReason::Deadline });
        }
    }

    /// Ends an answer. What it computed stays in the tree, and is kept for its session.
    fn finish(&mut self, mut sequence: Sequence<F::Adapter>, reason: FinishReason) {
        let holding = std::mem::take(&mut sequence.holding);
        let now = (self.clock)();
        let session = sequence.job.request.session.filter(|_| holding.shared_count() > 0);
        if let Some(session) = session.filter(|&session| self.inbox.is_session_open(session)) {
            self.pages.pin(session, &holding, now);
        }
        self.pages.end(holding);
        if !sequence.job.is_probe {
            let seconds = now.saturating_duration_since(sequence.job.submitted).as_secs_f64();
            lock(&self.metrics).end(reason, seconds);
        }
        let finished = sequence.finished(reason);
        self.farewells.push((sequence.job.caller, Event::Done(finished)));
    }

    /// Ends a request without an answer.
    fn fail(&mut self, mut sequence: Sequence<F::Adapter>, error: EngineError) {
        self.pages.end(std::mem::take(&mut sequence.holding));
        if !sequence.job.is_probe {
            lock(&self.metrics).failed += 1;
        }
        self.farewells.push((sequence.job.caller, Event::Failed(error)));
    }

    fn show_gauges(&self) {
        let mut metrics = lock(&self.metrics);
        metrics.running = self.running.len();
        metrics.waiting = self.waiting.len();
        metrics.pages_cached = self.pages.cached_count();
        metrics.pages_pinned = self.pages.pinned_count();
        metrics.pages_used = self.pages.used_count();
    }
}
