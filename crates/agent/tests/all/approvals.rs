//! Code that somebody looks at before it runs.

use crate::setup::{agent, assert_alternates, contents, run};
use codeact_agent::{Approver, Decision, Event, Interrupter, TurnEnd, Verdict};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Gives one prepared decision after another, and remembers what it was asked.
struct Prepared {
    decisions: Mutex<VecDeque<Decision>>,
    asked: Mutex<Vec<(String, usize)>>,
}

impl Prepared {
    fn new(decisions: impl IntoIterator<Item = Decision>) -> Arc<Prepared> {
        let decisions = Mutex::new(decisions.into_iter().collect());
        Arc::new(Prepared { decisions, asked: Mutex::default() })
    }
}

impl Approver for Prepared {
    fn decide(&self, code: &str, step: usize) -> Decision {
        self.asked.lock().unwrap().push((code.to_string(), step));
        self.decisions.lock().unwrap().pop_front().unwrap()
    }
}

fn resolved(events: &[Event]) -> Vec<(Verdict, Option<String>, Option<String>)> {
    let read = |event: &Event| match event {
        Event::ApprovalResolved { decision, reason, code, .. } => Some((*decision, reason.clone(), code.clone())),
        _ => None,
    };
    events.iter().filter_map(read).collect()
}

#[test]
fn approved_code_runs_and_denied_code_does_not() {
    let replies = [
        "<execute>\nx = 1\n</execute>",
        "<execute>\nx = 2\n</execute>",
        "<execute>\nx\n</execute>",
        "<solution>1</solution>",
    ];
    let mut agent = agent(&replies);
    let approver = Prepared::new([Decision::Run, Decision::Deny("x must stay".into()), Decision::Run]);
    agent.set_approver(Some(approver.clone()));
    let (turn, events) = run(&mut agent, "Go.");
    let seen = contents(&turn.messages);
    assert_eq!(seen[5], "Observation:\n[The code was not approved, and was not run. Reason: x must stay]");
    assert_eq!(seen[7], "Observation:\n1");
    assert_eq!((turn.steps, turn.executions), (4, 2));
    let asked: Vec<(String, usize)> =
        [("x = 1", 1), ("x = 2", 2), ("x", 3)].map(|(code, step)| (code.into(), step)).into();
    assert_eq!(*approver.asked.lock().unwrap(), asked);
    let denied = (Verdict::Denied, Some("x must stay".into()), None);
    assert_eq!(resolved(&events), [(Verdict::Approved, None, None), denied, (Verdict::Approved, None, None)]);
    let ids: Vec<&String> = events
        .iter()
        .filter_map(|event| match event {
            Event::ApprovalRequired { approval, .. } => Some(approval),
            _ => None,
        })
        .collect();
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    // Without an approver everything runs again.
    agent.set_approver(None);
    assert!(agent.run_turn("More.", &mut |_| {}).is_err(), "the script is over");
}

#[test]
fn edited_code_runs_and_is_what_the_conversation_holds() {
    for reply in ["So:\n<execute>\nx = 1\n</execute>", "So:\n```python\nx = 1\n```\nAnd more."] {
        let mut agent = agent(&[reply, "<execute>\nx\n</execute>", "<solution>7</solution>"]);
        agent.set_approver(Some(Prepared::new([Decision::RunInstead("x = 7".into()), Decision::Run])));
        let (turn, events) = run(&mut agent, "Go.");
        let seen = contents(&turn.messages);
        assert_eq!((seen[2], seen[5]), ("So:\n<execute>\nx = 7\n</execute>", "Observation:\n7"));
        assert_eq!(resolved(&events)[0], (Verdict::Edited, None, Some("x = 7".into())));
        assert!(events.contains(&Event::ExecStart { step: 1, code: "x = 7".into() }));
    }
}

#[test]
fn edited_code_that_is_no_python_is_told_like_any_other() {
    let mut agent = agent(&["<execute>\nx = 1\n</execute>", "<solution>7</solution>"]);
    agent.set_approver(Some(Prepared::new([Decision::RunInstead("x = (".into())])));
    let (turn, _) = run(&mut agent, "Go.");
    assert!(contents(&turn.messages)[3].contains("SyntaxError"));
    assert_eq!(turn.executions, 0);
}

#[test]
fn nobody_is_asked_about_code_that_cannot_run() {
    let mut agent = agent(&["<execute>\nx = (\n</execute>", "<solution>7</solution>"]);
    let approver = Prepared::new([]);
    agent.set_approver(Some(approver.clone()));
    assert_eq!(run(&mut agent, "Go.").0.end, TurnEnd::Solution);
    assert!(approver.asked.lock().unwrap().is_empty());
}

/// Thinks until the turn is interrupted.
struct Undecided(Interrupter);

impl Approver for Undecided {
    fn decide(&self, _code: &str, _step: usize) -> Decision {
        while !self.0.is_wanted() {
            std::thread::sleep(Duration::from_millis(5));
        }
        Decision::Interrupt
    }
}

#[test]
fn an_interrupt_ends_the_wait_for_a_decision() {
    let mut agent = agent(&["<execute>\nopen('ran', 'w')\n</execute>", "Fine."]);
    let interrupter = agent.interrupter();
    agent.set_approver(Some(Arc::new(Undecided(interrupter.clone()))));
    let begun = Instant::now();
    let mut events = Vec::new();
    let turn = std::thread::scope(|scope| {
        let turn = agent.run_turn("Go.", &mut |event| {
            if matches!(event, Event::ApprovalRequired { .. }) {
                let interrupter = interrupter.clone();
                scope.spawn(move || interrupter.interrupt());
            }
            events.push(event);
        });
        turn.unwrap()
    });
    assert_eq!((turn.end, turn.executions), (TurnEnd::Interrupted, 0));
    assert_eq!(resolved(&events), [(Verdict::Interrupted, None, None)]);
    assert!(begun.elapsed() < Duration::from_secs(5));
    agent.set_approver(None);
    assert_eq!(run(&mut agent, "Ok?").0.answer.as_deref(), Some("Fine."));
    assert_alternates(agent.messages());
}

/// Takes its time, and approves.
struct Slow(Duration);

impl Approver for Slow {
    fn decide(&self, _code: &str, _step: usize) -> Decision {
        std::thread::sleep(self.0);
        Decision::Run
    }
}

#[test]
fn the_time_that_somebody_thinks_does_not_count() {
    let session = codeact_sandbox::Session::start(&codeact_sandbox::Policy::default()).unwrap();
    let model = codeact_agent::ScriptedModel::new(["<execute>\n1\n</execute>", "<solution>1</solution>"]);
    let mut options = crate::setup::options();
    options.limits.turn_time_max = Some(Duration::from_secs(2));
    let mut agent = codeact_agent::Agent::new(Box::new(model), Box::new(session), options);
    agent.set_approver(Some(Arc::new(Slow(Duration::from_millis(2500)))));
    assert_eq!(run(&mut agent, "Go.").0.end, TurnEnd::Solution);
}
