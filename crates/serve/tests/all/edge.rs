//! What every request passes: names, pages, keys, sizes, room and time.

use codeact_engine::EngineLimits;
use codeact_serve::{ApiKeys, EdgeSettings, Hosts, Origins};
use serde_json::json;

use crate::client::{Answer, answer, ask, get, metric_in, post, send};
use crate::tiny::{Server, Setup, serve_with};

const COMPLETIONS: &str = "/v1/completions";
const PREFIX_HITS: &str = "codeact_prefix_hit_tokens_total";
const KEY: &str = "a-key-of-the-second-user";

fn with_edge(change: impl FnOnce(&mut EdgeSettings)) -> Server {
    let mut setup = Setup::default();
    change(&mut setup.edge);
    serve_with(setup)
}

/// A server whose sequences may be long, so that requests can outlast a test's next step.
fn long(change: impl FnOnce(&mut Setup)) -> Server {
    let mut setup = Setup { kv_bytes: 64 << 20, ..Setup::default() };
    setup.engine.context_tokens_max = None;
    change(&mut setup);
    serve_with(setup)
}

fn with_fields(port: u16, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    answer(send(port, method, path, fields, ""))
}

#[test]
fn only_known_keys_come_in() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("# two users\na-key-of-the-first-user\n{KEY}\n")).unwrap();
    let server = with_edge(|edge| edge.keys = Some(ApiKeys::read(file.path()).unwrap()));
    let with_key = |path: &str, value: &str| with_fields(server.port, "GET", path, &[("Authorization", value)]);
    assert_eq!(with_key("/v1/models", &format!("Bearer {KEY}")).status, 200);
    for value in ["Bearer a-key-of-the-second-use", "Bearer", "", "Basic YTpi"] {
        let refused = with_key("/v1/models", value);
        assert!(!refused.error(401).is_empty());
        assert_eq!(
            (refused.header("www-authenticate"), &refused.json()["error"]["code"]),
            (Some("Bearer"), &json!("invalid_api_key"))
        );
    }
    // Everything is closed, what does not exist included, but for those who watch over the server.
    for path in ["/metrics", "/v1/models", "/v1/nothing", "/v1/sandbox"] {
        assert_eq!(get(server.port, path).status, 401, "{path}");
    }
    for path in [COMPLETIONS, "/tokenize", "/v1/agent/sessions", "/v1/load_lora_adapter"] {
        assert_eq!(ask(server.port, "POST", path, "{}").status, 401, "{path}");
    }
    assert_eq!((get(server.port, "/health").status, get(server.port, "/ready").status), (200, 200));
}

#[test]
fn nobody_learns_from_the_cache_what_another_key_has_asked() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("a-key-of-the-first-user\n{KEY}\n")).unwrap();
    let server = with_edge(|edge| edge.keys = Some(ApiKeys::read(file.path()).unwrap()));
    let cached = |key: &str, salt: Option<&str>| {
        let fields = [("Authorization", &*format!("Bearer {key}")), ("Content-Type", "application/json")];
        let body = json!({"prompt": "x".repeat(100), "max_tokens": 1, "cache_salt": salt}).to_string();
        let answer = answer(send(server.port, "POST", COMPLETIONS, &fields, &body));
        answer.json()["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap()
    };
    for (key, salt) in [("a-key-of-the-first-user", None), (KEY, None), (KEY, Some("one")), (KEY, Some("two"))] {
        assert_eq!(cached(key, salt), 0, "{key} {salt:?}");
        assert!(cached(key, salt) > 0, "{key} {salt:?}");
    }
    // The agent's prompts are of a key, too.
    let hits = |key: &str| {
        let fields = [("Authorization", &*format!("Bearer {key}")), ("Content-Type", "application/json")];
        let so_far = || metric_in(&with_fields(server.port, "GET", "/metrics", &fields).body, PREFIX_HITS);
        let before = so_far();
        let messages = json!([{"role": "user", "content": "y".repeat(100)}]);
        let body = json!({"model": "codeact-agent", "messages": messages, "max_tokens": 1}).to_string();
        assert_eq!(answer(send(server.port, "POST", "/v1/chat/completions", &fields, &body)).status, 200);
        so_far() - before
    };
    for key in ["a-key-of-the-first-user", KEY] {
        assert_eq!(hits(key), 0.0, "{key}");
        assert!(hits(key) > 0.0, "{key}");
    }
    let body = json!({"prompt": "a", "cache_salt": ""}).to_string();
    let fields = [("Authorization", &*format!("Bearer {KEY}")), ("Content-Type", "application/json")];
    assert!(answer(send(server.port, "POST", COMPLETIONS, &fields, &body)).error(400).contains("`cache_salt`"));
}

#[test]
fn pages_of_other_sites_are_refused() {
    let server = serve_with(Setup::default());
    let from = |origin: &str| with_fields(server.port, "GET", "/v1/models", &[("Origin", origin)]);
    let own = from("http://localhost:3000");
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, Some("http://localhost:3000")));
    for origin in ["https://evil.example.org", "null", "http://localhost.evil.org"] {
        let refused = from(origin);
        assert!(refused.error(403).contains("`listen.origins`"));
        assert_eq!(refused.header("access-control-allow-origin"), None);
    }
    let preflight = |origin: &str| {
        let asked = "authorization,x-stainless-lang,x-stainless-retry-count";
        let fields =
            [("Origin", origin), ("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Headers", asked)];
        with_fields(server.port, "OPTIONS", COMPLETIONS, &fields)
    };
    let allowed = preflight("http://127.0.0.1:5173");
    assert_eq!(
        (allowed.status, allowed.header("access-control-allow-methods")),
        (204, Some("GET, POST, PUT, PATCH, DELETE"))
    );
    // OpenAI's client in a browser sends these.
    let headers = allowed.header("access-control-allow-headers").unwrap();
    assert!(headers.contains("authorization") && headers.ends_with("x-stainless-lang, x-stainless-retry-count"));
    assert_eq!(preflight("https://evil.example.org").status, 403);
    let open = with_edge(|edge| edge.origins = Origins::new(&["*".to_owned()]).unwrap());
    assert_eq!(with_fields(open.port, "GET", "/v1/models", &[("Origin", "https://any.example.org")]).status, 200);
}

#[test]
fn a_name_that_was_made_to_point_here_is_refused() {
    let server = serve_with(Setup::default());
    let called = |port: u16, host: &str| with_fields(port, "GET", "/v1/models", &[("Host", host)]);
    assert_eq!(called(server.port, "localhost:1").status, 200);
    assert!(called(server.port, "evil.example.org").error(403).contains("`listen.hosts`"));
    let named = with_edge(|edge| edge.hosts = Hosts::new(&["box.example.org".to_owned()], true));
    assert_eq!(called(named.port, "box.example.org:443").status, 200);
}

#[test]
fn bodies_are_bounded() {
    let server = with_edge(|edge| edge.body_bytes_max = 1000);
    let body = |size: usize| json!({"prompt": "x".repeat(size), "max_tokens": 1});
    assert_eq!(post(server.port, COMPLETIONS, &body(400)).status, 200);
    let refused = post(server.port, COMPLETIONS, &body(1000));
    assert!(refused.error(413).contains("more than 1000 bytes"));
    assert_eq!(refused.json()["error"]["code"], "body_too_large");
}

#[test]
fn every_answer_has_the_request_id() {
    let server = serve_with(Setup::default());
    let with_id = |id: &str| {
        let answer = with_fields(server.port, "GET", "/v1/nothing", &[("X-Request-Id", id)]);
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(with_id("mine-42"), "mine-42");
    let long = "x".repeat(200);
    for unfit in ["", "with \"quotes\"", &long] {
        assert!(with_id(unfit).starts_with("req-"), "{unfit}");
    }
    assert_ne!(with_id(""), with_id(""));
}

#[test]
fn every_route_lists_the_fields_it_passed_over() {
    let mut setup = Setup { with_adapters: true, ..Setup::default() };
    setup.edge.is_lenient = true;
    let server = serve_with(setup);
    let messages = json!([{"role": "user", "content": "a"}]);
    for (path, mut body) in [
        ("/v1/chat/completions", json!({"messages": messages, "max_tokens": 1})),
        (COMPLETIONS, json!({"prompt": "a", "max_tokens": 1})),
        ("/v1/embeddings", json!({"input": "a"})),
        ("/tokenize", json!({"prompt": "a"})),
        ("/detokenize", json!({"tokens": [5]})),
        ("/apply-template", json!({"messages": messages})),
        ("/v1/load_lora_adapter", json!({"lora_name": "a", "lora_path": "no"})),
        ("/v1/unload_lora_adapter", json!({"lora_name": "a"})),
    ] {
        body["surplus"] = json!(1);
        let answer = post(server.port, path, &body);
        assert_eq!(answer.header("x-codeact-ignored"), Some("surplus"), "{path}: {}", answer.body);
        // However long and however many: a kilobyte of a header.
        let many = (0..200).map(|index| (format!("{index:050}"), json!(0)));
        body.as_object_mut().unwrap().extend(many.chain([("x".repeat(60_000), json!(0))]));
        let answer = post(server.port, path, &body);
        let listed = answer.header("x-codeact-ignored").unwrap().len();
        assert!((900..=1024).contains(&listed), "{path}: {listed} bytes");
    }
}

#[test]
fn unknown_fields_are_listed_where_they_are_not_refused() {
    let server = with_edge(|edge| edge.is_lenient = true);
    let body = json!({"prompt": "a", "max_tokens": 1, "top_pp": 1, "suffix": "x", "stream_options": null});
    let answer = post(server.port, COMPLETIONS, &body);
    assert_eq!((answer.status, answer.header("x-codeact-ignored")), (200, Some("suffix, top_pp")));
    let plain = post(server.port, COMPLETIONS, &json!({"prompt": "a", "max_tokens": 1}));
    assert_eq!(plain.header("x-codeact-ignored"), None);
    // Wrong values of known fields are refused all the same.
    assert_eq!(post(server.port, COMPLETIONS, &json!({"prompt": "a", "n": -1})).status, 400);
}

/// A stream of some megabytes: it runs until somebody reads it, or nobody has for a minute.
fn hog(port: u16, answers: usize) -> std::net::TcpStream {
    let body =
        json!({"prompt": "a", "max_tokens": 8000, "n": answers, "stream": true, "ignore_eos": true, "logprobs": 9});
    let stream = crate::client::open(port, "POST", COMPLETIONS, &body.to_string());
    // The head of the answer says that it has begun.
    let mut first = [0; 12];
    std::io::Read::read_exact(&mut &stream, &mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

#[test]
fn one_request_too_many_is_told_to_come_again() {
    let server = long(|setup| setup.edge.requests_max = 1);
    let body = json!({"prompt": "a", "max_tokens": 1});
    let running = hog(server.port, 8);
    let refused = post(server.port, COMPLETIONS, &body);
    assert!(refused.error(429).contains("1 requests are being answered already"));
    assert_eq!(
        (refused.header("retry-after"), &refused.json()["error"]["type"]),
        (Some("1"), &json!("rate_limit_error"))
    );
    // Those who watch over the server get through.
    assert_eq!((get(server.port, "/health").status, get(server.port, "/metrics").status), (200, 200));
    drop(running);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while post(server.port, COMPLETIONS, &body).status == 429 {
        assert!(std::time::Instant::now() < deadline, "the place was not given back");
    }
}

#[test]
fn a_full_engine_refuses_at_once_and_keeps_nothing_of_it() {
    let engine = EngineLimits { running_max: 1, waiting_max: 2, ..EngineLimits::default() };
    let server = long(|setup| setup.engine = engine);
    let running = hog(server.port, 3);
    for stream in [false, true] {
        let body = json!({"prompt": "a", "max_tokens": 8, "n": 2, "stream": stream});
        let refused = post(server.port, COMPLETIONS, &body);
        assert!(refused.error(429).contains("waiting already"));
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    drop(running);
    // What never has room need not come again.
    for (n, prompts, param) in [(4, 1, "n"), (2, 2, "prompt"), (16, 2, "n")] {
        let never = json!({"prompt": vec!["a"; prompts], "max_tokens": 2, "n": n});
        let never = post(server.port, COMPLETIONS, &never);
        assert!(never.error(400).contains("room for 3 at once"), "{}", never.body);
        assert_eq!((&never.json()["error"]["param"], never.header("retry-after")), (&json!(param), None));
    }
    // Three find room, so those of the refused requests have left it.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while post(server.port, COMPLETIONS, &json!({"prompt": "a", "max_tokens": 2, "n": 3})).status == 429 {
        assert!(std::time::Instant::now() < deadline, "the places were not given back");
    }
}

#[test]
fn an_answer_ends_when_its_time_is_over() {
    let server = long(|_| {});
    let timed = |seconds: &str, body: &str| {
        let fields = [("X-Request-Timeout", seconds), ("Content-Type", "application/json")];
        answer(send(server.port, "POST", COMPLETIONS, &fields, body))
    };
    let body = json!({"prompt": "a", "max_tokens": 8000, "n": 16, "ignore_eos": true}).to_string();
    let cut = timed("0.3", &body);
    assert_eq!(cut.status, 200, "{}", cut.body);
    assert_eq!(cut.json()["choices"][15]["finish_reason"], "length");
    assert!(cut.json()["usage"]["completion_tokens"].as_u64().unwrap() < 16 * 8000);
    for wrong in ["0", "-1", "nan", "inf", "601", "soon"] {
        assert!(timed(wrong, &body).error(400).contains("`x-request-timeout`"), "{wrong}");
    }
}

#[test]
fn a_request_whose_time_is_over_before_it_began_is_an_error_that_need_not_be_tried_again() {
    let server = long(|setup| setup.engine.running_max = 1);
    let _running = hog(server.port, 8);
    let fields = [("X-Request-Timeout", "0.05"), ("Content-Type", "application/json")];
    let body = json!({"prompt": "b", "max_tokens": 2}).to_string();
    let late = answer(send(server.port, "POST", COMPLETIONS, &fields, &body));
    assert!(late.error(504).contains("before it could begin"));
    let code = &late.json()["error"]["code"];
    assert_eq!((late.header("x-should-retry"), code), (Some("false"), &json!("deadline_exceeded")));
}
