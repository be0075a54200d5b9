//! The handle and its thread.

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::thread;

use super::*;
use crate::mock::{Control, Mock, MockAdapter, NAN_TOKEN, VOCAB_SIZE, alone};
use crate::sampling::SamplingError;

type Gate = Arc<Mutex<()>>;

fn start(limits: EngineLimits) -> (Engine<MockAdapter>, Arc<Mutex<Control>>, Gate) {
    let model = Mock::new(4, 50, 100);
    let (control, gate) = (Arc::clone(&model.control), Arc::clone(&model.gate));
    (Engine::start(model, limits).unwrap(), control, gate)
}

fn request(prompt_ids: &[u32], max_new_tokens: usize) -> Request<MockAdapter> {
    Request::new(prompt_ids.to_vec(), Sampling { max_new_tokens, ..Sampling::default() })
}

fn generate(engine: &Engine<MockAdapter>, request: Request<MockAdapter>) -> Result<Generated, EngineError> {
    engine.generate(request, &mut |_| true)
}

/// Waits until the thread is in a pass, which `gate` holds.
fn wait_for_pass(control: &Mutex<Control>) {
    while control.lock().unwrap().passes.is_empty() {
        thread::yield_now();
    }
}

fn silent() -> OnEvent {
    Box::new(|_| {})
}

#[test]
fn many_threads_get_what_each_gets_alone() {
    let (engine, ..) = start(EngineLimits::default());
    thread::scope(|scope| {
        for first in 0..12u32 {
            let engine = &engine;
            scope.spawn(move || {
                let wish = || request(&[first, 1 + first % 3, 2], 40);
                let mut heard = Vec::new();
                let answer = engine.generate(wish(), &mut |token| {
                    heard.push(token.clone());
                    true
                });
                let (answer, alone) = (answer.unwrap(), alone(&wish(), 100));
                assert_eq!((&answer.tokens, Ok(answer.finish)), (&alone.tokens, alone.end));
                assert_eq!(heard, answer.tokens);
                assert_eq!(answer.token_ids().len(), 40);
            });
        }
    });
    let metrics = engine.metrics();
    assert_eq!((metrics.accepted, metrics.finished_length, metrics.generated_tokens), (12, 12, 480));
    assert_eq!((metrics.running, metrics.waiting, metrics.pages_used), (0, 0, 0));
    assert_eq!((metrics.first_token_seconds.count(), metrics.request_seconds.count()), (12, 12));
}

#[test]
fn what_cannot_run_is_refused_with_the_reason() {
    let (engine, ..) = start(EngineLimits::default());
    let refusal = |request| generate(&engine, request).unwrap_err();
    assert_eq!(refusal(request(&[], 1)), EngineError::PromptEmpty);
    let too_long = refusal(request(&[1; 100], 1)).to_string();
    assert!(too_long.contains("100 tokens does not fit in the context of 100"), "{too_long}");
    let unknown = refusal(request(&[1, 24], 1)).to_string();
    assert!(unknown.contains("token 1 is 24") && unknown.contains("24 tokens"), "{unknown}");
    assert!(matches!(refusal(request(&[1], 0)), EngineError::Sampling(SamplingError::Refused { .. })));
    let too_many = Request { prompt_logprobs: Some(usize::MAX), ..request(&[1], 1) };
    assert!(matches!(refusal(too_many), EngineError::Sampling(SamplingError::Refused { field: "logprobs", .. })));
    let with_adapter = Request { adapter: Some(Arc::new(MockAdapter { id: 1, added: 2 })), ..request(&[1, 25], 3) };
    assert_eq!(generate(&engine, with_adapter).unwrap().tokens.len(), 3);
    // Nothing is generated, so the prompt may fill the context.
    assert_eq!(engine.score(&[1; 100], None, 1).unwrap().len(), 100);
    assert_eq!(engine.score(&[1; 101], None, 1).unwrap_err().to_string(), {
        EngineError::PromptTooLong { prompt_tokens: 101, context_tokens_max: 100 }.to_string()
    });
}

#[test]
fn limits_that_leave_no_room_are_refused() {
    let default = EngineLimits::default;
    let bad = [
        ("running_max", EngineLimits { running_max: 0, ..default() }),
        ("waiting_max", EngineLimits { waiting_max: 0, ..default() }),
        ("context_tokens_max", EngineLimits { context_tokens_max: Some(1), ..default() }),
        ("prompt_tokens_per_pass", EngineLimits { prompt_tokens_per_pass: 63, running_max: 64, ..default() }),
    ];
    for (name, limits) in bad {
        match Engine::start(Mock::new(4, 50, 100), limits) {
            Err(EngineError::Limits { field, .. }) => assert_eq!(field, name),
            _ => panic!("`{name}` was not refused"),
        }
    }
    let boundless = EngineLimits {
        running_max: usize::MAX,
        waiting_max: usize::MAX,
        prompt_tokens_per_pass: usize::MAX,
        context_tokens_max: Some(usize::MAX),
        draft_tokens_max: usize::MAX,
        draft_requests_max: usize::MAX,
    };
    let (engine, ..) = start(boundless);
    assert_eq!(generate(&engine, request(&[1, 2], 80)).unwrap().tokens.len(), 80);
    let short = EngineLimits { context_tokens_max: Some(30), ..default() };
    assert_eq!(start(short).0.context_tokens_max(), 30);
    // Never more than fits in the pages.
    assert_eq!(Engine::start(Mock::new(4, 5, 100), default()).unwrap().context_tokens_max(), 20);
    assert!(Engine::start(Mock::new(4, 0, 100), default()).is_err());
}

#[test]
fn scores_and_embeddings_are_those_of_the_model() {
    let (engine, ..) = start(EngineLimits::default());
    let prompt = [3, 1, 4, 1, 5, 9, 2, 6];
    let expected = alone(&Request { prompt_logprobs: Some(3), ..request(&prompt, 0) }, 100);
    assert_eq!(engine.score(&prompt, None, 3).unwrap(), expected.prompt_logprobs.unwrap());
    assert_eq!(engine.embed(&prompt, None).unwrap(), expected.embedding);
    assert_eq!(engine.vocab_size(), VOCAB_SIZE);
}

#[test]
fn one_more_than_may_wait_is_refused_at_once() {
    let limits = EngineLimits { running_max: 1, waiting_max: 2, ..EngineLimits::default() };
    let (engine, control, gate) = start(limits);
    let held = gate.lock().unwrap();
    let (sender, ends) = channel();
    let ask = || {
        let sender = sender.clone();
        let on_event = move |event| {
            if let Event::Done(finished) = event {
                sender.send(finished).unwrap();
            }
        };
        engine.submit(request(&[1, 2], 3), Box::new(on_event))
    };
    let tickets: Vec<Ticket> = (0..3).map(|_| ask().unwrap()).collect();
    assert_eq!(ask().unwrap_err(), EngineError::Busy { waiting_max: 2 });
    assert_eq!((engine.places_max(), engine.is_running()), (3, true));
    wait_for_pass(&control);
    assert_eq!(ask().unwrap_err(), EngineError::Busy { waiting_max: 2 });
    drop(held);
    for _ in 0..3 {
        assert_eq!(ends.recv().unwrap().completion_tokens, 3);
    }
    // Who hears of an end finds a place at once.
    drop(ask().unwrap());
    assert_eq!((engine.metrics().refused, tickets.len()), (2, 3));
}

#[test]
fn a_cancelled_answer_ends_and_what_it_computed_stays() {
    let (engine, ..) = start(EngineLimits { draft_tokens_max: 0, ..EngineLimits::default() });
    let mut seen = 0;
    let answer = engine.generate(request(&[10, 11, 12], 50), &mut |_| {
        seen += 1;
        seen < 6
    });
    let answer = answer.unwrap();
    assert_eq!((answer.finish, answer.tokens.len()), (FinishReason::Cancelled, 6));
    let next = [&[10, 11, 12], answer.token_ids().as_slice(), &[1]].concat();
    assert_eq!(generate(&engine, request(&next, 1)).unwrap().cached_tokens, 8);
}

#[test]
fn a_flag_ends_a_blocking_call_while_it_waits_for_its_first_token() {
    let (engine, control, gate) = start(EngineLimits { running_max: 1, ..EngineLimits::default() });
    let held = gate.lock().unwrap();
    let cancel = Arc::new(AtomicBool::new(false));
    let ask = || generate(&engine, Request { cancel: Some(Arc::clone(&cancel)), ..request(&[1, 2], 90) });
    thread::scope(|scope| {
        // One is in a pass, the other waits for its place.
        let callers = [scope.spawn(ask), scope.spawn(ask)];
        wait_for_pass(&control);
        cancel.store(true, Ordering::Release);
        drop(held);
        for caller in callers {
            let answer = caller.join().unwrap().unwrap();
            assert_eq!(answer.finish, FinishReason::Cancelled);
            assert!(answer.tokens.len() <= 1, "at most what the pass that was held gave");
        }
    });
    // A flag that is set already costs no pass.
    let passes = engine.metrics().passes;
    assert_eq!(ask().unwrap().finish, FinishReason::Cancelled);
    assert_eq!((engine.metrics().passes, engine.metrics().cancelled), (passes, 3));
}

#[test]
fn a_failed_pass_reaches_its_requests_and_the_engine_goes_on() {
    let (engine, control, _) = start(EngineLimits::default());
    control.lock().unwrap().fails = Some("out of memory".to_owned());
    let error = generate(&engine, request(&[1], 1)).unwrap_err();
    assert_eq!(error, EngineError::Model { reason: "out of memory".to_owned() });
    let error = generate(&engine, request(&[1, NAN_TOKEN], 1)).unwrap_err();
    assert_eq!(error, EngineError::NotFinite { position: 2 });
    assert_eq!(generate(&engine, request(&[1], 1)).unwrap().tokens.len(), 1);
    assert_eq!((engine.metrics().failed, engine.metrics().pages_used), (2, 0));
}

#[test]
fn a_panic_of_the_thread_is_told_to_everyone() {
    let (engine, control, gate) = start(EngineLimits { running_max: 1, ..EngineLimits::default() });
    let held = gate.lock().unwrap();
    thread::scope(|scope| {
        let callers: Vec<_> =
            (0..3).map(|_| scope.spawn(|| generate(&engine, request(&[1], 1)).unwrap_err())).collect();
        control.lock().unwrap().panics = true;
        drop(held);
        for caller in callers {
            let text = caller.join().unwrap().to_string();
            assert!(text.contains("panicked: the mock was told to"), "{text}");
        }
    });
    let later = generate(&engine, request(&[1], 1)).unwrap_err();
    assert!(matches!(later, EngineError::Stopped { .. }));
    assert_eq!(engine.health(Duration::from_secs(5)), Err(later));
    assert!(!engine.is_running());
}

#[test]
fn a_caller_that_panics_ends_only_its_own_request() {
    let (engine, ..) = start(EngineLimits::default());
    let panics = engine.submit(request(&[1], 50), Box::new(|_| panic!("a caller's own fault"))).unwrap();
    assert_eq!(generate(&engine, request(&[2], 60)).unwrap().tokens.len(), 60);
    let metrics = engine.metrics();
    assert_eq!((metrics.cancelled, metrics.pages_used), (1, 0));
    drop(panics);
}

#[test]
fn health_notices_a_pass_that_hangs() {
    let (engine, control, gate) = start(EngineLimits::default());
    assert_eq!(engine.health(Duration::from_secs(60)), Ok(()));
    assert_eq!(control.lock().unwrap().passes.len(), 1, "a token went through the model");
    let held = gate.lock().unwrap();
    assert_eq!(engine.health(Duration::from_millis(20)), Err(EngineError::Unresponsive { within_ms: 20 }));
    drop(held);
    assert_eq!(engine.health(Duration::from_secs(60)), Ok(()));
    control.lock().unwrap().fails = Some("out of memory".to_owned());
    assert!(matches!(engine.health(Duration::from_secs(60)), Err(EngineError::Model { .. })));
    assert_eq!((engine.metrics().accepted, engine.metrics().failed), (0, 0), "health checks are not counted");
}

#[test]
fn draining_finishes_what_is_here_and_takes_nothing_new() {
    let (engine, control, gate) = start(EngineLimits { running_max: 1, ..EngineLimits::default() });
    let held = gate.lock().unwrap();
    let (sender, ends) = channel();
    let tickets = [(); 3].map(|()| {
        let sender = sender.clone();
        let on_event = Box::new(move |event| {
            if let Event::Done(finished) = event {
                sender.send(finished.completion_tokens).unwrap();
            }
        });
        engine.submit(request(&[1, 2], 9), on_event).unwrap()
    });
    wait_for_pass(&control);
    assert!(!engine.drain(Duration::from_millis(5)), "nothing can end while the pass is held");
    assert_eq!(generate(&engine, request(&[1], 1)).unwrap_err(), EngineError::Draining);
    drop(held);
    assert!(engine.drain(Duration::from_secs(60)));
    assert_eq!(ends.iter().take(3).collect::<Vec<_>>(), [9, 9, 9]);
    assert_eq!(engine.health(Duration::from_secs(60)), Ok(()));
    drop(tickets);
}

#[test]
fn stopping_ends_everything() {
    let (engine, control, gate) = start(EngineLimits { running_max: 1, ..EngineLimits::default() });
    let held = gate.lock().unwrap();
    let (sender, events) = channel();
    let send = || -> OnEvent {
        let sender = sender.clone();
        Box::new(move |event| sender.send(event).unwrap())
    };
    let _tickets =
        [engine.submit(request(&[1], 50), send()).unwrap(), engine.submit(request(&[1], 50), send()).unwrap()];
    wait_for_pass(&control);
    // As `stop` does first; the pass that is held must not go on before.
    engine.0.inbox.enter(Phase::Stopping);
    drop(held);
    engine.stop();
    assert!(!engine.is_running());
    let failed = events.try_iter().filter(|event| matches!(event, Event::Failed(EngineError::Stopped { .. })));
    assert_eq!(failed.count(), 2);
    assert!(matches!(generate(&engine, request(&[1], 1)), Err(EngineError::Stopped { .. })));
}

#[test]
fn dropping_the_last_handle_ends_the_thread_and_frees_the_model() {
    let (engine, _, gate) = start(EngineLimits::default());
    let other = engine.clone();
    drop(engine);
    assert_eq!(generate(&other, request(&[1], 1)).unwrap().tokens.len(), 1);
    // A session and a ticket do not keep it alive.
    let _session = other.open_session();
    let _ticket = other.submit(request(&[1], 90), silent()).unwrap();
    drop(other);
    assert_eq!(Arc::strong_count(&gate), 1);
}

#[test]
fn the_last_handle_may_go_on_the_engines_own_thread() {
    let (engine, _, gate) = start(EngineLimits::default());
    let (sender, events) = channel();
    let mut own = Some(engine.clone());
    let on_event = Box::new(move |event| {
        if matches!(event, Event::Token(_)) {
            drop(own.take());
        }
        let _ = sender.send(event);
    });
    let _ticket = engine.submit(request(&[1], 5), on_event).unwrap();
    drop(engine);
    // Ends with `Failed` or, if this thread was slow to let go, `Done`.
    assert!(events.iter().any(|event| matches!(event, Event::Done(_) | Event::Failed(_))));
    while Arc::strong_count(&gate) > 1 {
        thread::yield_now();
    }
}
