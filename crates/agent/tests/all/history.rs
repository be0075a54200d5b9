//! Back to an earlier point, beside it, and on from a stored one.

use crate::setup::{agent, agent_and_files, assert_alternates, contents, options, run};
use codeact_agent::{Agent, AgentError, Mark, ScriptedModel};
use codeact_sandbox::{Policy, Restored, Session};

fn cell(code: &str) -> String {
    format!("<execute>\n{code}\n</execute>")
}

#[test]
fn undo_brings_messages_variables_and_files_back() {
    let replies = [
        cell("x = 1; print(open('f', 'w').write('one'))"),
        "<solution>1</solution>".to_string(),
        cell("x = 2; print(open('f', 'w').write('twotwo'))"),
        "<solution>2</solution>".to_string(),
        cell("x, open('f').read()"),
        "<solution>3</solution>".to_string(),
    ];
    let (mut agent, files) = agent_and_files(ScriptedModel::new(replies), options());
    let start = agent.mark();
    run(&mut agent, "First.");
    let (mark, before) = (agent.mark(), agent.messages().to_vec());
    assert_eq!((start.cells, mark.cells), (0, 1));
    run(&mut agent, "Second.");
    assert_eq!(files.read("f", 100).unwrap(), b"twotwo");
    assert_eq!(agent.undo_to(&mark).unwrap(), Restored::Resumed);
    assert_eq!(agent.messages(), before);
    assert_eq!(files.read("f", 100).unwrap(), b"one");
    let (turn, _) = run(&mut agent, "Third.");
    assert_eq!(contents(&turn.messages)[3], "Observation:\n(1, 'one')");
    assert_eq!(agent.undo_to(&start).unwrap(), Restored::Resumed);
    assert_eq!((agent.messages().len(), agent.mark()), (1, start));
    assert!(files.list("", 10).unwrap().entries.is_empty());
}

#[test]
fn what_the_user_added_to_an_observation_is_taken_back_too() {
    let mut limits = options();
    limits.limits.steps_max = 1;
    let replies = [cell("1"), cell("2")];
    let (mut agent, _) = agent_and_files(ScriptedModel::new(replies), limits);
    run(&mut agent, "First.");
    let (mark, before) = (agent.mark(), agent.messages().to_vec());
    run(&mut agent, "Second.");
    assert!(agent.messages()[3].content.ends_with("Second."));
    agent.undo_to(&mark).unwrap();
    assert_eq!(agent.messages(), before);
}

#[test]
fn a_mark_that_never_was_is_refused_and_changes_nothing() {
    let mut agent = agent(&[&cell("1"), "<solution>1</solution>"]);
    run(&mut agent, "First.");
    let now = agent.mark();
    for wrong in [
        Mark { messages: 0, ..now },
        Mark { messages: now.messages + 1, ..now },
        Mark { cells: 2, ..now },
        Mark { last_bytes: 1_000_000, ..now },
    ] {
        let error = agent.undo_to(&wrong).unwrap_err();
        assert!(matches!(error, AgentError::BadMark { .. }), "{error}");
        let other = Box::new(ScriptedModel::new([""; 0]));
        assert!(agent.branch(&wrong, other, None).is_err());
        assert_eq!(agent.mark(), now);
    }
}

#[test]
fn a_branch_goes_its_own_way() {
    let replies = [cell("x = 1"), "<solution>1</solution>".into(), cell("x += 1; x"), "<solution>2</solution>".into()];
    let mut agent = agent(&replies.each_ref().map(String::as_str));
    run(&mut agent, "First.");
    let mark = agent.mark();
    let other = ScriptedModel::new([cell("x += 10; x"), "<solution>11</solution>".to_string()]);
    let (mut branch, restored) = agent.branch(&mark, Box::new(other), None).unwrap();
    assert_eq!(restored, Restored::Resumed);
    let (there, _) = run(&mut branch, "Ten more.");
    let (here, _) = run(&mut agent, "One more.");
    assert_eq!(contents(&there.messages)[3], "Observation:\n11");
    assert_eq!(contents(&here.messages)[3], "Observation:\n2");
    assert_eq!(branch.messages()[..4], agent.messages()[..4]);
    assert_alternates(branch.messages());
}

#[test]
fn a_recorded_conversation_goes_on_after_its_process() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, branch_journal) = (folder.path().join("journal"), folder.path().join("branch"));
    let session = Session::start_recorded(&Policy::default(), &journal).unwrap();
    let model = ScriptedModel::new([cell("x = 41"), cell("x = ("), "<solution>41</solution>".to_string()]);
    let mut first = Agent::new(Box::new(model), Box::new(session), options());
    run(&mut first, "Remember.");
    let (mark, messages) = (first.mark(), first.messages().to_vec());
    let stored = serde_json::to_string(&(mark, &messages)).unwrap();
    let none = || Box::new(ScriptedModel::new([""; 0]));
    first.branch(&mark, none(), Some(&branch_journal)).unwrap();
    drop(first);

    let (mark, messages): (Mark, Vec<codeact_chat::Message>) = serde_json::from_str(&stored).unwrap();
    for journal in [journal, branch_journal] {
        let (session, recovery) = Session::restore(&Policy::default(), &journal).unwrap();
        assert_eq!((recovery.cells, recovery.differences.len()), (1, 0), "code that is no Python is no cell");
        let model = ScriptedModel::new([cell("x + 1"), "<solution>42</solution>".to_string()]);
        let mut second = Agent::resume(Box::new(model), Box::new(session), options(), messages.clone());
        assert_eq!(second.mark(), mark);
        let (turn, _) = run(&mut second, "Add one.");
        assert_eq!(contents(&turn.messages)[3], "Observation:\n42");
        second.undo_to(&mark).unwrap();
        assert_eq!(second.mark(), mark);
    }
}

#[test]
fn another_model_goes_on_with_the_conversation() {
    let mut agent = agent(&["<solution>1</solution>"]);
    run(&mut agent, "First.");
    agent.set_model(Box::new(ScriptedModel::new(["<solution>2</solution>"])));
    assert_eq!(run(&mut agent, "Second.").0.answer.as_deref(), Some("2"));
    assert_eq!(agent.messages().len(), 5);
}
