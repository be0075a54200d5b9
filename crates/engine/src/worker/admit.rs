//! When a waiting request may run, and which running one makes room.

use super::Worker;
use crate::forward::Forward;
use crate::inbox::lock;
use crate::sequence::Sequence;

impl<F: Forward> Worker<F> {
    /// Puts a request into the queue: health checks first, then by arrival.
    pub(super) fn wait(&mut self, sequence: Sequence<F::Adapter>) {
        let order = |sequence: &Sequence<F::Adapter>| (!sequence.job.is_probe, sequence.job.arrival);
        let index = self.waiting.partition_point(|other| order(other) < order(&sequence));
        self.waiting.insert(index, sequence);
    }

    /// Lets waiting requests run, in order, while there are places and pages.
    ///
    /// A request that must wait for pages is not overtaken, or it might wait for ever. One whose prompt begins as one
    /// that is being read does not hold up others: it waits for no longer than it would take to read that itself.
    pub(super) fn admit(&mut self) {
        let mut index = 0;
        while index < self.waiting.len() {
            let sequence = &self.waiting[index];
            let places = self.running.iter().filter(|running| !running.job.is_probe).count();
            if places >= self.limits.running_max && !sequence.job.is_probe {
                return;
            }
            if self.is_being_read(sequence) {
                index += 1;
            } else if !self.begin(index) {
                return;
            }
        }
    }

    /// Whether a running request is about to compute full pages that this one could use.
    fn is_being_read(&self, sequence: &Sequence<F::Adapter>) -> bool {
        let wanted = &sequence.known[..sequence.reusable()];
        let page_tokens = self.model.page_tokens();
        if wanted.len() < page_tokens {
            return false;
        }
        let mut readers = self.running.iter().filter(|running| {
            let has_more_to_read = running.remaining() > 1;
            has_more_to_read && running.tree == sequence.tree && running.known[0] == wanted[0]
        });
        let mut found = None;
        readers.any(|running| {
            let same = running.known.iter().zip(wanted).take_while(|(a, b)| a == b).count() / page_tokens;
            let ready = running.holding.shared_count();
            same > ready && same > *found.get_or_insert_with(|| self.pages.found(sequence.tree, wanted))
        })
    }

    /// Gives a waiting request the pages of its known tokens and lets it run; false when there are too few.
    ///
    /// Each running request keeps a page in reserve, so that a newcomer does not drive others out at once.
    fn begin(&mut self, index: usize) -> bool {
        let sequence = &self.waiting[index];
        let reusable = &sequence.known[..sequence.reusable()];
        let mut holding = self.pages.begin(sequence.tree, reusable);
        let token_count = (sequence.known.len() + 1).min(self.context_tokens_max);
        let needed = self.pages.pages_for(token_count).saturating_sub(holding.pages().len());
        if self.running.is_empty() {
            // Nothing else can give way. Without sessions everything but the beginning held here is to be had.
            while self.pages.available() < needed && self.pages.unpin_oldest() {}
        } else {
            let reserve = if sequence.job.is_probe { 0 } else { self.running.len() };
            if self.pages.available() < needed + reserve {
                self.pages.end(holding);
                return false;
            }
        }
        let is_grown = self.pages.grow(&mut holding, token_count);
        assert!(is_grown, "a sequence of {token_count} tokens fits in the pages when it is alone");
        let mut sequence = self.waiting.remove(index);
        sequence.computed = holding.shared_count() * self.model.page_tokens();
        sequence.holding = holding;
        self.note_begin(&mut sequence);
        let order = self.running.partition_point(|other| other.job.arrival < sequence.job.arrival);
        self.running.insert(order, sequence);
        true
    }

    /// Counts a request that runs for the first time.
    fn note_begin(&mut self, sequence: &mut Sequence<F::Adapter>) {
        if sequence.cached_tokens.is_some() {
            return;
        }
        sequence.cached_tokens = Some(sequence.computed);
        if !sequence.job.is_probe {
            let waited = (self.clock)().saturating_duration_since(sequence.job.submitted);
            let mut metrics = lock(&self.metrics);
            metrics.prompt_tokens += sequence.known.len() as u64;
            metrics.prefix_hit_tokens += sequence.computed as u64;
            metrics.queue_seconds.add(waited.as_secs_f64(), 1);
        }
    }

    /// Takes the pages of the youngest running request, if it is younger than the one at `index`, and lets it wait.
    ///
    /// The oldest is never driven out and drives out all others when it must, so it ends, and then another one is the
    /// oldest: nothing goes in circles.
    pub(super) fn preempt_behind(&mut self, index: usize) -> bool {
        if self.running.len() <= index + 1 {
            return false;
        }
        let mut sequence = self.running.pop().expect("more than one is running");
        self.pages.end(std::mem::take(&mut sequence.holding));
        sequence.computed = 0;
        lock(&self.metrics).preemptions += 1;
        self.wait(sequence);
        true
    }
}
