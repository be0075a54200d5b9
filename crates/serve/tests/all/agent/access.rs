//! Whose sessions are, and how much one key may have.

use std::path::Path;

use codeact_serve::{ApiKeys, EdgeSettings, LogSettings};
use serde_json::json;

use super::{SESSIONS, Session, run};
use crate::client::{answer, get, send};
use crate::tiny::{Setup, serve_agents};

const ONE: &str = "the-key-of-the-first-team";
const OTHER: &str = "the-key-of-the-second-team";

fn keys(folder: &Path) -> ApiKeys {
    let file = folder.join("keys.txt");
    std::fs::write(&file, format!("{ONE}\n{OTHER}\n")).unwrap();
    ApiKeys::read(&file).unwrap()
}

fn setup() -> (tempfile::TempDir, Setup) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Some(keys(folder.path()));
    let log = LogSettings { requests: false, prompts: false };
    let setup = Setup { edge: EdgeSettings { keys, log, ..EdgeSettings::default() }, ..Setup::default() };
    (folder, setup)
}

#[test]
fn a_session_is_there_for_its_own_key_only() {
    let (_folder, setup) = setup();
    let server = serve_agents(setup);
    let own = Session::create_as(server.port, Some(ONE), json!({}));
    own.turn(&run("print(1)"));
    let foreign = own.as_seen_by(OTHER);
    let requests = [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/messages"),
        ("GET", "/events"),
        ("POST", "/interrupt"),
        ("POST", "/approvals/a1"),
        ("POST", "/undo"),
        ("POST", "/branch"),
        ("GET", "/files"),
        ("GET", "/files/x"),
        ("PUT", "/files/x"),
        ("DELETE", "/files/x"),
        ("GET", "/transcript"),
    ];
    let missing = Session::create_as(server.port, Some(OTHER), json!({}));
    assert_eq!(missing.request("DELETE", "", "").status, 204);
    for (method, rest) in requests {
        let refused = foreign.request(method, rest, "{}");
        // As one that never was: nobody learns that it exists.
        let unknown = missing.request(method, rest, "{}").error(404).replace(&missing.id, &own.id);
        assert_eq!(refused.error(404), unknown, "{method} {rest}");
    }
    let list = |key: &str| {
        let authorization = format!("Bearer {key}");
        answer(send(server.port, "GET", SESSIONS, &[("Authorization", &authorization)], "")).json()["data"].clone()
    };
    assert_eq!(list(ONE)[0]["id"], json!(own.id));
    assert_eq!(list(OTHER), json!([]));
    assert_eq!(own.object()["turns"].as_array().unwrap().len(), 1);
}

#[test]
fn without_a_key_only_what_shows_nothing_is_open() {
    let (_folder, setup) = setup();
    let server = serve_agents(setup);
    for path in ["/health", "/ready", "/openapi.json"] {
        assert_eq!(get(server.port, path).status, 200, "{path}");
    }
    for path in [SESSIONS, "/v1/models", "/metrics", "/v1/agent/tools", "/v1/sandbox", "/openapi.json/x"] {
        get(server.port, path).error(401);
    }
    answer(send(server.port, "POST", "/execute", &[], r#"{"convid": "a", "code": "1"}"#)).error(401);
}

#[test]
fn limits_count_each_key_by_itself() {
    let (_folder, setup) = setup();
    let limits = |settings: &mut codeact_serve::AgentSettings| {
        (settings.sessions_per_key_max, settings.turns_per_key_max) = (1, 1);
    };
    let server = serve_agents(Setup { agent: limits, ..setup });
    let one = Session::create_as(server.port, Some(ONE), json!({}));
    let authorization = format!("Bearer {ONE}");
    let fields = [("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    let refused = answer(send(server.port, "POST", SESSIONS, &fields, "{}"));
    assert!(refused.error(429).contains("1 sessions"));
    assert!(one.post("/branch", json!({"turn": 0})).error(429).contains("1 sessions"));
    let other = Session::create_as(server.port, Some(OTHER), json!({}));
    one.tell(&run("while True: pass"));
    one.follow(0).until("exec.start");
    // As many turns as one key may have; the agent as a model is one too.
    let body = json!({"model": "codeact-agent", "messages": [{"role": "user", "content": "hi"}]});
    let refused = answer(send(server.port, "POST", "/v1/chat/completions", &fields, &body.to_string()));
    assert!(refused.error(429).contains("1 turns"));
    other.turn(&run("print(1)"));
    one.post("/interrupt", json!({}));
    one.follow(0).until("turn.end");
}

#[test]
fn requests_of_one_key_at_once_are_bounded() {
    let (_folder, mut setup) = setup();
    setup.edge.requests_per_key_max = 2;
    let server = serve_agents(setup);
    let one = Session::create_as(server.port, Some(ONE), json!({}));
    one.request("PATCH", "", r#"{"title": "an event"}"#);
    // The place of an answered request is free a moment after the answer; a reader that was refused reads nothing.
    let reader = || loop {
        let mut reader = one.follow(0);
        if reader.next().is_some() {
            return reader;
        }
    };
    let readers = [reader(), reader()];
    let refused = one.get("");
    assert!(refused.error(429).contains("2 requests"));
    Session::create_as(server.port, Some(OTHER), json!({}));
    drop(readers);
}
