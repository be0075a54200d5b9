//! Ten thousand requests that come, are cancelled, expire, share beginnings and drive each other out: each gets what it
//! would get alone.

use codeact_grammar::{Grammar, Matcher, Vocabulary};

use super::*;
use crate::error::EngineError;
use crate::event::Finished;
use crate::mock::{Alone, NAN_TOKEN, VOCAB_SIZE, alone, mix};
use crate::request::{Output, SessionId};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn tokens(&mut self, count: usize) -> Vec<u32> {
        // The last token of the vocabulary is the one after which nothing is finite.
        (0..count).map(|_| self.below(VOCAB_SIZE - 1) as u32).collect()
    }

    fn sampling(&mut self) -> Sampling {
        let mut sampling = greedy(1 + self.below(24));
        sampling.seed = self.next();
        if self.one_in(2) {
            sampling.temperature = 0.7;
            sampling.top_p = if self.one_in(2) { 0.9 } else { 1.0 };
        }
        if self.one_in(8) {
            (sampling.frequency_penalty, sampling.repetition_penalty) = (0.5, 1.2);
        }
        if self.one_in(4) {
            sampling.stop_ids = self.tokens(2);
            sampling.ignore_eos = self.one_in(4);
        }
        sampling.logprobs = self.one_in(6).then_some(2);
        sampling
    }
}

/// Letters in groups of two and three, in which token `n` is the n-th letter; the end is token 22.
pub(super) fn constraint() -> Matcher {
    let letters: Vec<Option<Vec<u8>>> = (0..VOCAB_SIZE as u8).map(|token| Some(vec![b'a' + token])).collect();
    let vocabulary = Vocabulary::new(&letters, &[22]).unwrap();
    Grammar::regex("([a-h]{3}|[i-u]{2}){2,6}").unwrap().matcher(&vocabulary).unwrap()
}

/// What the next request of a session continues.
enum Turn {
    After(Vec<u32>),
    /// The answer to this request, which is under way.
    Waits(usize),
}

/// One engine and those who ask it.
struct Story {
    bench: Bench,
    random: Random,
    adapters: [Option<Arc<MockAdapter>>; 3],
    beginnings: Vec<Vec<u32>>,
    constraint: Matcher,
    sessions: Vec<(SessionId, Turn)>,
    /// With what each gets alone, and its prompt.
    asked: Vec<(Asked, Alone, Vec<u32>)>,
    context_tokens_max: usize,
}

impl Story {
    fn new(seed: u64) -> Story {
        let mut random = Random(mix(seed));
        let page_tokens = 2 + random.below(4);
        let page_count = 12 + random.below(60);
        let context_tokens_max = (page_tokens * page_count).min(64 + random.below(64));
        let running_max = 1 + random.below(12);
        let limits = EngineLimits {
            running_max,
            prompt_tokens_per_pass: running_max + random.below(40),
            draft_tokens_max: random.below(9),
            draft_requests_max: random.below(13),
            ..EngineLimits::default()
        };
        let bench = Bench::new(Mock::new(page_tokens, page_count, context_tokens_max), limits);
        let adapter = |id, added| Some(Arc::new(MockAdapter { id, added }));
        let lengths = [0, 5, 13, context_tokens_max / 2];
        Story {
            bench,
            adapters: [None, adapter(0, 0), adapter(1, 3)],
            constraint: constraint(),
            beginnings: lengths.into_iter().map(|length| random.tokens(length)).collect(),
            sessions: Vec::new(),
            asked: Vec::new(),
            context_tokens_max,
            random,
        }
    }

    fn ask(&mut self) {
        let random = &mut self.random;
        let kind = random.below(20);
        let slot = (kind < 6 && !self.sessions.is_empty()).then(|| random.below(self.sessions.len()));
        let mut prompt = match slot.map(|slot| &self.sessions[slot].1) {
            Some(Turn::Waits(_)) => return,
            Some(Turn::After(text)) => text.clone(),
            None => self.beginnings[random.below(4)].clone(),
        };
        let more = 1 + random.below(12);
        prompt.extend(random.tokens(more));
        if prompt.len() >= self.context_tokens_max {
            prompt = random.tokens(more);
        }
        if random.one_in(60) {
            *prompt.last_mut().unwrap() = NAN_TOKEN;
        }
        let mut request = Request::new(prompt, random.sampling());
        request.adapter = self.adapters[random.below(3)].clone();
        if let Some(slot) = slot {
            request.session = Some(self.sessions[slot].0);
            request.adapter = self.adapters[self.sessions[slot].0.0 as usize % 3].clone();
            self.sessions[slot].1 = Turn::Waits(self.asked.len());
        }
        match kind {
            10 => request.output = Output::Embedding,
            11 => request.prompt_logprobs = Some(random.below(3)),
            12 => (request.prompt_logprobs, request.sampling.max_new_tokens) = (Some(1), 0),
            _ => request.speculation = !random.one_in(4),
        }
        if random.one_in(12) {
            request.constraint = Some(self.constraint.clone());
        }
        if random.one_in(15) {
            request.deadline = Some(self.bench.now() + Duration::from_millis(random.below(120) as u64));
        }
        let copies = if slot.is_none() && random.one_in(10) { 2 + random.below(4) } else { 1 };
        for _ in 0..copies {
            let copy = Request {
                prompt_ids: request.prompt_ids.clone(),
                sampling: Sampling { seed: self.random.next(), ..request.sampling.clone() },
                adapter: request.adapter.clone(),
                constraint: request.constraint.clone(),
                cancel: request.cancel.clone(),
                ..request
            };
            let expected = alone(&copy, self.context_tokens_max);
            let prompt = copy.prompt_ids.clone();
            self.asked.push((self.bench.ask(copy), expected, prompt));
        }
    }

    /// Opens and closes sessions, and lets those whose request has ended go on.
    fn tend_sessions(&mut self) {
        if self.sessions.len() < 6 && self.random.one_in(10) {
            self.sessions.push((self.bench.inbox.open_session(), Turn::After(Vec::new())));
        }
        if !self.sessions.is_empty() && self.random.one_in(40) {
            let (id, _) = self.sessions.remove(0);
            self.bench.inbox.close_session(id);
        }
        for (_, turn) in &mut self.sessions {
            let Turn::Waits(index) = *turn else { continue };
            let (asked, _, prompt) = &self.asked[index];
            if asked.end().is_some() {
                *turn = Turn::After([prompt.as_slice(), &asked.tokens()].concat());
            }
        }
    }

    fn run(&mut self, requests: usize) {
        let (mut steps, pace) = (0, 1 + self.random.below(6));
        while self.asked.len() < requests || !self.bench.worker.is_idle() {
            // Bursts, and time to finish between them.
            if self.asked.len() < requests && self.random.one_in(3) {
                (0..=self.random.below(pace)).for_each(|_| self.ask());
            }
            if self.random.one_in(12) && !self.asked.is_empty() {
                let newest = self.asked.len().saturating_sub(20);
                let index = newest + self.random.below(self.asked.len() - newest);
                self.asked[index].0.ticket.cancel();
            }
            if self.random.one_in(200) {
                self.bench.control.lock().unwrap().fails = Some("out of memory".to_owned());
            }
            self.tend_sessions();
            self.bench.step();
            self.bench.control.lock().unwrap().passes.clear();
            steps += 1;
            assert!(steps < 200 * requests, "no end in sight");
        }
        for (id, _) in std::mem::take(&mut self.sessions) {
            self.bench.inbox.close_session(id);
        }
        self.bench.step();
        let pages = &self.bench.worker.pages;
        assert_eq!((pages.used_count(), pages.pinned_count()), (0, 0), "pages that nobody holds");
    }

    /// Compares every answer with that of the request alone. Returns how many came to their own end.
    fn compare(&self) -> usize {
        let each = self.asked.iter().enumerate();
        each.filter(|(index, (asked, alone, prompt))| is_whole(asked, alone, prompt, &format!("request {index}")))
            .count()
    }
}

/// Whether the answer came to its own end; panics where it is not the one that the request gets alone.
fn is_whole(asked: &Asked, alone: &Alone, prompt: &[u32], name: &str) -> bool {
    let mut events = asked.events.lock().unwrap().clone();
    let last = events.pop().unwrap_or_else(|| panic!("{name} never heard anything"));
    let mut events = events.into_iter().peekable();
    let mut has_started = false;
    if let Some(Event::Started { cached_tokens, prompt_logprobs }) = events.peek() {
        assert!(*cached_tokens < prompt.len(), "{name}");
        assert_eq!(*prompt_logprobs, alone.prompt_logprobs, "{name}");
        has_started = true;
        events.next();
    }
    let mut tokens = Vec::new();
    for event in events {
        match event {
            Event::Token(token) if has_started => tokens.push(token),
            Event::Embedding(embedding) if has_started => assert_eq!(embedding, alone.embedding, "{name}"),
            event => panic!("{name} heard {event:?} out of order"),
        }
    }
    assert!(alone.tokens.starts_with(&tokens), "{name}: {tokens:?} is no beginning of {:?}", alone.tokens);
    let end = match last {
        Event::Done(Finished { finish: FinishReason::Cancelled | FinishReason::Deadline, .. }) => return false,
        Event::Failed(EngineError::Model { .. }) => return false,
        Event::Done(finished) => {
            assert!(has_started && finished.completion_tokens == tokens.len(), "{name}: {finished:?}");
            Ok(finished.finish)
        }
        Event::Failed(error) => Err(error),
        event => panic!("{name} ended with {event:?}"),
    };
    assert_eq!((&tokens, &end), (&alone.tokens, &alone.end), "{name}");
    true
}

#[test]
fn ten_thousand_requests_get_what_they_get_alone() {
    const STORIES: u64 = 40;
    const REQUESTS: usize = 250;
    let (mut whole, mut all) = (0, 0);
    let mut sums = [0; 6];
    for seed in 0..STORIES {
        let mut story = Story::new(seed);
        story.run(REQUESTS);
        whole += story.compare();
        all += story.asked.len();
        let metrics = story.bench.metrics();
        let counts = [
            metrics.preemptions,
            metrics.accepted_tokens,
            metrics.drafted_tokens - metrics.accepted_tokens,
            metrics.prefix_hit_tokens,
            metrics.cancelled,
            metrics.expired,
        ];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    // Nothing is shown of what did not happen.
    assert!(all >= 10_000 && whole > all / 2, "{whole} of {all} came to their own end");
    assert!(sums.iter().all(|&sum| sum > 100), "{sums:?}");
}
