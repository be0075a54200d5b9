//! An object taken apart key by key: what is missing, of the wrong type or unknown is noted with its place, and the
//! reading goes on, so that all faults are told at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// Below this, suggestions for a misspelt word are mostly noise.
const ALIKE: f64 = 0.75;
/// Characters of a key or value that a fault shows.
const SHOWN_CHARS_MAX: usize = 60;

/// What is wrong, so far.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<Vec<String>>);

impl Faults {
    /// Notes one.
    pub fn add(&self, fault: String) {
        self.0.borrow_mut().push(fault);
    }

    /// Notes one about a file as a whole.
    pub fn add_at(&self, path: &Path, what: &str) {
        self.add(format!("`{}`: {what}", path.display()));
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.borrow().len()
    }

    /// All of them.
    pub fn into_list(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// Where an object stands.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1, where the object begins.
    pub line: usize,
    /// The lines of keys, where they have their own: `grader.kind`.
    pub lines: BTreeMap<String, usize>,
}

impl Place {
    /// `` `tasks.jsonl` line 3``, with the line of `key`.
    pub fn of(&self, key: &str) -> String {
        let line = self.lines.get(key).copied().unwrap_or(self.line);
        format!("`{}` line {line}", self.path.display())
    }
}

/// One object, while it is read.
pub(super) struct Fields<'a> {
    entries: Map<String, Value>,
    /// What stands before its keys: `grader.`.
    prefix: String,
    place: &'a Place,
    faults: &'a Faults,
    known: Vec<&'static str>,
    /// Keys that had a value when they were asked for.
    had: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    /// `value` as an object; whatever else it is becomes a fault, and then it has no keys.
    pub fn of(value: Value, place: &'a Place, faults: &'a Faults) -> Fields<'a> {
        Fields::below(value, String::new(), place, faults)
    }

    fn below(value: Value, prefix: String, place: &'a Place, faults: &'a Faults) -> Fields<'a> {
        let mut fields = Fields { entries: Map::new(), prefix, place, faults, known: Vec::new(), had: Vec::new() };
        match value {
            Value::Object(entries) => fields.entries = entries,
            other => {
                let key = fields.prefix.trim_end_matches('.').to_owned();
                let what = format!("must be an object, and is {}", shown(&other));
                fields.faults.add(match key.is_empty() {
                    true => format!("{}: {what}", place.of("")),
                    false => format!("{}: `{key}` {what}", place.of(&key)),
                });
            }
        }
        fields
    }

    /// Whether there is such a key.
    pub fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|value| !value.is_null())
    }

    /// Whether there was such a key, good or bad, when it was asked for.
    pub fn had(&self, key: &str) -> bool {
        self.had.contains(&key)
    }

    /// Notes that something is wrong with `key`: `what` follows its name.
    pub fn fault(&self, key: &str, what: &str) {
        let key = format!("{}{key}", self.prefix);
        self.faults.add(format!("{}: `{key}` {what}", self.place.of(&key)));
    }

    /// Takes a value out. `null` is as good as none.
    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        let value = self.entries.remove(key).filter(|value| !value.is_null());
        self.had.extend(value.is_some().then_some(key));
        value
    }

    /// As [`Fields::take`], `make` taking the value apart; what it refuses is a fault.
    pub fn read<T>(&mut self, key: &'static str, make: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        let value = self.take(key)?;
        make(value).map_err(|what| self.fault(key, &what)).ok()
    }

    /// Notes that `key`, which must be there, is missing.
    pub fn missing(&self, key: &str) {
        let whole = format!("{}{key}", self.prefix);
        self.faults.add(format!("{}: missing field `{whole}`", self.place.of(self.prefix.trim_end_matches('.'))));
    }

    /// A value that must be there.
    pub fn needed<T>(&mut self, key: &'static str, make: impl FnOnce(Value) -> Result<T, String>) -> Option<T> {
        if !self.has(key) {
            self.known.push(key);
            self.missing(key);
            return None;
        }
        self.read(key, make)
    }

    /// The object that `key` holds.
    pub fn object(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let value = self.take(key)?;
        Some(Fields::below(value, format!("{}{key}.", self.prefix), self.place, self.faults))
    }

    /// An object among others below `key`: `name` says which.
    pub fn inner(&self, key: &str, name: &str, value: Value) -> Fields<'a> {
        Fields::below(value, format!("{}{key}.{name}.", self.prefix), self.place, self.faults)
    }

    /// What was never asked for is unknown.
    pub fn finish(self) {
        for key in self.entries.keys().filter(|key| !self.known.contains(&key.as_str())) {
            let whole = format!("{}{}", self.prefix, cut(key));
            let hint = closest(key, &self.known).map(|known| format!(", did you mean `{}{known}`?", self.prefix));
            let hint = hint.unwrap_or_else(|| format!("; known are {}", self.known.join(", ")));
            self.faults.add(format!("{}: unknown field `{whole}`{hint}", self.place.of(&whole)));
        }
    }
}

/// The word that `word` was probably meant to be.
pub(crate) fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.len() > SHOWN_CHARS_MAX {
        return None;
    }
    let scored = known.iter().map(|known| (strsim::jaro_winkler(word, known), *known));
    scored.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

/// A text as a fault shows it: in one line and not too long.
pub(crate) fn cut(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let more = if shown.len() < text.len() { ".." } else { "" };
    format!("{}{more}", shown.escape_debug())
}

/// A value as a fault shows it.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("a list of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        Value::String(text) => format!("\"{}\"", cut(text)),
        other => cut(&other.to_string()),
    }
}

/// A text.
pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("must be a text, and is {}", shown(&other))),
    }
}

/// A text in which there is something.
pub(super) fn some_text(value: Value) -> Result<String, String> {
    match text(value)? {
        text if text.trim().is_empty() => Err("must not be empty".to_owned()),
        text => Ok(text),
    }
}

/// A list, each of its items made by `make`.
pub(super) fn list<T>(value: Value, make: impl Fn(Value) -> Result<T, String>) -> Result<Vec<T>, String> {
    match value {
        Value::Array(items) => {
            let numbered = items.into_iter().enumerate();
            numbered.map(|(index, item)| make(item).map_err(|what| format!("[{index}] {what}"))).collect()
        }
        other => Err(format!("must be a list, and is {}", shown(&other))),
    }
}

/// A switch.
pub(super) fn switch(value: Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("must be true or false, and is {}", shown(&value)))
}

/// A whole number within bounds.
pub(super) fn whole(value: Value, within: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let number = value.as_u64().filter(|number| within.contains(number));
    let (low, high) = within.into_inner();
    number.ok_or_else(|| format!("must be a whole number from {low} to {high}, and is {}", shown(&value)))
}

/// A number that is not below 0.
pub(super) fn tolerance(value: Value) -> Result<f64, String> {
    let number = value.as_f64().filter(|number| *number >= 0.0);
    number.ok_or_else(|| format!("must be a number that is not below 0, and is {}", shown(&value)))
}
