//! Alone = batched = prefix-hit = chunked, for greedy and for drawn tokens.

use std::thread;

use codeact_engine::{Engine, EngineLimits, FinishReason, Generated, Sampling};

use crate::tiny;

fn prompt(seed: u32, length: u32) -> Vec<u32> {
    (0..length).map(|index| (seed * 31 + index * index * 7 + index) % tiny::VOCAB_SIZE).collect()
}

fn requests() -> Vec<(Vec<u32>, Sampling)> {
    let lengths = [1, 3, 17, 40, 64, 65, 90, 128];
    let request = |(seed, length): (usize, u32)| {
        let sampling = Sampling {
            temperature: if seed % 2 == 0 { 0.0 } else { 1.0 },
            top_p: 0.9,
            top_k: Some(40),
            seed: seed as u64,
            max_new_tokens: 24 + seed,
            ..Sampling::default()
        };
        (prompt(seed as u32 + 1, length), sampling)
    };
    lengths.into_iter().enumerate().map(request).collect()
}

fn ask(engine: &Engine, (prompt, sampling): &(Vec<u32>, Sampling)) -> Generated {
    engine.generate(prompt, sampling, &mut |_| true).unwrap()
}

fn limits() -> EngineLimits {
    EngineLimits { prompt_tokens_per_pass: 32, ..EngineLimits::default() }
}

#[test]
fn a_request_gets_the_same_tokens_alone_and_in_company() {
    let requests = requests();
    let no_reuse = EngineLimits { kept_caches_max: 0, ..limits() };
    let alone: Vec<_> = {
        let engine = tiny::engine(no_reuse.clone());
        requests.iter().map(|request| ask(&engine, request).token_ids).collect()
    };
    let engine = tiny::engine(no_reuse);
    let together: Vec<_> = thread::scope(|scope| {
        let callers: Vec<_> = requests.iter().map(|request| scope.spawn(|| ask(&engine, request))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap().token_ids).collect()
    });
    assert_eq!(alone, together);
    assert!(alone.iter().zip(&requests).all(|(ids, (_, sampling))| ids.len() == sampling.max_new_tokens));
}

#[test]
fn a_continued_conversation_gets_the_same_tokens_as_a_cold_start() {
    let warm = tiny::engine(limits());
    let mut conversation = prompt(3, 50);
    for turn in 0..4 {
        let sampling = Sampling { max_new_tokens: 20, ..Sampling::default() };
        let request = (conversation.clone(), sampling);
        let continued = ask(&warm, &request);
        let cold = ask(&tiny::engine(limits()), &request);
        assert_eq!(continued.token_ids, cold.token_ids, "turn {turn}");
        assert_eq!((cold.cached_tokens, continued.cached_tokens > 0), (0, turn > 0));
        if turn > 0 {
            // All but the last answer's last token and the five new ones.
            assert_eq!(continued.cached_tokens, conversation.len() - 6);
        }
        conversation.extend(&continued.token_ids);
        conversation.extend(prompt(turn + 10, 5));
    }
}

#[test]
fn how_a_prompt_is_cut_into_chunks_does_not_matter() {
    let request = (prompt(5, 150), Sampling { max_new_tokens: 30, ..Sampling::default() });
    let with_chunks = |prompt_tokens_per_pass| {
        ask(&tiny::engine(EngineLimits { prompt_tokens_per_pass, ..EngineLimits::default() }), &request).token_ids
    };
    let whole = with_chunks(512);
    assert_eq!(with_chunks(64), whole);
    assert_eq!(with_chunks(7), whole);
}

#[test]
fn the_seed_decides_what_is_drawn() {
    let engine = tiny::engine(limits());
    let drawn = |seed| {
        let sampling = Sampling { temperature: 1.0, seed, max_new_tokens: 30, ..Sampling::default() };
        ask(&engine, &(prompt(9, 20), sampling)).token_ids
    };
    assert_eq!(drawn(1), drawn(1));
    assert_ne!(drawn(1), drawn(2));
}

#[test]
fn an_answer_stops_before_its_stop_token() {
    let engine = tiny::engine(limits());
    let open = Sampling { max_new_tokens: 30, ..Sampling::default() };
    let whole = ask(&engine, &(prompt(4, 12), open.clone())).token_ids;
    let stop = whole[10];
    let first = whole.iter().position(|&token_id| token_id == stop).unwrap();
    let answer = ask(&engine, &(prompt(4, 12), Sampling { stop_ids: vec![stop], ..open }));
    assert_eq!(answer.token_ids, whole[..first]);
    assert_eq!(answer.finish, FinishReason::Stop);
}
