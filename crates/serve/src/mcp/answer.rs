//! What a tool answered, as a Python value or as the text of an error.

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::{Value, json};

use super::schema::readable;

const ERROR_CHARS_MAX: usize = 4000;

/// Structured content is the value. Else text is a `str`, and where there is more than text the parts are a list of
/// `str` and of `dict`s that say what they are.
///
/// # Errors
/// With the text of the server, when it calls its answer an error.
pub(super) fn value(answer: CallToolResult) -> Result<Value, String> {
    if answer.is_error == Some(true) {
        let text: Vec<String> = answer.content.into_iter().map(part).map(in_words).collect();
        let text = readable(text.join("\n").trim(), ERROR_CHARS_MAX);
        return Err(if text.is_empty() { "the tool failed and did not say why".to_owned() } else { text });
    }
    if let Some(value) = answer.structured_content {
        return Ok(value);
    }
    let mut parts: Vec<Value> = answer.content.into_iter().map(part).collect();
    if parts.iter().all(Value::is_string) {
        let texts: Vec<String> = parts.into_iter().map(in_words).collect();
        return Ok(Value::from(texts.join("\n")));
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Value::Array(parts) })
}

fn part(block: ContentBlock) -> Value {
    match block {
        ContentBlock::Text(text) => Value::from(text.text),
        ContentBlock::Image(image) => json!({"mime": image.mime_type, "base64": image.data}),
        ContentBlock::Audio(audio) => json!({"mime": audio.mime_type, "base64": audio.data}),
        ContentBlock::Resource(embedded) => match embedded.resource {
            ResourceContents::TextResourceContents { text, .. } => Value::from(text),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                json!({"uri": uri, "mime": mime_type, "base64": blob})
            }
            _ => json!({"unknown": "resource"}),
        },
        ContentBlock::ResourceLink(link) => json!({"uri": link.uri, "name": link.name, "mime": link.mime_type}),
        _ => json!({"unknown": "content"}),
    }
}

fn in_words(part: Value) -> String {
    match part {
        Value::String(text) => text,
        other => format!("[{}]", other["mime"].as_str().or(other["uri"].as_str()).unwrap_or("something else")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(answer: Value) -> Result<Value, String> {
        value(serde_json::from_value(answer).unwrap())
    }

    #[test]
    fn answers_are_python_values() {
        let (a, b) = (json!({"type": "text", "text": "a"}), json!({"type": "text", "text": "b"}));
        let image = json!({"type": "image", "mimeType": "image/png", "data": "iVBO"});
        let png = json!({"mime": "image/png", "base64": "iVBO"});
        let file = json!({"type": "resource", "resource": {"uri": "file:///x", "text": "inside"}});
        assert_eq!(of(json!({"content": [a, b, file]})), Ok(json!("a\nb\ninside")));
        assert_eq!(of(json!({"content": [image]})), Ok(png.clone()));
        assert_eq!(of(json!({"content": [a, image]})), Ok(json!(["a", png])));
        assert_eq!(of(json!({"content": [a], "structuredContent": {"x": [1]}})), Ok(json!({"x": [1]})));
        assert_eq!(of(json!({"content": [], "structuredContent": null})), Ok(json!(null)));
        assert_eq!(of(json!({"content": []})), Ok(json!("")));
    }

    #[test]
    fn errors_are_the_servers_words_within_bounds() {
        let failed =
            |text: &str| of(json!({"isError": true, "content": [{"type": "text", "text": text}]})).unwrap_err();
        assert_eq!(failed("no such\x1b file\n"), "no such file");
        assert!(failed(&"x".repeat(1 << 20)).len() < 5000);
        let image = json!({"isError": true, "content": [{"type": "image", "mimeType": "image/png", "data": "iVBO"}]});
        assert_eq!(of(image), Err("[image/png]".to_owned()));
        assert_eq!(failed(""), "the tool failed and did not say why");
    }
}
