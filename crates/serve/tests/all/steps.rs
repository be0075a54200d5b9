//! The steps of an agent over a real engine: each reads only what is new to it.

use std::num::NonZeroUsize;

use codeact_agent::{Ask, FinishReason, Model};
use codeact_chat::Message;
use codeact_engine::{EngineLimits, Sampling};
use codeact_eval::Actor;
use codeact_model::serving::{ServingOptions, ServingPlace};
use codeact_model::source::ModelFiles;

use crate::tiny;

const PAGE_TOKENS: usize = 16;

#[test]
fn each_step_of_an_agent_reads_only_its_observation() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_folder(folder.path());
    let options =
        ServingOptions { kv_bytes: Some(4 << 20), threads: NonZeroUsize::new(1), ..ServingOptions::default() };
    let actor = Actor::load(&ModelFiles::in_folder(folder.path()), None, &options, EngineLimits::default()).unwrap();
    // Bytes at random, which are seldom text: spelled anew, most replies would be other tokens.
    let sampling = Sampling {
        temperature: 1.0,
        seed: 5,
        max_new_tokens: 50,
        // No control tokens but the end of a turn.
        logit_bias: vec![(0, -100.0), (1, -100.0)],
        ..Sampling::default()
    };
    let mut model = actor.model(sampling);
    let mut messages = vec![Message::system("You write Python."), Message::user("What is 17 * 23?")];
    let (mut computed, mut respelled) = (0, 0);
    for step in 0..5 {
        let before = actor.engine.metrics().prefix_hit_tokens as usize;
        let ask = Ask { messages: &messages, stops: &[], tokens_max: None };
        let spelled = actor.format.prompt_ids(&messages).unwrap().len();
        let completion = model.complete(&ask, &mut |_| true).unwrap();
        let hits = actor.engine.metrics().prefix_hit_tokens as usize - before;
        // All that the steps before computed, but for a page that is not full.
        assert_eq!(hits, computed / PAGE_TOKENS * PAGE_TOKENS, "step {step}");
        assert_eq!(completion.cached_tokens, hits);
        respelled += usize::from(spelled != completion.prompt_tokens);
        // The last token was chosen, not read, unless the end of the turn came after it.
        let unread = usize::from(completion.finish == FinishReason::Length);
        computed = completion.prompt_tokens + completion.completion_tokens - unread;
        messages.push(Message::assistant(completion.text));
        messages.push(Message::user(format!("[{step}]: 391")));
    }
    assert!(respelled > 1, "the tokenizer spells everything as the model did, which shows nothing");
}

#[test]
fn without_a_card_the_way_out_is_told_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    tiny::write_folder(folder.path());
    // Whoever has a card here is not refused, and whoever reads weights first fails in another way.
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    let options = ServingOptions { place: ServingPlace::Card, ..ServingOptions::default() };
    let load = |options: &ServingOptions| {
        let files = ModelFiles::in_folder(folder.path());
        Actor::load(&files, None, options, EngineLimits::default()).err().unwrap().to_string()
    };
    if codeact_ops::device::gpu(0).is_err() {
        let error = load(&options);
        assert!(error.contains("hint: ") && error.contains("--device cpu"), "{error}");
    }
    let error = load(&ServingOptions { threads: NonZeroUsize::new(2), ..options });
    assert!(error.contains("--threads"), "{error}");
}
