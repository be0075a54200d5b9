//! Just enough HTTP/1.1 to ask the server something.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;

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
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    /// The values of a field of all server-sent events.
    pub fn events(&self, field: &str) -> Vec<String> {
        let prefix = format!("{field}: ");
        let lines = self.body.lines().filter_map(|line| line.strip_prefix(&prefix));
        lines.map(str::to_owned).collect()
    }
}

/// Sends a request with a JSON body and returns the connection, for those who want to leave early.
pub fn open(port: u16, method: &str, path: &str, body: &str) -> TcpStream {
    send(port, method, path, "application/json; charset=utf-8", body)
}

fn send(port: u16, method: &str, path: &str, content_type: &str, body: &str) -> TcpStream {
    let mut connection = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let length = body.len();
    write!(
        connection,
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    connection
}

pub fn ask(port: u16, method: &str, path: &str, body: &str) -> Answer {
    answer(open(port, method, path, body))
}

/// As [`ask`], with a body of another type.
pub fn post_as(port: u16, path: &str, content_type: &str, body: &str) -> Answer {
    answer(send(port, "POST", path, content_type, body))
}

fn answer(mut connection: TcpStream) -> Answer {
    let mut text = String::new();
    connection.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
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
