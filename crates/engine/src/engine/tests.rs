//! The engine around a model that counts: after token `n` comes `n + 1`, and some tokens make it fail.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;
use crate::forward::Step;

const VOCAB_SIZE: usize = 200;
const PANIC_TOKEN: u32 = 150;
const ERROR_TOKEN: u32 = 151;
const NAN_TOKEN: u32 = 152;

/// Notes how many tokens each sequence brings to a pass, and holds the pass until the test lets go.
#[derive(Clone, Default)]
struct Counting {
    gate: Arc<Mutex<()>>,
    passes: Arc<Mutex<Vec<Vec<usize>>>>,
}

impl Forward for Counting {
    type Cache = Vec<u32>;

    fn new_cache(&self) -> Vec<u32> {
        Vec::new()
    }

    fn truncate(cache: &mut Vec<u32>, token_count: usize) {
        cache.truncate(token_count);
    }

    fn bytes(cache: &Vec<u32>) -> usize {
        cache.len()
    }

    fn vocab_size(&self) -> usize {
        VOCAB_SIZE
    }

    fn context_tokens_max(&self) -> usize {
        32
    }

    fn forward(
        &self,
        steps: &mut [Step<'_, Vec<u32>>],
        on_logits: &mut dyn FnMut(usize, &[f32]),
    ) -> Result<(), String> {
        let counts = steps.iter().map(|(token_ids, _)| token_ids.len()).collect();
        self.passes.lock().unwrap().push(counts);
        let _held = self.gate.lock().unwrap();
        for (index, (token_ids, cache)) in steps.iter_mut().enumerate() {
            cache.extend_from_slice(token_ids);
            let last = *token_ids.last().unwrap();
            match last {
                PANIC_TOKEN => panic!("no token after {last}"),
                ERROR_TOKEN => return Err("out of memory".to_owned()),
                _ => {}
            }
            let mut logits = vec![0.0; VOCAB_SIZE];
            logits[last as usize + 1] = 1.0;
            if last == NAN_TOKEN {
                logits.fill(f32::NAN);
            }
            on_logits(index, &logits);
        }
        Ok(())
    }
}

fn start(limits: EngineLimits) -> (Engine, Counting) {
    let model = Counting::default();
    (Engine::start_with(model.clone(), limits), model)
}

fn greedy(max_new_tokens: usize) -> Sampling {
    Sampling { max_new_tokens, stop_ids: vec![100], ..Sampling::default() }
}

fn generate(engine: &Engine, prompt: &[u32], sampling: &Sampling) -> Result<Generated, EngineError> {
    engine.generate(prompt, sampling, &mut |_| true)
}

#[test]
fn an_answer_ends_at_its_length_its_stop_token_or_the_context() {
    let (engine, _) = start(EngineLimits::default());
    let by_length = generate(&engine, &[5, 6], &greedy(3)).unwrap();
    assert_eq!(by_length.token_ids, [7, 8, 9]);
    assert_eq!(by_length.finish, FinishReason::Length);
    let by_stop = generate(&engine, &[97], &greedy(10)).unwrap();
    assert_eq!(by_stop.token_ids, [98, 99]);
    assert_eq!(by_stop.finish, FinishReason::Stop);
    let by_context = generate(&engine, &[1; 30], &greedy(10)).unwrap();
    assert_eq!(by_context.token_ids, [2, 3]);
    assert_eq!(by_context.finish, FinishReason::Context);
}

#[test]
fn what_cannot_run_is_refused_with_the_reason() {
    let (engine, _) = start(EngineLimits::default());
    let refusal = |prompt: &[u32], sampling: &Sampling| generate(&engine, prompt, sampling).unwrap_err();
    assert_eq!(refusal(&[], &greedy(1)), EngineError::PromptEmpty);
    let too_long = refusal(&[1; 32], &greedy(1)).to_string();
    assert!(too_long.contains("32 tokens does not fit in the context of 32"), "{too_long}");
    let unknown = refusal(&[1, 200], &greedy(1)).to_string();
    assert!(unknown.contains("token 1 is 200") && unknown.contains("200 tokens"), "{unknown}");
    let bad = [
        Sampling { temperature: f64::NAN, ..greedy(1) },
        Sampling { temperature: -1.0, ..greedy(1) },
        Sampling { top_p: 0.0, ..greedy(1) },
        Sampling { top_k: Some(0), ..greedy(1) },
        greedy(0),
    ];
    for sampling in bad {
        assert!(matches!(refusal(&[1], &sampling), EngineError::Sampling { .. }), "{sampling:?}");
    }
}

#[test]
fn a_next_turn_reads_only_what_is_new() {
    let (engine, model) = start(EngineLimits::default());
    let first = generate(&engine, &[10, 11, 12], &greedy(4)).unwrap();
    assert_eq!((first.cached_tokens, first.prompt_tokens), (0, 3));
    let next = [&[10, 11, 12], first.token_ids.as_slice(), &[40, 41]].concat();
    let second = generate(&engine, &next, &greedy(1)).unwrap();
    // The last token of the answer was given out, but never went through the model.
    assert_eq!((second.cached_tokens, second.prompt_tokens), (6, 9));
    assert_eq!(second.token_ids, [42]);
    assert_eq!(model.passes.lock().unwrap().last(), Some(&vec![3]));
}

#[test]
fn a_cancelled_answer_keeps_its_cache() {
    let (engine, _) = start(EngineLimits::default());
    let mut seen = Vec::new();
    let answer = engine
        .generate(&[10, 11, 12], &greedy(7), &mut |token_id| {
            seen.push(token_id);
            seen.len() < 3
        })
        .unwrap();
    assert_eq!(answer.finish, FinishReason::Cancelled);
    assert_eq!((&answer.token_ids, &seen), (&vec![13, 14, 15], &vec![13, 14, 15]));
    let next = generate(&engine, &[10, 11, 12, 13, 14, 60], &greedy(1)).unwrap();
    assert_eq!(next.cached_tokens, 5);
}

#[test]
fn requests_that_wait_together_share_passes() {
    let (engine, model) = start(EngineLimits { prompt_tokens_per_pass: 8, ..EngineLimits::default() });
    let held = model.gate.lock().unwrap();
    let answers = thread::scope(|scope| {
        let callers: Vec<_> = [(3, 5), (40, 20), (70, 1)]
            .map(|(first, length)| {
                let engine = &engine;
                scope.spawn(move || generate(engine, &vec![first; length], &greedy(6)).unwrap())
            })
            .into_iter()
            .collect();
        drop(held);
        callers.into_iter().map(|caller| caller.join().unwrap().token_ids).collect::<Vec<_>>()
    });
    for (answer, first) in answers.iter().zip([3, 40, 70]) {
        assert_eq!(*answer, (first + 1..first + 7).collect::<Vec<u32>>());
    }
    let passes = model.passes.lock().unwrap();
    let longest = passes.iter().flatten().max();
    assert!(longest <= Some(&8), "{passes:?}");
}

#[test]
fn one_more_than_may_wait_is_refused_at_once() {
    let (engine, model) = start(EngineLimits { running_max: 1, waiting_max: 1, ..EngineLimits::default() });
    let (refused, refusals) = channel();
    let held = model.gate.lock().unwrap();
    thread::scope(|scope| {
        let ask = || {
            let (engine, refused) = (&engine, refused.clone());
            scope.spawn(move || match generate(engine, &[1], &greedy(2)) {
                Ok(answer) => assert_eq!(answer.token_ids, [2, 3]),
                Err(error) => refused.send(error).unwrap(),
            });
        };
        ask();
        while model.passes.lock().unwrap().is_empty() {
            thread::yield_now();
        }
        // The first runs. Of three more one waits; which one is up to the threads.
        (0..3).for_each(|_| ask());
        for _ in 0..2 {
            assert_eq!(refusals.recv().unwrap(), EngineError::Busy { waiting_max: 1 });
        }
        drop(held);
    });
}

#[test]
fn a_failed_pass_reaches_its_requests_and_the_engine_goes_on() {
    let (engine, _) = start(EngineLimits::default());
    let error = generate(&engine, &[ERROR_TOKEN], &greedy(1)).unwrap_err();
    assert_eq!(error, EngineError::Model { reason: "out of memory".to_owned() });
    let error = generate(&engine, &[1, NAN_TOKEN], &greedy(1)).unwrap_err();
    assert_eq!(error, EngineError::NotFinite { position: 2 });
    assert_eq!(generate(&engine, &[1], &greedy(1)).unwrap().token_ids, [2]);
}

#[test]
fn a_panic_of_the_thread_is_told_to_everyone() {
    let (engine, model) = start(EngineLimits::default());
    let held = model.gate.lock().unwrap();
    thread::scope(|scope| {
        let callers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| generate(&engine, &[PANIC_TOKEN], &greedy(1)).unwrap_err())).collect();
        drop(held);
        for caller in callers {
            let text = caller.join().unwrap().to_string();
            assert!(text.contains("panicked: no token after 150"), "{text}");
        }
    });
    let later = generate(&engine, &[1], &greedy(1)).unwrap_err();
    assert!(matches!(later, EngineError::Stopped { .. }));
    assert_eq!(engine.health(), Err(later));
}

#[test]
fn dropping_the_last_handle_ends_the_thread_and_frees_the_model() {
    let (engine, model) = start(EngineLimits::default());
    let other = engine.clone();
    drop(engine);
    assert_eq!(generate(&other, &[1], &greedy(1)).unwrap().token_ids, [2]);
    drop(other);
    assert_eq!(Arc::strong_count(&model.gate), 1);
}
