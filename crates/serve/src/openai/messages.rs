//! The messages of a request.

use codeact_chat::{Message, Role};
use serde_json::Value;

use crate::ApiError;
use crate::fields::{Fields, Ignored, shown};

/// Takes `messages` out of the body. Contents are strings or arrays of text parts, which are joined by line breaks.
///
/// # Errors
/// When there are none, or one is not a message of text; the error names its place.
pub(crate) fn take_messages(body: &mut Fields, ignored: &mut Ignored) -> Result<Vec<Message>, ApiError> {
    let value = body.take("messages").ok_or_else(|| body.missing("messages"))?;
    let Value::Array(items) = value else {
        return body.refuse("messages", &value, "an array of messages");
    };
    if items.is_empty() {
        return Err(ApiError::invalid("messages", "`messages` is empty; it must have at least one message"));
    }
    let of = |(index, item)| message(item, &format!("messages[{index}]"), ignored);
    items.into_iter().enumerate().map(of).collect()
}

fn message(item: Value, place: &str, ignored: &mut Ignored) -> Result<Message, ApiError> {
    let mut fields = Fields::new(item, place)?;
    let name = fields.required_text("role")?;
    let role = match name.as_str() {
        // OpenAI's newer word for the same.
        "developer" => Role::System,
        known => match Role::from_name(known) {
            Some(role) => role,
            None => {
                let roles = "`system`, `developer`, `user` or `assistant`";
                return fields.refuse("role", &Value::String(name), roles);
            }
        },
    };
    let content = fields.take("content").ok_or_else(|| fields.missing("content"))?;
    let content = text_of(content, &fields.path("content"), ignored)?;
    fields.unsupported("name", |_| false, "say the name in the content", ignored)?;
    // OpenAI's client sends back what it got, with everything that an answer may have.
    for absent in ["tool_calls", "annotations"] {
        fields.unsupported(absent, |value| value.as_array().is_some_and(Vec::is_empty), "", ignored)?;
    }
    for absent in ["function_call", "refusal", "audio", "reasoning_content", "tool_call_id"] {
        fields.unsupported(absent, |_| false, "", ignored)?;
    }
    fields.finish(ignored)?;
    Ok(Message::new(role, content))
}

fn text_of(content: Value, place: &str, ignored: &mut Ignored) -> Result<String, ApiError> {
    match content {
        Value::String(text) => Ok(text),
        Value::Array(parts) => {
            let parts = parts.into_iter().enumerate();
            let texts = parts.map(|(index, part)| part_text(part, &format!("{place}[{index}]"), ignored));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        other => {
            let message = format!("`{place}` is {}; it must be a string or an array of text parts", shown(&other));
            Err(ApiError::invalid(place, message))
        }
    }
}

fn part_text(part: Value, place: &str, ignored: &mut Ignored) -> Result<String, ApiError> {
    let mut fields = Fields::new(part, place)?;
    let kind = fields.required_text("type")?;
    if kind != "text" {
        return fields.refuse("type", &Value::String(kind), "`text`: this model reads nothing else");
    }
    let text = fields.required_text("text")?;
    fields.finish(ignored)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(messages: Value) -> Result<Vec<Message>, String> {
        let mut body = Fields::new(json!({"messages": messages}), "").unwrap();
        take_messages(&mut body, &mut Ignored::default()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn contents_are_strings_or_parts_of_text() {
        let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
        let messages = json!([
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": parts},
            {"role": "assistant", "content": "ok", "refusal": null, "tool_calls": [], "audio": null},
        ]);
        let expected = [Message::system("Be brief."), Message::user("one\ntwo"), Message::assistant("ok")];
        assert_eq!(read(messages).unwrap(), expected);
    }

    #[test]
    fn what_is_no_message_of_text_is_refused_by_place() {
        let cases = [
            (json!([]), "`messages` is empty"),
            (json!("hi"), "`messages` is \"hi\"; it must be an array"),
            (json!([{"role": "robot", "content": ""}]), "`messages[0].role` is \"robot\""),
            (json!([{"role": "user"}]), "missing field `messages[0].content`"),
            (json!([{"role": "user", "content": 5}]), "`messages[0].content` is 5"),
            (json!([{"role": "user", "content": "a", "nmae": "b"}]), "did you mean `name`?"),
            (
                json!([{"role": "user", "content": "a", "name": "b"}]),
                "`messages[0].name` is \"b\"; this server does not",
            ),
            (json!([{"role": "user", "content": [{"type": "image_url"}]}]), "`messages[0].content[0].type`"),
            (json!([null]), "`messages[0]` is null; it must be an object"),
        ];
        for (messages, expected) in cases {
            let message = read(messages).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }
}
