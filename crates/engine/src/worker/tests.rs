//! The worker, one step at a time, with a clock that the test moves.

mod random;
mod turns;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::inbox::Job;
use crate::mock::{Mock, MockAdapter, entries, sampler};
use crate::request::{Request, Ticket};
use crate::sampling::Sampling;

/// A worker without a thread.
struct Bench {
    worker: Worker<Mock>,
    control: Arc<Mutex<crate::mock::Control>>,
    inbox: Arc<Inbox<MockAdapter>>,
    begun: Instant,
    /// Time since then. Each look at the clock takes a millisecond.
    elapsed_ms: Arc<AtomicU64>,
}

/// A request and what was heard of it.
struct Asked {
    ticket: Ticket,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Bench {
    fn new(model: Mock, limits: EngineLimits) -> Bench {
        limits.check().unwrap();
        let inbox = Arc::new(Inbox::new(usize::MAX));
        let page_count = Pages::shared_count(model.page_count, model.page_tokens);
        let metrics = Arc::new(Mutex::new(Metrics::new(page_count)));
        let (begun, elapsed_ms) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let clock: Clock = Box::new({
            let elapsed_ms = Arc::clone(&elapsed_ms);
            move || begun + Duration::from_millis(elapsed_ms.fetch_add(1, Ordering::Relaxed))
        });
        let control = Arc::clone(&model.control);
        let context_tokens_max = model.context_tokens_max.min(page_count * model.page_tokens);
        let worker = Worker::new(model, limits, context_tokens_max, Arc::clone(&inbox), metrics, clock);
        Bench { worker, control, inbox, begun, elapsed_ms }
    }

    fn now(&self) -> Instant {
        self.begun + Duration::from_millis(self.elapsed_ms.load(Ordering::Relaxed))
    }

    fn ask(&self, request: Request<MockAdapter>) -> Asked {
        self.ask_as(request, false)
    }

    fn ask_as(&self, request: Request<MockAdapter>, is_probe: bool) -> Asked {
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let heard = Arc::clone(&events);
        let place = self.inbox.places.take();
        let caller = Caller::new(Box::new(move |event| heard.lock().unwrap().push(event)), place, self.inbox.stopped());
        let is_cancelled = Arc::default();
        let ticket = Ticket { is_cancelled: Arc::clone(&is_cancelled) };
        let sampler = sampler(&request, self.worker.context_tokens_max);
        let job = Job { arrival: 0, request, sampler, is_cancelled, caller, submitted: self.now(), is_probe };
        self.inbox.push(job).unwrap();
        Asked { ticket, events }
    }

    fn step(&mut self) {
        self.worker.step(self.inbox.take(false));
        self.worker.check();
    }

    /// Steps until nothing runs; panics when that takes more than `most`.
    fn finish(&mut self, most: usize) -> usize {
        for steps in 0..most {
            self.step();
            if self.worker.is_idle() {
                return steps + 1;
            }
        }
        panic!("still {} running and {} waiting", self.worker.running.len(), self.worker.waiting.len());
    }

    fn metrics(&self) -> Metrics {
        lock(&self.worker.metrics).clone()
    }

    /// How many tokens each step of the last pass brought.
    fn last_pass(&self) -> Vec<usize> {
        let control = self.control.lock().unwrap();
        control.passes.last().unwrap().iter().map(|(_, tokens)| tokens.len()).collect()
    }
}

impl Asked {
    fn tokens(&self) -> Vec<u32> {
        let events = self.events.lock().unwrap();
        events.iter().filter_map(|event| if let Event::Token(token) = event { Some(token.id) } else { None }).collect()
    }

    fn end(&self) -> Option<Event> {
        let events = self.events.lock().unwrap();
        events.last().filter(|event| matches!(event, Event::Done(_) | Event::Failed(_))).cloned()
    }

    fn finish(&self) -> Option<FinishReason> {
        match self.end() {
            Some(Event::Done(finished)) => Some(finished.finish),
            _ => None,
        }
    }
}

impl Worker<Mock> {
    /// What must hold between two steps.
    fn check(&self) {
        let holdings: Vec<_> = self.running.iter().map(|running| &running.holding).collect();
        self.pages.check(&holdings);
        assert!(self.running.iter().is_sorted_by_key(|running| running.job.arrival));
        let counted = self.running.iter().filter(|running| !running.job.is_probe).count();
        assert!(counted <= self.limits.running_max);
        for waiting in &self.waiting {
            assert!(waiting.holding.pages().is_empty() && waiting.computed == 0);
        }
        let control = self.model.control.lock().unwrap();
        let page_tokens = self.model.page_tokens;
        for running in &self.running {
            assert!(running.computed < running.known.len(), "{} of {}", running.computed, running.known.len());
            assert_eq!(running.holding.shared_count(), running.computed / page_tokens);
            let pages = running.holding.pages();
            let held = (0..running.computed)
                .map(|position| control.pages[pages[position / page_tokens] as usize][position % page_tokens]);
            let wanted = entries(&running.known[..running.computed], running.job.request.adapter.as_deref());
            assert!(held.eq(wanted), "the pages of a request hold something else");
        }
    }
}

fn greedy(max_new_tokens: usize) -> Sampling {
    Sampling { max_new_tokens, ..Sampling::default() }
}

fn request(prompt_ids: &[u32], max_new_tokens: usize) -> Request<MockAdapter> {
    Request::new(prompt_ids.to_vec(), greedy(max_new_tokens))
}
