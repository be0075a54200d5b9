//! `codeact-agent` behind OpenAI's API.

use std::io::Read;

use serde_json::{Value, json};

use super::{run, say};
use crate::client::{get, metric, open, post};
use crate::tiny::serve_say;

const CHAT: &str = "/v1/chat/completions";

fn asking(messages: &[Value]) -> Value {
    json!({"model": "codeact-agent", "messages": messages})
}

fn user(content: &str) -> Value {
    json!({"role": "user", "content": content})
}

fn content(answer: &Value) -> String {
    answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn the_answer_is_thoughts_code_and_output_as_text() {
    let server = serve_say();
    let script = say(&["I add.\n<execute>\nprint(1 + 1)\n</execute>", "<solution>It is 2.</solution>"]);
    let answer = post(server.port, CHAT, &asking(&[user(&script)])).json();
    let expected = "I add.\n\n```python\nprint(1 + 1)\n```\n\n```output\n2\n```\n\nIt is 2.";
    assert_eq!(content(&answer), expected);
    assert_eq!((&answer["object"], &answer["model"]), (&json!("chat.completion"), &json!("codeact-agent")));
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    let usage = &answer["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64(),
        Some(usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap())
    );
    let mut streamed = asking(&[user(&script)]);
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({"include_usage": true});
    let chunks = post(server.port, CHAT, &streamed).chunks();
    let said: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(said, expected);
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!((&chunks.last().unwrap()["usage"], &chunks.last().unwrap()["choices"]), (usage, &json!([])));
}

#[test]
fn a_conversation_keeps_its_python_and_an_unknown_one_gets_a_new_one() {
    let server = serve_say();
    let mut messages = vec![json!({"role": "system", "content": "Be brief."}), user(&run("x = 41"))];
    let first = content(&post(server.port, CHAT, &asking(&messages)).json());
    messages.extend([json!({"role": "assistant", "content": first}), user(&run("print(x + 1)"))]);
    let second = content(&post(server.port, CHAT, &asking(&messages)).json());
    assert!(second.starts_with("```python\nprint(x + 1)\n```\n\n```output\n42\n"), "{second}");
    // The same once more: that Python has gone on, so this is another conversation, which says so.
    let again = content(&post(server.port, CHAT, &asking(&messages)).json());
    assert!(again.starts_with("[A new Python was started") && again.contains("NameError"), "{again}");
}

#[test]
fn a_request_that_runs_no_code_takes_no_python() {
    let server = serve_say();
    let answer = post(server.port, CHAT, &asking(&[user(&say(&["A title"]))])).json();
    assert_eq!((content(&answer), metric(server.port, "codeact_pythons")), ("A title".to_owned(), 0.0));
}

#[test]
fn a_reader_that_leaves_stops_the_turn() {
    let server = serve_say();
    let mut body = asking(&[user(&run("print('begun', flush=True)\nwhile True: pass"))]);
    for is_stream in [true, false] {
        body["stream"] = json!(is_stream);
        let mut reader = open(server.port, "POST", CHAT, &body.to_string());
        if is_stream {
            let mut seen = String::new();
            while !seen.contains("python") {
                let mut piece = [0; 256];
                let count = reader.read(&mut piece).unwrap();
                assert!(count > 0, "{seen}");
                seen.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while metric(server.port, "codeact_pythons") < 1.0 {
            assert!(std::time::Instant::now() < deadline, "it does not begin");
        }
        drop(reader);
        while metric(server.port, "codeact_pythons") > 0.0 {
            assert!(std::time::Instant::now() < deadline, "it goes on");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn the_agent_is_a_model_with_its_adapters_and_failures_are_errors() {
    let server = serve_say();
    let names: Vec<Value> = get(server.port, "/v1/models").json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|card| card["id"].clone())
        .collect();
    assert_eq!(names, [json!("tiny"), json!("codeact-agent")]);
    assert_eq!(get(server.port, "/v1/models/codeact-agent").json()["id"], "codeact-agent");
    let unknown = json!({"model": "codeact-agent:none", "messages": [user("x")]});
    assert!(post(server.port, CHAT, &unknown).error(404).contains("none"));
    let failing = post(server.port, CHAT, &asking(&[user("nothing that the model understands")]));
    assert_eq!(failing.status, 500, "{}", failing.body);
    for (messages, expected) in [
        (json!([{"role": "assistant", "content": "x"}]), "must be of the user"),
        (json!([user("x"), {"role": "system", "content": "y"}, user("z")]), "only the first"),
    ] {
        let body = json!({"model": "codeact-agent", "messages": messages});
        assert!(post(server.port, CHAT, &body).error(400).contains(expected));
    }
}

#[test]
fn the_plain_model_keeps_the_end_tag_that_clients_of_the_original_look_for() {
    let server = serve_say();
    // A model that is held to the form of an action ends it with the tag, which stops it.
    let shape = json!({"type": "codeact", "solution": false, "required": true});
    let mut body = json!({"model": "tiny", "messages": [user("x")], "max_tokens": 120, "stop": ["</execute>"],
                          "response_format": shape});
    for is_shown in [false, true] {
        body["include_stop_str_in_output"] = json!(is_shown);
        let said = content(&post(server.port, CHAT, &body).json());
        assert_eq!((said.matches("</execute>").count(), said.ends_with("</execute>")), (1, true), "{said}");
    }
    body["stop"] = json!(["<execute>"]);
    body["include_stop_str_in_output"] = json!(false);
    assert!(!content(&post(server.port, CHAT, &body).json()).contains("execute>"));
}
