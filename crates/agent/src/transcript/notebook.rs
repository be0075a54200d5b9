//! A conversation as a Jupyter notebook (nbformat 4.5): what was said in Markdown cells, code in cells of its own with
//! what it showed.

use super::told::{Code, Part, Shown, turns, words};
use crate::Event;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The notebook of a conversation, as JSON.
pub fn notebook(title: &str, events: &[Event]) -> String {
    let mut cells = vec![markdown_cell(&format!("# {}", one_line(title)))];
    let mut executions = 0;
    for part in turns(events).into_iter().flatten() {
        match part {
            Part::Asked(text) => cells.push(markdown_cell(&format!("**User**\n\n{}", text.trim()))),
            Part::Thought(text) if text.trim().is_empty() => {}
            Part::Thought(text) => cells.push(markdown_cell(text.trim())),
            Part::Code(code) => {
                executions += usize::from(code.has_run);
                cells.push(code_cell(&code, executions));
            }
            Part::Hint(text) => cells.push(markdown_cell(&format!("*{}*", one_line(&text)))),
            Part::Answer(text) => cells.push(markdown_cell(&format!("**Answer:** {}", text.trim()))),
            Part::Ended(end) => cells.push(markdown_cell(&format!("*{}*", words(end)))),
            Part::Failed(message) => cells.push(markdown_cell(&format!("**Error:** {}", message.trim()))),
        }
    }
    let cells: Vec<Value> = (1..).zip(cells).map(|(number, cell)| with_id(number, cell)).collect();
    let notebook = json!({
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "title": title,
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "language_info": {"name": "python"},
        },
        "cells": cells,
    });
    serde_json::to_string_pretty(&notebook).expect("text is always valid JSON") + "\n"
}

/// Since 4.5 every cell has an id.
fn with_id(number: usize, mut cell: Map<String, Value>) -> Value {
    cell.insert("id".to_owned(), json!(format!("cell-{number}")));
    Value::Object(cell)
}

fn markdown_cell(text: &str) -> Map<String, Value> {
    object(json!({"cell_type": "markdown", "metadata": {}, "source": lines(text)}))
}

fn code_cell(code: &Code, execution: usize) -> Map<String, Value> {
    let execution = if code.has_run { json!(execution) } else { Value::Null };
    let mut outputs: Vec<Value> = code.outputs.iter().map(|shown| output(shown, &execution)).collect();
    if let Some(error) = &code.error {
        let name = if error.name.is_empty() { "Ended" } else { &error.name };
        let traceback: Vec<&str> = error.traceback.lines().collect();
        outputs.push(json!({"output_type": "error", "ename": name, "evalue": error.message, "traceback": traceback}));
    }
    object(json!({
        "cell_type": "code", "metadata": {}, "source": lines(&code.code), "execution_count": execution,
        "outputs": outputs,
    }))
}

fn output(shown: &Shown, execution: &Value) -> Value {
    match shown {
        Shown::Text(stream, text) => json!({"output_type": "stream", "name": stream, "text": lines(text)}),
        Shown::Display(data) => json!({"output_type": "display_data", "metadata": {}, "data": bundle(data)}),
        Shown::Value(data) => json!({
            "output_type": "execute_result", "metadata": {}, "data": bundle(data), "execution_count": execution,
        }),
    }
}

/// By MIME type: JSON as it is, everything else as text, which is base64 for images.
fn bundle(data: &BTreeMap<String, String>) -> Value {
    let content = |mime: &str, text: &str| {
        let is_json = mime == "application/json" || mime.ends_with("+json");
        let parsed = is_json.then(|| serde_json::from_str(text).ok()).flatten();
        parsed.unwrap_or_else(|| if mime.starts_with("image/") { json!(text) } else { json!(lines(text)) })
    };
    Value::Object(data.iter().map(|(mime, text)| (mime.clone(), content(mime, text))).collect())
}

/// Text as notebooks keep it: its lines, each with its line break.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
