//! Requests that nobody means well with: whatever stands in a field, the answer is a refusal or a result, it takes no
//! more memory than a request may, and the server is as it was afterwards.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/fuzz/allocation.rs"]
mod allocation;
#[allow(dead_code)] // each test file uses its part
#[path = "all/client.rs"]
mod client;
#[allow(dead_code)] // each test file uses its part
#[path = "all/tiny.rs"]
mod tiny;
#[path = "all/values.rs"]
mod values;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use crate::client::{answer, ask, get, metric, post};
use crate::tiny::{Setup, serve_with};
use crate::values::hostile_values;

/// What one of these requests may take while it is answered. None is longer than some kilobytes; what takes most is a
/// grammar that is made ready, for which the library has bounds of its own.
const REQUEST_BYTES_MAX: usize = 128 << 20;

/// What thousands of them may leave: buffers that grew once, counts by route and status, prompts in the cache.
const LEFT_BYTES_MAX: usize = 24 << 20;

/// Allocations are counted for all of this process.
static ALONE: Mutex<()> = Mutex::new(());

/// One of each kind, for fields that are only looked at.
fn few_values() -> Vec<String> {
    let deep = format!("{}1{}", "[".repeat(120), "]".repeat(120));
    let texts = ["null", "true", "false", "0", "1", "-1", "1e308", "\"\"", "\"x\"", "[]", "[1]", "{}", "{\"a\":[{}]}"];
    texts.map(str::to_owned).into_iter().chain([deep, json!("x".repeat(5000)).to_string()]).collect()
}

/// Fields that completions of both kinds read.
const BOTH: &str = "model max_tokens temperature top_p top_k min_p repetition_penalty frequency_penalty presence_penalty logit_bias \
    logprobs seed stop stop_token_ids include_stop_str_in_output ignore_eos n stream stream_options response_format \
    cache_salt not_a_field";

/// Fields that they know and do not serve.
const FOREIGN: &str = "user metadata safety_identifier prompt_cache_key prompt_cache_retention store service_tier use_beam_search \
    length_penalty early_stopping min_tokens skip_special_tokens spaces_between_special_tokens \
    truncate_prompt_tokens prompt_logprobs guided_json guided_regex guided_choice guided_grammar structured_outputs \
    grammar json_schema allowed_token_ids bad_words logits_processors add_special_tokens priority \
    kv_transfer_params vllm_xargs return_token_ids return_tokens_as_token_ids n_predict n_keep n_discard n_probs \
    n_indent cache_prompt typical_p tfs_z mirostat mirostat_tau mirostat_eta dynatemp_range dynatemp_exponent \
    xtc_probability xtc_threshold dry_multiplier top_n_sigma repeat_penalty repeat_last_n samplers id_slot \
    t_max_predict_ms timings_per_token return_progress lora tokens suffix best_of";

/// And those of chat completions alone.
const FOREIGN_IN_CHAT: &str = "tools tool_choice parallel_tool_calls functions function_call modalities audio prediction reasoning_effort \
    verbosity web_search_options echo chat_template chat_template_kwargs documents add_generation_prompt \
    continue_final_message include_reasoning reasoning_format";

fn names(text: &'static str) -> Vec<&'static str> {
    text.split_whitespace().collect()
}

/// A route, a body that is served or refused for one reason, and the places in it to change: names, or paths into it.
type Route = (&'static str, Value, Vec<&'static str>);

fn completions() -> Vec<Route> {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let with = |more: &'static str| [names(BOTH), names(more)].concat();
    let chat = "/v1/chat/completions";
    let text = "/v1/completions";
    vec![
        (chat, json!({"messages": messages, "max_tokens": 2}), with("messages max_completion_tokens top_logprobs")),
        (text, json!({"prompt": "hi", "max_tokens": 2}), with("prompt echo")),
    ]
}

/// Places within what stands in a field.
fn nested() -> Vec<Route> {
    let parts = json!([{"type": "text", "text": "hi"}]);
    let message = json!({"role": "assistant", "content": parts, "name": null, "tool_calls": [], "annotations": [],
        "function_call": null, "refusal": null, "audio": null, "reasoning_content": null, "tool_call_id": null});
    let places = names(
        "/messages/0 /messages/0/role /messages/0/content /messages/0/name /messages/0/tool_calls \
                /messages/0/annotations /messages/0/function_call /messages/0/refusal /messages/0/audio \
                /messages/0/reasoning_content /messages/0/tool_call_id /messages/0/content/0 \
                /messages/0/content/0/type /messages/0/content/0/text",
    );
    let shape = |format: Value| json!({"prompt": "hi", "max_tokens": 2, "response_format": format});
    let schema = json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 2}}, "required": ["a"]});
    let json_schema = json!({"name": "n", "description": "d", "strict": true, "schema": schema});
    let options = json!({"include_usage": true, "include_obfuscation": false, "continuous_usage_stats": false});
    let text = "/v1/completions";
    vec![
        ("/v1/chat/completions", json!({"messages": [message], "max_tokens": 2}), places.clone()),
        ("/apply-template", json!({"messages": [message]}), places),
        (
            text,
            json!({"prompt": "hi", "max_tokens": 2, "stream": true, "stream_options": options}),
            names(
                "/stream_options/include_usage /stream_options/include_obfuscation \
                /stream_options/continuous_usage_stats",
            ),
        ),
        (
            text,
            shape(json!({"type": "json_schema", "json_schema": json_schema})),
            names(
                "/response_format/type /response_format/json_schema /response_format/json_schema/name \
                /response_format/json_schema/description /response_format/json_schema/strict \
                /response_format/json_schema/schema /response_format/json_schema/schema/type \
                /response_format/json_schema/schema/properties /response_format/json_schema/schema/properties/a \
                /response_format/json_schema/schema/properties/a/maxLength \
                /response_format/json_schema/schema/required",
            ),
        ),
        (text, shape(json!({"type": "regex", "regex": "a+"})), names("/response_format/regex")),
        (
            text,
            shape(json!({"type": "codeact", "execute": true, "solution": true, "required": true})),
            names("/response_format/execute /response_format/solution /response_format/required"),
        ),
        (
            text,
            json!({"prompt": [[5, 6], "hi"], "stop": ["a", "b"], "stop_token_ids": [5], "logit_bias": {"5": 1}}),
            names("/prompt/0 /prompt/0/1 /prompt/1 /stop/0 /stop_token_ids/0 /logit_bias/5"),
        ),
    ]
}

fn routes() -> Vec<Route> {
    let messages = json!([{"role": "user", "content": "hi"}]);
    let tokenise = names("model prompt messages add_special_tokens add_generation_prompt return_token_strs");
    let others = vec![
        ("/v1/embeddings", json!({"input": "hi"}), names("model input encoding_format dimensions user")),
        ("/tokenize", json!({"prompt": "hi"}), tokenise.clone()),
        ("/detokenize", json!({"tokens": [5]}), names("model tokens")),
        ("/apply-template", json!({"messages": messages}), tokenise),
        (
            "/v1/load_lora_adapter",
            json!({"lora_name": "a", "lora_path": "b"}),
            names("lora_name lora_path load_inplace"),
        ),
        ("/v1/unload_lora_adapter", json!({"lora_name": "a"}), names("lora_name")),
    ];
    completions().into_iter().chain(nested()).chain(others).collect()
}

/// The body with some places replaced by texts that may not even be JSON.
fn body(base: &Value, changes: &[(&str, &str)]) -> String {
    let mut base = base.clone();
    let mark = |index: usize| format!("what stands in place {index}");
    for (index, (place, _)) in changes.iter().enumerate() {
        let mark = json!(mark(index));
        // Where one change took the place of another's surroundings, the first one stays.
        if !place.starts_with('/') {
            base[*place] = mark;
        } else if let Some(value) = base.pointer_mut(place) {
            *value = mark;
        }
    }
    let text = base.to_string();
    changes
        .iter()
        .enumerate()
        .fold(text, |text, (index, (_, value))| text.replace(&json!(mark(index)).to_string(), value))
}

fn check(port: u16, path: &str, body: &str) {
    let before = allocation::reset_peak();
    let answer = ask(port, "POST", path, body);
    let bytes = allocation::peak().saturating_sub(before);
    let start: String = body.chars().take(300).collect();
    assert!(bytes <= REQUEST_BYTES_MAX, "{path} {start}: {bytes} bytes");
    assert!((200..500).contains(&answer.status), "{path} {start}: {} {}", answer.status, answer.body);
    if answer.status != 200 {
        assert!(!answer.error(answer.status).is_empty(), "{path} {start}");
    } else if answer.body.contains("data: {\"error\"") {
        panic!("{path} {start}: a stream that fails: {}", answer.body);
    }
}

#[test]
fn hostile_fields_are_refused_or_served_and_nothing_breaks() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = serve_with(Setup { with_adapters: true, ..Setup::default() });
    let (values, few) = (hostile_values(), few_values());
    let sane = json!({"prompt": "abc", "max_tokens": 8, "seed": 1});
    let before = post(server.port, "/v1/completions", &sane).json()["choices"].clone();
    let mut left = None;
    for (path, base, places) in routes() {
        for place in &places {
            values.iter().for_each(|value| check(server.port, path, &body(&base, &[(place, value)])));
        }
        // What the first route needs once is there now.
        left.get_or_insert_with(allocation::reset_peak);
    }
    for (path, base, _) in completions() {
        let of_chat = if path.contains("chat") { FOREIGN_IN_CHAT } else { "" };
        for place in [names(FOREIGN), names(of_chat)].concat() {
            few.iter().for_each(|value| check(server.port, path, &body(&base, &[(place, value)])));
        }
    }
    // Several at once, and with what usually goes together.
    let mut state = 1u64;
    let mut below = |end: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % end
    };
    let routes = routes();
    for _ in 0..600 {
        let (path, base, places) = &routes[below(9)];
        let changes: Vec<(&str, &str)> =
            (0..3).map(|_| (places[below(places.len())], values[below(values.len())].as_str())).collect();
        check(server.port, path, &body(base, &changes));
    }
    assert_eq!(post(server.port, "/v1/completions", &sane).json()["choices"], before);
    assert_eq!(get(server.port, "/health").status, 200);
    for name in ["codeact_requests_running", "codeact_requests_waiting", "codeact_kv_pages_used"] {
        assert_eq!(metric(server.port, name), 0.0, "{name}");
    }
    let left = allocation::reset_peak().saturating_sub(left.unwrap());
    assert!(left <= LEFT_BYTES_MAX, "{left} bytes were left");
}

#[test]
fn what_is_no_http_or_no_json_ends_in_a_refusal() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = serve_with(Setup::default());
    let exchange = |bytes: &[u8], is_over: bool| {
        let mut connection = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        // The server may close before it has heard everything.
        let _ = connection.write_all(bytes);
        if is_over {
            connection.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut text = Vec::new();
        let _ = std::io::Read::read_to_end(&mut connection, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    };
    let raw = |bytes: &[u8]| exchange(bytes, true);
    let post = |body: &[u8]| {
        let head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n";
        exchange(&[format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(), false)
    };
    assert!(post(b"{\"prompt\": \"\xff\xfe\"}").starts_with("HTTP/1.1 400"));
    assert!(post(b"\x00\x01\x02").starts_with("HTTP/1.1 400"));
    assert!(post(b"[1, 2]").starts_with("HTTP/1.1 400"));
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"] {
        let answer = raw(bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // A body that is announced and never comes whole.
    let cut = raw(
        b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
    );
    assert!(cut.is_empty() || cut.starts_with("HTTP/1.1 400"), "{cut}");
    assert_eq!(answer(crate::client::send(server.port, "PUT", "/v1/completions", &[], "")).status, 405);
    for path in ["/v1/models/%ff", "/v1/models/%00", "/v1/agent/sessions/%ff/turns", "/v1/models/%F0%9F%98%80"] {
        let method = if path.ends_with("turns") { "POST" } else { "GET" };
        let refused = ask(server.port, method, path, "{\"content\": \"x\"}");
        assert!([400, 404].contains(&refused.status) && !refused.error(refused.status).is_empty(), "{path}");
    }
    assert_eq!(get(server.port, "/health").status, 200);
}
