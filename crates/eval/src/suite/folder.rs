//! A task that is a folder: `task.toml`, and what lies beside it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::disk::{self, Kind};
use super::entry::{self, Around, Defaults, ToolFiles};
use super::fields::{Faults, closest, cut};
use super::table;
use crate::task::Task;

/// The file that makes a folder a task.
pub(super) const TASK: &str = "task.toml";
const PROMPT: &str = "prompt.md";
const TOOLS: &str = "tools.py";
const FILES: &str = "files";
const REFERENCE: &str = "reference.md";
const WRONG: &str = "wrong.md";
const NAMES: [&str; 6] = [TASK, PROMPT, TOOLS, FILES, REFERENCE, WRONG];
/// A line that stands between two turns, and one between two attempts.
const NEXT_TURN: &str = "---";
const NEXT_ATTEMPT: &str = "===";

/// The task in `folder`; `None`: what is wrong has been noted.
pub(super) fn task(folder: &Path, defaults: &Defaults, tool_files: &ToolFiles, faults: &Faults) -> Option<Task> {
    let path = folder.join(TASK);
    let text = disk::read_text(&path, disk::TEXT_BYTES_MAX);
    let text = text.map_err(|what| faults.add_at(&path, &what)).ok()?;
    let (value, place) = table::parse(&path, &text).map_err(|fault| faults.add(fault)).ok()?;
    let entries = disk::list(folder).map_err(|what| faults.add_at(folder, &what)).ok()?;
    let Value::Object(mut object) = value else { return None };
    let mut files = BTreeMap::new();
    for entry in &entries {
        match (entry.name.as_str(), entry.kind) {
            (FILES, Kind::Folder) => collect(&entry.path, "", 0, &mut files, faults),
            (PROMPT, Kind::File) => put(&mut object, "prompt", &entry.path, faults, |text| text.trim().into()),
            (REFERENCE, Kind::File) => put(&mut object, "reference", &entry.path, faults, |text| turns(&text).into()),
            (WRONG, Kind::File) => put(&mut object, "wrong", &entry.path, faults, |text| attempts(&text)),
            (TOOLS, Kind::File) if !object.contains_key("tools") => {
                object.insert("tools".to_owned(), TOOLS.into());
            }
            _ => {}
        }
    }
    if !object.contains_key("id") {
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        object.insert("id".to_owned(), name.into());
    }
    let around = Around { folder, defaults, tool_files, used: RefCell::default() };
    let task = entry::task(Value::Object(object), files, &place, &around, faults);
    let used = around.used.into_inner();
    for entry in &entries {
        let is_known = NAMES.contains(&entry.name.as_str()) || used.iter().any(|path| path.starts_with(&entry.path));
        if !is_known && !entry.name.starts_with("README") && !entry.name.starts_with("LICENSE") {
            let hint = closest(&entry.name, &NAMES).map(|known| format!(", did you mean `{known}`?"));
            let hint = hint.unwrap_or_else(|| "; files for the workspace belong into `files`".to_owned());
            faults.add_at(&entry.path, &format!("is not used by the task{hint}"));
        }
    }
    task
}

/// The text of a file as the value of `key`.
fn put(object: &mut Map<String, Value>, key: &str, path: &Path, faults: &Faults, made: impl FnOnce(String) -> Value) {
    match disk::read_text(path, disk::TEXT_BYTES_MAX) {
        Err(what) => faults.add_at(path, &what),
        Ok(_) if object.contains_key(key) => faults.add_at(path, &format!("and `{key}` are both given; keep one")),
        Ok(text) => {
            object.insert(key.to_owned(), made(text));
        }
    }
}

fn turns(text: &str) -> Vec<Value> {
    parts(text, NEXT_TURN).into_iter().map(Value::from).collect()
}

fn attempts(text: &str) -> Value {
    parts(text, NEXT_ATTEMPT).iter().map(|attempt| Value::Array(turns(attempt))).collect()
}

/// What stands between lines that are exactly `separator`, without blank lines around it.
fn parts(text: &str, separator: &str) -> Vec<String> {
    let mut parts = vec![Vec::new()];
    for line in text.lines() {
        match line == separator {
            true => parts.push(Vec::new()),
            false => parts.last_mut().into_iter().for_each(|part| part.push(line)),
        }
    }
    parts.into_iter().map(|lines| lines.join("\n").trim_matches('\n').to_owned()).collect()
}

/// All files below `folder`, with `prefix` before their names.
fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, Arc<[u8]>>, faults: &Faults) {
    if depth > disk::DEPTH_MAX {
        return faults.add_at(folder, &format!("lies more than {} deep", disk::DEPTH_MAX));
    }
    let entries = match disk::list(folder) {
        Ok(entries) => entries,
        Err(what) => return faults.add_at(folder, &what),
    };
    for entry in entries {
        if files.len() > disk::FILES_MAX {
            return;
        }
        let name = format!("{prefix}{}", entry.name);
        match entry.kind {
            Kind::Folder => collect(&entry.path, &format!("{name}/"), depth + 1, files, faults),
            Kind::Other => faults.add_at(&entry.path, "is neither a plain file nor a folder"),
            Kind::File => match disk::checked(&name).and_then(|_| disk::read(&entry.path, disk::FILES_BYTES_MAX)) {
                Ok(bytes) => {
                    files.insert(name, bytes.into());
                }
                Err(what) => faults.add_at(&entry.path, &format!("as `{}` {what}", cut(&name))),
            },
        }
    }
}
