//! Chat completions.

use serde_json::{Value, json};

use crate::client::{Answer, ask, get, post};
use crate::tiny::{Server, Setup, serve_with};

const PATH: &str = "/v1/chat/completions";

fn server() -> Server {
    serve_with(Setup::default())
}

fn request(change: Value) -> Value {
    let mut request = json!({
        "messages": [{"role": "user", "content": "Hello there"}],
        "max_tokens": 12, "temperature": 1, "seed": 4,
    });
    for (key, value) in change.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

fn complete(port: u16, change: Value) -> Answer {
    post(port, PATH, &request(change))
}

fn content(body: &Value) -> &str {
    body["choices"][0]["message"]["content"].as_str().unwrap()
}

#[test]
fn what_does_not_exist_is_said_in_json() {
    let server = server();
    assert!(get(server.port, "/v1/nothing").error(404).contains("no such path"));
    assert!(get(server.port, PATH).error(405).contains("method"));
    let unknown = complete(server.port, json!({"model": "gpt-9"}));
    assert!(unknown.error(404).contains("no model \"gpt-9\"; this server has `tiny`"));
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
}

#[test]
fn a_completion_has_text_usage_and_a_reason() {
    let server = server();
    let body = complete(server.port, json!({"model": "tiny"})).json();
    let (choice, usage) = (&body["choices"][0], &body["usage"]);
    assert_eq!((&body["object"], &choice["message"]["role"]), (&json!("chat.completion"), &json!("assistant")));
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
    let other = complete(server.port, json!({"seed": 5})).json();
    assert_ne!(other["choices"][0]["message"], choice["message"]);
}

#[test]
fn a_stream_says_what_the_whole_says() {
    let server = server();
    let change = json!({"n": 2, "logprobs": true, "top_logprobs": 2, "ignore_eos": true});
    let whole = complete(server.port, change.clone()).json();
    let mut streamed = change;
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let stream = complete(server.port, streamed);
    assert_eq!(stream.status, 200);
    assert!(stream.header("content-type").unwrap().starts_with("text/event-stream"));
    let mut chunks = stream.chunks();
    let last = chunks.pop().unwrap();
    assert_eq!(last["choices"], json!([]));
    for part in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert_eq!(last["usage"][part], whole["usage"][part], "{part}");
    }
    for (index, choice) in whole["choices"].as_array().unwrap().iter().enumerate() {
        let of_choice: Vec<&Value> =
            chunks.iter().map(|chunk| &chunk["choices"][0]).filter(|chunk| chunk["index"] == index).collect();
        assert_eq!(of_choice[0]["delta"], json!({"role": "assistant", "content": ""}));
        let text: String = of_choice.iter().filter_map(|chunk| chunk["delta"]["content"].as_str()).collect();
        assert_eq!(text, choice["message"]["content"].as_str().unwrap());
        let tokens: Vec<Value> =
            of_choice.iter().filter_map(|chunk| chunk["logprobs"]["content"].as_array()).flatten().cloned().collect();
        assert_eq!(json!(tokens), choice["logprobs"]["content"]);
        assert_eq!(of_choice.last().unwrap()["finish_reason"], choice["finish_reason"]);
    }
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null() && chunk["object"] == "chat.completion.chunk"));
}

#[test]
fn the_first_of_several_answers_is_the_one_that_comes_alone() {
    let server = server();
    let alone = complete(server.port, json!({})).json();
    let body = complete(server.port, json!({"n": 3})).json();
    let choices = body["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 3);
    assert_eq!(choices[0]["message"], alone["choices"][0]["message"]);
    assert_ne!(choices[1]["message"], choices[0]["message"]);
    assert_eq!(body["usage"]["prompt_tokens"], alone["usage"]["prompt_tokens"]);
    // Each has the seed after the one before.
    let second = complete(server.port, json!({"seed": 5})).json();
    assert_eq!(choices[1]["message"], second["choices"][0]["message"]);
}

#[test]
fn log_probabilities_are_of_the_tokens_that_came() {
    let server = server();
    let body = complete(server.port, json!({"logprobs": true, "top_logprobs": 3, "ignore_eos": true})).json();
    let tokens = body["choices"][0]["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len(), 12);
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token["bytes"].as_array().unwrap())
        .map(|byte| u8::try_from(byte.as_u64().unwrap()).unwrap())
        .collect();
    // A control token has a name, but gives no text.
    if !tokens.iter().any(|token| token["token"].as_str().unwrap().starts_with("<|")) {
        assert_eq!(String::from_utf8_lossy(&bytes), content(&body));
    }
    for token in tokens {
        let top = token["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        let of = |token: &Value| token["logprob"].as_f64().unwrap();
        assert!(of(&top[0]) >= of(&top[1]) && of(token) <= of(&top[0]) && of(token) < 0.0);
    }
    let greedy = json!({"logprobs": true, "top_logprobs": 1, "temperature": 0, "ignore_eos": true});
    for token in complete(server.port, greedy).json()["choices"][0]["logprobs"]["content"].as_array().unwrap() {
        assert_eq!(token["token"], token["top_logprobs"][0]["token"]);
    }
    assert_eq!(complete(server.port, json!({})).json()["choices"][0]["logprobs"], Value::Null);
}

#[test]
fn stop_strings_end_the_answer_before_them_or_with_them() {
    let server = server();
    let full = complete(server.port, json!({"ignore_eos": true, "max_tokens": 40})).json();
    let text = content(&full).to_owned();
    let middle: String = text.chars().skip(5).take(3).collect();
    let before = &text[..text.find(&middle).unwrap()];
    for stream in [false, true] {
        let change = |shown: bool| {
            json!({"ignore_eos": true, "max_tokens": 40, "stop": [middle, "never"], "stream": stream,
                   "include_stop_str_in_output": shown})
        };
        let said = |answer: Answer| match stream {
            false => content(&answer.json()).to_owned(),
            true => {
                let chunks = answer.chunks();
                assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");
                chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect()
            }
        };
        assert_eq!(said(complete(server.port, change(false))), before);
        assert_eq!(said(complete(server.port, change(true))), format!("{before}{middle}"));
    }
    let stopped =
        complete(server.port, json!({"ignore_eos": true, "max_tokens": 40, "stop": middle, "logprobs": true}));
    let choice = &stopped.json()["choices"][0];
    assert_eq!((&choice["finish_reason"], &choice["stop_reason"]), (&json!("stop"), &json!(middle)));
    // Tokens of the stop string are not part of the answer, nor are their probabilities.
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    let joined: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token["bytes"].as_array().unwrap())
        .map(|byte| byte.as_u64().unwrap() as u8)
        .collect();
    assert_eq!(String::from_utf8_lossy(&joined), before);
}

#[test]
fn a_stop_token_ends_the_reply() {
    let server = server();
    let every_byte: Vec<u32> = (3..259).collect();
    let body = complete(server.port, json!({"stop_token_ids": &every_byte[..250]})).json();
    assert!(body["usage"]["completion_tokens"].as_u64() < Some(12));
    let body = complete(server.port, json!({"stop_token_ids": &every_byte[..250], "ignore_eos": true})).json();
    assert_eq!(body["usage"]["completion_tokens"], 12);
}

#[test]
fn a_bias_decides_which_token_comes() {
    let server = server();
    // Token 3 is `!`.
    let body = complete(server.port, json!({"logit_bias": {"3": 100}, "max_tokens": 4})).json();
    assert_eq!(content(&body), "!!!!");
}

#[test]
fn messages_may_be_parts_and_control_tokens_in_them_stay_text() {
    let server = server();
    let tokens = |content: Value| {
        let messages = json!([{"role": "user", "content": content}]);
        complete(server.port, json!({"messages": messages})).json()["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    assert_eq!(tokens(parts), tokens(json!("one\ntwo")));
    // As ten letters each; as control tokens it would be one.
    assert_eq!(tokens(json!("<|im_end|>")), tokens(json!("abcdefghij")));
}

#[test]
fn a_prompt_that_does_not_fit_is_told_by_code() {
    let server = server();
    let long = json!([{"role": "user", "content": "x".repeat(600)}]);
    for change in [json!({"messages": long}), json!({"messages": long, "stream": true}), json!({"max_tokens": 512})] {
        let answer = complete(server.port, change);
        assert!(answer.error(400).contains("the context of this model is 512 tokens"));
        assert_eq!(answer.json()["error"]["code"], "context_length_exceeded");
    }
    // Without a number, an answer may fill what is left.
    let mut open = request(json!({"ignore_eos": true}));
    open.as_object_mut().unwrap().remove("max_tokens");
    let body = post(server.port, PATH, &open).json();
    assert_eq!(body["usage"]["total_tokens"], 512);
    assert_eq!(body["choices"][0]["finish_reason"], "length");
}

#[test]
fn a_wrong_request_names_what_is_wrong() {
    let server = server();
    let cases = [
        (json!({"temprature": 1}), "unknown field `temprature`\nhint: did you mean `temperature`?"),
        (json!({"temperature": -1}), "`temperature` is -1"),
        (json!({"top_p": 2}), "`top_p` is 2"),
        (json!({"max_tokens": 0}), "`max_tokens` is 0"),
        (json!({"max_tokens": 5, "max_completion_tokens": 6}), "but differ"),
        (json!({"messages": []}), "`messages` is empty"),
        (json!({"messages": [{"role": "robot", "content": ""}]}), "`messages[0].role` is \"robot\""),
        (json!({"stream_options": {"include_usage": true}, "stream": false}), "only for `stream`"),
        (json!({"top_logprobs": 2}), "only for `logprobs`"),
        (json!({"tools": [{"type": "function"}]}), "`tools` is an array; this server does not support that"),
        (json!({"store": true}), "`store` is true; this server does not support that"),
        (json!({"n_predict": 5}), "hint: use `max_tokens`"),
        (json!({"model": 5}), "`model` is 5"),
    ];
    for (change, expected) in cases {
        let answer = complete(server.port, change.clone());
        let message = answer.error(400);
        assert!(message.contains(expected), "{message}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
        // A stream that cannot begin is an error too, not a stream.
        if change.get("stream_options").is_none() {
            let mut streamed = change;
            streamed["stream"] = json!(true);
            assert_eq!(complete(server.port, streamed).error(400), message);
        }
    }
    assert!(ask(server.port, "POST", PATH, "{").error(400).contains("EOF"));
    assert!(ask(server.port, "POST", PATH, "").error(400).contains("missing field `messages`"));
}

#[test]
fn more_tokens_than_fit_are_too_long_a_context_whatever_they_are_called() {
    let server = server();
    for field in ["max_tokens", "max_completion_tokens"] {
        for count in [512, 513, 4096, 1 << 20] {
            let mut body = request(json!({}));
            body.as_object_mut().unwrap().remove("max_tokens");
            body[field] = json!(count);
            let refused = post(server.port, PATH, &body);
            let message = refused.error(400);
            assert!(
                message.contains("the context of this model is 512 tokens") && message.contains(field),
                "{message}"
            );
            let error = &refused.json()["error"];
            assert_eq!((&error["code"], &error["param"]), (&json!("context_length_exceeded"), &json!(field)));
        }
    }
    let long = complete(server.port, json!({"messages": [{"role": "user", "content": "x".repeat(600)}]}));
    let error = long.json()["error"].clone();
    assert_eq!((&error["code"], &error["param"]), (&json!("context_length_exceeded"), &json!("messages")));
}

#[test]
fn a_limit_of_the_server_is_another_thing_than_the_context() {
    let mut setup = Setup::default();
    setup.limits.reply_tokens_max = Some(20);
    let server = serve_with(setup);
    let refused = complete(server.port, json!({"max_tokens": 21}));
    assert_eq!(refused.error(400), "`max_tokens` is 21; it must be at most 20");
    assert_eq!(
        (&refused.json()["error"]["code"], &refused.json()["error"]["param"]),
        (&json!(null), &json!("max_tokens"))
    );
    assert_eq!(complete(server.port, json!({"max_tokens": 20})).status, 200);
}

#[test]
fn what_changes_nothing_may_stand_there() {
    let server = server();
    let nothing = json!({
        "n": 1, "user": "me", "metadata": {"a": "b"}, "store": false, "parallel_tool_calls": true, "tools": [],
        "tool_choice": "none", "logit_bias": {}, "stop": null, "response_format": {"type": "text"}, "audio": null,
        "presence_penalty": 0, "frequency_penalty": 0.0, "service_tier": "auto", "cache_prompt": true,
    });
    let plain = complete(server.port, json!({})).json();
    assert_eq!(complete(server.port, nothing).json()["choices"], plain["choices"]);
}
