//! What single situations lead to.

use super::*;
use crate::error::EngineError;
use crate::mock::alone;
use crate::request::Output;

fn bench(page_count: usize, limits: EngineLimits) -> Bench {
    Bench::new(Mock::new(4, page_count, 400), limits)
}

fn limits(running_max: usize, prompt_tokens_per_pass: usize) -> EngineLimits {
    // Without guesses, so that a step gives each request one token; and as much of a prompt as there may be.
    let (draft_tokens_max, pass_time_target) = (0, None);
    EngineLimits { running_max, prompt_tokens_per_pass, draft_tokens_max, pass_time_target, ..EngineLimits::default() }
}

/// Tokens after which the mock has something finite, different for each `first`.
fn prompt(first: u32, count: u32) -> Vec<u32> {
    (0..count).map(|index| (first + index * index) % 23).collect()
}

fn cached(asked: &Asked) -> Option<usize> {
    match asked.events.lock().unwrap().first() {
        Some(Event::Started { cached_tokens, .. }) => Some(*cached_tokens),
        _ => None,
    }
}

#[test]
fn a_long_prompt_holds_up_nobody_for_more_than_a_chunk() {
    let mut bench = bench(200, limits(4, 32));
    let generating = bench.ask(request(&prompt(1, 3), 100));
    bench.step();
    let long = bench.ask(request(&prompt(2, 300), 5));
    bench.step();
    let short = bench.ask(request(&prompt(3, 20), 5));
    let before = generating.tokens().len();
    // Half of a pass is shared equally, the other half is for the shortest: 8 + 16 tokens of 20 fit.
    bench.step();
    assert_eq!(short.tokens().len(), 1, "a short prompt is read at once");
    assert_eq!(long.tokens().len(), 0);
    for pass in &bench.control.lock().unwrap().passes {
        let read: usize = pass.iter().map(|(_, tokens)| tokens.len()).filter(|&count| count > 1).sum();
        assert!(read <= 32, "{read} prompt tokens in a pass");
    }
    bench.finish(200);
    // Each step gave the one that generates a token.
    assert_eq!(generating.tokens().len(), 100);
    assert!(before >= 2);
    assert_eq!(long.finish(), Some(FinishReason::Length));
    let longest = bench.metrics().inter_token_seconds;
    assert_eq!(longest.count(), 99 + 4 + 4);
}

#[test]
fn requests_with_one_beginning_read_it_once() {
    let mut bench = bench(200, limits(8, 16));
    let beginning = prompt(1, 40);
    let all: Vec<Asked> =
        (0..5u32).map(|index| bench.ask(request(&[beginning.as_slice(), &[index, index + 1]].concat(), 3))).collect();
    bench.step();
    assert_eq!(bench.last_pass(), [16], "the others wait for the first");
    bench.finish(50);
    assert_eq!(all.iter().map(cached).collect::<Vec<_>>(), [0, 40, 40, 40, 40].map(Some));
    let read: usize = bench.control.lock().unwrap().passes.iter().flatten().map(|(_, tokens)| tokens.len()).sum();
    assert_eq!(read, 40 + 5 * 2 + 5 * 2, "beginning, ends, and all answers but their last token");
}

#[test]
fn waiting_for_a_beginning_ends_when_its_reader_is_cancelled() {
    let mut bench = bench(200, limits(8, 16));
    let first = bench.ask(request(&prompt(1, 100), 3));
    let second = bench.ask(request(&prompt(1, 100), 3));
    let other = bench.ask(request(&prompt(2, 10), 3));
    bench.step();
    assert_eq!(bench.last_pass().len(), 2, "another prompt overtakes the one that waits");
    first.ticket.cancel();
    bench.step();
    assert_eq!(first.finish(), Some(FinishReason::Cancelled));
    bench.finish(50);
    assert!(cached(&second) > Some(0));
    assert_eq!(second.finish(), Some(FinishReason::Length));
    assert_eq!(other.finish(), Some(FinishReason::Length));
}

#[test]
fn the_youngest_gives_way_and_goes_on_where_it_was() {
    // Ten pages of four tokens: three requests of 5 + 20 tokens do not fit.
    let mut bench = bench(10, limits(4, 32));
    let all: Vec<Asked> = (1..4).map(|first| bench.ask(request(&prompt(first * 5, 5), 20))).collect();
    let mut ended = Vec::new();
    for _ in 0..200 {
        bench.step();
        ended.extend((0..3).filter(|index| all[*index].end().is_some() && !ended.contains(index)).collect::<Vec<_>>());
        if bench.worker.is_idle() {
            break;
        }
    }
    assert_eq!(ended, [0, 1, 2], "who came first ends first");
    let metrics = bench.metrics();
    assert!((1..=4).contains(&metrics.preemptions), "{}", metrics.preemptions);
    assert_eq!((metrics.pages_used, metrics.generated_tokens), (0, 60));
    for (asked, first) in all.iter().zip(1..4) {
        let alone = alone(&request(&prompt(first * 5, 5), 20), 40);
        assert_eq!(asked.tokens(), alone.tokens.iter().map(|token| token.id).collect::<Vec<_>>());
    }
}

#[test]
fn sessions_give_way_to_a_request_that_needs_all_pages() {
    let mut bench = bench(10, limits(4, 32));
    let session = bench.inbox.open_session();
    let kept = bench.ask(Request { session: Some(session), ..request(&prompt(1, 16), 4) });
    bench.finish(50);
    assert_eq!((kept.finish(), bench.metrics().pages_pinned), (Some(FinishReason::Length), 4));
    // At its start it leaves the session alone, in the end it needs its pages.
    let greedy = bench.ask(request(&prompt(2, 20), 20));
    bench.step();
    assert_eq!(bench.metrics().pages_pinned, 4);
    bench.finish(50);
    assert_eq!((greedy.tokens().len(), bench.metrics().pages_pinned), (20, 0));
}

#[test]
fn the_next_turn_of_a_session_reads_only_what_is_new_though_others_fill_the_pages() {
    let mut bench = bench(40, limits(4, 64));
    let session = bench.inbox.open_session();
    let mut text = prompt(1, 20);
    for turn in 0..3 {
        let asked = bench.ask(Request { session: Some(session), ..request(&text, 9) });
        bench.finish(50);
        let known = if turn == 0 { 0 } else { (text.len() - 7 - 1) / 4 * 4 };
        assert_eq!(cached(&asked), Some(known), "turn {turn}");
        text.extend(asked.tokens());
        text.extend(prompt(turn + 5, 7));
        // Others come and go meanwhile.
        for stranger in 0..6 {
            let other = bench.ask(request(&prompt(stranger * 3, 60), 4));
            bench.finish(50);
            assert_eq!(other.tokens().len(), 4);
        }
    }
    bench.inbox.close_session(session);
    bench.step();
    assert_eq!(bench.metrics().pages_pinned, 0);
}

#[test]
fn a_closed_session_keeps_nothing() {
    let mut bench = bench(40, limits(4, 64));
    let session = bench.inbox.open_session();
    let asked = bench.ask(Request { session: Some(session), ..request(&prompt(1, 20), 9) });
    bench.step();
    bench.inbox.close_session(session);
    bench.finish(50);
    assert_eq!((asked.tokens().len(), bench.metrics().pages_pinned), (9, 0));
}

#[test]
fn who_is_cancelled_or_late_takes_part_in_no_further_pass() {
    let mut bench = bench(100, limits(2, 32));
    let cancelled = bench.ask(request(&prompt(1, 5), 50));
    let deadline = Some(bench.now() + Duration::from_millis(30));
    let late = bench.ask(Request { deadline, ..request(&prompt(2, 5), 50) });
    let waits = bench.ask(request(&prompt(3, 5), 50));
    let waits_too_long = bench.ask(Request { deadline, ..request(&prompt(4, 5), 50) });
    bench.step();
    bench.step();
    let given = cancelled.tokens();
    cancelled.ticket.cancel();
    waits.ticket.cancel();
    bench.step();
    assert_eq!((cancelled.tokens(), cancelled.finish()), (given, Some(FinishReason::Cancelled)));
    assert_eq!(waits.finish(), Some(FinishReason::Cancelled));
    bench.finish(50);
    assert_eq!(late.finish(), Some(FinishReason::Deadline));
    assert!((3..50).contains(&late.tokens().len()));
    assert_eq!(waits_too_long.finish(), Some(FinishReason::Deadline));
    let metrics = bench.metrics();
    assert_eq!((metrics.cancelled, metrics.expired, metrics.pages_used), (2, 2, 0));
}

#[test]
fn a_failed_pass_fails_its_requests_and_what_it_wrote_is_not_used() {
    let mut bench = bench(100, limits(2, 8));
    let first = bench.ask(request(&prompt(1, 20), 5));
    bench.step();
    bench.control.lock().unwrap().fails = Some("out of memory".to_owned());
    bench.step();
    assert_eq!(first.end(), Some(Event::Failed(EngineError::Model { reason: "out of memory".to_owned() })));
    let again = bench.ask(request(&prompt(1, 20), 5));
    bench.finish(50);
    assert_eq!(cached(&again), Some(8), "what the pass before computed");
    let alone = alone(&request(&prompt(1, 20), 5), 400);
    assert_eq!(again.tokens(), alone.tokens.iter().map(|token| token.id).collect::<Vec<_>>());
}

#[test]
fn prompts_are_scored_and_embedded_in_chunks_as_in_one_piece() {
    for chunk in [3, 7, 200] {
        let mut bench = bench(200, limits(2, chunk));
        // Its pages are there, but its rows are wanted.
        let before = bench.ask(request(&prompt(1, 150), 2));
        bench.finish(200);
        assert!(before.end().is_some());
        let wish = || Request { prompt_logprobs: Some(2), ..request(&prompt(1, 150), 0) };
        let scored = bench.ask(wish());
        let embedded = bench.ask(Request { output: Output::Embedding, ..request(&prompt(1, 150), 1) });
        bench.finish(200);
        let alone = alone(&wish(), 400);
        let started = Event::Started { cached_tokens: 0, prompt_logprobs: alone.prompt_logprobs };
        assert_eq!(scored.events.lock().unwrap()[0], started);
        assert_eq!(embedded.events.lock().unwrap()[1], Event::Embedding(alone.embedding));
        assert_eq!((scored.finish(), scored.tokens().len()), (Some(FinishReason::Length), 0));
        let most = bench.control.lock().unwrap().passes.iter().flatten().map(|(_, tokens)| tokens.len()).max();
        assert_eq!(most, Some(chunk.min(150)));
    }
}

#[test]
fn right_guesses_save_passes() {
    let passes = |draft_tokens_max| {
        let mut bench = bench(100, EngineLimits { draft_tokens_max, ..limits(2, 32) });
        let asked = bench.ask(request(&prompt(1, 6), 200));
        bench.finish(300);
        assert_eq!(asked.tokens().len(), 200);
        let metrics = bench.metrics();
        (metrics.passes, metrics.accepted_tokens, asked.tokens())
    };
    let (plain, none, tokens) = passes(0);
    let (guessed, accepted, same) = passes(8);
    assert_eq!((plain, none), (200, 0));
    assert_eq!(guessed + accepted, 200);
    assert!(guessed < 180, "{guessed} passes");
    assert_eq!(same, tokens);
}

#[test]
fn a_health_check_needs_no_place_and_goes_before_those_that_wait() {
    let mut bench = bench(100, limits(1, 32));
    let running = bench.ask(request(&prompt(1, 5), 50));
    let waiting = bench.ask(request(&prompt(2, 5), 50));
    bench.step();
    let probe = bench.ask_as(request(&[0], 1), true);
    bench.step();
    assert_eq!(probe.finish(), Some(FinishReason::Length));
    assert_eq!((running.tokens().len(), waiting.tokens().len()), (2, 0));
    assert_eq!((bench.metrics().finished_length, bench.metrics().generated_tokens), (0, 2));
}

#[test]
fn a_health_check_finds_its_page_though_others_hold_all() {
    let mut bench = bench(10, limits(4, 64));
    let running = bench.ask(request(&prompt(1, 36), 4));
    bench.step();
    let waiting = bench.ask(request(&prompt(2, 20), 4));
    let probes = [0; 3].map(|_| bench.ask_as(request(&[0], 1), true));
    let mut steps = 0;
    while probes.iter().any(|probe| probe.finish().is_none()) {
        bench.step();
        steps += 1;
        // One after the other, each in a pass of its own.
        let done = probes.iter().filter(|probe| probe.finish().is_some()).count();
        assert_eq!(done, steps, "of {} probes", probes.len());
    }
    bench.finish(50);
    assert_eq!((running.tokens().len(), waiting.tokens().len()), (4, 4));
    assert_eq!((bench.metrics().preemptions, bench.metrics().pages_total), (0, 10));
}

#[test]
fn sessions_that_nobody_uses_give_way_before_a_request_does() {
    // How long the session rests, and whether it gives way.
    for (rest_ms, gives_way) in [(20_000, true), (1000, false)] {
        let mut bench = bench(10, limits(4, 64));
        let session = bench.inbox.open_session();
        let kept = bench.ask(Request { session: Some(session), ..request(&prompt(1, 16), 4) });
        bench.finish(50);
        assert_eq!((kept.tokens().len(), bench.metrics().pages_pinned), (4, 4));
        bench.elapsed_ms.fetch_add(rest_ms, Ordering::Relaxed);
        let asked = [bench.ask(request(&prompt(2, 6), 9)), bench.ask(request(&prompt(3, 6), 9))];
        bench.finish(100);
        assert!(asked.iter().all(|asked| asked.tokens().len() == 9));
        let metrics = bench.metrics();
        assert_eq!((metrics.preemptions == 0, metrics.pages_pinned == 0), (gives_way, gives_way), "{metrics:?}");
    }
}

#[test]
fn a_slow_machine_reads_less_in_a_pass() {
    // Every pass takes a millisecond by this clock, whatever it reads.
    let slow = EngineLimits { pass_time_target: Some(Duration::from_micros(250)), ..limits(4, 128) };
    let mut bench = bench(100, slow);
    let asked = bench.ask(request(&prompt(1, 200), 2));
    let mut read = Vec::new();
    while asked.tokens().is_empty() {
        bench.step();
        read.extend(bench.last_pass());
    }
    assert_eq!((read[0], read[1], read.iter().sum()), (64, 16, 200));
    assert!(read[2..].iter().all(|&tokens| tokens <= 16), "{read:?}");
}

#[test]
fn a_constrained_answer_is_what_was_asked_for_and_ends_when_it_is_complete() {
    let mut bench = bench(100, EngineLimits { draft_tokens_max: 8, ..limits(4, 32) });
    let asked: Vec<Asked> = (0..8u64)
        .map(|seed| {
            let sampling = Sampling { seed, temperature: 1.0, ..greedy(60) };
            let constraint = Some(random::constraint());
            bench.ask(Request { constraint, ..Request::new(prompt(seed as u32, 9), sampling) })
        })
        .collect();
    bench.finish(300);
    for asked in asked {
        assert_eq!(asked.finish(), Some(FinishReason::Stop));
        let mut rest = asked.tokens();
        let mut groups = 0;
        while let Some(&first) = rest.first() {
            let (group, letters) = if first < 8 { (3, 0..8) } else { (2, 8..21) };
            let after = rest.split_off(group);
            assert!(rest.iter().all(|token| letters.contains(token)), "{rest:?}");
            (rest, groups) = (after, groups + 1);
        }
        assert!((2..=6).contains(&groups), "{groups} groups");
    }
}
