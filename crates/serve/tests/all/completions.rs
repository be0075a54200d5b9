//! The plain model.

use serde_json::{Value, json};

use crate::client::{Answer, ask};
use crate::tiny::serve;

fn request(change: Value) -> String {
    let mut request = json!({
        "messages": [{"role": "user", "content": "Hello there"}],
        "max_tokens": 12, "temperature": 1, "seed": 4,
    });
    for (key, value) in change.as_object().unwrap() {
        request[key] = value.clone();
    }
    request.to_string()
}

fn complete(port: u16, change: Value) -> Answer {
    ask(port, "POST", "/v1/chat/completions", &request(change))
}

#[test]
fn health_and_models_answer() {
    let server = serve(&[]);
    assert_eq!(ask(server.port, "GET", "/health", "").json(), json!({"status": "ok"}));
    let models = ask(server.port, "GET", "/v1/models", "").json();
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["max_model_len"]), (&json!("tiny"), &json!(512)));
}

#[test]
fn what_does_not_exist_is_said_in_json() {
    let server = serve(&[]);
    assert!(ask(server.port, "GET", "/v1/nothing", "").error(404).contains("no such path"));
    assert!(ask(server.port, "GET", "/v1/chat/completions", "").error(405).contains("method"));
    assert!(complete(server.port, json!({"model": "gpt-9"})).error(404).contains("`gpt-9`"));
}

#[test]
fn a_completion_has_text_usage_and_a_reason() {
    let server = serve(&[]);
    let body = complete(server.port, json!({"model": "tiny"})).json();
    let (choice, usage) = (&body["choices"][0], &body["usage"]);
    assert_eq!(choice["message"]["role"], "assistant");
    let completion_tokens = usage["completion_tokens"].as_u64().unwrap();
    match choice["finish_reason"].as_str() {
        Some("length") => assert_eq!(completion_tokens, 12),
        reason => assert_eq!((reason, completion_tokens < 12), (Some("stop"), true)),
    }
    let total = usage["prompt_tokens"].as_u64().unwrap() + completion_tokens;
    assert_eq!(usage["total_tokens"].as_u64(), Some(total));
    // The same seed gives the same text, and the prompt is not computed twice.
    let again = complete(server.port, json!({})).json();
    assert_eq!(again["choices"][0]["message"], choice["message"]);
    assert!(again["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64() > Some(0));
}

#[test]
fn a_stream_says_what_the_whole_says() {
    let server = serve(&[]);
    let whole = complete(server.port, json!({})).json();
    let stream = complete(server.port, json!({"stream": true, "stream_options": {"include_usage": true}}));
    assert_eq!(stream.status, 200);
    assert!(stream.head.to_ascii_lowercase().contains("content-type: text/event-stream"));
    let mut events = stream.events("data");
    assert_eq!(events.pop().as_deref(), Some("[DONE]"));
    let chunks: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"].as_str().unwrap());
    assert_eq!(chunks.last().unwrap()["usage"]["total_tokens"], whole["usage"]["total_tokens"]);
    let reasons: Vec<&Value> = chunks.iter().map(|chunk| &chunk["choices"][0]["finish_reason"]).collect();
    assert!(reasons.contains(&&whole["choices"][0]["finish_reason"]));
}

#[test]
fn a_stop_token_ends_the_reply() {
    let server = serve(&[]);
    let every_byte: Vec<u32> = (3..259).collect();
    let body = complete(server.port, json!({"stop_token_ids": every_byte})).json();
    assert_eq!(body["usage"]["completion_tokens"], 0);
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_wrong_request_names_what_is_wrong() {
    let server = serve(&[]);
    let cases = [
        (json!({"logit_bias": {}}), "unknown field `logit_bias`"),
        (json!({"temperature": -1}), "`temperature` is -1"),
        (json!({"top_p": 2}), "`top_p` is 2"),
        (json!({"max_tokens": 0}), "`max_new_tokens` is 0"),
        (json!({"max_tokens": 65}), "`max_tokens` is 65; it must be at most 64"),
        (json!({"messages": []}), "must be the user's"),
        (json!({"messages": [{"role": "robot", "content": ""}]}), "unknown variant `robot`"),
        (json!({"messages": [{"role": "user", "content": "x".repeat(600)}]}), "does not fit in the context of 512"),
        (json!({"stream_options": {"include_usage": true}}), "only for `stream`"),
    ];
    for (change, expected) in cases {
        let message = complete(server.port, change.clone()).error(400);
        assert!(message.contains(expected), "{message}");
        // A stream that cannot begin is an error too, not a stream.
        if change.get("stream_options").is_none() {
            let mut streamed = change;
            streamed["stream"] = json!(true);
            assert_eq!(complete(server.port, streamed).error(400), message);
        }
    }
    assert!(ask(server.port, "POST", "/v1/chat/completions", "{").error(400).contains("EOF"));
}
