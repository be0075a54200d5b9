//! Tasks, and plans as they stand in files: JSON lines, every fault with file and line.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use codeact_sandbox::{Policy, Tool};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::grade::tools_of;
use crate::suite::load_suites;
use crate::{EvalError, Grader};

/// Something to solve, and what decides whether it is solved. `docs/tasks.md` says what each part is for.
#[derive(Debug, Clone)]
pub struct Task {
    /// Names the task; unique in its suite.
    pub id: String,
    /// `group/family`, or just a family: what results are counted by.
    pub family: String,
    /// What the user says.
    pub prompt: String,
    /// Words that tasks can be chosen by.
    pub tags: Vec<String>,
    /// What decides.
    pub grader: Grader,
    /// Python that runs in the session before the turn: functions and data the prompt speaks of.
    pub setup: Option<String>,
    /// Functions of the setup that the system prompt describes, and that actions in JSON and text can call.
    pub tools: Vec<Tool>,
    /// Python that runs before the setup, and whose functions are tools.
    pub tool_file: Option<Arc<ToolFile>>,
    /// Files that are in the workspace when the turn begins, by path.
    pub files: BTreeMap<String, Arc<[u8]>>,
    /// Bounds of its own.
    pub limits: TaskLimits,
    /// Assistant turns that solve it; may be none.
    pub reference: Vec<String>,
    /// Attempts, each of some assistant turns, that look right and are not.
    pub wrong: Vec<Vec<String>>,
    /// Where it stands, for messages: `` `tasks.jsonl` line 3``.
    pub place: String,
}

/// Bounds that a task sets; `None`: those of the run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TaskLimits {
    /// Replies of the model, each with one action.
    pub turns: Option<usize>,
    /// Wall-clock time of one action in seconds.
    pub cell_seconds: Option<u64>,
}

/// A file of Python whose functions are tools, read once for all tasks that name it.
#[derive(Debug)]
pub struct ToolFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What it says.
    pub source: String,
    functions: OnceLock<Vec<Tool>>,
}

impl Task {
    /// A task with nothing but what every task has.
    pub fn new(id: &str, family: &str, prompt: &str, grader: Grader) -> Task {
        Task {
            id: id.to_owned(),
            family: family.to_owned(),
            prompt: prompt.to_owned(),
            tags: Vec::new(),
            grader,
            setup: None,
            tools: Vec::new(),
            tool_file: None,
            files: BTreeMap::new(),
            limits: TaskLimits::default(),
            reference: Vec::new(),
            wrong: Vec::new(),
            place: format!("task `{id}`"),
        }
    }

    /// SHA-256, in hexadecimal, of all that decides what comes of the task: a result holds for this task only.
    pub fn digest(&self) -> String {
        let files: Vec<_> = self.files.iter().map(|(path, bytes)| (path, hex(bytes))).collect();
        let parts = json!({
            "id": self.id,
            "family": self.family,
            "prompt": self.prompt,
            "grader": self.grader,
            "setup": self.setup,
            "tools": self.tools,
            "tool_file": self.tool_file.as_ref().map(|file| &file.source),
            "files": files,
            "turns": self.limits.turns,
            "cell_seconds": self.limits.cell_seconds,
        });
        hex(parts.to_string().as_bytes())
    }

    /// All its tools: those of its file, described in a session under `policy`, and those that it lists.
    ///
    /// # Errors
    /// When Python does not start, or the file defines no tools.
    pub fn tools(&self, policy: &Policy) -> Result<Vec<Tool>, EvalError> {
        let mut tools = match &self.tool_file {
            Some(file) => file.functions(policy)?,
            None => Vec::new(),
        };
        tools.extend(self.tools.iter().cloned());
        Ok(tools)
    }
}

impl ToolFile {
    /// A file that was read.
    pub fn new(path: PathBuf, source: String) -> ToolFile {
        ToolFile { path, source, functions: OnceLock::new() }
    }

    /// Its functions without a leading `_`, in their order.
    ///
    /// # Errors
    /// When Python does not start, or there are none.
    pub fn functions(&self, policy: &Policy) -> Result<Vec<Tool>, EvalError> {
        if let Some(known) = self.functions.get() {
            return Ok(known.clone());
        }
        let found = tools_of(&self.source, policy)?;
        let found = found.map_err(|reason| EvalError::Tools { path: self.path.clone(), reason })?;
        Ok(self.functions.get_or_init(|| found).clone())
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A task with the assistant turns that solve it.
#[derive(Debug, Clone)]
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

/// Reads the tasks of a file or a folder, as [`load_suites`] does.
///
/// # Errors
/// As [`load_suites`].
pub fn read_tasks(path: &Path) -> Result<Vec<Task>, EvalError> {
    Ok(load_suites(&[path])?.into_iter().flat_map(|suite| suite.tasks).collect())
}

/// Reads `{"id", "family", "prompt", "turns": [..], "answer", "setup"?}`, one a line.
///
/// # Errors
/// When the file cannot be read, a line is not such an object, a plan has no turns, an id comes twice, or there is none.
pub fn read_plans(path: &Path) -> Result<Vec<Plan>, EvalError> {
    let lines = read_lines::<PlanLine>(path)?;
    refuse_repeats(path, lines.iter().map(|(line, plan)| (*line, plan.id.as_str())))?;
    let plans = lines.into_iter().map(|(line, plan)| {
        if plan.turns.is_empty() {
            let what = format!("plan `{}` has no turns", plan.id);
            return Err(fault(path, line, what));
        }
        let PlanLine { id, family, prompt, turns, answer, setup } = plan;
        let task = Task { setup, ..Task::new(&id, &family, &prompt, Grader::Answer { answer }) };
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.jsonl");
        std::fs::write(&path, text).unwrap();
        read_tasks(&path)
    }

    #[test]
    fn a_line_is_a_task() {
        let tasks = read(concat!(
            r#"{"id":"a","family":"f/g","prompt":"p","answer":"1"}"#,
            "\n\n",
            r#"{"id":"b","family":"f","prompt":"p","answer":2.5,"setup":"x = 1"}"#,
        ));
        let tasks = tasks.unwrap();
        assert_eq!((tasks.len(), tasks[1].grader.answer()), (2, Some("2.5")));
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
            (good, "id `a` was used in"),
        ];
        for (line, expected) in cases {
            let error = read(&format!("{good}\n{line}\n")).unwrap_err();
            let text = error.to_string();
            assert!(text.contains("line 2") && text.contains(expected), "{text}");
            assert!(!text.contains("at line 1") && error.is_bad_input(), "{text}");
        }
        assert!(read("\n").unwrap_err().to_string().contains("has no tasks"));
    }
}
