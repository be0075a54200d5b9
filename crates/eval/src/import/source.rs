//! Files of others: read with bounds, and every fault told with its file, place and key.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use rustix::fs::OFlags;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{FORMATS, fault};
use crate::EvalError;
use crate::suite::{Strict, cut, shown};

/// Bytes of one file, and of what is packed in it.
const BYTES_MAX: u64 = 64 << 20;
/// Rows of one file.
const ROWS_MAX: usize = 100_000;
const GZIP: &[u8] = &[0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// Which keys tell a benchmark.
const SHAPES: [(&str, &[&str]); 7] = [
    ("humaneval", &["prompt", "entry_point", "canonical_solution", "test"]),
    ("mbpp", &["text", "code", "test_list"]),
    ("mbpp", &["prompt", "code", "test_imports", "test_list"]),
    ("intercode", &["query", "gold"]),
    ("api-bank", &["instruction", "input", "expected_output"]),
    ("mint", &["id", "prompt", "reference"]),
    ("gsm8k", &["question", "answer"]),
];

/// A file that was read.
pub(super) struct Source {
    path: Arc<Path>,
    bytes: Vec<u8>,
    digest: String,
}

/// An object of a file.
pub(super) struct Row {
    /// Shared by all rows of the file.
    path: Arc<Path>,
    /// `` line 3`` or `` item 3``, counted from 1.
    place: String,
    entries: Map<String, Value>,
}

impl Source {
    /// The file at `path`, unpacked if gzip packed it.
    pub fn read(path: &Path) -> Result<Source, EvalError> {
        let bytes = bounded(path)?;
        let digest = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        if !bytes.starts_with(GZIP) {
            return Ok(Source { path: path.into(), bytes, digest });
        }
        let mut unpacked = Vec::new();
        let read = MultiGzDecoder::new(&bytes[..]).take(BYTES_MAX + 1).read_to_end(&mut unpacked);
        let hint = "fetch it again, or unpack it first";
        match read {
            Err(error) => Err(fault(path, "", format!("cannot be unpacked: {error}"), hint)),
            Ok(_) if unpacked.len() as u64 > BYTES_MAX => Err(too_large(path)),
            Ok(_) => Ok(Source { path: path.into(), bytes: unpacked, digest }),
        }
    }

    /// Its name, and which one of that name it is.
    pub fn label(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        format!("`{}` (sha256 {}..)", cut(&name), self.digest)
    }

    /// Whether there is nothing in it.
    pub fn is_blank(&self) -> bool {
        self.bytes.trim_ascii().is_empty()
    }

    /// Its text.
    pub fn text(&self) -> Result<&str, EvalError> {
        std::str::from_utf8(&self.bytes)
            .map_err(|error| fault(&self.path, "", format!("is not UTF-8 at byte {}", error.valid_up_to()), FORMATS))
    }

    /// Its objects: the items of one list of JSON, or those of lines. There is at least one.
    pub fn rows(&self) -> Result<Vec<Row>, EvalError> {
        let bytes = self.bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&self.bytes);
        let rows = match bytes.trim_ascii_start().first() {
            Some(b'[') => self.items(bytes)?,
            _ => self.lines(bytes)?,
        };
        match rows.is_empty() {
            true => Err(fault(&self.path, "", "has no rows".to_owned(), FORMATS)),
            false => Ok(rows),
        }
    }

    /// Refuses more rows than are read, before they are made.
    fn check_count(&self, count: usize) -> Result<(), EvalError> {
        match count > ROWS_MAX {
            true => Err(fault(&self.path, "", format!("has more than {ROWS_MAX} rows"), "cut it into parts")),
            false => Ok(()),
        }
    }

    fn items(&self, bytes: &[u8]) -> Result<Vec<Row>, EvalError> {
        let Strict(value) = serde_json::from_slice(bytes).map_err(|error| self.no_json(&error, error.line()))?;
        let Value::Array(items) = value else { return Ok(Vec::new()) };
        self.check_count(items.len())?;
        let numbered = items.into_iter().enumerate();
        numbered.map(|(index, item)| self.row(item, format!(" item {}", index + 1))).collect()
    }

    fn lines(&self, bytes: &[u8]) -> Result<Vec<Row>, EvalError> {
        let lines = bytes.split(|&byte| byte == b'\n').enumerate();
        let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
        self.check_count(lines.clone().take(ROWS_MAX + 1).count())?;
        let rows = lines.map(|(index, line)| {
            let Strict(value) = serde_json::from_slice(line).map_err(|error| self.no_json(&error, index + 1))?;
            self.row(value, format!(" line {}", index + 1))
        });
        rows.collect()
    }

    fn no_json(&self, error: &serde_json::Error, line: usize) -> EvalError {
        let text = error.to_string();
        let what = text.split(" at line ").next().unwrap_or(&text);
        let what = format!("column {}: {what}", error.column());
        fault(&self.path, &format!(" line {line}"), what, FORMATS)
    }

    fn row(&self, value: Value, place: String) -> Result<Row, EvalError> {
        match value {
            Value::Object(entries) => Ok(Row { path: Arc::clone(&self.path), place, entries }),
            other => Err(fault(&self.path, &place, format!("must be an object, and is {}", shown(&other)), FORMATS)),
        }
    }
}

/// The bytes of a plain file, or of what a link to one leads to: caches of data sets are made of links.
fn bounded(path: &Path) -> Result<Vec<u8>, EvalError> {
    let failed = |source| EvalError::Read { path: path.to_owned(), source };
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let facts = file.metadata().map_err(failed)?;
    if !facts.is_file() {
        let what = if facts.is_dir() { "is a folder, and must be a file" } else { "is no plain file" };
        return Err(fault(path, "", what.to_owned(), FORMATS));
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(too_large(path)),
        false => Ok(bytes),
    }
}

fn too_large(path: &Path) -> EvalError {
    fault(path, "", format!("has more than {BYTES_MAX} bytes"), "cut it into parts")
}

impl Row {
    /// What is wrong with `key`: `what` follows its name.
    pub fn fault(&self, key: &str, what: &str) -> EvalError {
        fault(&self.path, &self.place, format!("`{key}` {what}"), FORMATS)
    }

    /// A value that is there; `null` is as good as none.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).filter(|value| !value.is_null())
    }

    /// A value that must be there.
    pub fn value(&self, key: &str) -> Result<&Value, EvalError> {
        self.get(key).ok_or_else(|| {
            let has_all = |keys: &&[&str]| keys.iter().all(|key| self.entries.contains_key(*key));
            let other = SHAPES.iter().find(|(_, keys)| !keys.contains(&key) && has_all(keys));
            let hint = other.map(|(name, _)| format!("its keys are those of `{name}`; or else {FORMATS}"));
            fault(&self.path, &self.place, format!("missing field `{key}`"), hint.as_deref().unwrap_or(FORMATS))
        })
    }

    /// A text that must be there.
    pub fn text(&self, key: &str) -> Result<&str, EvalError> {
        let value = self.value(key)?;
        value.as_str().ok_or_else(|| self.fault(key, &format!("must be a text, and is {}", shown(value))))
    }

    /// A text in which there is something.
    pub fn some_text(&self, key: &str) -> Result<&str, EvalError> {
        match self.text(key)? {
            text if text.trim().is_empty() => Err(self.fault(key, "must not be empty")),
            text => Ok(text),
        }
    }

    /// A text or a whole number, as a part of an id.
    pub fn name(&self, key: &str) -> Result<String, EvalError> {
        match self.value(key)? {
            Value::String(text) if !text.trim().is_empty() => Ok(text.clone()),
            Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
            other => Err(self.fault(key, &format!("must be a name or a whole number, and is {}", shown(other)))),
        }
    }

    /// A list of texts; none where it is missing.
    pub fn texts(&self, key: &str) -> Result<Vec<&str>, EvalError> {
        let items = match self.get(key) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return Err(self.fault(key, &format!("must be a list of texts, and is {}", shown(other)))),
        };
        let numbered = items.iter().enumerate();
        let texts = numbered.map(|(index, item)| {
            let what = || format!("[{index}] must be a text, and is {}", shown(item));
            item.as_str().ok_or_else(|| self.fault(key, &what()))
        });
        texts.collect()
    }
}

/// The first of `names` that is there below `folder`.
pub(super) fn found(folder: &Path, names: &[String]) -> Option<PathBuf> {
    names.iter().map(|name| folder.join(name)).find(|path| path.exists())
}
