//! Code that waits for somebody.

use serde_json::{Value, json};

use super::{Follow, Session, observations, of, run, say};
use crate::tiny::serve_say;

fn asked(content: &str) -> (crate::tiny::Server, Session, Follow, Value) {
    let server = serve_say();
    let session = Session::create(server.port, json!({"approval": "ask"}));
    session.tell(content);
    let mut reader = session.follow(0);
    let question = reader.until("approval.required");
    (server, session, reader, question)
}

#[test]
fn code_waits_for_its_approval_and_the_question_stands_in_the_session() {
    let (_server, session, mut reader, question) = asked(&run("print('ran')"));
    assert_eq!(question["code"], "print('ran')");
    let object = session.object();
    assert_eq!(object["state"], "waiting");
    let pending = json!({"approval": question["approval"], "step": 1, "code": "print('ran')"});
    assert_eq!(object["pending_approval"], pending);
    assert!(of(&session.events(0), "exec.start").is_empty());
    let answer = session.decide(&question, json!({"decision": "approve"}));
    assert_eq!(answer.json(), json!({"decision": "approved"}));
    assert_eq!(reader.until("approval.resolved")["decision"], "approved");
    assert_eq!(reader.until("exec.end")["observation"], "ran");
    reader.until("turn.end");
    assert_eq!(session.object()["pending_approval"], Value::Null);
    // It has one answer.
    for late in [json!({"decision": "deny"}), json!({"decision": "approve"})] {
        assert!(session.decide(&question, late).error(409).contains("decided already"));
    }
    let unknown = session.post("/approvals/a0", json!({"decision": "approve"}));
    assert!(unknown.error(404).contains("no approval"));
}

#[test]
fn a_denial_is_told_to_the_model_with_its_reason() {
    let (_server, session, mut reader, question) = asked(&run("print('ran')"));
    let answer = session.decide(&question, json!({"decision": "deny", "reason": "not today"}));
    assert_eq!(answer.json(), json!({"decision": "denied"}));
    let resolved = reader.until("approval.resolved");
    assert_eq!((&resolved["decision"], &resolved["reason"]), (&json!("denied"), &json!("not today")));
    reader.until("turn.end");
    let events = session.events(0);
    assert!(of(&events, "exec.start").is_empty());
    assert!(session.get("/transcript").body.contains("not today"));
}

#[test]
fn other_code_can_run_instead() {
    let (_server, session, mut reader, question) = asked(&run("print('first')"));
    let answer = session.decide(&question, json!({"decision": "approve", "code": "print('second')"}));
    assert_eq!(answer.json(), json!({"decision": "edited"}));
    assert_eq!(reader.until("exec.end")["observation"], "second");
    reader.until("turn.end");
    let said = session.get("/transcript").body;
    assert!(said.contains(r#""assistant","content":"<execute>\nprint('second')"#), "{said}");
}

#[test]
fn always_is_an_answer_to_all_questions_of_the_session() {
    let steps = ["<execute>\nprint(1)\n</execute>", "<execute>\nprint(2)\n</execute>", "<solution>done</solution>"];
    let (_server, session, mut reader, question) = asked(&say(&steps));
    session.decide(&question, json!({"decision": "approve", "always": true}));
    assert_eq!(reader.until("updated")["approval"], "auto");
    reader.until("turn.end");
    let events = session.events(0);
    assert_eq!((of(&events, "approval.required").len(), observations(&events)), (1, vec!["1", "2"]));
    assert_eq!(session.object()["approval"], "auto");
}

#[test]
fn an_interrupt_ends_the_wait_and_nothing_runs() {
    let (_server, session, mut reader, question) = asked(&run("print('ran')"));
    assert_eq!(session.post("/interrupt", json!({})).json(), json!({"interrupted": true}));
    assert_eq!(reader.until("approval.resolved")["decision"], "interrupted");
    assert_eq!(reader.until("turn.end")["end"], "interrupted");
    assert!(of(&session.events(0), "exec.start").is_empty());
    assert!(session.decide(&question, json!({"decision": "approve"})).error(409).contains("waits no longer"));
}

#[test]
fn switching_approval_off_lets_what_waits_run() {
    let (_server, session, mut reader, _) = asked(&run("print('ran')"));
    assert_eq!(session.request("PATCH", "", r#"{"approval": "auto"}"#).status, 200);
    assert_eq!(reader.until("exec.end")["observation"], "ran");
    assert_eq!(reader.until("turn.end")["end"], "solution");
}

#[test]
fn many_answers_at_once_count_as_one() {
    let (_server, session, mut reader, question) = asked(&run("print('ran')"));
    let (session, question) = (&session, &question);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let decided = |index: usize| {
            let decision = if index.is_multiple_of(2) { "approve" } else { "deny" };
            session.decide(question, json!({"decision": decision})).status
        };
        let threads: Vec<_> = (0..8).map(|index| scope.spawn(move || decided(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
    reader.until("turn.end");
    assert_eq!(of(&session.events(0), "approval.resolved").len(), 1);
}

#[test]
fn answers_that_make_no_sense_are_refused() {
    let (_server, session, _reader, question) = asked(&run("print('ran')"));
    for (body, expected) in [
        (json!({}), "missing field `decision`"),
        (json!({"decision": "maybe"}), "`approve` or `deny`"),
        (json!({"decision": "deny", "code": "x"}), "only for `approve`"),
        (json!({"decision": "approve", "reason": "x"}), "only for `deny`"),
        (json!({"decision": "deny", "always": true}), "only for `approve`"),
        (json!({"decision": "approve", "extra": 1}), "unknown field `extra`"),
    ] {
        let message = session.decide(&question, body).error(400);
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(session.state(), "waiting");
}
