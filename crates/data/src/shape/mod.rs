//! From a row as it was published to a conversation. Which shape a file has is decided once for the file.

mod messages; // lists of messages with a role each
mod pairs; // questions and answers without roles
mod preference; // two conversations, the first of which is better

use std::collections::BTreeSet;
use std::fmt;

use codeact_chat::{Conversation, Message, Role};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use preference::prompt_of;

use crate::error::Rejection;
use crate::source::RowFormat;

/// How the rows of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Shape {
    /// `conversations` or `messages`, each with `role` and `content`. CodeActInstruct, UltraChat-200k.
    Messages,
    /// `conversations`, each with `from` and `value`.
    ShareGpt,
    /// `instruction`, `input`, `output`.
    Alpaca,
    /// `messages` with what OpenAI's fine-tuning takes.
    OpenAi,
    /// `system_prompt`, `question`, `response`.
    OpenOrca,
    /// `conversation`, each with `input` and `output`.
    Capybara,
    /// `data`, texts in turn.
    UltraChat,
    /// `chosen` and `rejected`.
    Preference,
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Shape::Messages => "messages",
            Shape::ShareGpt => "sharegpt",
            Shape::Alpaca => "alpaca",
            Shape::OpenAi => "openai",
            Shape::OpenOrca => "OpenOrca",
            Shape::Capybara => "Capybara",
            Shape::UltraChat => "UltraChat",
            Shape::Preference => "preference",
        })
    }
}

/// A row as a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its id is empty where the row has none.
    pub(crate) conversation: Conversation,
    /// Whether a message may be learned: its weight is not 0, and it is not what a tool said. One for each message.
    pub(crate) may_learn: Vec<bool>,
}

impl Row {
    /// Which messages are learned when `roles` are.
    pub(crate) fn is_learned(&self, roles: &[Role]) -> Result<Vec<bool>, Rejection> {
        let flags = self.conversation.messages.iter().zip(&self.may_learn);
        let flags: Vec<bool> = flags.map(|(message, may_learn)| *may_learn && roles.contains(&message.role)).collect();
        if flags.contains(&true) { Ok(flags) } else { Err(Rejection::NothingToLearn) }
    }
}

/// Keys that a row may have besides its conversation, as far as they were seen and not used. Those of messages follow
/// `messages.`.
pub(crate) type Ignored = BTreeSet<String>;

/// Most ignored keys that are remembered of a file.
const IGNORED_MAX: usize = 64;

/// Most characters of one.
const IGNORED_CHARS_MAX: usize = 80;

impl Shape {
    /// The shape of a file, by one of its rows; `None` when the row has none that is known, or not the one asked for.
    pub(crate) fn detect(row: &Value, format: RowFormat) -> Option<Shape> {
        let row = row.as_object()?;
        match format {
            RowFormat::Messages => return Some(Shape::Messages),
            RowFormat::ShareGpt => return Some(Shape::ShareGpt),
            RowFormat::Alpaca => return Some(Shape::Alpaca),
            RowFormat::OpenAi => return Some(Shape::OpenAi),
            RowFormat::Preference => return Some(Shape::Preference),
            RowFormat::Auto => {}
        }
        let list = ["conversations", "messages"].into_iter().find_map(|key| row.get(key)?.as_array());
        if let Some(list) = list {
            // An empty list says nothing; the next row may.
            let first = list.first()?.as_object()?;
            return match (first.contains_key("from"), first.contains_key("role")) {
                (true, _) => Some(Shape::ShareGpt),
                (_, true) => Some(Shape::Messages),
                _ => None,
            };
        }
        let has = |keys: &[&str]| keys.iter().all(|key| row.contains_key(*key));
        let holds_list = |key: &str| row.get(key).is_some_and(Value::is_array);
        if has(&["question", "response"]) {
            Some(Shape::OpenOrca)
        } else if has(&["instruction", "output"]) {
            Some(Shape::Alpaca)
        } else if holds_list("conversation") {
            Some(Shape::Capybara)
        } else if holds_list("data") {
            Some(Shape::UltraChat)
        } else if has(&["chosen", "rejected"]) {
            // Last: beside a conversation a pair is only where the settings ask for pairs.
            Some(Shape::Preference)
        } else {
            None
        }
    }

    /// The conversations of a row: one, or of a pair the chosen one and the rejected one. Keys that are not used are
    /// added to `ignored`.
    pub(crate) fn rows(self, row: Value, ignored: &mut Ignored) -> Result<Vec<Row>, Rejection> {
        match self {
            Shape::Preference => preference::rows(row, ignored),
            _ => Ok(vec![self.row(row, ignored)?]),
        }
    }

    /// The conversation of a row that has one.
    fn row(self, row: Value, ignored: &mut Ignored) -> Result<Row, Rejection> {
        let Value::Object(mut fields) = row else {
            return Err(Rejection::Shape { what: format!("expected an object, found {}", kind(&row)) });
        };
        let id = id(&mut fields);
        let mut row = match self {
            Shape::Messages | Shape::ShareGpt | Shape::OpenAi => messages::row(self, &mut fields, ignored)?,
            Shape::Alpaca => pairs::alpaca(&mut fields)?,
            Shape::OpenOrca => pairs::open_orca(&mut fields)?,
            Shape::Capybara => pairs::capybara(&mut fields, ignored)?,
            Shape::UltraChat => pairs::ultra_chat(&mut fields)?,
            Shape::Preference => return Err(Rejection::Shape { what: "it has a pair in a pair".to_owned() }),
        };
        for (key, value) in fields {
            // Columns that are empty here belong to other rows of the table.
            if !value.is_null() {
                ignore(ignored, key);
            }
        }
        row.conversation.id = id;
        Conversation::validate(&row.conversation.messages)?;
        Ok(row)
    }
}

/// Remembers a key, or its beginning.
pub(crate) fn ignore(ignored: &mut Ignored, key: String) {
    if ignored.len() < IGNORED_MAX {
        ignored.insert(key.escape_debug().take(IGNORED_CHARS_MAX).collect());
    }
}

/// The name of a row, if it has one.
fn id(fields: &mut Map<String, Value>) -> String {
    let id = ["id", "prompt_id", "conversation_id"].into_iter().find_map(|key| match fields.get(key)? {
        Value::String(text) => Some((key, text.clone())),
        Value::Number(number) => Some((key, number.to_string())),
        _ => None,
    });
    let Some((key, id)) = id else { return String::new() };
    fields.shift_remove(key);
    id
}

/// Takes the value of a key that has to be text.
fn text(fields: &mut Map<String, Value>, key: &str) -> Result<String, Rejection> {
    match fields.shift_remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(other) => Err(Rejection::Shape { what: format!("`{key}` is {}, expected text", kind(&other)) }),
        None => Err(Rejection::Shape { what: missing(key, fields) }),
    }
}

/// As [`text`], of a key that may be missing, empty or null.
fn optional_text(fields: &mut Map<String, Value>, key: &str) -> Result<Option<String>, Rejection> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::Null) => {
            fields.shift_remove(key);
            Ok(None)
        }
        Some(_) => Ok(Some(text(fields, key)?).filter(|text| !text.is_empty())),
    }
}

/// Takes the value of a key that has to be a list.
fn list(fields: &mut Map<String, Value>, key: &str) -> Result<Vec<Value>, Rejection> {
    match fields.shift_remove(key) {
        Some(Value::Array(items)) => Ok(items),
        Some(other) => Err(Rejection::Shape { what: format!("`{key}` is {}, expected a list", kind(&other)) }),
        None => Err(Rejection::Shape { what: missing(key, fields) }),
    }
}

fn missing(key: &str, fields: &Map<String, Value>) -> String {
    let mut known: Vec<String> = fields.keys().take(8).map(|key| format!("`{key}`")).collect();
    if fields.len() > known.len() {
        known.push("..".to_owned());
    }
    match known.is_empty() {
        true => format!("has no `{key}`"),
        false => format!("has no `{key}`, only {}", known.join(", ")),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What a row of the shape should be, for a row that has none.
pub(crate) fn unknown(row: &Value) -> Rejection {
    let what = match row.as_object() {
        None => format!("expected an object, found {}", kind(row)),
        Some(fields) => {
            let keys: Vec<String> = fields.keys().take(8).map(|key| format!("`{key}`")).collect();
            format!(
                "no known shape: it has {}; known are messages (`conversations` or `messages`), sharegpt, alpaca \
                 (`instruction`, `output`), OpenOrca (`question`, `response`), Capybara (`conversation`), UltraChat (`data`) \
                 and preference (`chosen`, `rejected`)",
                if keys.is_empty() { "no keys".to_owned() } else { keys.join(", ") }
            )
        }
    };
    Rejection::Shape { what }
}

fn message(role: Role, content: String) -> Message {
    Message::new(role, content)
}
