//! Just enough HTTP/1.1 to ask the server something.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer of the tiny model takes: a test that waits so long has found a hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The message of an error, after checking the status.
    pub fn error(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.body);
        let error = &self.json()["error"];
        for field in ["type", "param", "code"] {
            assert!(error.get(field).is_some(), "no {field}: {error}");
        }
        error["message"].as_str().unwrap().to_owned()
    }

    /// The values of a field of all server-sent events.
    pub fn events(&self, field: &str) -> Vec<String> {
        let prefix = format!("{field}: ");
        let lines = self.body.lines().filter_map(|line| line.strip_prefix(&prefix));
        lines.map(str::to_owned).collect()
    }

    /// The JSON of all events before the last, which must be `[DONE]`.
    pub fn chunks(&self) -> Vec<Value> {
        let mut events = self.events("data");
        assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{}", self.body);
        events.iter().map(|event| serde_json::from_str(event).unwrap()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends a request with a JSON body and returns the connection, for those who want to leave early.
pub fn open(port: u16, method: &str, path: &str, body: &str) -> TcpStream {
    send(port, method, path, &[("Content-Type", "application/json; charset=utf-8")], body)
}

/// As [`open`], with these header fields and no others but the length.
pub fn send(port: u16, method: &str, path: &str, fields: &[(&str, &str)], body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = if fields.iter().any(|(name, _)| *name == "Host") { "" } else { "Host: 127.0.0.1\r\n" };
    let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.1\r\n{host}Connection: close\r\n{fields}Content-Length: {length}\r\n\r\n");
    // A server that has seen enough may close before the end.
    let _ = connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body.as_bytes()));
    connection
}

pub fn ask(port: u16, method: &str, path: &str, body: &str) -> Answer {
    answer(open(port, method, path, body))
}

pub fn get(port: u16, path: &str) -> Answer {
    answer(send(port, "GET", path, &[], ""))
}

pub fn post(port: u16, path: &str, body: &Value) -> Answer {
    ask(port, "POST", path, &body.to_string())
}

/// As [`ask`], with a body of another type.
pub fn post_as(port: u16, path: &str, content_type: &str, body: &str) -> Answer {
    answer(send(port, "POST", path, &[("Content-Type", content_type)], body))
}

pub fn answer(mut connection: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = connection.read_to_end(&mut bytes);
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{read:?}: {text}"));
    let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { unchunked(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&rest[..length]);
        text = &rest[length + 2..];
        if length == 0 {
            break;
        }
    }
    whole
}

/// The value of a metric that has no labels.
pub fn metric(port: u16, name: &str) -> f64 {
    metric_in(&get(port, "/metrics").body, name)
}

/// The same in what `/metrics` says.
pub fn metric_in(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
}
