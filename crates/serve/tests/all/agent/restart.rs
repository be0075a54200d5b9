//! The server ends, or is killed at any moment, and its sessions are there again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::program::{endpoint, program};
use super::{Session, observations, of, run};

#[test]
fn sessions_come_back_with_their_turns_their_events_and_their_python() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let mut server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({"title": "Kept", "limits": {"cell_seconds": 5}}));
    session.turn(&run("x = 20\nprint(x)"));
    session.request("PUT", "/files/data.txt", "uploaded");
    session.turn(&run("x += len(open('data.txt').read())"));
    let (before, events) = (session.object(), session.events(0));
    assert_eq!(server.terminate(), 0);

    let server = program(folder.path(), &endpoint, &[]);
    let session = Session { port: server.port, ..session };
    let after = session.object();
    assert_eq!(after["state"], "stored");
    for field in ["id", "title", "created", "limits", "turns", "last_event", "protection", "sampling"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(session.events(0), events);
    let third = session.turn(&run("print(x)"));
    assert_eq!((observations(&third), &third[0]["turn"]), (vec!["28"], &json!(3)));
    assert_eq!(third[0]["id"], json!(events.len() + 1));
    assert_eq!(of(&third, "restored")[0]["differences"], json!([]));
    // Back before the restart.
    let undone = session.post("/undo", json!({"turns": 2}));
    assert_eq!(undone.status, 200, "{}", undone.body);
    assert_eq!(observations(&session.turn(&run("print(x)"))), ["20"]);
}

#[test]
fn what_comes_out_differently_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let mut server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({}));
    session.turn(&run("import os\nprint(os.urandom(8).hex())"));
    server.kill();
    let server = program(folder.path(), &endpoint, &[]);
    let session = Session { port: server.port, ..session };
    let events = session.turn(&run("print(1)"));
    let told = of(&events, "restored")[0];
    assert!(told["differences"][0].as_str().unwrap().starts_with("cell 1"), "{told}");
}

#[test]
fn a_turn_that_a_crash_fell_into_is_closed_and_the_session_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let mut server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({}));
    session.turn(&run("x = 1"));
    session.tell(&run("print('begun', flush=True)\nwhile True: pass"));
    let mut reader = session.follow(0);
    while reader.until("exec.stdout")["text"] != "begun\n" {}
    server.kill();
    // Half a line, as a crash of the machine may leave it.
    let log = folder.path().join("state/sessions").join(&session.id).join("events.jsonl");
    let mut text = std::fs::read(&log).unwrap();
    text.extend(br#"{"id":9999,"turn":2,"ti"#);
    std::fs::write(&log, text).unwrap();

    let server = program(folder.path(), &endpoint, &[]);
    let session = Session { port: server.port, ..session };
    let object = session.object();
    let turns = object["turns"].as_array().unwrap();
    assert_eq!((turns.len(), &turns[1]["end"], &turns[1]["executions"]), (2, &json!("interrupted"), &json!(1)));
    assert_eq!((&object["state"], &object["pending_approval"]), (&json!("stored"), &Value::Null));
    let events = session.events(0);
    let ids: Vec<u64> = events.iter().map(|event| event["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    let tail: Vec<&Value> = events.iter().rev().take(2).map(|event| &event["type"]).collect();
    assert_eq!(tail, [&json!("turn.end"), &json!("error")]);
    assert_eq!(turns[1]["last_event"], json!(ids.len()));
    let next = session.turn(&run("print(x)"));
    assert_eq!((observations(&next), &next[0]["turn"]), (vec!["1"], &json!(3)));
    assert!(session.get("/transcript").body.contains("[This was interrupted.]"));
}

#[test]
fn a_session_that_waits_for_an_approval_is_closed_by_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let mut server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({"approval": "ask"}));
    session.tell(&run("print('ran')"));
    session.follow(0).until("approval.required");
    server.kill();
    let server = program(folder.path(), &endpoint, &[]);
    let session = Session { port: server.port, ..session };
    let object = session.object();
    assert_eq!((&object["state"], &object["approval"]), (&json!("stored"), &json!("ask")));
    assert_eq!(object["turns"][0]["end"], "interrupted");
    assert!(of(&session.events(0), "exec.start").is_empty());
}

#[test]
fn killed_at_any_moment_no_session_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let mut server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({}));
    let mut last_event = 0;
    for round in 0..8u64 {
        let session = Session { port: server.port, id: session.id.clone(), key: None };
        let begun = session.tell(&run(&format!("kept{round} = {round}\nprint(kept{round})")));
        // Somewhere in the turn, a little later each time.
        let deadline = Instant::now() + Duration::from_millis(3 * round);
        while Instant::now() < deadline {
            std::thread::yield_now();
        }
        server.kill();
        server = program(folder.path(), &endpoint, &[]);
        let session = Session { port: server.port, id: session.id, key: None };
        let object = session.object();
        let turns = object["turns"].as_array().unwrap();
        assert_eq!(turns.len() as u64, round + 1, "a turn that was accepted is there");
        assert_eq!(turns[round as usize]["first_event"], begun["event"]);
        let events = session.events(0);
        assert_eq!(events.last().unwrap()["id"], object["last_event"]);
        assert_eq!(of(&events, "turn.start").len(), of(&events, "turn.end").len());
        assert!(object["last_event"].as_u64().unwrap() > last_event);
        last_event = object["last_event"].as_u64().unwrap();
    }
    let session = Session { port: server.port, id: session.id, key: None };
    assert_eq!(session.answer(&run("print(1)")), "done");
}

#[test]
fn branches_come_back_as_sessions_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = endpoint(folder.path());
    let mut server = program(folder.path(), &endpoint, &[]);
    let session = Session::create(server.port, json!({}));
    session.turn(&run("x = 'stem'"));
    let made = session.post("/branch", json!({"turn": 1})).json();
    let branch = session.other(&made["session"]["id"]);
    branch.turn(&run("x = 'branch'"));
    session.turn(&run("x = 'later'"));
    server.kill();
    let server = program(folder.path(), &endpoint, &[]);
    for (session, value) in [(&branch, "branch"), (&session, "later")] {
        let session = Session { port: server.port, id: session.id.clone(), key: None };
        assert_eq!(observations(&session.turn(&run("print(x)"))), [value]);
    }
}
