//! What ends a turn, each with its own name, and what the model is told.

use crate::setup::{Counted, agent_of, assert_alternates, contents, options, run};
use codeact_agent::{
    AgentError, AgentOptions, Ask, Completion, Event, FinishReason, Limits, Model, Profile, ScriptedModel, TurnEnd,
};
use std::time::{Duration, Instant};

fn limited(limits: Limits) -> AgentOptions {
    AgentOptions { limits, ..options() }
}

#[test]
fn a_model_that_ran_all_it_may_is_told_and_can_still_answer() {
    let limits = Limits { executions_max: 1, ..Limits::default() };
    let replies = ["<execute>\n1\n</execute>", "<solution>1</solution>"];
    let (turn, events) = run(&mut agent_of(ScriptedModel::new(replies), limited(limits.clone())), "One.");
    assert_eq!((turn.end, turn.executions), (TurnEnd::Solution, 1));
    assert_eq!(contents(&turn.messages)[3], "Observation:\n1\n[No more code can be run for this. Answer now.]");
    assert!(events.contains(&Event::Hint { text: "[No more code can be run for this. Answer now.]".into() }));

    let replies = ["<execute>\n1\n</execute>", "<execute>\nopen('ran', 'w')\n</execute>"];
    let mut agent = agent_of(ScriptedModel::new(replies), limited(limits));
    let (turn, _) = run(&mut agent, "One.");
    assert_eq!((turn.end, turn.steps, turn.executions), (TurnEnd::ExecutionLimit, 2, 1));
    assert_eq!(agent.interpreter().cells(), 1);
    assert_alternates(agent.messages());
}

#[test]
fn the_chat_ends_as_the_original_does() {
    let replies: Vec<String> = (0..4).map(|n| format!("Look: <execute> {n} </execute>")).collect();
    let mut agent = agent_of(ScriptedModel::new(replies), AgentOptions::new(Profile::chat()));
    let (turn, events) = run(&mut agent, "Count.");
    assert_eq!((turn.end, turn.executions, turn.answer), (TurnEnd::ExecutionLimit, 3, None));
    let seen = contents(&turn.messages);
    assert_eq!((seen[1], seen[3]), ("Count.", "Execution Output:\n0"));
    assert_eq!(seen[7], "Execution Output:\n2");
    assert!(seen[8].starts_with("I have run code 3 times"), "{}", seen[8]);
    assert!(events.contains(&Event::Token { text: seen[8].into() }));
    assert_alternates(agent.messages());
}

/// Writes one word after another, as many as it may.
struct Endless;

impl Model for Endless {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        let mut text = "<execute>\n".to_string();
        let mut finish = FinishReason::Length;
        let most = ask.tokens_max.unwrap_or(usize::MAX);
        for word in 0..most {
            std::thread::sleep(Duration::from_millis(2));
            let piece = format!("{word}\n");
            text.push_str(&piece);
            if !on_text(&piece) {
                finish = FinishReason::Cancelled;
                break;
            }
        }
        Ok(Completion { text, prompt_tokens: 1, cached_tokens: 0, completion_tokens: most, finish })
    }
}

#[test]
fn a_turn_writes_no_more_tokens_than_it_may() {
    let limits = Limits { turn_tokens_max: Some(20), ..Limits::default() };
    let mut agent = agent_of(Endless, limited(limits.clone()));
    let (turn, _) = run(&mut agent, "Write.");
    assert_eq!((turn.end, turn.steps, turn.executions), (TurnEnd::TokenLimit, 1, 0));
    assert_eq!(turn.completion_tokens, 20);
    assert_alternates(agent.messages());

    // Spent on the first step: there is no second one.
    let replies =
        ["<execute>\nprint( 'a b c d e f g h i j k l m n o p q r s t' )\n</execute>", "<solution>1</solution>"];
    let (turn, _) = run(&mut agent_of(Counted::new(&replies, None), limited(limits)), "Write.");
    assert_eq!((turn.end, turn.steps, turn.executions), (TurnEnd::TokenLimit, 1, 1));
}

#[test]
fn a_turn_takes_no_longer_than_it_may() {
    let limits = Limits { turn_time_max: Some(Duration::from_millis(700)), ..Limits::default() };
    let begun = Instant::now();
    let (turn, events) = run(&mut agent_of(Endless, limited(limits.clone())), "Write.");
    assert_eq!((turn.end, turn.executions), (TurnEnd::TimeLimit, 0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(matches!(events.last(), Some(Event::TurnEnd { end: TurnEnd::TimeLimit, .. })));

    let replies =
        ["<execute>\nx = 5\nwhile True: pass\n</execute>", "<execute>\nx\n</execute>", "<solution>5</solution>"];
    let mut agent = agent_of(ScriptedModel::new(replies), limited(limits));
    let (turn, _) = run(&mut agent, "Loop.");
    assert_eq!((turn.end, turn.executions), (TurnEnd::TimeLimit, 1));
    let seen = contents(&turn.messages);
    assert!(seen[3].ends_with("[Execution was interrupted.]\n[The time for this is over.]"), "{}", seen[3]);
    // The clock starts anew with the next message.
    let (turn, _) = run(&mut agent, "And now?");
    assert_eq!(turn.answer.as_deref(), Some("5"));
    assert_alternates(agent.messages());
}

#[test]
fn limits_of_the_original_programs_are_those_of_their_wording() {
    let most = |profile: Profile| AgentOptions::new(profile).limits.executions_max;
    assert_eq!((most(Profile::chat()), most(Profile::codeactinstruct())), (3, 5));
}
