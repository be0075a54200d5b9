//! Reads one table of the settings key by key. Every fault is noted and reading goes on, so that a user sees all of
//! them at once; a key that nobody asked for is a fault too. What is asked for is noted, for the schema.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::Serialize;
use serde_json::{Map, json};

use super::range::Range;
use super::tree::{Node, Origin, Value};
use super::{Problem, suggestion};

/// What was asked for.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The key, for example `lora.rank`.
    pub(super) key: String,
    /// Its type and range as JSON Schema; `None` for a table.
    pub(super) schema: Option<Map<String, serde_json::Value>>,
    /// What holds without it, where that is one value.
    pub(super) default: Option<serde_json::Value>,
    /// Whether it must be there.
    pub(super) is_required: bool,
}

/// The faults found so far, where each key was written, and what was asked for.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) places: RefCell<BTreeMap<String, Origin>>,
    pub(super) asked: RefCell<Vec<Asked>>,
}

impl Findings {
    pub(super) fn fault(&self, origin: Option<&Origin>, key: &str, what: String, hint: Option<String>) {
        let problem = Problem { origin: origin.cloned(), key: key.to_owned(), what, hint };
        self.problems.borrow_mut().push(problem);
    }
}

/// A value that a setting can have.
pub(super) trait Setting: Sized + Debug {
    /// What a user should write, for the error message.
    fn expected() -> String;
    /// The value, or nothing when the node holds something else.
    fn from_node(node: &Node) -> Option<Self>;
    /// Stands in for a missing or wrong value until all faults are known; never used after that.
    fn placeholder() -> Self;
    /// Its type, as JSON Schema.
    fn schema() -> serde_json::Value;
    /// A number, to compare with the range.
    fn number(&self) -> Option<f64> {
        None
    }
}

/// A setting with a fixed list of spellings.
pub(super) trait Choice: Copy + Debug + 'static {
    const NAMES: &'static [(&'static str, Self)];
    /// What each of them means, where it is said.
    const DOCS: &'static [&'static str] = &[];
}

impl<T: Choice> Setting for T {
    fn expected() -> String {
        let names: Vec<String> = T::NAMES.iter().map(|(name, _)| format!("{name:?}")).collect();
        format!("one of {}", names.join(", "))
    }
    fn from_node(node: &Node) -> Option<T> {
        let Value::Text(text) = &node.value else {
            return None;
        };
        T::NAMES.iter().find(|(name, _)| name == text).map(|(_, value)| *value)
    }
    fn placeholder() -> T {
        T::NAMES[0].1
    }
    fn schema() -> serde_json::Value {
        let names: Vec<&str> = T::NAMES.iter().map(|(name, _)| *name).collect();
        let texts = names.iter().zip(T::DOCS).map(|(name, text)| format!("`{name}`: {}", text.trim()));
        let texts: Vec<String> = texts.collect();
        let mut schema = json!({"type": "string", "enum": names});
        if !texts.is_empty() {
            schema["description"] = json!(texts.join(" "));
        }
        schema
    }
}

impl Setting for usize {
    fn expected() -> String {
        "a whole number, 0 or more".to_owned()
    }
    fn from_node(node: &Node) -> Option<usize> {
        match node.value {
            Value::Integer(number) => usize::try_from(number).ok(),
            _ => None,
        }
    }
    fn placeholder() -> usize {
        1
    }
    fn schema() -> serde_json::Value {
        json!({"type": "integer", "minimum": 0})
    }
    fn number(&self) -> Option<f64> {
        Some(*self as f64)
    }
}

impl Setting for u64 {
    fn expected() -> String {
        usize::expected()
    }
    fn from_node(node: &Node) -> Option<u64> {
        usize::from_node(node).map(|number| number as u64)
    }
    fn placeholder() -> u64 {
        1
    }
    fn schema() -> serde_json::Value {
        usize::schema()
    }
    fn number(&self) -> Option<f64> {
        Some(*self as f64)
    }
}

impl Setting for f64 {
    fn expected() -> String {
        "a number".to_owned()
    }
    fn from_node(node: &Node) -> Option<f64> {
        match node.value {
            Value::Integer(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        }
    }
    fn placeholder() -> f64 {
        0.5
    }
    fn schema() -> serde_json::Value {
        json!({"type": "number"})
    }
    fn number(&self) -> Option<f64> {
        Some(*self)
    }
}

impl Setting for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }
    fn from_node(node: &Node) -> Option<bool> {
        match node.value {
            Value::Boolean(flag) => Some(flag),
            _ => None,
        }
    }
    fn placeholder() -> bool {
        false
    }
    fn schema() -> serde_json::Value {
        json!({"type": "boolean"})
    }
}

impl Setting for String {
    fn expected() -> String {
        "text in quotes".to_owned()
    }
    fn from_node(node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => None,
        }
    }
    fn placeholder() -> String {
        "-".to_owned()
    }
    fn schema() -> serde_json::Value {
        json!({"type": "string", "pattern": "\\S"})
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn expected() -> String {
        format!("a list, each {}", T::expected())
    }
    fn from_node(node: &Node) -> Option<Vec<T>> {
        match &node.value {
            Value::Array(items) => items.iter().map(T::from_node).collect(),
            _ => None,
        }
    }
    fn placeholder() -> Vec<T> {
        vec![T::placeholder()]
    }
    fn schema() -> serde_json::Value {
        json!({"type": "array", "items": T::schema()})
    }
}

/// Keys of a table that were written rather than left out. Settings are the same with and without.
#[derive(Debug, Clone)]
pub(crate) struct Written(Vec<String>);

impl Written {
    /// Whether this key was.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.iter().any(|written| written == key)
    }

    /// Counts a key as written.
    pub(crate) fn note(&mut self, key: &str) {
        self.0.push(key.to_owned());
    }
}

impl PartialEq for Written {
    fn eq(&self, _: &Written) -> bool {
        true
    }
}

/// One table, `[lora]` for example.
pub(super) struct TableReader<'a> {
    name: String,
    node: Option<&'a Node>,
    asked: Vec<&'static str>,
    findings: &'a Findings,
    /// Of the setting that is asked for next.
    range: Option<Range>,
    /// More of its schema.
    keywords: Map<String, serde_json::Value>,
}

impl<'a> TableReader<'a> {
    /// `name` as keys spell it: `lora`, or `data.0` for the first `[[data]]`.
    pub(super) fn new(name: &str, node: Option<&'a Node>, findings: &'a Findings) -> TableReader<'a> {
        if let Some(node) = node
            && !matches!(node.value, Value::Table(_))
        {
            findings.fault(Some(&node.origin), name, format!("is {node}, expected a table"), None);
        }
        TableReader { name: name.to_owned(), node, asked: Vec::new(), findings, range: None, keywords: Map::new() }
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// The node of a key, which is known from now on.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        let asked = Asked { key: self.key(key), schema: None, default: None, is_required: false };
        self.findings.asked.borrow_mut().push(asked);
        let node = entries(self.node).iter().find(|(name, _)| name == key).map(|(_, node)| node)?;
        self.findings.places.borrow_mut().insert(self.key(key), node.origin.clone());
        Some(node)
    }

    /// Bounds the number that is asked for next.
    pub(super) fn within(&mut self, range: Range) -> &mut Self {
        self.range = Some(range);
        self
    }

    /// Says in the schema, too, what is checked elsewhere of the setting that is asked for next.
    pub(super) fn noting(&mut self, keywords: serde_json::Value) -> &mut Self {
        self.keywords.extend(keywords.as_object().cloned().unwrap_or_default());
        self
    }

    /// Says more about the setting that was asked for last.
    pub(super) fn tell(&self, say: impl FnOnce(&mut Asked)) {
        if let Some(asked) = self.findings.asked.borrow_mut().last_mut() {
            say(asked);
        }
    }

    /// The keys that were written.
    pub(super) fn written(&self) -> Written {
        Written(entries(self.node).iter().map(|(key, _)| key.clone()).collect())
    }

    /// Notes a fault of a key that [`TableReader::node`] gave.
    pub(super) fn fault(&self, node: &Node, key: &str, what: String) {
        self.findings.fault(Some(&node.origin), &self.key(key), what, None);
    }

    /// Remembers where a key below one of this table was written. Returns the key.
    pub(super) fn place(&self, node: &Node, key: &str) -> String {
        self.findings.places.borrow_mut().insert(self.key(key), node.origin.clone());
        key.to_owned()
    }

    /// A setting that may be absent.
    pub(super) fn optional<T: Setting>(&mut self, key: &'static str) -> Option<T> {
        let node = self.node(key);
        let range = self.range.take();
        let mut schema = T::schema().as_object().cloned().unwrap_or_default();
        schema.extend(range.iter().flat_map(Range::keywords));
        schema.append(&mut self.keywords);
        self.tell(|asked| asked.schema = Some(schema));
        let node = node?;
        let value = T::from_node(node);
        let outside =
            range.filter(|range| value.as_ref().and_then(T::number).is_some_and(|number| !range.contains(number)));
        let fault = match (&value, outside) {
            (Some(value), Some(range)) => Some((format!("is {value:?}, expected {range}"), range.hint())),
            (None, _) => {
                let hint = match &node.value {
                    Value::Text(text) => suggestion(text, &quoted(&T::expected())),
                    _ => None,
                };
                Some((format!("is {node}, expected {}", T::expected()), hint))
            }
            (Some(_), None) => None,
        };
        match fault {
            Some((what, hint)) => {
                self.findings.fault(Some(&node.origin), &self.key(key), what, hint);
                Some(T::placeholder())
            }
            None => value,
        }
    }

    /// A setting with a default.
    pub(super) fn or<T: Setting + Serialize>(&mut self, key: &'static str, default: T) -> T {
        let value = self.optional(key);
        self.tell(|asked| asked.default = serde_json::to_value(&default).ok());
        value.unwrap_or(default)
    }

    /// A setting that is that of another key where it is absent.
    pub(super) fn or_that_of<T: Setting>(&mut self, key: &'static str, other: T) -> T {
        self.optional(key).unwrap_or(other)
    }

    /// A text that is one of `names`.
    pub(super) fn named(&mut self, key: &'static str, names: &[&str], default: &str) -> String {
        let value = self.noting(json!({"enum": names})).or(key, default.to_owned());
        let node = entries(self.node).iter().find(|(name, _)| name == key).map(|(_, node)| node);
        if let Some(node) = node.filter(|node| matches!(node.value, Value::Text(_)) && !names.contains(&value.as_str()))
        {
            let what = format!("is {value:?}, expected one of {names:?}");
            self.findings.fault(Some(&node.origin), &self.key(key), what, suggestion(&value, names));
        }
        value
    }

    /// A setting that must be there.
    pub(super) fn required<T: Setting>(&mut self, key: &'static str) -> T {
        let value = self.optional(key);
        self.tell(|asked| asked.is_required = true);
        value.unwrap_or_else(|| {
            let origin = self.node.map(|node| &node.origin);
            let what = format!("is missing, expected {}", T::expected());
            self.findings.fault(origin, &self.key(key), what, None);
            T::placeholder()
        })
    }

    /// Notes every key that nobody asked for.
    pub(super) fn finish(self) {
        for (key, node) in entries(self.node) {
            if !self.asked.contains(&key.as_str()) {
                let hint =
                    suggestion(key, &self.asked).unwrap_or_else(|| format!("known here: {}", self.asked.join(", ")));
                let what = "is not a setting".to_owned();
                self.findings.fault(Some(&node.origin), &self.key(key), what, Some(hint));
            }
        }
    }
}

fn entries(node: Option<&Node>) -> &[(String, Node)] {
    match node.map(|node| &node.value) {
        Some(Value::Table(entries)) => entries,
        _ => &[],
    }
}

/// The quoted words of a text: the spellings in [`Setting::expected`].
fn quoted(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}
