//! Readers that read nothing, or hardly anything: what they hold is given back.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{metric, open, post};
use crate::tiny::{Server, Setup, serve_with};

const COMPLETIONS: &str = "/v1/completions";
/// More than any step here takes.
const PATIENCE: Duration = Duration::from_secs(30);

fn server(change: impl FnOnce(&mut Setup)) -> Server {
    let mut setup = Setup { kv_bytes: 64 << 20, ..Setup::default() };
    setup.engine.context_tokens_max = None;
    setup.edge.requests_max = 1;
    change(&mut setup);
    serve_with(setup)
}

/// An answer that is larger than what the operating system keeps for a reader.
fn long_answer(port: u16) -> TcpStream {
    let body = json!({"prompt": "ab ".repeat(1 << 19), "return_token_strs": true});
    begun(open(port, "POST", "/tokenize", &body.to_string()))
}

/// A stream that goes on until it is read.
fn long_stream(port: u16) -> TcpStream {
    let body = json!({"prompt": "a", "max_tokens": 8000, "n": 8, "stream": true, "ignore_eos": true, "logprobs": 5});
    begun(open(port, "POST", COMPLETIONS, &body.to_string()))
}

fn begun(mut connection: TcpStream) -> TcpStream {
    let mut first = [0; 12];
    connection.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    connection
}

fn until_there_is_room(port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while post(port, COMPLETIONS, &json!({"prompt": "a", "max_tokens": 1})).status == 429 {
        assert!(Instant::now() < deadline, "the place was not given back");
        std::thread::yield_now();
    }
}

fn until_nothing_runs(port: u16) {
    let deadline = Instant::now() + PATIENCE;
    while metric(port, "codeact_requests_running") > 0.0 {
        assert!(Instant::now() < deadline, "it goes on for nobody");
        std::thread::yield_now();
    }
}

#[test]
fn whoever_stops_reading_loses_the_place_and_the_connection() {
    let server = server(|setup| setup.connections.stall_time_max = Duration::from_millis(300));
    for begin in [long_answer, long_stream] {
        let mut connection = begin(server.port);
        until_there_is_room(server.port);
        until_nothing_runs(server.port);
        // What was sent can still be read; then there is an end, but not that of the answer.
        let mut rest = Vec::new();
        let _ = connection.read_to_end(&mut rest);
        assert!(!rest.ends_with(b"0\r\n\r\n") && !rest.ends_with(b"]}"), "all {} bytes came", rest.len());
    }
    assert_eq!(metric(server.port, "codeact_http_answers_incomplete_total"), 2.0);
}

#[test]
fn whoever_reads_a_byte_now_and_then_has_the_time_of_the_request_and_a_little_more() {
    let server = server(|setup| {
        // Nobody stalls for so long.
        setup.connections.stall_time_max = PATIENCE;
        setup.edge.request_time_max = Duration::from_millis(100);
        setup.edge.reading_time_max = Duration::from_millis(500);
    });
    let mut connection = long_answer(server.port);
    let reading = std::thread::spawn(move || {
        let mut some = [0; 4096];
        while connection.read(&mut some).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    until_there_is_room(server.port);
    // Its reader would have been at it for a minute.
    assert_eq!(metric(server.port, "codeact_http_answers_incomplete_total"), 1.0);
    drop(reading);
}

#[test]
fn a_stream_that_falls_too_far_behind_is_ended_and_says_so() {
    let server = server(|setup| setup.edge.unread_bytes_max = 16 << 10);
    let mut connection = long_stream(server.port);
    until_nothing_runs(server.port);
    let mut rest = String::new();
    connection.read_to_string(&mut rest).unwrap();
    let last = rest.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    assert!(last.contains("answer_not_read") && last.contains("more than 16 KiB"), "{last}");
}

#[test]
fn a_slow_reader_who_goes_on_gets_everything() {
    let server = server(|setup| setup.connections.stall_time_max = Duration::from_secs(5));
    let mut connection = long_answer(server.port);
    std::thread::sleep(Duration::from_millis(300));
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"]}"), "{} bytes came", rest.len());
}

#[test]
fn bodies_together_take_no_more_memory_than_there_is_for_them() {
    let server = server(|setup| {
        setup.edge.requests_max = 16;
        setup.edge.reading_bytes_max = 1 << 20;
    });
    let nested = |count: usize| format!("{{\"prompt\": [{}]}}", vec!["[]"; count].join(","));
    let ask = |body: &str| crate::client::ask(server.port, "POST", COMPLETIONS, body);
    // Three bytes of text, and a hundred in memory.
    let refused = ask(&nested(50_000));
    assert!(refused.error(413).contains("MiB for all requests"), "{}", refused.body);
    assert!(ask(&nested(1000)).error(400).contains("`prompt`"));
    // Bodies that never come whole hold what they sent.
    let half = |bytes: usize| {
        let mut connection = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        let head = format!(
            "POST {COMPLETIONS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            bytes + 1
        );
        std::io::Write::write_all(&mut connection, head.as_bytes()).unwrap();
        std::io::Write::write_all(&mut connection, &vec![b' '; bytes]).unwrap();
        connection
    };
    // Each takes one to two hundred KiB, by the pieces in which it comes. A few leave too little for the next body, which
    // alone has room.
    let mut held: Vec<TcpStream> = Vec::new();
    let deadline = Instant::now() + PATIENCE;
    let body = json!({"prompt": vec![5; 8000], "max_tokens": 1}).to_string();
    while ask(&body).status != 429 {
        assert!(Instant::now() < deadline, "there is room for everything");
        held.push(half(100 << 10));
    }
    drop(held);
    while ask(&body).status == 429 {
        assert!(Instant::now() < deadline, "the memory was not given back");
    }
}
