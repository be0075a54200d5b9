//! Agents over HTTP: sessions, what is kept of them, and whose they are.

mod access;
mod approvals;
mod branches;
mod events;
mod files;
mod hostile;
mod loop_as_model;
mod program;
mod python;
mod restart;
mod sessions;
mod tools;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::client::{Answer, answer, ask, send};

pub const SESSIONS: &str = "/v1/agent/sessions";
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A session of a server, as one caller sees it.
pub struct Session {
    pub port: u16,
    pub id: String,
    key: Option<String>,
}

impl Session {
    pub fn create(port: u16, body: Value) -> Session {
        Session::create_as(port, None, body)
    }

    pub fn create_as(port: u16, key: Option<&str>, body: Value) -> Session {
        let made = Session { port, id: String::new(), key: key.map(str::to_owned) };
        let created = made.send_to(SESSIONS, "POST", &body.to_string());
        assert_eq!(created.status, 201, "{}", created.body);
        Session { id: created.json()["id"].as_str().unwrap().to_owned(), ..made }
    }

    /// The same id with another key, or another session with the same.
    pub fn as_seen_by(&self, key: &str) -> Session {
        Session { port: self.port, id: self.id.clone(), key: Some(key.to_owned()) }
    }

    pub fn other(&self, id: &Value) -> Session {
        Session { port: self.port, id: id.as_str().unwrap().to_owned(), key: self.key.clone() }
    }

    fn send_to(&self, path: &str, method: &str, body: &str) -> Answer {
        answer(self.open_at(path, method, body, &[]))
    }

    fn open_at(&self, path: &str, method: &str, body: &str, more: &[(&str, &str)]) -> TcpStream {
        let authorization = self.key.as_ref().map(|key| format!("Bearer {key}"));
        let mut fields = vec![JSON];
        fields.extend(authorization.as_ref().map(|value| ("Authorization", value.as_str())));
        fields.extend(more);
        send(self.port, method, path, &fields, body)
    }

    pub fn path(&self, rest: &str) -> String {
        format!("{SESSIONS}/{}{rest}", self.id)
    }

    pub fn get(&self, rest: &str) -> Answer {
        self.send_to(&self.path(rest), "GET", "")
    }

    pub fn post(&self, rest: &str, body: Value) -> Answer {
        self.send_to(&self.path(rest), "POST", &body.to_string())
    }

    /// Answers a question.
    pub fn decide(&self, question: &Value, body: Value) -> Answer {
        self.post(&format!("/approvals/{}", question["approval"].as_str().unwrap()), body)
    }

    pub fn request(&self, method: &str, rest: &str, body: &str) -> Answer {
        self.send_to(&self.path(rest), method, body)
    }

    pub fn object(&self) -> Value {
        let shown = self.get("");
        assert_eq!(shown.status, 200, "{}", shown.body);
        shown.json()
    }

    pub fn state(&self) -> String {
        self.object()["state"].as_str().unwrap().to_owned()
    }

    /// Begins a turn.
    pub fn tell(&self, content: &str) -> Value {
        let accepted = self.post("/messages", json!({"content": content}));
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        accepted.json()
    }

    /// A whole turn, to its end.
    pub fn turn(&self, content: &str) -> Vec<Value> {
        let body = json!({"content": content}).to_string();
        let accept = [("Accept", "text/event-stream")];
        let answer = answer(self.open_at(&self.path("/messages"), "POST", &body, &accept));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let events = parsed(&answer);
        assert_eq!(events.last().unwrap()["type"], "turn.end", "{}", answer.body);
        events
    }

    /// What a turn came to.
    pub fn answer(&self, content: &str) -> String {
        let events = self.turn(content);
        match of(&events, "answer").last() {
            Some(answer) => answer["text"].as_str().unwrap().to_owned(),
            None => panic!("no answer: {events:?}"),
        }
    }

    /// All events so far behind `after`.
    pub fn events(&self, after: u64) -> Vec<Value> {
        parsed(&self.get(&format!("/events?after={after}&follow=false")))
    }

    /// Events as they come.
    pub fn follow(&self, last_seen: u64) -> Follow {
        let id = last_seen.to_string();
        let stream = self.open_at(&self.path("/events"), "GET", "", &[("Last-Event-ID", &id)]);
        Follow(BufReader::new(stream))
    }
}

/// A reader of events that stays.
pub struct Follow(BufReader<TcpStream>);

impl Follow {
    /// The next event; `None` when the stream has ended.
    pub fn next(&mut self) -> Option<Value> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }

    /// The next event of this type.
    pub fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self.next().unwrap_or_else(|| panic!("the stream ended before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }
}

fn parsed(answer: &Answer) -> Vec<Value> {
    let events: Vec<Value> = answer.events("data").iter().map(|data| serde_json::from_str(data).unwrap()).collect();
    let ids: Vec<String> = events.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(answer.events("id"), ids);
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(answer.events("event"), kinds);
    events
}

/// The events of one type.
pub fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == kind).collect()
}

/// What the model saw of code.
pub fn observations(events: &[Value]) -> Vec<&str> {
    of(events, "exec.end").iter().map(|event| event["observation"].as_str().unwrap()).collect()
}

/// What a model is to say: each part is a reply. See `tiny::SayModel`.
pub fn say(replies: &[&str]) -> String {
    format!("SAY {}", replies.join(" THEN "))
}

/// Code that runs, and then an answer.
pub fn run(code: &str) -> String {
    say(&[&format!("<execute>\n{code}\n</execute>"), "<solution>done</solution>"])
}

pub fn execute(port: u16, convid: &str, code: &str) -> Value {
    let answer = ask(port, "POST", "/execute", &json!({"convid": convid, "code": code}).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}
