//! Suites of tasks as they lie on the disk: a folder with `suite.toml`, or a single `.jsonl` file. `docs/tasks.md` says
//! how they are written. What is wrong is told all at once, each fault with its file, line and key.

mod disk; // files, with bounds and without leaving the folder

mod json; // JSON without keys that come twice

mod table; // TOML with the lines of its keys

mod fields; // objects, taken apart key by key

mod grader; // what decides

mod entry; // one task

mod folder; // one task that is a folder

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::EvalError;
use crate::task::Task;
use disk::Kind;
use entry::{Around, Defaults, ToolFiles};
use fields::{Faults, Fields, Place, some_text};
pub(crate) use fields::{closest, cut, shown};
pub(crate) use json::Strict;

/// The file that makes a folder a suite.
const SUITE: &str = "suite.toml";
/// Folders below a suite in which tasks are looked for.
const DEPTH_MAX: usize = 4;
/// Tasks of one suite.
const TASKS_MAX: usize = 100_000;
/// Faults that are told.
const FAULTS_MAX: usize = 100;

/// Tasks that belong together.
#[derive(Debug, Clone)]
pub struct Suite {
    /// What its results are called by: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// What it measures.
    pub description: String,
    /// Under which terms it may be used.
    pub licence: String,
    /// The folder or file it was read from.
    pub path: PathBuf,
    /// Its tasks: those of files first, by name and line, then those of folders, by path.
    pub tasks: Vec<Task>,
}

/// Reads the suites at `paths`, each a folder with `suite.toml` or a `.jsonl` file.
///
/// * `paths`: folders of suites, folders of tasks, files of tasks; a folder that holds suites stands for all of them.
///
/// # Errors
/// When one cannot be read, or anything in one is not as it should be: [`EvalError::Suites`] has all faults.
pub fn load_suites<P: AsRef<Path>>(paths: &[P]) -> Result<Vec<Suite>, EvalError> {
    let faults = Faults::default();
    let mut suites: Vec<Suite> = Vec::new();
    for path in paths.iter().flat_map(|path| suites_at(path.as_ref())) {
        let path = path.as_path();
        let Some(suite) = load(path, &faults) else { continue };
        if let Some(other) = suites.iter().find(|other| other.name == suite.name) {
            faults.add_at(path, &format!("is called `{}`, as is `{}`", suite.name, other.path.display()));
        }
        suites.push(suite);
    }
    let mut faults = faults.into_list();
    if faults.is_empty() {
        return Ok(suites);
    }
    let count = faults.len();
    faults.truncate(FAULTS_MAX);
    Err(EvalError::Suites { faults, count })
}

/// A folder of suites is all of them, by name; anything else is itself.
fn suites_at(path: &Path) -> Vec<PathBuf> {
    let is_one = path.join(SUITE).exists() || path.join(folder::TASK).exists();
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut suites: Vec<PathBuf> = entries.filter(|inner| !is_one && inner.join(SUITE).is_file()).collect();
    suites.sort();
    if suites.is_empty() { vec![path.to_owned()] } else { suites }
}

fn load(path: &Path, faults: &Faults) -> Option<Suite> {
    let (mut suite, before) = (Suite::at(path), faults.count());
    let tool_files = ToolFiles::default();
    match path.is_dir() {
        true if path.join(folder::TASK).is_file() && !path.join(SUITE).exists() => {
            // One task by itself, with what the suite around it gives to it.
            let around = path.ancestors().skip(1).take(DEPTH_MAX + 1).find(|above| above.join(SUITE).is_file());
            let defaults =
                around.map_or(Some(Defaults::default()), |above| read_head(&mut Suite::at(above), faults))?;
            suite.tasks.extend(folder::task(path, &defaults, &tool_files, faults));
        }
        true => {
            let defaults = read_head(&mut suite, faults)?;
            read_folder(path, 0, &defaults, &tool_files, &mut suite.tasks, faults);
        }
        false => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            read_lines(path, folder, &Defaults::default(), &tool_files, &mut suite.tasks, faults);
        }
    }
    let mut seen = BTreeMap::new();
    for task in &suite.tasks {
        if let Some(first) = seen.insert(task.id.as_str(), task.place.as_str()) {
            faults.add(format!("{}: id `{}` was used in {first}", task.place, task.id));
        }
    }
    if suite.tasks.is_empty() && faults.count() == before {
        faults.add_at(
            path,
            "has no tasks\nhint: each line of a `.jsonl` file is one task, and so is each folder with `task.toml`",
        );
    }
    Some(suite)
}

impl Suite {
    fn at(path: &Path) -> Suite {
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Suite { name, description: String::new(), licence: String::new(), path: path.to_owned(), tasks: Vec::new() }
    }

    /// Of all that results depend on in its tasks, 16 hexadecimal digits.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        self.tasks.iter().for_each(|task| hasher.update(task.digest()));
        hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

/// `suite.toml`: what it says of the suite, and what it gives to each task.
fn read_head(suite: &mut Suite, faults: &Faults) -> Option<Defaults> {
    let path = suite.path.join(SUITE);
    let text = disk::read_text(&path, disk::TEXT_BYTES_MAX).map_err(|what| match path.exists() {
        true => faults.add_at(&path, &what),
        false => faults.add_at(&suite.path, &format!("is no suite: it has no `{SUITE}`")),
    });
    let (value, place) = table::parse(&path, &text.ok()?).map_err(|fault| faults.add(fault)).ok()?;
    let mut fields = Fields::of(value, &place, faults);
    let name = fields.needed("name", suite_name);
    let description = fields.needed("description", some_text);
    let licence = fields.needed("licence", some_text);
    let mut defaults = Defaults::default();
    if let Some(mut inner) = fields.object("defaults") {
        defaults.limits = inner.object("limits").map(entry::limits).unwrap_or_default();
        defaults.tags = inner.read("tags", entry::tags).unwrap_or_default();
        inner.finish();
    }
    fields.finish();
    suite.name = name.unwrap_or_default();
    suite.description = description.unwrap_or_default();
    suite.licence = licence.unwrap_or_default();
    Some(defaults)
}

fn suite_name(value: Value) -> Result<String, String> {
    let name = some_text(value)?;
    let is_plain = |next: char| next.is_ascii_alphanumeric() || "-_.".contains(next);
    match name.chars().all(is_plain) && !name.starts_with('.') && name.len() <= 64 {
        true => Ok(name),
        false => Err("must be letters, digits, `-`, `_` and `.`, at most 64, and not begin with `.`".to_owned()),
    }
}

fn read_folder(
    folder: &Path,
    depth: usize,
    defaults: &Defaults,
    tool_files: &ToolFiles,
    tasks: &mut Vec<Task>,
    faults: &Faults,
) {
    let entries = match disk::list(folder) {
        Ok(entries) => entries,
        Err(what) => return faults.add_at(folder, &what),
    };
    if depth == 0 {
        for entry in entries.iter().filter(|entry| entry.name.ends_with(".jsonl")) {
            read_lines(&entry.path, folder, defaults, tool_files, tasks, faults);
        }
    }
    for entry in entries.iter().filter(|entry| entry.kind == Kind::Folder) {
        match entry.path.join(folder::TASK).symlink_metadata() {
            Ok(_) => tasks.extend(folder::task(&entry.path, defaults, tool_files, faults)),
            Err(_) if depth < DEPTH_MAX => {
                read_folder(&entry.path, depth + 1, defaults, tool_files, tasks, faults);
            }
            Err(_) => {}
        }
    }
}

/// The tasks in the lines of a file, which name files below `folder`.
fn read_lines(
    path: &Path,
    folder: &Path,
    defaults: &Defaults,
    tool_files: &ToolFiles,
    tasks: &mut Vec<Task>,
    faults: &Faults,
) {
    let bytes = match disk::read(path, disk::LINES_BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(what) => return faults.add_at(path, &what),
    };
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let place = Place { path: path.to_owned(), line: index + 1, lines: BTreeMap::new() };
        if tasks.len() == TASKS_MAX {
            return faults.add(format!("{}: a suite has at most {TASKS_MAX} tasks", place.of("")));
        }
        match serde_json::from_slice::<json::Strict>(line) {
            Ok(json::Strict(value)) => {
                let around = Around { folder, defaults, tool_files, used: RefCell::default() };
                tasks.extend(entry::task(value, BTreeMap::new(), &place, &around, faults));
            }
            Err(error) => {
                // The parser sees one line, so its own "line 1" would mislead.
                let text = error.to_string();
                let what = text.split(" at line ").next().unwrap_or(&text);
                faults.add(format!("{}: column {}: {what}", place.of(""), error.column()));
            }
        }
    }
}
