//! Lists of messages with a role each, under the names that publishers give keys and roles.

use codeact_chat::{Conversation, Message, Role};
use serde_json::{Map, Value};

use super::{Ignored, Row, Shape, ignore, kind, list};
use crate::error::Rejection;

/// Opens what executed code printed, as CodeActInstruct writes it.
const OBSERVATION: &str = "Observation:\n";

/// Beginnings of a user's message that is what code printed.
const OBSERVATION_MARKS: [&str; 2] = ["Observation:", "Execution Output:"];

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speaker {
    Of(Role),
    /// A tool, or the interpreter.
    Tool,
}

/// The row; its list of messages is taken out of `fields`.
pub(super) fn row(shape: Shape, fields: &mut Map<String, Value>, ignored: &mut Ignored) -> Result<Row, Rejection> {
    let is_openai = shape == Shape::OpenAi;
    // In a table of several shapes the columns of the others are empty.
    let has_conversations = fields.get("conversations").is_some_and(|list| !list.is_null());
    let key =
        if is_openai || !has_conversations && fields.contains_key("messages") { "messages" } else { "conversations" };
    let (role_key, text_key) = if shape == Shape::ShareGpt { ("from", "value") } else { ("role", "content") };
    let (mut messages, mut may_learn) = (Vec::new(), Vec::new());
    let mut after_tool = false;
    for (index, item) in list(fields, key)?.into_iter().enumerate() {
        let Value::Object(mut item) = item else {
            let what = format!("`{key}`: item {index} is {}, expected an object", kind(&item));
            return Err(Rejection::Shape { what });
        };
        let speaker = speaker(&mut item, role_key, index)?;
        let content = content(&mut item, text_key, index)?;
        let weight = weight(&mut item, index)?;
        rest(item, index, ignored)?;
        let is_tool = speaker == Speaker::Tool;
        match speaker {
            // One turn for all that tools said at once.
            Speaker::Tool if after_tool => {
                let last: &mut Message = messages.last_mut().expect("a tool spoke before");
                last.content.push('\n');
                last.content.push_str(content.strip_prefix(OBSERVATION).unwrap_or(&content));
            }
            Speaker::Tool => {
                let is_marked = OBSERVATION_MARKS.iter().any(|mark| content.starts_with(mark));
                let content = if is_marked { content } else { format!("{OBSERVATION}{content}") };
                messages.push(Message::user(content));
                may_learn.push(false);
            }
            Speaker::Of(role) => {
                let is_observation = role == Role::User
                    && messages.iter().any(|message| message.role == Role::Assistant)
                    && OBSERVATION_MARKS.iter().any(|mark| content.starts_with(mark));
                messages.push(super::message(role, content));
                may_learn.push(weight && !is_observation);
            }
        }
        after_tool = is_tool;
    }
    Ok(Row { conversation: Conversation { id: String::new(), messages }, may_learn })
}

fn speaker(item: &mut Map<String, Value>, key: &str, index: usize) -> Result<Speaker, Rejection> {
    let role = match item.shift_remove(key) {
        Some(Value::String(role)) => role,
        Some(other) => return Err(wrong(index, key, &other)),
        None => return Err(Rejection::Shape { what: format!("message {index} has no `{key}`") }),
    };
    Ok(match role.as_str() {
        "system" | "developer" => Speaker::Of(Role::System),
        "user" | "human" | "prompter" => Speaker::Of(Role::User),
        "assistant" | "gpt" | "chatgpt" | "bing" | "bard" | "model" | "bot" | "function_call" => {
            Speaker::Of(Role::Assistant)
        }
        "tool" | "observation" | "function" | "ipython" | "environment" | "execution" | "tool_response"
        | "function_response" => Speaker::Tool,
        _ => return Err(Rejection::UnknownRole { index, role: role.chars().take(40).collect() }),
    })
}

/// Text, or a list of parts that are all text.
fn content(item: &mut Map<String, Value>, key: &str, index: usize) -> Result<String, Rejection> {
    match item.shift_remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let text = parts.iter().map(|part| {
                let is_text = part.get("type").is_none_or(|kind| kind == "text");
                part.get("text").filter(|_| is_text).and_then(Value::as_str)
            });
            let text: Option<String> = text.collect();
            text.ok_or(Rejection::NotText { index, what: "has a part that is no text" })
        }
        Some(Value::Null) | None if has_calls(item) => Err(Rejection::NotText { index, what: CALLS }),
        Some(other) => Err(wrong(index, key, &other)),
        None => Err(Rejection::Shape { what: format!("message {index} has no `{key}`") }),
    }
}

const CALLS: &str = "calls tools in fields of its own, which no chat template of text shows";

fn has_calls(item: &Map<String, Value>) -> bool {
    let is_filled = |value: &Value| match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        _ => true,
    };
    ["tool_calls", "function_call"].iter().any(|key| item.get(*key).is_some_and(is_filled))
}

/// Whether the message is learned: OpenAI writes `weight`, others `train`.
fn weight(item: &mut Map<String, Value>, index: usize) -> Result<bool, Rejection> {
    let mut is_learned = true;
    for key in ["weight", "train"] {
        match item.shift_remove(key) {
            None | Some(Value::Null) => {}
            Some(Value::Bool(flag)) => is_learned &= flag,
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => is_learned = false,
            Some(Value::Number(number)) if number.as_f64() == Some(1.0) => {}
            Some(other) => {
                let what = format!("message {index}: `{key}` is {other}, but only 0 and 1 are supported");
                return Err(Rejection::Shape { what });
            }
        }
    }
    Ok(is_learned)
}

/// What is left of a message: nothing that would change what is learned.
fn rest(item: Map<String, Value>, index: usize, ignored: &mut Ignored) -> Result<(), Rejection> {
    if has_calls(&item) {
        return Err(Rejection::NotText { index, what: CALLS });
    }
    for (key, value) in item {
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        if !is_empty {
            ignore(ignored, format!("messages.{key}"));
        }
    }
    Ok(())
}

fn wrong(index: usize, key: &str, found: &Value) -> Rejection {
    Rejection::Shape { what: format!("message {index}: `{key}` is {}, expected text", kind(found)) }
}
