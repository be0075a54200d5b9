//! Conversations that outgrow the context of their model.

use crate::setup::{Counted, Seen, agent_of, contents, options, run, words};
use codeact_agent::{
    AgentError, AgentOptions, Ask, Completion, EndpointError, Event, Model, Overflow, ScriptedModel, TurnEnd,
};

/// Prints many words, and the step.
fn printing(step: usize, count: usize) -> String {
    format!("<execute>\nprint('word ' * {count}, {step})\n</execute>")
}

fn replies() -> Vec<String> {
    (1..=4).map(|step| printing(step, 150)).chain(["<solution>x</solution>".to_string()]).collect()
}

fn model(words_max: Option<usize>) -> (Counted, Seen) {
    let replies = replies();
    let model = Counted::new(&replies.iter().map(String::as_str).collect::<Vec<_>>(), words_max);
    let seen = model.seen.clone();
    (model, seen)
}

#[test]
fn the_oldest_observations_are_shortened_first_and_it_is_said() {
    let (model, seen) = model(Some(400));
    let mut agent = agent_of(model, options());
    let (turn, events) = run(&mut agent, "Print.");
    assert_eq!(turn.end, TurnEnd::Solution);
    let seen = seen.lock().unwrap();
    assert!(
        seen.iter().all(|prompt| words(prompt) <= 400),
        "{:?}",
        seen.iter().map(|it| words(it)).collect::<Vec<_>>()
    );
    let last = seen.last().unwrap();
    let marked = |index: usize| last[index].content.contains("characters of this old output are left out");
    assert_eq!((marked(3), marked(9)), (true, false), "{:#?}", contents(last));
    // The conversation itself keeps everything.
    assert!(agent.messages().iter().all(|message| !message.content.contains("left out")));
    let told: Vec<(usize, usize, usize)> = events
        .iter()
        .filter_map(|event| match event {
            Event::ContextShortened { observations, tokens: Some(tokens), tokens_max: Some(most) } => {
                Some((*observations, *tokens, *most))
            }
            _ => None,
        })
        .collect();
    assert!(!told.is_empty() && told.iter().all(|(count, tokens, most)| *count > 0 && tokens <= most), "{told:?}");
    assert_eq!(told[0].2, 400);
}

#[test]
fn what_fits_is_never_touched() {
    let (model, seen) = model(Some(10_000));
    let mut agent = agent_of(model, options());
    let (turn, events) = run(&mut agent, "Print.");
    assert!(!events.iter().any(|event| matches!(event, Event::ContextShortened { .. })));
    assert_eq!(seen.lock().unwrap().last().unwrap()[..], turn.messages[..turn.messages.len() - 1]);
}

#[test]
fn a_conversation_that_cannot_be_shortened_ends_with_a_way_out() {
    let (model, seen) = model(Some(40));
    let task = "word ".repeat(60);
    let (turn, events) = run(&mut agent_of(model, options()), &task);
    assert_eq!((turn.end, turn.steps), (TurnEnd::Context, 0));
    assert!(seen.lock().unwrap().is_empty());
    let Some(Event::Error { message, code }) = events.iter().rev().nth(1) else { panic!("{events:#?}") };
    assert_eq!(code, "context");
    assert!(message.contains("has room for 40") && message.contains("hint: start a new conversation"), "{message}");
}

#[test]
fn a_policy_may_forbid_it() {
    let (model, _) = model(Some(400));
    let stop = AgentOptions { overflow: Overflow::Stop, ..options() };
    let (turn, events) = run(&mut agent_of(model, stop), "Print.");
    assert_eq!(turn.end, TurnEnd::Context);
    assert!(!events.iter().any(|event| matches!(event, Event::ContextShortened { .. })));
    assert!(turn.executions > 0);
}

/// Does not count, and refuses prompts of too many words as a server does.
struct Refusing {
    script: ScriptedModel,
    words_max: usize,
    prompts: Seen,
}

impl Model for Refusing {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        self.prompts.lock().unwrap().push(ask.messages.to_vec());
        if words(ask.messages) > self.words_max {
            let message = "This model's maximum context length is 400 tokens.".to_string();
            let code = Some("context_length_exceeded".to_string());
            return Err(EndpointError::Refused { url: "http://there/v1/".into(), status: 400, message, code }.into());
        }
        self.script.complete(ask, on_text)
    }
}

#[test]
fn a_model_that_does_not_count_is_asked_again_with_less() {
    let prompts = Seen::default();
    let refusing = |words_max| Refusing { script: ScriptedModel::new(replies()), words_max, prompts: prompts.clone() };
    let (turn, events) = run(&mut agent_of(refusing(400), options()), "Print.");
    assert_eq!(turn.end, TurnEnd::Solution);
    let told = events.iter().filter(|event| matches!(event, Event::ContextShortened { tokens: None, .. })).count();
    assert!(told > 0);
    assert!(prompts.lock().unwrap().len() > 5, "each refusal is a prompt too");

    let (turn, events) = run(&mut agent_of(refusing(3), options()), "Print.");
    assert_eq!(turn.end, TurnEnd::Context);
    let told =
        |event: &Event| matches!(event, Event::Error { message, .. } if message.contains("maximum context length"));
    assert!(events.iter().any(told));
}

#[test]
fn observations_of_a_stored_conversation_are_shortened_too() {
    let (model, _) = model(None);
    let mut first = agent_of(model, options());
    run(&mut first, "Print.");
    let stored = first.messages().to_vec();
    let session = codeact_sandbox::Session::start(&codeact_sandbox::Policy::default()).unwrap();
    let next = Counted::new(&["<solution>y</solution>"], Some(300));
    let seen = next.seen.clone();
    let mut second = codeact_agent::Agent::resume(Box::new(next), Box::new(session), options(), stored.clone());
    let (turn, _) = run(&mut second, "Again?");
    assert_eq!(turn.end, TurnEnd::Solution);
    assert!(words(&seen.lock().unwrap()[0]) <= 300);
    assert_eq!(second.messages()[..stored.len()], stored[..]);
}
