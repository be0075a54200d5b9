//! Readers of events: many, late, slow, coming back.

use serde_json::json;

use super::{Session, observations, of, run, say};
use crate::tiny::serve_say;

#[test]
fn a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    let begun = session.tell(&run("import time\nfor n in range(30):\n    print(n, flush=True)\n    time.sleep(0.01)"));
    assert_eq!(begun, json!({"turn": 1, "event": 1}));
    let mut ids = Vec::new();
    // Each reader takes a few events and leaves; the turn does not care.
    let mut last = 0;
    'all: loop {
        let mut reader = session.follow(last);
        for _ in 0..5 {
            let event = reader.next().unwrap();
            last = event["id"].as_u64().unwrap();
            ids.push(last);
            if event["type"] == "turn.end" {
                break 'all;
            }
        }
    }
    assert_eq!(ids, (1..=last).collect::<Vec<_>>());
    let all = session.events(0);
    assert_eq!(all.len() as u64, last);
    assert_eq!(
        of(&all, "exec.stdout").iter().map(|event| event["text"].as_str().unwrap()).collect::<String>().lines().count(),
        30
    );
    assert_eq!(session.events(last - 1).len(), 1);
    assert_eq!(session.events(last + 5), Vec::<serde_json::Value>::new());
}

#[test]
fn a_slow_reader_holds_up_neither_the_turn_nor_others() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    // Never read, and more than any buffer on the way takes.
    let unread: Vec<_> = (0..3).map(|_| session.follow(0)).collect();
    let shown =
        "class Large:\n    def _repr_html_(self): return 'x' * 1_000_000\n    def __repr__(self): return 'large'";
    let events = session.turn(&run(&format!("{shown}\nfor _ in range(20): display(Large())")));
    assert_eq!(events.last().unwrap()["end"], "solution");
    assert!(events.iter().map(|event| event.to_string().len()).sum::<usize>() > 20_000_000);
    drop(unread);
}

#[test]
fn one_turn_at_a_time() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    session.tell(&run("while True: pass"));
    let mut reader = session.follow(0);
    reader.until("exec.start");
    assert_eq!(session.state(), "running");
    let busy = [
        session.post("/messages", json!({"content": "and me?"})),
        session.post("/undo", json!({})),
        session.post("/branch", json!({"turn": 0})),
        session.request("PATCH", "", r#"{"model": "tiny"}"#),
        session.request("PUT", "/files/a", "x"),
    ];
    for refused in busy {
        assert!(refused.error(409).contains("a turn is running"), "{}", refused.body);
    }
    assert_eq!(session.request("PATCH", "", r#"{"title": "meanwhile"}"#).status, 200);
    assert_eq!(session.get("/files").status, 200);
    assert_eq!(session.post("/interrupt", json!({})).json(), json!({"interrupted": true}));
    assert_eq!(reader.until("turn.end")["end"], "interrupted");
    assert_eq!(session.post("/interrupt", json!({})).json(), json!({"interrupted": false}));
    assert_eq!(observations(&session.turn(&run("print(1)"))), ["1"]);
}

#[test]
fn a_model_that_does_not_answer_can_be_interrupted() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    session.tell(&say(&["STALL"]));
    assert_eq!(session.post("/interrupt", json!({})).json(), json!({"interrupted": true}));
    assert_eq!(session.follow(0).until("turn.end")["end"], "interrupted");
}

#[test]
fn deleting_a_session_ends_its_turn_and_its_readers() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    session.tell(&run("while True: pass"));
    let mut reader = session.follow(0);
    reader.until("exec.start");
    assert_eq!(session.request("DELETE", "", "").status, 204);
    assert_eq!(reader.until("turn.end")["end"], "interrupted");
    assert_eq!(reader.next(), None);
    let sessions = server.folder.path().join("state/sessions");
    assert_eq!(std::fs::read_dir(sessions).unwrap().count(), 0);
}

#[test]
fn what_is_asked_of_the_events_is_checked() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    for (query, expected) in [
        ("?after=x", "`after` is \"x\""),
        ("?after=-1", "`after`"),
        ("?after=1&after=2", "stands twice"),
        ("?follow=maybe", "`follow`"),
        ("?since=1", "unknown query parameter \"since\""),
        ("?after=99999999999999999999", "`after`"),
    ] {
        let message = session.get(&format!("/events{query}")).error(400);
        assert!(message.contains(expected), "{query}: {message}");
    }
}
