//! Tasks and plans, as they stand in files: JSON lines, every fault with file and line.

use std::collections::HashMap;
use std::path::Path;

use codeact_sandbox::Tool;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};

use crate::EvalError;

/// Something to solve, and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Names the task; unique in its file.
    pub id: String,
    /// `group/family`, or just a family: what results are counted by.
    pub family: String,
    /// What the user says.
    pub prompt: String,
    /// The right solution. A JSON number is taken as its text.
    #[serde(deserialize_with = "text_or_number")]
    pub answer: String,
    /// Python that runs in the session before the turn: functions and data the prompt speaks of.
    #[serde(default)]
    pub setup: Option<String>,
    /// Functions of the setup that the system prompt describes, and that actions in JSON and text can call.
    #[serde(default)]
    pub tools: Vec<Tool>,
}

/// A task with the assistant turns that solve it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What is to be solved.
    pub task: Task,
    /// What the assistant says, turn by turn.
    pub turns: Vec<String>,
}

/// A line of a plans file; serde cannot both flatten a [`Task`] and refuse unknown keys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlanLine {
    id: String,
    family: String,
    prompt: String,
    turns: Vec<String>,
    #[serde(deserialize_with = "text_or_number")]
    answer: String,
    #[serde(default)]
    setup: Option<String>,
}

/// Reads `{"id", "family", "prompt", "answer", "setup"?, "tools"?}`, one a line.
///
/// # Errors
/// When the file cannot be read, a line is not such an object, an id comes twice, or there is none.
pub fn read_tasks(path: &Path) -> Result<Vec<Task>, EvalError> {
    let tasks = read_lines::<Task>(path)?;
    refuse_repeats(path, tasks.iter().map(|(line, task)| (*line, task.id.as_str())))?;
    Ok(tasks.into_iter().map(|(_, task)| task).collect())
}

/// Reads `{"id", "family", "prompt", "turns": [..], "answer", "setup"?}`, one a line.
///
/// # Errors
/// As [`read_tasks`], and when a plan has no turns.
pub fn read_plans(path: &Path) -> Result<Vec<Plan>, EvalError> {
    let lines = read_lines::<PlanLine>(path)?;
    refuse_repeats(path, lines.iter().map(|(line, plan)| (*line, plan.id.as_str())))?;
    let plans = lines.into_iter().map(|(line, plan)| {
        if plan.turns.is_empty() {
            let what = format!("plan `{}` has no turns", plan.id);
            return Err(fault(path, line, what));
        }
        let PlanLine { id, family, prompt, turns, answer, setup } = plan;
        let task = Task { id, family, prompt, answer, setup, tools: Vec::new() };
        Ok(Plan { task, turns })
    });
    plans.collect()
}

/// The values of all lines that are not blank, with their line numbers.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>, EvalError> {
    let bytes = std::fs::read(path).map_err(|source| EvalError::Read { path: path.to_owned(), source })?;
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let parsed = lines.filter(|(_, line)| !line.trim_ascii().is_empty()).map(|(index, line)| {
        let value = serde_json::from_slice(line).map_err(|error| {
            // The parser sees one line, so its own "line 1" would mislead.
            let text = error.to_string();
            let what = text.split(" at line ").next().unwrap_or(&text);
            fault(path, index + 1, format!("column {}: {what}", error.column()))
        })?;
        Ok((index + 1, value))
    });
    let parsed: Vec<(usize, T)> = parsed.collect::<Result<_, EvalError>>()?;
    if parsed.is_empty() {
        return Err(EvalError::Empty { path: path.to_owned() });
    }
    Ok(parsed)
}

fn refuse_repeats<'a>(path: &Path, ids: impl Iterator<Item = (usize, &'a str)>) -> Result<(), EvalError> {
    let mut seen = HashMap::new();
    for (line, id) in ids {
        if let Some(first) = seen.insert(id, line) {
            return Err(fault(path, line, format!("id `{id}` was used in line {first}")));
        }
    }
    Ok(())
}

fn fault(path: &Path, line: usize, what: String) -> EvalError {
    EvalError::Line { path: path.to_owned(), line, what }
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Number(number) => Ok(number.to_string()),
        other => Err(D::Error::custom(format!("`answer` is {other}; it must be a text or a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Task>, EvalError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        read_tasks(file.path())
    }

    #[test]
    fn a_line_is_a_task() {
        let tasks = read(concat!(
            r#"{"id":"a","family":"f/g","prompt":"p","answer":"1"}"#,
            "\n\n",
            r#"{"id":"b","family":"f","prompt":"p","answer":2.5,"setup":"x = 1"}"#,
        ));
        let tasks = tasks.unwrap();
        assert_eq!((tasks.len(), tasks[1].answer.as_str()), (2, "2.5"));
        assert_eq!(tasks[1].setup.as_deref(), Some("x = 1"));
    }

    #[test]
    fn a_bad_line_is_named() {
        let good = r#"{"id":"a","family":"f","prompt":"p","answer":"1"}"#;
        let cases = [
            ("{", "line 2"),
            (r#"{"id":"b","family":"f","prompt":"p"}"#, "missing field `answer`"),
            (r#"{"id":"b","family":"f","prompt":"p","answer":[]}"#, "must be a text or a number"),
            (r#"{"id":"b","family":"f","prompt":"p","answer":"1","extra":1}"#, "unknown field `extra`"),
            (good, "id `a` was used in line 1"),
        ];
        for (line, expected) in cases {
            let error = read(&format!("{good}\n{line}\n")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("line 2") && text.contains(expected), "{text}");
            assert!(!text.contains("at line 1") && error.is_bad_input(), "{text}");
        }
        assert!(matches!(read("\n"), Err(EvalError::Empty { .. })));
    }
}
