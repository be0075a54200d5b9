//! Bodies, paths and queries that nobody means well with: refused by name or answered, and the server works on.

use serde_json::{Value, json};

use super::{SESSIONS, Session, observations, run};
use crate::client::{answer, ask, get, send};
use crate::tiny::serve_say;
use crate::values::hostile_values;

/// A refusal or a result, but never a failure of the server.
fn is_sound(status: u16) -> bool {
    (200..500).contains(&status) || status == 507
}

#[test]
fn every_field_of_every_request_takes_whatever_stands_in_it() {
    let server = serve_say();
    let session = Session::create(server.port, json!({"approval": "ask"}));
    let bodies: [(&str, String, Value); 7] = [
        ("PATCH", session.path(""), json!({"title": "x", "approval": "ask", "model": "tiny"})),
        ("POST", session.path("/interrupt"), json!({})),
        (
            "POST",
            session.path("/approvals/a1"),
            json!({"decision": "deny", "reason": "x", "code": "x", "always": true}),
        ),
        ("POST", session.path("/undo"), json!({"turns": 1})),
        ("POST", session.path("/messages"), json!({"content": null})),
        ("POST", "/execute".to_owned(), json!({"convid": null, "code": null})),
        ("POST", session.path("/branch"), json!({"turn": null})),
    ];
    for (method, path, fields) in &bodies {
        for name in fields.as_object().unwrap().keys() {
            for value in hostile_values() {
                // Empty content, and a first message, are the business of other tests.
                if name == "content" && value.starts_with('"') || name == "turn" && value == "0" {
                    continue;
                }
                let body = format!(r#"{{"{name}": {value}}}"#);
                let answer = ask(server.port, method, path, &body);
                assert!(is_sound(answer.status), "{method} {path} {body:.100}: {} {}", answer.status, answer.body);
                if answer.status == 400 {
                    assert!(answer.error(400).len() < 2000);
                }
            }
        }
    }
    session.request("PATCH", "", r#"{"approval": "auto"}"#);
    assert_eq!(observations(&session.turn(&run("print(1)"))), ["1"]);
}

#[test]
fn every_field_of_a_new_session_is_checked_before_anything_starts() {
    let server = serve_say();
    let keep = Session::create(server.port, json!({}));
    let fields = [
        "model",
        "profile",
        "action_format",
        "system_prompt",
        "title",
        "approval",
        "tools",
        "packages",
        "skills",
        "overflow",
        "limits",
        "temperature",
        "top_p",
        "top_k",
        "seed",
        "max_tokens",
    ];
    let limits = [
        "steps",
        "executions",
        "tokens",
        "seconds",
        "observation_tokens",
        "cell_seconds",
        "memory_mib",
        "disk_mib",
        "processes",
    ];
    for value in hostile_values() {
        let plain = fields.iter().map(|name| format!(r#"{{"{name}": {value}, "seed_": 1}}"#));
        let nested = limits.iter().map(|name| format!(r#"{{"limits": {{"{name}": {value}}}, "seed_": 1}}"#));
        // The unknown field makes sure that none of them starts a Python.
        for body in plain.chain(nested) {
            let answer = ask(server.port, "POST", SESSIONS, &body);
            assert!((400..500).contains(&answer.status), "{body:.100}: {} {}", answer.status, answer.body);
        }
    }
    for (body, expected) in [
        (json!({"tools": ["none"]}), "there is no tool `none`"),
        (json!({"skills": ["none"]}), "there is no skill `none`"),
        (json!({"skills": "some"}), "`skills` is \"some\""),
        (json!({"packages": ["os; import x"]}), "`packages`"),
        (json!({"packages": ["a'b"]}), "`packages`"),
        (json!({"limits": {"memory_mib": 1_000_000}}), "`limits.memory_mib` is 1000000"),
        (json!({"limits": {"stepz": 1}}), "did you mean `steps`?"),
        (json!({"profile": "none"}), "`codeactinstruct`"),
        (json!({"title": "x".repeat(201)}), "more than 200"),
        (json!({"max_tokens": 65}), "at most 64"),
    ] {
        let message = ask(server.port, "POST", SESSIONS, &body.to_string()).error(400);
        assert!(message.contains(expected), "{message}");
    }
    assert_eq!(keep.state(), "idle");
}

#[test]
fn ids_paths_and_headers_are_taken_as_they_come() {
    let server = serve_say();
    let session = Session::create(server.port, json!({}));
    for id in ["%00", "%ff", "..", "%2e%2e%2f", "x", &"a".repeat(5000), &session.id.to_uppercase(), &session.id[..31]] {
        for (method, rest) in
            [("GET", ""), ("DELETE", ""), ("GET", "/events"), ("GET", "/files/x"), ("PUT", "/files/x")]
        {
            let path = format!("{SESSIONS}/{id}{rest}");
            let status = ask(server.port, method, &path, "").status;
            assert!((400..500).contains(&status), "{method} {path}: {status}");
        }
    }
    for id in ["x", "-1", "", "1e3", "99999999999999999999999"] {
        let path = session.path("/events?follow=false");
        let refused = answer(send(server.port, "GET", &path, &[("Last-Event-ID", id)], ""));
        assert_eq!(refused.status, 400, "{id}");
    }
    for accept in ["text/html", "*/*", ", ,", "text/event-stream;q=0"] {
        let fields = [("Accept", accept), ("Content-Type", "application/json")];
        assert!(is_sound(answer(send(server.port, "POST", &session.path("/messages"), &fields, "{}")).status));
    }
    assert_eq!(get(server.port, &session.path("")).status, 200);
}
