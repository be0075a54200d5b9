//! Calls of tools that are not written as Python, made into Python: one function call with plain values.
//!
//! Whatever a model writes, nothing of it becomes code but the name of a known tool and literals.

use codeact_chat::action::ActionFormat;
use codeact_sandbox::Tool;
use serde_json::{Map, Value};

/// One parameter of a tool, as its signature has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter<'a> {
    name: &'a str,
    annotation: &'a str,
}

/// The Python for a call of one of `tools`, as a reply in this format has it behind `Action:`.
///
/// # Errors
/// What the model is told about it, where it calls none of them.
pub fn python_of(format: ActionFormat, call: &str, tools: &[Tool]) -> Result<String, String> {
    match format {
        ActionFormat::Json => from_json(call, tools),
        ActionFormat::Text => from_text(call, tools),
        ActionFormat::Code => Ok(call.to_string()),
    }
}

/// The Python for a call of `tool` with these arguments by name, for people who are asked about it: in one line, and
/// without characters that cannot be seen or that move others.
pub fn python_call(tool: &str, arguments: &Map<String, Value>) -> String {
    let arguments: Vec<String> = arguments.iter().map(|(name, value)| named(name, &literal(value))).collect();
    format!("{tool}({})", arguments.join(", "))
}

/// How a tool is called, for a call that had wrong arguments.
pub fn tool_usage(tool: &Tool) -> String {
    format!("[The signature of the tool is {}{}]", tool.name, tool.signature)
}

/// The tool that `python`, which [`python_of`] made, calls.
pub(crate) fn tool_of<'a>(python: &str, tools: &'a [Tool]) -> Option<&'a Tool> {
    let name = python.split('(').next()?;
    tools.iter().find(|tool| tool.name == name)
}

fn from_json(call: &str, tools: &[Tool]) -> Result<String, String> {
    let shape = "Write Action: {\"tool\": \"NAME\", \"args\": {\"PARAMETER\": VALUE}}";
    let value: Value =
        serde_json::from_str(call).map_err(|error| format!("[The action is not valid JSON: {error}. {shape}]"))?;
    let Some(name) = value.get("tool").and_then(Value::as_str) else {
        return Err(format!("[The action has no \"tool\" with a name. {shape}]"));
    };
    let tool = find(name, tools)?;
    let arguments = match value.get("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Object(arguments)) => return Ok(python_call(&tool.name, arguments)),
        Some(Value::Array(values)) => values.iter().map(literal).collect(),
        Some(_) => return Err(format!("[\"args\" is no object. {shape}]\n{}", tool_usage(tool))),
    };
    Ok(format!("{}({})", tool.name, arguments.join(", ")))
}

/// `name=value`, or what does the same where the name is none in Python.
fn named(name: &str, value: &str) -> String {
    let is_name = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
        && !KEYWORDS.contains(&name);
    match is_name {
        true => format!("{name}={value}"),
        false => format!("**{{{}: {value}}}", string(name)),
    }
}

const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
    "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
    "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

fn from_text(call: &str, tools: &[Tool]) -> Result<String, String> {
    let mut parts = split(call, false).into_iter();
    let name = parts.next().map(str::trim).unwrap_or_default();
    if name.is_empty() {
        return Err("[The action is empty. Write Action: NAME, VALUE, VALUE]".to_string());
    }
    let tool = find(name, tools)?;
    let parameters = parameters(&tool.signature);
    let mut positional = 0;
    let arguments = parts.map(str::trim).map(|part| {
        let keyword = part.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
        let keyword = keyword.filter(|(name, _)| parameters.iter().any(|parameter| parameter.name == *name));
        match keyword {
            Some((name, value)) => {
                let annotation = parameters.iter().find(|parameter| parameter.name == name).map(|it| it.annotation);
                named(name, &argument(value, annotation))
            }
            None => {
                positional += 1;
                argument(part, parameters.get(positional - 1).map(|parameter| parameter.annotation))
            }
        }
    });
    Ok(format!("{}({})", tool.name, arguments.collect::<Vec<_>>().join(", ")))
}

fn find<'a>(name: &str, tools: &'a [Tool]) -> Result<&'a Tool, String> {
    tools.iter().find(|tool| tool.name == name).ok_or_else(|| {
        let shown: String = name.chars().take(60).collect();
        match tools.is_empty() {
            true => format!("[There is no tool `{shown}`, and no other.]"),
            false => {
                let known: Vec<String> = tools.iter().map(|tool| format!("{}{}", tool.name, tool.signature)).collect();
                format!("[There is no tool `{shown}`. There are:\n{}]", known.join("\n"))
            }
        }
    })
}

/// A value of JSON as Python has it.
fn literal(value: &Value) -> String {
    match value {
        Value::Null => "None".to_string(),
        Value::Bool(true) => "True".to_string(),
        Value::Bool(false) => "False".to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => string(text),
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(items) => {
            let items: Vec<String> =
                items.iter().map(|(key, value)| format!("{}: {}", string(key), literal(value))).collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

/// A string of JSON is one of Python. What is not seen as itself is written as its number.
fn string(text: &str) -> String {
    let mut written = String::new();
    for character in Value::from(text).to_string().chars() {
        match (character, character as u32) {
            (' '..='~', _) => written.push(character),
            (_, number) if character.escape_debug().len() > 1 => match number {
                0..=0xffff => written.push_str(&format!("\\u{number:04x}")),
                _ => written.push_str(&format!("\\U{number:08x}")),
            },
            _ => written.push(character),
        }
    }
    written
}

/// An argument of the text format: a value as JSON or Python writes it, else its own text.
fn argument(text: &str, annotation: Option<&str>) -> String {
    let quoted = |quote: char| text.len() >= 2 && text.starts_with(quote) && text.ends_with(quote);
    if quoted('\'') {
        return string(&text[1..text.len() - 1]);
    }
    let wants_text = annotation.is_some_and(|annotation| annotation == "str");
    match serde_json::from_str::<Value>(text) {
        Ok(Value::String(text)) => string(&text),
        Ok(value) if !wants_text => literal(&value),
        _ if quoted('"') => string(&text[1..text.len() - 1]),
        _ if !wants_text && matches!(text, "None" | "True" | "False") => text.to_string(),
        _ => string(text),
    }
}

/// Whether a value begins behind this.
fn begins_value(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with('=')
}

/// The parts of `text` between commas that are neither in quotes nor in brackets. Where it `is_code`, every quote is one.
fn split(text: &str, is_code: bool) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    let mut quote: Option<char> = None;
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(_), '\\') => is_escaped = true,
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => {}
            // An apostrophe inside a word is none of the quotes.
            (None, '"' | '\'') if is_code || depth > 0 || begins_value(&text[start..at]) => quote = Some(letter),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// The parameters of a signature such as `(city: str, days: int = 3) -> dict`.
fn parameters(signature: &str) -> Vec<Parameter<'_>> {
    let inside = signature.trim().strip_prefix('(').unwrap_or_default();
    let mut depth = 0usize;
    let end = inside.char_indices().find(|(_, letter)| match letter {
        '(' | '[' | '{' => {
            depth += 1;
            false
        }
        ')' if depth == 0 => true,
        ')' | ']' | '}' => {
            depth = depth.saturating_sub(1);
            false
        }
        _ => false,
    });
    let inside = &inside[..end.map_or(inside.len(), |(at, _)| at)];
    let parts =
        split(inside, true).into_iter().map(str::trim).filter(|part| !part.is_empty() && !part.starts_with(['*', '/']));
    parts
        .map(|part| {
            let (name, annotation) = part.split('=').next().unwrap_or_default().split_once(':').unwrap_or((part, ""));
            let name = name.split('=').next().unwrap_or_default();
            Parameter { name: name.trim(), annotation: annotation.trim() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Vec<Tool> {
        let tool =
            |name: &str, signature: &str| Tool { name: name.into(), signature: signature.into(), doc: "".into() };
        vec![
            tool("weather", "(city: str, days: int = 3, places: dict[str, list[int]] = {}) -> dict"),
            tool("now", "()"),
        ]
    }

    #[test]
    fn a_call_that_is_shown_hides_and_moves_nothing() {
        let arguments = serde_json::json!({"to": "a\u{202e}b\u{a0}\u{200b}\n", "é": "雪", "n": [1, null]});
        let shown = python_call("send", arguments.as_object().unwrap());
        assert_eq!(shown, r#"send(to="a\u202eb\u00a0\u200b\n", **{"é": "雪"}, n=[1, None])"#);
    }

    fn json(call: &str) -> Result<String, String> {
        python_of(ActionFormat::Json, call, &tools())
    }

    fn text(call: &str) -> Result<String, String> {
        python_of(ActionFormat::Text, call, &tools())
    }

    #[test]
    fn json_becomes_one_call_of_literals() {
        let call = r#"{"tool": "weather", "args": {"city": "O'slo\n\"", "days": -2.5, "x y": [true, null, {"a": 1}]}}"#;
        let python = r#"weather(city="O'slo\n\"", days=-2.5, **{"x y": [True, None, {"a": 1}]})"#;
        assert_eq!(json(call).as_deref(), Ok(python));
        assert_eq!(json(r#"{"tool": "weather", "args": ["Oslo", 1]}"#).as_deref(), Ok("weather(\"Oslo\", 1)"));
        assert_eq!(json(r#"{"tool": "now"}"#).as_deref(), Ok("now()"));
        assert_eq!(json(r#"{"tool": "now", "args": {"class": 1}}"#).as_deref(), Ok("now(**{\"class\": 1})"));
    }

    #[test]
    fn text_becomes_values_by_their_look_and_by_the_signature() {
        for (call, python) in [
            ("weather, Oslo, 3", "weather(\"Oslo\", 3)"),
            ("weather, \"Oslo, Norway\", 3", "weather(\"Oslo, Norway\", 3)"),
            ("weather, 'Oslo', days=4", "weather(\"Oslo\", days=4)"),
            ("weather, 42, 42", "weather(\"42\", 42)"),
            ("weather, city=\"Oslo, Norway\"", "weather(city=\"Oslo, Norway\")"),
            ("weather, don't, 1", "weather(\"don't\", 1)"),
            ("weather, a, 1, {\"x\": [1, 2]}", "weather(\"a\", 1, {\"x\": [1, 2]})"),
            ("weather, x=1", "weather(\"x=1\")"),
            ("weather, True, None", "weather(\"True\", None)"),
            ("now", "now()"),
        ] {
            assert_eq!(text(call).as_deref(), Ok(python), "{call}");
        }
    }

    #[test]
    fn what_cannot_be_called_is_explained() {
        assert!(json("{\"tool\": ").unwrap_err().contains("not valid JSON"));
        assert!(json("[]").unwrap_err().contains("no \"tool\""));
        assert!(json(r#"{"tool": "wether"}"#).unwrap_err().contains("weather(city: str"));
        assert!(json(r#"{"tool": "now", "args": 3}"#).unwrap_err().contains("no object"));
        assert!(text("wether, Oslo").unwrap_err().contains("There is no tool `wether`"));
        assert!(text("  ").unwrap_err().contains("empty"));
        assert!(python_of(ActionFormat::Text, "f", &[]).unwrap_err().contains("no other"));
    }

    #[test]
    fn nothing_a_model_writes_becomes_code() {
        for evil in ["__import__('os').system('x')", "1); import os; (", "\\", "\"", "'", "\u{2028}", "{", "x\"); f(\""]
        {
            let python = text(&format!("weather, {evil}")).unwrap();
            let inside = python.strip_prefix("weather(").unwrap().strip_suffix(')').unwrap();
            // Each argument is a string of JSON, so a literal of Python.
            for part in split(inside, true) {
                assert!(serde_json::from_str::<String>(part.trim()).is_ok(), "{evil:?} became {python}");
            }
            let call = serde_json::json!({"tool": "weather", "args": {evil: evil}}).to_string();
            let python = json(&call).unwrap();
            assert!(python.starts_with("weather(**{\""), "{python}");
        }
    }

    #[test]
    fn signatures_are_taken_apart() {
        let names = |signature| parameters(signature).iter().map(|it| it.name).collect::<Vec<_>>();
        assert_eq!(names("(a, b: int, *, c: dict[str, int] = {'x': (1, 2)}, **rest) -> int"), ["a", "b", "c"]);
        assert_eq!(names("(a=1, b: str = ',')"), ["a", "b"]);
        assert_eq!(parameters("(a: str = 'x')")[0].annotation, "str");
        assert_eq!(names("nonsense"), [""; 0]);
        assert_eq!(names("()"), [""; 0]);
    }
}
