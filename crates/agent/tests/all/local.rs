//! A real small model behind the loop, where it has been fetched before; nothing is downloaded here.

use codeact_agent::{Agent, AgentOptions, Ask, FinishReason, Limits, LocalModel, Model, Profile, TurnEnd};
use codeact_chat::{ChatFormat, Message};
use codeact_engine::{Engine, EngineLimits, Sampling};
use codeact_model::serving::{ServedModel, ServedWeights, ServingOptions};
use codeact_model::source::ModelFiles;
use codeact_sandbox::{Policy, Session};
use std::path::Path;
use std::sync::Arc;

/// SmolLM2-135M-Instruct as the quickstart keeps it, or a printed line.
fn smollm2(sampling: Sampling) -> Option<LocalModel> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/base");
    let folder = base.join("HuggingFaceTB--SmolLM2-135M-Instruct");
    if !folder.join("model.safetensors").exists() {
        println!("skipped: no model in `{}`", folder.display());
        return None;
    }
    let options = ServingOptions { weights: ServedWeights::F32, ..ServingOptions::default() };
    let model = ServedModel::load(&ModelFiles::in_folder(&folder), &options).unwrap();
    let engine = Engine::start(model, EngineLimits::default()).unwrap();
    let format = Arc::new(ChatFormat::load(&folder).unwrap());
    Some(LocalModel::new(engine, None, format, sampling))
}

fn ask(messages: &[Message]) -> Ask<'_> {
    Ask { messages, stops: &[], tokens_max: None }
}

#[test]
fn a_local_model_streams_what_it_returns_and_stops_where_told() {
    let Some(mut model) = smollm2(Sampling::default()) else {
        return;
    };
    let messages = [Message::user("What is the capital of France?")];
    let mut streamed = String::new();
    let completion = model
        .complete(&ask(&messages), &mut |text| {
            streamed.push_str(text);
            true
        })
        .unwrap();
    // As transformers answers greedily; its template adds a system message, which makes 37 tokens.
    assert_eq!(completion.text, "The capital of France is Paris.");
    assert_eq!(streamed, completion.text);
    assert_eq!((completion.prompt_tokens, completion.completion_tokens), (37, 7));
    assert_eq!(completion.finish, FinishReason::Stop);

    let mut streamed = String::new();
    let completion = model
        .complete(&ask(&messages), &mut |text| {
            streamed.push_str(text);
            !streamed.contains("capital")
        })
        .unwrap();
    assert_eq!((completion.text.as_str(), completion.finish), ("The capital", FinishReason::Cancelled));
    assert_eq!(streamed, "The capital");
}

#[test]
fn a_reply_ends_at_the_limit_of_new_tokens() {
    let Some(mut model) = smollm2(Sampling { max_new_tokens: 3, ..Sampling::default() }) else {
        return;
    };
    let completion = model.complete(&ask(&[Message::user("What is the capital of France?")]), &mut |_| true).unwrap();
    assert_eq!((completion.text.as_str(), completion.finish), ("The capital of", FinishReason::Length));
}

#[test]
fn the_loop_runs_on_a_local_model() {
    let Some(model) = smollm2(Sampling { max_new_tokens: 40, ..Sampling::default() }) else {
        return;
    };
    let session = Session::start(&Policy::default()).unwrap();
    let limits = Limits { steps_max: 2, ..Limits::default() };
    let mut agent = Agent::new(
        Box::new(model),
        Box::new(session),
        AgentOptions { limits, ..AgentOptions::new(Profile::quickstart()) },
    );
    let turn = agent.run_turn("Say hello.", &mut |_| {}).unwrap();
    assert!(turn.steps >= 1 && turn.steps <= 2 && turn.completion_tokens > 0, "{turn:?}");
    assert_ne!(turn.end, TurnEnd::Interrupted);
}
