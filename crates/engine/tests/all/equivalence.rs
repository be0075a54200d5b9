//! Alone = batched = prefix-hit = preempted = guessed, bit for bit: tokens and log-probabilities.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use codeact_cpu::Isa;
use codeact_engine::{Engine, EngineLimits, FinishReason, Generated, Metrics, Request, Sampling, Token};
use codeact_model::serving::{ServedAdapter, ServedWeights};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::tiny;

/// Tokens that the pages hold: few enough that running requests take pages from each other.
const POOL_TOKENS: usize = 640;

const CALLERS: usize = 24;

/// A request that many callers make.
struct Asked {
    prompt: Vec<u32>,
    sampling: Sampling,
    adapter: Option<Arc<ServedAdapter>>,
    /// What it gets when nobody else asks.
    alone: Vec<Token>,
}

impl Asked {
    fn request(&self, speculation: bool) -> Request {
        let adapter = self.adapter.clone();
        Request { adapter, speculation, ..Request::new(self.prompt.clone(), self.sampling.clone()) }
    }
}

/// Prompts that share beginnings and repeat themselves; greedy and drawn, penalised, with and without adapters.
fn questions(count: u32, weights: ServedWeights, isa: Option<Isa>) -> Vec<Asked> {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut below = |end: u32| random.next_u32() % end;
    let adapters = [None, Some(tiny::adapter(1, 0)), Some(tiny::adapter(2, 3))];
    let question = |index: u32| {
        let beginning = below(4);
        let mut prompt: Vec<u32> = (0..below(90)).map(|at| (beginning * 31 + at * at) % tiny::VOCAB_SIZE).collect();
        // Text that comes again is what guesses are made from.
        let phrase: Vec<u32> = (0..1 + below(6)).map(|_| below(tiny::VOCAB_SIZE)).collect();
        prompt.extend(phrase.repeat(1 + below(8) as usize));
        let sampling = Sampling {
            temperature: if index.is_multiple_of(2) { 0.0 } else { 0.2 + f64::from(below(10)) / 10.0 },
            top_p: if below(2) == 0 { 1.0 } else { 0.9 },
            top_k: (below(2) == 0).then_some(40),
            repetition_penalty: if below(4) == 0 { 1.1 } else { 1.0 },
            frequency_penalty: if below(4) == 0 { 0.2 } else { 0.0 },
            logprobs: Some(below(3) as usize),
            seed: u64::from(below(1000)),
            max_new_tokens: 1 + below(40) as usize,
            ..Sampling::default()
        };
        (prompt, sampling, adapters[below(3) as usize].clone())
    };
    let questions: Vec<_> = (0..count).map(question).collect();
    let alone = |(prompt, sampling, adapter)| {
        // A fresh engine: nothing is there to be found.
        let engine = Engine::start(tiny::served_with(weights, 1, POOL_TOKENS, isa), EngineLimits::default()).unwrap();
        let asked = Asked { prompt, sampling, adapter, alone: Vec::new() };
        let alone = engine.generate(asked.request(false), &mut |_| true).unwrap().tokens;
        Asked { alone, ..asked }
    };
    questions.into_iter().map(alone).collect()
}

/// Asks `count` times from many threads at once. One in ten leaves before its answer is complete.
fn ask_all(engine: &Engine, questions: &[Asked], count: usize) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let session = engine.open_session();
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    if turn >= count {
                        return;
                    }
                    let mut random = ChaCha8Rng::seed_from_u64(turn as u64);
                    let asked = &questions[random.next_u32() as usize % questions.len()];
                    let leaves_after = (random.next_u32() % 10 == 0).then(|| random.next_u32() as usize % 10);
                    let session = (random.next_u32() % 4 == 0).then(|| session.id());
                    let request = Request { session, ..asked.request(random.next_u32() % 4 > 0) };
                    let mut heard = 0;
                    let answer = engine.generate(request, &mut |_| {
                        heard += 1;
                        leaves_after.is_none_or(|tokens| heard <= tokens)
                    });
                    let answer = answer.unwrap();
                    let expected = match leaves_after {
                        Some(tokens) => &asked.alone[..asked.alone.len().min(tokens + 1)],
                        None => &asked.alone[..],
                    };
                    assert_eq!(answer.tokens, expected, "request {turn}");
                }
            });
        }
    });
}

fn in_random_company(
    weights: ServedWeights,
    threads: usize,
    questions: u32,
    count: usize,
    isa: Option<Isa>,
) -> Metrics {
    let questions = self::questions(questions, weights, isa);
    let limits =
        EngineLimits { running_max: 16, prompt_tokens_per_pass: 48, draft_requests_max: 16, ..EngineLimits::default() };
    let engine = Engine::start(tiny::served_with(weights, threads, POOL_TOKENS, isa), limits).unwrap();
    ask_all(&engine, &questions, count);
    assert!(engine.drain(Duration::from_secs(10)));
    // The engine hears of sessions that were closed a moment later.
    let give_up = Instant::now() + Duration::from_secs(10);
    while engine.metrics().pages_used > 0 && Instant::now() < give_up {
        thread::sleep(Duration::from_millis(5));
    }
    engine.metrics()
}

#[test]
fn ten_thousand_requests_get_in_any_company_what_each_gets_alone() {
    let metrics = in_random_company(ServedWeights::F32, 1, 200, 10_000, None);
    // All of it has happened.
    assert!(metrics.preemptions > 20, "{metrics:?}");
    assert!(metrics.accepted_tokens > 1000 && metrics.drafted_tokens > metrics.accepted_tokens, "{metrics:?}");
    assert!(metrics.prefix_hit_tokens > 10_000 && metrics.cancelled > 300, "{metrics:?}");
    assert_eq!((metrics.running, metrics.waiting, metrics.pages_used), (0, 0, 0), "{metrics:?}");
}

#[test]
fn so_they_do_with_weights_of_fewer_bits_and_several_threads() {
    for weights in [ServedWeights::Bf16, ServedWeights::Q8_0, ServedWeights::Q4K] {
        in_random_company(weights, 2, 40, 400, None);
    }
}

#[test]
fn so_they_do_with_the_instructions_of_older_processors() {
    // The best of this one is what all other tests run on.
    for isa in Isa::available().filter(|isa| *isa < Isa::best()) {
        for weights in [ServedWeights::F32, ServedWeights::Bf16, ServedWeights::Q4K] {
            in_random_company(weights, 2, 8, 40, Some(isa));
        }
    }
}

fn prompt(seed: u32, length: u32) -> Vec<u32> {
    (0..length).map(|index| (seed * 31 + index * index * 7 + index) % tiny::VOCAB_SIZE).collect()
}

fn ask(engine: &Engine, prompt: &[u32], sampling: Sampling) -> Generated {
    engine.generate(Request::new(prompt.to_vec(), sampling), &mut |_| true).unwrap()
}

#[test]
fn a_next_turn_only_computes_what_is_new_to_it() {
    let engine = tiny::engine(EngineLimits::default());
    let session = engine.open_session();
    let mut conversation = prompt(3, 50);
    for turn in 0..4 {
        let sampling = Sampling { max_new_tokens: 20, ..Sampling::default() };
        let request = Request { session: Some(session.id()), ..Request::new(conversation.clone(), sampling.clone()) };
        let continued = engine.generate(request, &mut |_| true).unwrap();
        let cold = ask(&tiny::engine(EngineLimits::default()), &conversation, sampling);
        assert_eq!(continued.tokens, cold.tokens, "turn {turn}");
        assert_eq!(cold.cached_tokens, 0);
        if turn > 0 {
            // All full pages of the turn before, whose last token was not computed, and not the five that are new.
            assert_eq!(continued.cached_tokens, (conversation.len() - 6) / 16 * 16, "turn {turn}");
        }
        conversation.extend(continued.token_ids());
        conversation.extend(prompt(turn + 10, 5));
    }
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let engine = tiny::engine(EngineLimits::default());
    let drawn = |seed| {
        let sampling = Sampling { temperature: 1.0, seed, max_new_tokens: 30, ..Sampling::default() };
        ask(&engine, &prompt(9, 20), sampling).tokens
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn an_answer_stops_before_its_stop_token() {
    let engine = tiny::engine(EngineLimits::default());
    let open = Sampling { max_new_tokens: 30, ..Sampling::default() };
    let whole = ask(&engine, &prompt(4, 12), open.clone()).token_ids();
    let stop = whole[10];
    let first = whole.iter().position(|&token_id| token_id == stop).unwrap();
    let answer = ask(&engine, &prompt(4, 12), Sampling { stop_ids: vec![stop], ..open });
    assert_eq!(answer.token_ids(), whole[..first]);
    assert_eq!(answer.finish, FinishReason::Stop);
}
