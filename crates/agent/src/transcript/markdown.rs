//! A conversation as Markdown, to be read.

use super::told::{Code, Part, Shown, turns, words};
use crate::Event;
use std::collections::BTreeMap;

/// The conversation as text. Figures stand in it as `data:` addresses.
pub fn markdown(title: &str, events: &[Event]) -> String {
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut blocks = vec![format!("# {title}")];
    for part in turns(events).into_iter().flatten() {
        match part {
            Part::Asked(text) => blocks.push(format!("## User\n\n{}\n\n## Assistant", text.trim())),
            Part::Thought(text) => blocks.push(text.trim().to_owned()),
            Part::Code(code) => blocks.extend(code_blocks(&code)),
            Part::Hint(text) => blocks.push(quote(&text)),
            Part::Answer(text) => blocks.push(format!("**Answer:** {}", text.trim())),
            Part::Ended(end) => blocks.push(format!("*{}*", words(end))),
            Part::Failed(message) => blocks.push(format!("**Error:** {}", message.trim())),
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n\n") + "\n"
}

fn code_blocks(code: &Code) -> Vec<String> {
    let mut blocks = vec![fenced("python", &code.code)];
    if !code.has_run {
        blocks.push("*Not run.*".to_owned());
    }
    let mut text = String::new();
    for shown in &code.outputs {
        match shown {
            Shown::Text(_, printed) => text.push_str(printed),
            Shown::Display(data) | Shown::Value(data) => match picture(data) {
                Some(picture) => {
                    blocks.extend(output(&std::mem::take(&mut text)));
                    blocks.push(picture);
                }
                None => {
                    begin_line(&mut text);
                    text.push_str(data.get("text/plain").map_or("", String::as_str));
                }
            },
        }
    }
    if let Some(error) = &code.error {
        begin_line(&mut text);
        text.push_str(&error.traceback);
    }
    blocks.extend(output(&text));
    blocks
}

fn begin_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

fn output(text: &str) -> Option<String> {
    let text = text.trim_end_matches('\n');
    (!text.trim().is_empty()).then(|| fenced("text", text))
}

/// A picture of a kind that every reader of Markdown shows.
fn picture(data: &BTreeMap<String, String>) -> Option<String> {
    ["image/png", "image/jpeg", "image/gif"].into_iter().find_map(|mime| {
        let base64: String = data.get(mime)?.split_whitespace().collect();
        Some(format!("![figure](data:{mime};base64,{base64})"))
    })
}

/// A fence that nothing inside can close.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}", text.trim_end_matches('\n'))
}

fn quote(text: &str) -> String {
    text.trim().lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")
}
