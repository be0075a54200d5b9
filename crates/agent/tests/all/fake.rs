//! A server on this machine that plays an endpoint, also a hostile one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

/// What is done with one chat request.
pub type Act = Box<dyn FnOnce(&mut TcpStream) + Send>;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub head: String,
    pub body: serde_json::Value,
}

pub struct Fake {
    pub url: String,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// Hears when a script is over.
    pub ended: Receiver<()>,
}

impl Fake {
    /// Serves one script after another to chat requests, and a list of models to everybody.
    pub fn start(acts: Vec<Act>) -> Fake {
        Fake::with_models("200 OK", r#"{"data": [{"id": "first"}, {"id": "second"}]}"#, acts)
    }

    pub fn with_models(status: &'static str, models: &'static str, acts: Vec<Act>) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (sender, ended) = channel();
        std::thread::spawn({
            let asked = asked.clone();
            move || {
                let mut acts = acts.into_iter();
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let Some(request) = read(&stream) else { continue };
                    if request.head.starts_with("GET /v1/models ") {
                        asked.lock().unwrap().push(request);
                        answer(&mut stream, status, "application/json", models);
                        continue;
                    }
                    asked.lock().unwrap().push(request);
                    let Some(act) = acts.next() else { return };
                    let sender = sender.clone();
                    std::thread::spawn(move || {
                        act(&mut stream);
                        let _ = sender.send(());
                    });
                }
            }
        });
        Fake { url, asked, ended }
    }

    /// The chat requests that came.
    pub fn chats(&self) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.head.starts_with("POST ")).cloned().collect()
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// A whole answer.
pub fn answer(stream: &mut TcpStream, status: &str, mime: &str, body: &str) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {mime}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// The head of a stream that ends with its connection.
pub fn begin(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n");
}

/// One event of a stream. `false`: the other side has left.
pub fn send(stream: &mut TcpStream, data: &str) -> bool {
    stream.write_all(format!("data: {data}\n\n").as_bytes()).is_ok()
}

/// The next piece of a reply.
pub fn piece(text: &str) -> String {
    serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string()
}

/// The end of a reply.
pub fn last(finish: &str) -> String {
    serde_json::json!({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}).to_string()
}

/// A reply in these pieces, which ended for this reason.
pub fn reply(pieces: &[&str], finish: &'static str) -> Act {
    let pieces: Vec<String> = pieces.iter().map(|text| piece(text)).collect();
    Box::new(move |stream| {
        begin(stream);
        pieces.iter().for_each(|piece| {
            send(stream, piece);
        });
        send(stream, &last(finish));
        let details = r#""prompt_tokens_details": {"cached_tokens": 8}"#;
        let usage = format!(r#"{{"prompt_tokens": 11, "completion_tokens": 7, {details}}}"#);
        send(stream, &format!(r#"{{"choices": [], "usage": {usage}}}"#));
        send(stream, "[DONE]");
    })
}

/// A refusal.
pub fn refuse(status: &'static str, body: &'static str) -> Act {
    Box::new(move |stream| answer(stream, status, "application/json", body))
}
