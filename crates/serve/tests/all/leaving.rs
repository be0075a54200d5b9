//! Clients that leave before their answer is there.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{get, metric, open, post};
use crate::tiny::{Server, Setup, serve_with};

fn server() -> Server {
    let mut setup = Setup { kv_bytes: 64 << 20, ..Setup::default() };
    setup.engine.context_tokens_max = None;
    serve_with(setup)
}

/// Waits until nothing runs and no page is held.
fn settle(port: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    let is_busy = || {
        let names = ["codeact_requests_running", "codeact_requests_waiting", "codeact_kv_pages_used"];
        names.iter().any(|name| metric(port, name) > 0.0)
    };
    while is_busy() {
        assert!(Instant::now() < deadline, "{}", get(port, "/metrics").body);
        std::thread::yield_now();
    }
}

#[test]
fn whoever_leaves_is_not_computed_for_any_longer() {
    let server = server();
    for is_stream in [true, false] {
        let before = metric(server.port, "codeact_generated_tokens_total");
        let wanted = 16 * 8000;
        let body = json!({"prompt": "a", "max_tokens": 8000, "n": 16, "ignore_eos": true, "stream": is_stream});
        let mut connection = open(server.port, "POST", "/v1/completions", &body.to_string());
        if is_stream {
            connection.read_exact(&mut [0; 400]).unwrap();
        } else {
            while metric(server.port, "codeact_generated_tokens_total") == before {
                std::thread::yield_now();
            }
        }
        drop(connection);
        settle(server.port);
        let generated = metric(server.port, "codeact_generated_tokens_total") - before;
        assert!(generated < f64::from(wanted) / 2.0, "{generated} tokens for nobody");
        let cancelled =
            format!("codeact_requests_finished_total{{finish=\"cancelled\"}} {}", if is_stream { 16 } else { 32 });
        // What ran is counted as over a moment after its place is free.
        let deadline = Instant::now() + Duration::from_secs(30);
        while !get(server.port, "/metrics").body.contains(&cancelled) {
            assert!(Instant::now() < deadline, "{}", get(server.port, "/metrics").body);
            std::thread::yield_now();
        }
    }
    let text = get(server.port, "/metrics").body;
    // A stream had begun; the other answer had not.
    for status in ["200", "499"] {
        let line =
            format!("codeact_http_requests_total{{route=\"/v1/completions\",method=\"POST\",status=\"{status}\"}} 1");
        assert!(text.contains(&line), "{text}");
    }
    assert_eq!(metric(server.port, "codeact_http_answers_incomplete_total"), 2.0);
    let answer = post(server.port, "/v1/completions", &json!({"prompt": "a", "max_tokens": 3}));
    assert_eq!(answer.status, 200);
}

#[test]
fn an_answer_that_a_stop_string_ended_leaves_the_engine_too() {
    let server = server();
    // `!` is all that can come, so the stop string comes at once.
    let body = json!({"prompt": "a", "max_tokens": 8000, "logit_bias": {"3": 100}, "stop": "!!!", "temperature": 0});
    let answer = post(server.port, "/v1/completions", &body).json();
    assert_eq!((&answer["choices"][0]["text"], &answer["usage"]["completion_tokens"]), (&json!(""), &json!(3)));
    settle(server.port);
    assert!(metric(server.port, "codeact_generated_tokens_total") < 4000.0);
}
