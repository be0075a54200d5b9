//! Sessions in which code runs.

use std::io::Read;

use serde_json::{Value, json};

use crate::client::{ask, open, post_as};
use crate::tiny::serve;

fn create(port: u16) -> String {
    let created = ask(port, "POST", "/v1/agent/sessions", r#"{"temperature": 0.5, "seed": 1}"#);
    assert_eq!(created.status, 201, "{}", created.body);
    let session = created.json();
    assert_eq!(session["profile"], "quickstart");
    assert!(!session["protection"]["layers"].as_array().unwrap().is_empty());
    session["id"].as_str().unwrap().to_owned()
}

fn turns(id: &str) -> String {
    format!("/v1/agent/sessions/{id}/turns")
}

fn events(port: u16, id: &str, content: &str) -> Vec<Value> {
    let answer = ask(port, "POST", &turns(id), &json!({"content": content}).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let events = answer.events("data");
    let ids: Vec<String> = (0..events.len()).map(|index| index.to_string()).collect();
    assert_eq!(answer.events("id"), ids);
    events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
}

#[test]
fn variables_live_from_turn_to_turn() {
    let server = serve(&[
        "I count.\n<execute>\ncount = 20\nprint(count)\n</execute>",
        "It is <solution>20</solution>",
        "<execute>\ncount + 22\n</execute>",
        "Now <solution>42</solution>",
    ]);
    let id = create(server.port);
    let first = events(server.port, &id, "Count.");
    let types: Vec<&str> = first.iter().map(|event| event["type"].as_str().unwrap()).collect();
    for expected in ["text", "code", "execute", "output", "observation", "solution"] {
        assert!(types.contains(&expected), "{types:?}");
    }
    assert_eq!(first.last().unwrap(), &json!({"type": "answer", "text": "20"}));
    let second = events(server.port, &id, "And more?");
    let observation = second.iter().find(|event| event["type"] == "observation").unwrap();
    assert_eq!(observation["text"], "42");
    // The script is at its end: a turn that fails says so as its last event.
    let third = events(server.port, &id, "And now?");
    assert_eq!(third.last().unwrap()["type"], "error");
}

#[test]
fn sessions_are_bounded_and_can_be_deleted() {
    let server = serve(&[]);
    let first = create(server.port);
    create(server.port);
    let refused = ask(server.port, "POST", "/v1/agent/sessions", "");
    assert!(refused.error(429).contains("all 2 sessions"));
    assert!(refused.head.to_ascii_lowercase().contains("retry-after: 1"));
    let path = format!("/v1/agent/sessions/{first}");
    assert_eq!(ask(server.port, "DELETE", &path, "").status, 204);
    assert!(ask(server.port, "DELETE", &path, "").error(404).contains(&first));
    assert!(ask(server.port, "POST", &turns(&first), r#"{"content": "x"}"#).error(404).contains(&first));
    create(server.port);
}

#[test]
fn every_answer_about_code_says_what_protects_the_machine() {
    let server = serve(&[]);
    let answer = ask(server.port, "GET", "/v1/sandbox", "");
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rung = answer.json()["rung"].as_str().unwrap().to_owned();
    assert!(["root", "user"].contains(&rung.as_str()), "{rung}");
    assert_eq!(answer.json()["layers"].as_array().unwrap().len(), 10);
    let header = format!("x-codeact-sandbox: {rung}");
    for answer in [answer, ask(server.port, "DELETE", "/v1/agent/sessions/none", "")] {
        assert!(answer.head.to_ascii_lowercase().contains(&header), "{}", answer.head);
    }
    assert!(!ask(server.port, "GET", "/health", "").head.contains("x-codeact-sandbox"));
}

#[test]
fn a_wrong_request_names_what_is_wrong() {
    let server = serve(&[]);
    let post = |path: &str, body: &str| ask(server.port, "POST", path, body).error(400);
    assert!(post("/v1/agent/sessions", r#"{"tools": []}"#).contains("unknown field `tools`"));
    assert!(post("/v1/agent/sessions", r#"{"top_p": 0}"#).contains("`top_p` is 0"));
    let id = create(server.port);
    assert!(post(&turns(&id), "{}").contains("missing field `content`"));
}

#[test]
fn a_body_must_be_called_json() {
    let server = serve(&[]);
    let id = create(server.port);
    for path in ["/v1/chat/completions", "/v1/agent/sessions", &turns(&id)] {
        for other in ["text/plain", "application/jsonl", ""] {
            let refused = post_as(server.port, path, other, r#"{"content": "x"}"#);
            assert!(refused.error(415).contains("application/json"), "{path} {other}");
        }
    }
}

#[test]
fn a_running_turn_is_exclusive_and_ends_when_its_session_is_deleted() {
    let server = serve(&["<execute>\nprint('begun', flush=True)\nwhile True: pass\n</execute>", "Fine."]);
    let id = create(server.port);
    let mut reader = open(server.port, "POST", &turns(&id), r#"{"content": "Loop."}"#);
    let mut seen = String::new();
    while !seen.contains("begun\\n") {
        let mut piece = [0; 256];
        let count = reader.read(&mut piece).unwrap();
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&piece[..count]));
    }
    let busy = ask(server.port, "POST", &turns(&id), r#"{"content": "And me?"}"#);
    assert!(busy.error(409).contains("a turn is running"));
    // Deleting stops the code, and the stream ends with the reason.
    let path = format!("/v1/agent/sessions/{id}");
    assert_eq!(ask(server.port, "DELETE", &path, "").status, 204);
    reader.read_to_string(&mut seen).unwrap();
    assert!(seen.contains(r#"{"type":"interrupted"}"#), "{seen}");
}
