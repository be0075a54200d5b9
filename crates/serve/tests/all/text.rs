//! Text completions.

use serde_json::{Value, json};

use crate::client::{Answer, post};
use crate::tiny::{Server, Setup, serve_with};

fn server() -> Server {
    serve_with(Setup::default())
}

fn complete(port: u16, body: Value) -> Answer {
    post(port, "/v1/completions", &body)
}

fn text(body: &Value, index: usize) -> &str {
    body["choices"][index]["text"].as_str().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect()
}

#[test]
fn a_prompt_is_a_string_strings_token_ids_or_several_of_these() {
    let server = server();
    let of = |prompt: Value| {
        let body = complete(server.port, json!({"prompt": prompt, "max_tokens": 8, "seed": 1})).json();
        let choices = body["choices"].as_array().unwrap();
        let indices: Vec<u64> = choices.iter().map(|choice| choice["index"].as_u64().unwrap()).collect();
        assert_eq!(indices, (0..choices.len() as u64).collect::<Vec<_>>());
        let texts: Vec<String> = (0..choices.len()).map(|index| text(&body, index).to_owned()).collect();
        (texts, body["usage"]["prompt_tokens"].as_u64().unwrap())
    };
    let (single, tokens) = of(json!("abc"));
    assert_eq!(tokens, 3);
    let ids = post(server.port, "/tokenize", &json!({"prompt": "abc"})).json()["tokens"].clone();
    assert_eq!(of(ids.clone()), (single.clone(), 3));
    let (other, _) = of(json!("xyz"));
    let both = vec![single[0].clone(), other[0].clone()];
    assert_eq!(of(json!(["abc", "xyz"])), (both.clone(), 6));
    assert_eq!(of(json!([ids, "xyz"])).0, both);
    // Alone as in company.
    let n = complete(server.port, json!({"prompt": ["abc", "xyz"], "max_tokens": 8, "seed": 1, "n": 2})).json();
    assert_eq!((text(&n, 0), text(&n, 2)), (single[0].as_str(), other[0].as_str()));
    assert_eq!((n["choices"].as_array().unwrap().len(), &n["usage"]["prompt_tokens"]), (4, &json!(6)));
}

#[test]
fn a_plain_prompt_may_write_control_tokens() {
    let server = server();
    let tokens =
        |prompt: &str| complete(server.port, json!({"prompt": prompt})).json()["usage"]["prompt_tokens"].clone();
    assert_eq!((tokens("<|im_start|>user\nx"), tokens("<|im_start>user\nx")), (json!(7), json!(17)));
}

#[test]
fn a_prompt_is_scored_by_echo_and_logprobs() {
    let server = server();
    let prompt = "häb";
    let scored = json!({"prompt": prompt, "max_tokens": 0, "echo": true, "logprobs": 2});
    let body = complete(server.port, scored).json();
    assert_eq!((text(&body, 0), &body["choices"][0]["finish_reason"]), (prompt, &json!("length")));
    let logprobs = &body["choices"][0]["logprobs"];
    let scores = numbers(&logprobs["token_logprobs"]);
    // Two bytes of one character are two tokens that begin at the same one.
    assert_eq!(logprobs["text_offset"], json!([0, 1, 1, 2]));
    assert!(scores[0].is_nan() && scores[1..].iter().all(|score| *score < 0.0));
    assert_eq!(logprobs["top_logprobs"][0], Value::Null);
    assert_eq!(logprobs["top_logprobs"][1].as_object().unwrap().len(), 2);

    // A longer prompt gives its beginning the same scores, and what was generated gets those it had then.
    let generated = json!({"prompt": prompt, "max_tokens": 5, "temperature": 0, "logprobs": 0, "ignore_eos": true});
    let generated = complete(server.port, generated).json();
    let grown =
        json!({"prompt": prompt, "max_tokens": 5, "temperature": 0, "logprobs": 0, "echo": true, "ignore_eos": true});
    let grown = complete(server.port, grown).json();
    assert_eq!(text(&grown, 0), format!("{prompt}{}", text(&generated, 0)));
    let all = numbers(&grown["choices"][0]["logprobs"]["token_logprobs"]);
    assert_eq!(all[1..4], scores[1..]);
    assert_eq!(all[4..], numbers(&generated["choices"][0]["logprobs"]["token_logprobs"]));
    let offsets = numbers(&grown["choices"][0]["logprobs"]["text_offset"]);
    assert!(offsets.is_sorted() && offsets[4] == 3.0, "{offsets:?}");
}

#[test]
fn a_stream_says_what_the_whole_says() {
    let server = server();
    let mut body = json!({"prompt": ["ab", "cd"], "max_tokens": 6, "seed": 9, "echo": true, "logprobs": 1});
    let whole = complete(server.port, body.clone()).json();
    body["stream"] = json!(true);
    let chunks = complete(server.port, body).chunks();
    for index in 0..2 {
        let of_choice = chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|choice| choice["index"] == index);
        let said: String = of_choice.clone().map(|choice| choice["text"].as_str().unwrap()).collect();
        assert_eq!(said, text(&whole, index));
        let scores: Vec<Value> =
            of_choice.filter_map(|choice| choice["logprobs"]["token_logprobs"].as_array()).flatten().cloned().collect();
        assert_eq!(json!(scores), whole["choices"][index]["logprobs"]["token_logprobs"]);
    }
    // What it cost stands in the last of all, also unasked.
    let (last, others) = chunks.split_last().unwrap();
    assert_eq!((&last["usage"], last["choices"].as_array().unwrap().len()), (&whole["usage"], 1));
    assert!(others.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[test]
fn an_answer_has_16_tokens_unless_the_request_says_otherwise() {
    let server = server();
    let tokens = |body: Value| complete(server.port, body).json()["usage"]["completion_tokens"].clone();
    assert_eq!(tokens(json!({"prompt": "a", "ignore_eos": true})), 16);
    assert_eq!(tokens(json!({"prompt": "a", "ignore_eos": true, "max_tokens": 20})), 20);
    // Where fewer fit, it has fewer.
    assert_eq!(tokens(json!({"prompt": "a".repeat(505), "ignore_eos": true})), 7);
}

#[test]
fn a_text_that_cannot_fit_is_refused_before_it_is_read() {
    let server = server();
    for (path, body) in [
        ("/v1/completions", json!({"prompt": "x".repeat(100_000)})),
        ("/v1/embeddings", json!({"input": "x".repeat(100_000)})),
        ("/v1/chat/completions", json!({"messages": [{"role": "user", "content": "x".repeat(100_000)}]})),
    ] {
        let refused = post(server.port, path, &body);
        assert!(refused.error(400).contains("a text of 100000 bytes is more than so many"), "{}", refused.body);
        assert_eq!(refused.json()["error"]["code"], "context_length_exceeded");
    }
    // Counting it is another thing.
    assert_eq!(post(server.port, "/tokenize", &json!({"prompt": "x".repeat(100_000)})).json()["count"], 100_000);
}

#[test]
fn a_request_gives_only_so_many_log_probabilities() {
    let server = server();
    let body = |n: usize| json!({"prompt": "a", "max_tokens": 400, "n": n, "logprobs": 20, "echo": true});
    let prompts = json!({"prompt": vec!["a"; 16], "max_tokens": 500, "n": 16, "logprobs": 20});
    assert!(complete(server.port, prompts).error(400).contains("one request gives 1048576 at most"));
    assert_eq!(complete(server.port, body(2)).status, 200);
}

#[test]
fn a_wrong_request_names_what_is_wrong() {
    let server = server();
    let cases = [
        (json!({}), "missing field `prompt`"),
        (json!({"prompt": []}), "`prompt` is an array"),
        (json!({"prompt": ""}), "prompt 0 of `prompt` has no tokens"),
        (json!({"prompt": ["a", ""]}), "prompt 1 of `prompt` has no tokens"),
        (json!({"prompt": [1, "a"]}), "`prompt` is an array"),
        (json!({"prompt": [259]}), "token ids below 259"),
        (json!({"prompt": [[1], [-1]]}), "token ids below 259"),
        (json!({"prompt": 5}), "`prompt` is 5"),
        (json!({"prompt": "a", "max_tokens": 0}), "unless `echo` is set"),
        (json!({"prompt": "a", "logprobs": true}), "`logprobs` is true"),
        (json!({"prompt": "a", "suffix": "b"}), "`suffix` is \"b\"; this server does not support that"),
        (json!({"prompt": "a", "best_of": 3}), "hint: use `n`"),
        (json!({"prompt": "a", "messages": []}), "unknown field `messages`"),
    ];
    for (body, expected) in cases {
        let message = complete(server.port, body.clone()).error(400);
        assert!(message.contains(expected), "{body}: {message}");
    }
}
