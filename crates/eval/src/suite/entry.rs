//! One task out of its object: a line of a file, or the `task.toml` of a folder.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use codeact_sandbox::Tool;
use serde_json::Value;

use super::disk;
use super::fields::{Faults, Fields, Place, cut, list, shown, some_text, whole};
use super::grader::{grader, text_or_number};
use crate::Grader;
use crate::task::{Task, TaskLimits, ToolFile};

/// Bytes of an id or a family.
const NAME_BYTES_MAX: usize = 200;
const TURNS_MAX: u64 = 1000;
const CELL_SECONDS_MAX: u64 = 3600;
/// Tags of one task.
const TAGS_MAX: usize = 64;

/// What a suite gives to each of its tasks.
#[derive(Debug, Clone, Default)]
pub(super) struct Defaults {
    pub limits: TaskLimits,
    pub tags: Vec<String>,
}

/// Tool files that were read, so that tasks share them.
pub(super) type ToolFiles = RefCell<BTreeMap<PathBuf, Arc<ToolFile>>>;

/// What a task stands in.
pub(super) struct Around<'a> {
    /// What its paths are relative to.
    pub folder: &'a Path,
    /// Of its suite.
    pub defaults: &'a Defaults,
    /// Of its suite.
    pub tool_files: &'a ToolFiles,
    /// Files that the task named.
    pub used: RefCell<Vec<PathBuf>>,
}

/// The task in `value`; `None`: what is wrong has been noted. `files` are those that lie in its folder.
pub(super) fn task(
    value: Value,
    mut files: BTreeMap<String, Arc<[u8]>>,
    place: &Place,
    around: &Around<'_>,
    faults: &Faults,
) -> Option<Task> {
    let mut fields = Fields::of(value, place, faults);
    let id = fields.needed("id", name);
    let family = fields.needed("family", name);
    let prompt = fields.needed("prompt", bounded);
    let mut tags = around.defaults.tags.clone();
    tags.extend(fields.read("tags", self::tags).unwrap_or_default());
    tags.dedup();
    let (tools, tool_file) = fields.read("tools", |value| tools(value, around)).unwrap_or_default();
    let setup = fields.read("setup", bounded);
    for (path, bytes) in fields.read("files", given_files).unwrap_or_default() {
        if files.insert(path.clone(), bytes).is_some() {
            fields.fault("files", &format!("has `{}`, which is in the folder `files` too", cut(&path)));
        }
    }
    if let Err(what) = check_files(&files) {
        fields.fault("files", &what);
    }
    let grader = wanted(&mut fields, around);
    let own = fields.object("limits").map(limits).unwrap_or_default();
    let defaults = around.defaults.limits;
    let limits =
        TaskLimits { turns: own.turns.or(defaults.turns), cell_seconds: own.cell_seconds.or(defaults.cell_seconds) };
    let reference = fields.read("reference", turns).unwrap_or_default();
    let wrong = fields.read("wrong", attempts).unwrap_or_default();
    fields.finish();
    let (id, family, prompt, grader) = (id?, family?, prompt?, grader?);
    let place = place.of("");
    Some(Task { id, family, prompt, tags, grader, setup, tools, tool_file, files, limits, reference, wrong, place })
}

fn wanted(fields: &mut Fields<'_>, around: &Around<'_>) -> Option<Grader> {
    let (has_answer, has_grader) = (fields.has("answer"), fields.has("grader"));
    let answer = fields.read("answer", text_or_number).map(|answer| Grader::Answer { answer });
    let given = fields.object("grader").and_then(|inner| grader(inner, around, 1));
    match (has_answer, has_grader) {
        (true, true) => fields.fault("answer", "and `grader` are both given; give one of them"),
        (false, false) => fields.missing("answer"),
        _ => {}
    }
    answer.or(given)
}

/// What counts as a name: it is shown, and it stands in results.
fn name(value: Value) -> Result<String, String> {
    let name = some_text(value)?;
    match name {
        name if name.len() > NAME_BYTES_MAX => Err(format!("has more than {NAME_BYTES_MAX} bytes")),
        name if name.chars().any(char::is_control) || name.trim() != name => {
            Err(format!("is \"{}\": without blanks around it and control characters, please", cut(&name)))
        }
        name => Ok(name),
    }
}

fn bounded(value: Value) -> Result<String, String> {
    let text = some_text(value)?;
    match text.len() as u64 > disk::TEXT_BYTES_MAX {
        true => Err(format!("has more than {} bytes", disk::TEXT_BYTES_MAX)),
        false => Ok(text),
    }
}

pub(super) fn tags(value: Value) -> Result<Vec<String>, String> {
    let tags = list(value, name)?;
    match tags.len() > TAGS_MAX {
        true => Err(format!("has more than {TAGS_MAX} entries")),
        false => Ok(tags),
    }
}

pub(super) fn limits(mut fields: Fields<'_>) -> TaskLimits {
    let turns = fields.read("turns", |value| whole(value, 1..=TURNS_MAX));
    let cell_seconds = fields.read("cell_seconds", |value| whole(value, 1..=CELL_SECONDS_MAX));
    fields.finish();
    TaskLimits { turns: turns.and_then(|turns| usize::try_from(turns).ok()), cell_seconds }
}

/// A file of Python, or the functions of the setup that are told to the model.
fn tools(value: Value, around: &Around<'_>) -> Result<(Vec<Tool>, Option<Arc<ToolFile>>), String> {
    let name = match value {
        Value::String(name) => name,
        Value::Array(items) => {
            let tools = items.into_iter().enumerate().map(|(index, item)| {
                serde_json::from_value::<Tool>(item).map_err(|error| format!("[{index}] is no tool: {error}"))
            });
            return Ok((tools.collect::<Result<_, String>>()?, None));
        }
        other => {
            return Err(format!("must be the path of a Python file, or a list of tools, and is {}", shown(&other)));
        }
    };
    let path = disk::inside(around.folder, &name).map_err(|what| format!("`{}` {what}", cut(&name)))?;
    around.used.borrow_mut().push(path.clone());
    if let Some(known) = around.tool_files.borrow().get(&path) {
        return Ok((Vec::new(), Some(known.clone())));
    }
    let source = disk::read_text(&path, disk::TEXT_BYTES_MAX).map_err(|what| format!("`{}` {what}", cut(&name)))?;
    let file = Arc::new(ToolFile::new(path.clone(), source));
    around.tool_files.borrow_mut().insert(path, file.clone());
    Ok((Vec::new(), Some(file)))
}

fn given_files(value: Value) -> Result<BTreeMap<String, Arc<[u8]>>, String> {
    let Value::Object(entries) = value else {
        return Err(format!("must be an object, and is {}", shown(&value)));
    };
    let mut files = BTreeMap::new();
    for (name, content) in entries {
        let at = |what: String| format!("`{}` {what}", cut(&name));
        let path = disk::checked(&name).map_err(at)?.to_string_lossy().into_owned();
        let bytes = bytes(content).map_err(at)?;
        if files.insert(path, bytes.into()).is_some() {
            return Err(at("comes twice".to_owned()));
        }
    }
    Ok(files)
}

fn bytes(content: Value) -> Result<Vec<u8>, String> {
    match content {
        Value::String(text) => Ok(text.into_bytes()),
        Value::Object(entries) if entries.len() == 1 && entries.contains_key("base64") => {
            let text = entries.get("base64").and_then(Value::as_str).unwrap_or_default();
            STANDARD.decode(text).map_err(|error| format!("is no base64: {error}"))
        }
        other => Err(format!("must be a text or {{\"base64\": \"..\"}}, and is {}", shown(&other))),
    }
}

/// How many and how large they may be, and that no file stands where another one needs a folder.
fn check_files(files: &BTreeMap<String, Arc<[u8]>>) -> Result<(), String> {
    if files.len() > disk::FILES_MAX {
        return Err(format!("are {}; at most {} are put into a workspace", files.len(), disk::FILES_MAX));
    }
    let bytes: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
    if bytes > disk::FILES_BYTES_MAX {
        return Err(format!("have {bytes} bytes; at most {} are put into a workspace", disk::FILES_BYTES_MAX));
    }
    for path in files.keys() {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some(file) = above.into_iter().find(|above| files.contains_key(*above)) {
            return Err(format!("have `{}` as a file and as a folder", cut(file)));
        }
    }
    Ok(())
}

fn turns(value: Value) -> Result<Vec<String>, String> {
    match list(value, bounded)? {
        turns if turns.is_empty() => Err("has no turns".to_owned()),
        turns => Ok(turns),
    }
}

/// One attempt, as a list of turns, or several, as a list of such lists.
fn attempts(value: Value) -> Result<Vec<Vec<String>>, String> {
    match value.as_array().is_some_and(|items| items.iter().any(Value::is_array)) {
        true => list(value, turns),
        false => Ok(vec![turns(value)?]),
    }
}
