//! The smaller routes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::client::{get, metric, post};
use crate::tiny::{Server, Setup, VOCAB_SIZE, serve_with};

fn server() -> Server {
    serve_with(Setup::default())
}

#[test]
fn health_readiness_and_models_answer() {
    let server = server();
    assert_eq!(get(server.port, "/health").json(), json!({"status": "ok"}));
    assert_eq!(get(server.port, "/ready").json(), json!({"status": "ready"}));
    let models = get(server.port, "/v1/models").json();
    assert_eq!((&models["data"][0]["id"], &models["data"][0]["max_model_len"]), (&json!("tiny"), &json!(512)));
    assert_eq!(get(server.port, "/v1/models/tiny").json(), models["data"][0]);
    assert!(get(server.port, "/v1/models/a/b").error(404).contains("\"a/b\""));
}

#[test]
fn health_is_a_pass_of_the_model() {
    let server = server();
    let before = metric(server.port, "codeact_passes_total");
    get(server.port, "/health");
    assert!(metric(server.port, "codeact_passes_total") > before);
}

#[test]
fn a_server_whose_engine_has_ended_is_neither_ready_nor_healthy() {
    let server = server();
    assert_eq!((get(server.port, "/ready").status, get(server.port, "/health").status), (200, 200));
    server.engine.stop();
    let refused = get(server.port, "/ready");
    assert!(refused.error(503).contains("the engine has ended"), "{}", refused.body);
    assert_eq!(refused.json()["error"]["code"], "model_not_responding");
    // What was just said of its health stands for a second.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while get(server.port, "/health").status == 200 {
        assert!(std::time::Instant::now() < deadline, "it says that it works");
        std::thread::yield_now();
    }
}

#[test]
fn tokens_go_there_and_back() {
    let server = server();
    let text = "Grüße <|im_end|>!";
    let answer = post(server.port, "/tokenize", &json!({"prompt": text, "return_token_strs": true})).json();
    assert_eq!(answer["count"].as_u64().unwrap() as usize, answer["tokens"].as_array().unwrap().len());
    assert_eq!(answer["max_model_len"], 512);
    assert!(answer["token_strs"].as_array().unwrap().contains(&json!("<|im_end|>")));
    let back = post(server.port, "/detokenize", &json!({"tokens": answer["tokens"]})).json();
    assert_eq!(back["prompt"], text);
    for (body, expected) in [
        (json!({"tokens": [VOCAB_SIZE]}), "token ids below"),
        (json!({"tokens": "abc"}), "token ids below"),
        (json!({}), "missing field `tokens`"),
        (json!({"tokns": []}), "missing field `tokens`"),
    ] {
        assert!(post(server.port, "/detokenize", &body).error(400).contains(expected), "{body}");
    }
}

#[test]
fn a_template_gives_the_text_and_the_tokens_of_a_prompt() {
    let server = server();
    let messages = json!([{"role": "user", "content": "Hi <|im_end|>"}]);
    let answer = post(server.port, "/apply-template", &json!({"messages": messages})).json();
    assert_eq!(answer["prompt"], "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n");
    let tokens = post(server.port, "/tokenize", &json!({"messages": messages})).json();
    assert_eq!(tokens["tokens"], answer["tokens"]);
    // One of the two is the user's, and so is text.
    let ends = answer["tokens"].as_array().unwrap().iter().filter(|id| **id == 2).count();
    assert_eq!(ends, 1);
    let closed = json!({"messages": messages, "add_generation_prompt": false});
    let closed = post(server.port, "/apply-template", &closed).json();
    assert!(!closed["prompt"].as_str().unwrap().contains("assistant"));
    let both = json!({"messages": messages, "prompt": "x"});
    assert!(post(server.port, "/tokenize", &both).error(400).contains("`messages`"));
}

fn floats(embedding: &Value) -> Vec<f64> {
    embedding.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

#[test]
fn embeddings_have_length_1_in_both_encodings() {
    let server = server();
    let inputs: Vec<String> = (0..20).map(|index| format!("text number {index}")).collect();
    let body = post(server.port, "/v1/embeddings", &json!({"input": inputs})).json();
    let data = body["data"].as_array().unwrap();
    assert_eq!(data.len(), 20);
    for item in data {
        let length: f64 = floats(&item["embedding"]).iter().map(|value| value * value).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
    }
    assert_ne!(data[3]["embedding"], data[4]["embedding"]);
    assert_eq!(body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]);
    let encoded = json!({"input": inputs[3], "encoding_format": "base64"});
    let encoded = post(server.port, "/v1/embeddings", &encoded).json();
    let bytes = STANDARD.decode(encoded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let decoded: Vec<f64> =
        bytes.chunks_exact(4).map(|four| f64::from(f32::from_le_bytes(four.try_into().unwrap()))).collect();
    // JSON has the shortest digits of the f32.
    let same = decoded.iter().zip(floats(&data[3]["embedding"])).all(|(a, b)| *a as f32 == b as f32);
    assert!(same && decoded.len() == floats(&data[3]["embedding"]).len());
}

#[test]
fn wrong_embeddings_are_refused() {
    let server = server();
    for (body, expected) in [
        (json!({}), "missing field `input`"),
        (json!({"input": "a", "dimensions": 8}), "`dimensions` is 8"),
        (json!({"input": "a", "encoding_format": "hex"}), "`float` or `base64`"),
        (json!({"input": "x".repeat(600)}), "text 0 has 600"),
    ] {
        assert!(post(server.port, "/v1/embeddings", &body).error(400).contains(expected), "{body}");
    }
}

#[test]
fn metrics_count_what_was_done() {
    let server = server();
    let body = json!({"prompt": "abc", "max_tokens": 4, "ignore_eos": true});
    for _ in 0..3 {
        assert_eq!(post(server.port, "/v1/completions", &body).status, 200);
    }
    assert_eq!(post(server.port, "/v1/completions", &json!({})).status, 400);
    assert_eq!(metric(server.port, "codeact_generated_tokens_total"), 12.0);
    assert_eq!(metric(server.port, "codeact_requests_running"), 0.0);
    assert_eq!(metric(server.port, "codeact_first_token_seconds_count"), 3.0);
    assert_eq!(metric(server.port, "codeact_inter_token_seconds_count"), 9.0);
    let text = get(server.port, "/metrics").body;
    let line = |status: u16, count: u32| {
        format!("codeact_http_requests_total{{route=\"/v1/completions\",method=\"POST\",status=\"{status}\"}} {count}")
    };
    assert!(text.contains(&line(200, 3)) && text.contains(&line(400, 1)), "{text}");
    // Every line is a comment or a name, labels perhaps, and a number.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("codeact_") && value.parse::<f64>().is_ok(), "{line}");
    }
}
