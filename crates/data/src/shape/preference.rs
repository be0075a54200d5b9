//! Two conversations that begin alike, of which the first is better: `chosen` and `rejected`, as TRL names them.

use codeact_chat::{Message, Role};
use serde_json::{Map, Value, json};

use super::{Ignored, Row, Shape, id, ignore, kind, missing};
use crate::error::Rejection;

/// The chosen one and the rejected one.
pub(super) fn rows(row: Value, ignored: &mut Ignored) -> Result<Vec<Row>, Rejection> {
    let Value::Object(mut fields) = row else {
        return Err(Rejection::Shape { what: format!("expected an object, found {}", kind(&row)) });
    };
    let id = id(&mut fields);
    let prompt = fields.shift_remove("prompt").unwrap_or(Value::Null);
    let mut rows = Vec::with_capacity(2);
    for key in ["chosen", "rejected"] {
        let mut row = side(&mut fields, key, &prompt, ignored)?;
        row.conversation.id.clone_from(&id);
        rows.push(row);
    }
    for (key, value) in fields {
        if !value.is_null() {
            ignore(ignored, key);
        }
    }
    if !is_said(&prompt, &rows[0].conversation.messages) {
        ignore(ignored, "prompt".to_owned());
    }
    let [chosen, rejected] = [&rows[0], &rows[1]].map(|row| row.conversation.messages.as_slice());
    let refused = match () {
        () if prompt_of(chosen) != prompt_of(rejected) => "`chosen` and `rejected` answer different prompts",
        () if chosen == rejected => "`chosen` and `rejected` are the same",
        () => return Ok(rows),
    };
    Err(Rejection::Shape { what: refused.to_owned() })
}

/// One of the two: messages, behind those of a `prompt` that is a list too; or an answer to a `prompt` that is text.
/// Beside lists a text says once more what they begin with.
fn side(
    fields: &mut Map<String, Value>,
    key: &'static str,
    prompt: &Value,
    ignored: &mut Ignored,
) -> Result<Row, Rejection> {
    let Some(said) = fields.shift_remove(key) else {
        return Err(Rejection::Shape { what: missing(key, fields) });
    };
    let messages: Vec<Value> = match (prompt, said) {
        (Value::Array(prompt), Value::Array(said)) => prompt.iter().cloned().chain(said).collect(),
        (_, Value::Array(said)) => said,
        (Value::String(prompt), Value::String(said)) => {
            vec![json!({"role": "user", "content": prompt}), json!({"role": "assistant", "content": said})]
        }
        (_, said) => {
            let what =
                format!("`{key}` is {}, expected a list of messages, or text beside a `prompt` of text", kind(&said));
            return Err(Rejection::Shape { what });
        }
    };
    let has_from = messages.first().is_some_and(|message| message.get("from").is_some());
    let shape = if has_from { Shape::ShareGpt } else { Shape::Messages };
    shape.row(json!({"messages": messages}), ignored).map_err(|why| Rejection::Side { key, why: Box::new(why) })
}

/// Whether a prompt is among what the conversation says, or there is none.
fn is_said(prompt: &Value, messages: &[Message]) -> bool {
    match prompt {
        Value::Null | Value::Array(_) => true,
        Value::String(text) => messages.iter().any(|message| message.content == *text),
        _ => false,
    }
}

/// What stands before the first answer: what both conversations of a pair begin with.
pub fn prompt_of(messages: &[Message]) -> &[Message] {
    let end = messages.iter().position(|message| message.role == Role::Assistant);
    &messages[..end.unwrap_or(messages.len())]
}
