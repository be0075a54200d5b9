//! M3ToolEval: modules of Python that define tools and tasks. They compute what they expect, so they have to run, and do
//! so in the sandbox.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::source::found;
use super::{Draft, FORMATS, Wanted, fault, no_split, off_by_one, task, told};
use crate::EvalError;
use crate::grade::asked;

const TASKS_OF: &str = include_str!("../../python/m3tooleval.py");
const BASE: &str = include_str!("../../python/m3tooleval_base.py");
/// Seconds that all modules may take.
const SECONDS_MAX: u64 = 60;
const FILES_MAX: usize = 200;
const BYTES_MAX: usize = 16 << 20;
/// Where the modules may be below the folder that is given.
const FOLDERS: [&str; 4] = ["tasks/impl", "impl", "scripts/eval/m3tooleval/tasks/impl", "."];

pub(super) fn draft(wanted: &Wanted<'_>) -> Result<Draft, EvalError> {
    no_split(wanted, "m3tooleval")?;
    let folder = found(wanted.from, &FOLDERS.map(str::to_owned)).filter(|folder| folder.is_dir());
    let folder = folder.ok_or_else(|| fault(wanted.from, "", "is no folder".to_owned(), FORMATS))?;
    let mut files = BTreeMap::new();
    collect(&folder, "", &mut files)?;
    let modules: Vec<&str> = files.keys().filter_map(|name| module(name)).collect();
    if modules.is_empty() {
        return Err(fault(&folder, "", "has no modules of Python".to_owned(), FORMATS));
    }
    let question = format!("tasks_of({})", json!(modules));
    let mut given: Vec<(String, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (format!("tasks/impl/{name}"), bytes.clone())).collect();
    given.push(("tasks/base.py".to_owned(), BASE.as_bytes().to_owned()));
    given.extend(["tasks/__init__.py", "tasks/impl/__init__.py"].map(|name| (name.to_owned(), Vec::new())));
    let answer = asked(TASKS_OF, &question, &given, SECONDS_MAX, wanted.policy)?;
    let answer = answer.map_err(|why| {
        let what = format!("its modules cannot be run: {}", told(&why));
        fault(&folder, "", what, "they run in the sandbox, see `--sandbox` and `--python`")
    })?;
    let mut draft = Draft { sources: vec![label(wanted.from, &files)], ..Draft::default() };
    let list = |key: &str| answer.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for (index, value) in list("tasks").iter().enumerate() {
        let place = format!(" task {}", index + 1);
        let made = made(value).filter(|(module, _)| modules.contains(&module.as_str()));
        let (module, task) = made.ok_or_else(|| fault(&folder, &place, "cannot be read".to_owned(), FORMATS))?;
        let tasks = draft.files.entry(module).or_default();
        if tasks.len() < wanted.limit {
            tasks.push(task);
        }
    }
    for reason in list("skipped") {
        *draft.skipped.entry(told(reason.as_str().unwrap_or_default())).or_default() += 1;
    }
    Ok(draft)
}

/// The module that a file of the package is.
fn module(name: &str) -> Option<&str> {
    let module = match name.split_once('/') {
        Some((folder, "__init__.py")) => folder,
        Some(_) => return None,
        None => name.strip_suffix(".py")?,
    };
    let is_name = module.chars().all(|next| next.is_ascii_alphanumeric() || next == '_');
    (is_name && !module.starts_with(|next: char| next.is_ascii_digit()) && module != "__init__").then_some(module)
}

/// All files below `folder`, two folders deep, without those of Python's cache and hidden ones.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), EvalError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| EvalError::Read { path, source }
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        paths.push(entry.map_err(failed(folder))?.path());
    }
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let facts = path.symlink_metadata().map_err(failed(&path))?;
        if name.starts_with('.') || name == "__pycache__" {
            continue;
        }
        if facts.is_dir() && prefix.is_empty() {
            collect(&path, &format!("{name}/"), files)?;
        }
        let bytes: usize = files.values().map(Vec::len).sum();
        let size = usize::try_from(facts.len()).unwrap_or(usize::MAX);
        if facts.is_file() && (files.len() == FILES_MAX || bytes.saturating_add(size) > BYTES_MAX) {
            let what = format!("has more than {FILES_MAX} files or {BYTES_MAX} bytes");
            return Err(fault(folder, "", what, "give the folder of M3ToolEval alone"));
        }
        if facts.is_file() {
            files.insert(format!("{prefix}{name}"), std::fs::read(&path).map_err(failed(&path))?);
        }
    }
    Ok(())
}

fn label(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hasher = Sha256::new();
    for (name, bytes) in files {
        hasher.update(name);
        hasher.update(bytes);
    }
    let digest: String = hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("`{}` (sha256 {digest}..)", folder.file_name().unwrap_or_default().to_string_lossy())
}

/// The module and the task of what the sandbox told.
fn made(found: &Value) -> Option<(String, Value)> {
    let text = |key: &str| found.get(key).and_then(Value::as_str);
    let (module, name, instruction) = (text("module")?, text("name")?, text("instruction")?);
    let (answer, setup) = (text("answer")?, text("setup")?);
    let grader = found.get("grader")?.clone();
    let wrong = match grader.get("kind").and_then(Value::as_str) {
        Some("number") => off_by_one(answer),
        _ if answer == "unknown" => "none".to_owned(),
        _ => "unknown".to_owned(),
    };
    let family = format!("m3tooleval/{module}");
    let mut task = task(name.to_owned(), &family, instruction.trim().to_owned(), grader, answer, &wrong);
    task["tools"] = found.get("tools")?.clone();
    task["setup"] = json!(setup);
    Some((module.to_owned(), task))
}
