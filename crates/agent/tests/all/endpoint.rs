//! A model elsewhere: what is asked of it, what comes back, and what goes wrong there.

use crate::fake::{Act, Fake, answer, begin, last, piece, refuse, reply, send};
use crate::setup::{agent_of, contents, options, run};
use codeact_agent::{
    AgentError, AgentOptions, Ask, Completion, EndpointError, EndpointModel, EndpointOptions, Event, FinishReason,
    Model, TurnEnd,
};
use codeact_chat::Message;
use std::io::Write;
use std::time::{Duration, Instant};

fn connect(fake: &Fake) -> EndpointModel {
    EndpointModel::connect(EndpointOptions::new(fake.url.clone())).unwrap()
}

fn ask(messages: &[Message]) -> Ask<'_> {
    Ask { messages, stops: &["</execute>", "</solution>"], tokens_max: Some(50) }
}

/// One reply, and the pieces it came in.
fn complete(model: &mut EndpointModel) -> (Result<Completion, AgentError>, Vec<String>) {
    let messages = [Message::system("s"), Message::user("u")];
    let mut pieces = Vec::new();
    let completion = model.complete(&ask(&messages), &mut |text| {
        pieces.extend((!text.is_empty()).then(|| text.to_owned()));
        true
    });
    (completion, pieces)
}

fn error_of(acts: Vec<Act>) -> EndpointError {
    let fake = Fake::start(acts);
    match complete(&mut connect(&fake)).0.unwrap_err() {
        AgentError::Endpoint(error) => error,
        other => panic!("{other}"),
    }
}

#[test]
fn a_reply_streams_and_its_stop_is_put_back() {
    let fake = Fake::start(vec![reply(&["I ", "add.\n<execute>\nprint(1", ")\n"], "stop")]);
    let options = EndpointOptions {
        key: Some("secret".into()),
        temperature: Some(0.5),
        seed: Some(7),
        reply_tokens_max: Some(80),
        ..EndpointOptions::new(fake.url.clone())
    };
    let mut model = EndpointModel::connect(options).unwrap();
    assert_eq!(model.name(), "first");
    let (completion, pieces) = complete(&mut model);
    let completion = completion.unwrap();
    assert_eq!(completion.text, "I add.\n<execute>\nprint(1)\n</execute>");
    assert_eq!(pieces.concat(), completion.text);
    assert_eq!((completion.prompt_tokens, completion.cached_tokens, completion.completion_tokens), (11, 8, 7));
    assert_eq!(completion.finish, FinishReason::Stop);
    let chats = fake.chats();
    assert!(chats[0].head.starts_with("POST /v1/chat/completions "), "{}", chats[0].head);
    assert!(chats[0].head.to_lowercase().contains("authorization: bearer secret"));
    assert_eq!(
        chats[0].body,
        serde_json::json!({
            "model": "first",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
            "stream": true,
            "stream_options": {"include_usage": true},
            "stop": ["</execute>", "</solution>"],
            "temperature": 0.5,
            "seed": 7,
            "max_tokens": 50,
        })
    );
}

#[test]
fn the_loop_runs_on_an_endpoint() {
    let acts = vec![reply(&["I add.\n<exec", "ute>\nprint(2 + 3)\n"], "stop"), reply(&["It is <solution>5"], "stop")];
    let fake = Fake::start(acts);
    let mut agent = agent_of(connect(&fake), options());
    let (turn, _) = run(&mut agent, "Add 2 and 3.");
    let seen = contents(&turn.messages);
    assert_eq!((seen[2], seen[3]), ("I add.\n<execute>\nprint(2 + 3)\n</execute>", "Observation:\n5"));
    assert_eq!((seen[4], turn.answer.as_deref()), ("It is <solution>5</solution>", Some("5")));
    assert_eq!((turn.prompt_tokens, turn.completion_tokens), (22, 14));
    let messages = fake.chats()[1].body["messages"].clone();
    assert_eq!(messages[3]["content"], "Observation:\n5");
}

#[test]
fn a_stream_means_the_same_however_its_bytes_arrive() {
    let whole = format!(
        ": hello\r\n\r\nevent: x\r\ndata: {}\r\n\r\ndata:{}\n\nid: 3\ndata: {}\n\ndata: [DONE]\n\n",
        piece("Zwei π "),
        piece("🐍</ex"),
        last("length")
    );
    for size in [1, 2, 3, 7, 64, 100_000] {
        let bytes = whole.clone().into_bytes();
        let act: Act = Box::new(move |stream| {
            stream.set_nodelay(true).unwrap();
            begin(stream);
            bytes.chunks(size).for_each(|chunk| {
                let _ = stream.write_all(chunk);
            });
        });
        let fake = Fake::start(vec![act]);
        let completion = complete(&mut connect(&fake)).0.unwrap();
        assert_eq!((completion.text.as_str(), completion.finish), ("Zwei π 🐍</ex", FinishReason::Length), "{size}");
        assert_eq!(completion.completion_tokens, 2, "pieces are counted where the server does not");
    }
}

#[test]
fn servers_that_do_not_stream_or_do_not_count_are_fine_too() {
    let whole = r#"{"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2}}"#;
    let acts = vec![
        refuse("400 Bad Request", r#"{"error": {"message": "unknown field stream_options"}}"#),
        Box::new(move |stream: &mut std::net::TcpStream| answer(stream, "200 OK", "application/json", whole)) as Act,
    ];
    let fake = Fake::start(acts);
    let (completion, pieces) = complete(&mut connect(&fake));
    assert_eq!((completion.unwrap().text.as_str(), pieces), ("Hi.", vec!["Hi.".to_owned()]));
    assert!(fake.chats()[1].body.get("stream_options").is_none());
}

#[test]
fn busy_servers_are_asked_again() {
    let busy = Box::new(|stream: &mut std::net::TcpStream| {
        let _ = stream
            .write_all(b"HTTP/1.1 429 Slow Down\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    let gone: Act = Box::new(|_| {}); // ends the connection without a word
    let fake = Fake::start(vec![busy, gone, reply(&["Done."], "stop")]);
    assert_eq!(complete(&mut connect(&fake)).0.unwrap().text, "Done.");
    assert_eq!(fake.chats().len(), 3);
}

#[test]
fn refusals_say_who_and_why_and_what_helps() {
    let body =
        r#"{"error": {"message": "bad \u001b[31m\u202e\u061ckey", "type": "invalid", "code": "invalid_api_key"}}"#;
    let error = error_of(vec![refuse("401 Unauthorized", body)]);
    let EndpointError::Refused { url, status: 401, message, code } = &error else { panic!("{error}") };
    assert!(url.starts_with("http://127.0.0.1:") && url.ends_with("/v1/"));
    assert_eq!((message.as_str(), code.as_deref()), ("bad \u{fffd}[31m\u{fffd}\u{fffd}key", Some("invalid_api_key")));
    assert!(error.to_string().contains("hint: put the key into the environment variable CODEACT_ENDPOINT_KEY"));
    let error = error_of(vec![refuse("404 Not Found", "no such thing")]);
    assert!(error.to_string().contains("404: no such thing\nhint: is the address right"), "{error}");
    assert!(!error.is_context());
}

#[test]
fn prompts_that_are_too_long_are_known_by_every_servers_words() {
    for (status, body) in [
        ("400 Bad Request", r#"{"error": {"message": "too long", "code": "context_length_exceeded"}}"#),
        ("400 Bad Request", r#"{"message": "This model's maximum context length is 4096 tokens. However"}"#),
        ("400 Bad Request", r#"{"error": {"code": 400, "type": "exceed_context_size_error", "message": "x"}}"#),
        ("500 Oops", r#"{"error": {"message": "the request exceeds the available context size"}}"#),
    ] {
        let error = error_of(vec![refuse(status, body)]);
        assert!(error.is_context(), "{error}");
        assert_eq!(AgentError::from(error).code(), "context");
    }
}

#[test]
fn a_turn_on_an_endpoint_shortens_when_the_server_says_so() {
    let long = "<execute>\nprint('word ' * 400)\n";
    let too_long = || refuse("400 Bad", r#"{"error": {"message": "", "code": "context_length_exceeded"}}"#);
    let acts =
        vec![reply(&[long], "stop"), reply(&["<execute>\n2\n"], "stop"), too_long(), reply(&["<solution>x"], "stop")];
    let fake = Fake::start(acts);
    let (turn, events) = run(&mut agent_of(connect(&fake), options()), "Go.");
    assert_eq!(turn.end, TurnEnd::Solution);
    assert!(events.iter().any(|event| matches!(event, Event::ContextShortened { observations: 1, .. })));
    let sent = fake.chats()[3].body["messages"][3]["content"].as_str().unwrap().len();
    assert!(sent < 600 && turn.messages[3].content.len() > 1500);
}

#[test]
fn hostile_streams_end_with_an_error_of_their_own() {
    let stream = |write: fn(&mut std::net::TcpStream)| -> Vec<Act> {
        vec![Box::new(move |stream| {
            begin(stream);
            send(stream, &piece("Hi"));
            write(stream);
        })]
    };
    let endless = error_of(stream(|stream| while stream.write_all(&[b'x'; 65536]).is_ok() {}));
    assert!(matches!(endless, EndpointError::TooLarge { what: "one line", .. }), "{endless}");
    let data =
        error_of(stream(|stream| while stream.write_all(b"data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n").is_ok() {}));
    assert!(matches!(data, EndpointError::TooLarge { what: "one event", .. }), "{data}");
    let comments = error_of(stream(|stream| {
        let chunk = ": x\n".repeat(1 << 16);
        while stream.write_all(chunk.as_bytes()).is_ok() {}
    }));
    assert!(matches!(comments, EndpointError::TooLarge { what: "a reply", .. }), "{comments}");
    let text = error_of(stream(|stream| {
        let chunk = piece(&"word ".repeat(10_000));
        while send(stream, &chunk) {}
    }));
    assert!(matches!(text, EndpointError::TooLarge { what: "a reply", .. }), "{text}");
    for nonsense in ["{", "[]", "{\"choices\": 3}", "null", "\u{0}"] {
        let act: Act = Box::new(move |stream| {
            begin(stream);
            send(stream, nonsense);
        });
        let error = error_of(vec![act]);
        assert!(matches!(error, EndpointError::Malformed { .. }), "{nonsense}: {error}");
    }
    let failed = error_of(stream(|stream| assert!(send(stream, r#"{"error": {"message": "out of memory"}}"#))));
    assert!(failed.to_string().contains("failed while it replied: out of memory"), "{failed}");
    let gone = error_of(stream(|_| {}));
    assert!(matches!(gone, EndpointError::Broken { .. }), "{gone}");
}

#[test]
fn an_interrupt_ends_a_silent_stream_within_a_second_and_leaves_the_server() {
    let act: Act = Box::new(|stream| {
        begin(stream);
        send(stream, &piece("Wait"));
        // Until the other side has left.
        let _ = std::io::Read::read(stream, &mut [0; 1]);
    });
    let fake = Fake::start(vec![act, reply(&["Fine."], "stop")]);
    let mut agent = agent_of(connect(&fake), options());
    let interrupter = agent.interrupter();
    let mut interrupted_at = None;
    let turn = agent
        .run_turn("Go.", &mut |event| {
            if matches!(event, Event::Token { .. }) {
                interrupted_at = Some(Instant::now());
                let interrupter = interrupter.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(150)); // so that the wait has begun
                    interrupter.interrupt();
                });
            }
        })
        .unwrap();
    assert_eq!(turn.end, TurnEnd::Interrupted);
    assert!(interrupted_at.unwrap().elapsed() < Duration::from_millis(1150));
    fake.ended.recv_timeout(Duration::from_secs(5)).unwrap();
    assert_eq!(run(&mut agent, "Ok?").0.answer.as_deref(), Some("Fine."));
}

#[test]
fn a_silent_server_is_given_up() {
    let act: Act = Box::new(|stream| drop(std::io::Read::read(stream, &mut [0; 1])));
    let fake = Fake::start(vec![act]);
    let options = EndpointOptions { silence_max: Duration::from_millis(300), ..EndpointOptions::new(fake.url.clone()) };
    let error = complete(&mut EndpointModel::connect(options).unwrap()).0.unwrap_err();
    assert!(matches!(error, AgentError::Endpoint(EndpointError::Silent { .. })), "{error}");
}

#[test]
fn the_time_of_a_turn_ends_a_slow_stream() {
    let act: Act = Box::new(|stream| {
        begin(stream);
        while send(stream, &piece("word ")) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let fake = Fake::start(vec![act]);
    let mut limited: AgentOptions = options();
    limited.limits.turn_time_max = Some(Duration::from_millis(500));
    let (turn, _) = run(&mut agent_of(connect(&fake), limited), "Go.");
    assert_eq!(turn.end, TurnEnd::TimeLimit);
    assert!(turn.messages.last().unwrap().content.starts_with("word word"));
}

#[test]
fn wrong_addresses_and_empty_servers_are_known_at_once() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = EndpointModel::connect(EndpointOptions::new(format!("http://{closed}/v1"))).err().unwrap();
    assert!(matches!(error, EndpointError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains("hint: is the server running"), "{error}");
    let connect = |fake: &Fake, model: Option<&str>| {
        let options = EndpointOptions { model: model.map(Into::into), ..EndpointOptions::new(fake.url.clone()) };
        EndpointModel::connect(options)
    };
    let empty = Fake::with_models("200 OK", r#"{"data": []}"#, vec![]);
    assert!(matches!(connect(&empty, None), Err(EndpointError::NoModel { .. })));
    let listless = Fake::with_models("404 Not Found", "", vec![]);
    assert_eq!(connect(&listless, Some("mine")).unwrap().name(), "mine");
    assert!(matches!(connect(&listless, None), Err(EndpointError::Refused { status: 404, .. })));
    let moved = Fake::with_models("301 Moved", "", vec![]);
    assert!(matches!(connect(&moved, Some("mine")), Err(EndpointError::Refused { status: 301, .. })));
    let nonsense = Fake::with_models("200 OK", "<html>", vec![]);
    assert!(matches!(connect(&nonsense, None), Err(EndpointError::Malformed { .. })));
}
