//! Adapters: those that add tokens to the vocabulary, and several at once.

use std::sync::Arc;

use codeact_engine::{EngineError, EngineLimits, Request, Sampling};
use codeact_model::serving::ServedAdapter;

use crate::tiny;

fn request(prompt_ids: &[u32], adapter: Option<&Arc<ServedAdapter>>) -> Request {
    let sampling = Sampling { max_new_tokens: 12, ..Sampling::default() };
    Request { adapter: adapter.cloned(), ..Request::new(prompt_ids.to_vec(), sampling) }
}

#[test]
fn tokens_that_an_adapter_adds_are_known_with_it_alone() {
    let engine = tiny::engine(EngineLimits::default());
    let adapter = tiny::adapter(1, 2);
    let ask = |token_id, adapter| engine.generate(request(&[1, token_id, 2], adapter), &mut |_| true);
    let vocab_size = tiny::VOCAB_SIZE as usize;
    assert_eq!(ask(tiny::VOCAB_SIZE + 1, Some(&adapter)).unwrap().tokens.len(), 12);
    let unknown = |token_id, vocab_size| EngineError::TokenUnknown { index: 1, token_id, vocab_size };
    let error = ask(tiny::VOCAB_SIZE + 2, Some(&adapter)).unwrap_err();
    assert_eq!(error, unknown(tiny::VOCAB_SIZE + 2, vocab_size + 2));
    let error = ask(tiny::VOCAB_SIZE, None).unwrap_err();
    assert_eq!(error, unknown(tiny::VOCAB_SIZE, vocab_size));
}

#[test]
fn an_adapter_that_takes_the_place_of_another_is_not_answered_from_its_pages() {
    let engine = tiny::engine(EngineLimits::default());
    let prompt: Vec<u32> = (0..60).collect();
    let ask = |adapter: Option<&Arc<ServedAdapter>>| engine.generate(request(&prompt, adapter), &mut |_| true).unwrap();
    let (first, second) = (tiny::adapter(1, 0), tiny::adapter(2, 0));
    let (none, one, two) = (ask(None), ask(Some(&first)), ask(Some(&second)));
    assert_eq!([none.cached_tokens, one.cached_tokens, two.cached_tokens], [0, 0, 0]);
    assert!(none.tokens != one.tokens && one.tokens != two.tokens);
    // Asked again, each finds its own pages.
    for (adapter, expected) in [(None, none), (Some(&first), one), (Some(&second), two)] {
        let again = ask(adapter);
        assert_eq!(again.tokens, expected.tokens);
        assert!(again.cached_tokens > 0);
    }
}

#[test]
fn a_prompt_is_not_answered_from_the_pages_of_another_salt() {
    let engine = tiny::engine(EngineLimits::default());
    let prompt: Vec<u32> = (0..60).collect();
    let ask = |salt| engine.generate(Request { salt, ..request(&prompt, None) }, &mut |_| true).unwrap();
    let answers = [0, 1, u128::MAX].map(ask);
    assert!(answers.iter().all(|answer| answer.cached_tokens == 0 && answer.tokens == answers[0].tokens));
    assert!([0, 1, u128::MAX].map(ask).iter().all(|answer| answer.cached_tokens > 0));
}
