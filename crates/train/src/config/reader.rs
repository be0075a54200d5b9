//! Reads one table of the settings key by key. Every fault is noted and reading goes on, so that a user sees all of
//! them at once; a key that nobody asked for is a fault too.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::tree::{Node, Origin, Value};
use super::{Problem, suggestion};

/// The faults found so far, and where each key was written.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) places: RefCell<BTreeMap<String, Origin>>,
}

impl Findings {
    pub(super) fn fault(&self, origin: Option<&Origin>, key: &str, what: String, hint: Option<String>) {
        let problem = Problem { origin: origin.cloned(), key: key.to_owned(), what, hint };
        self.problems.borrow_mut().push(problem);
    }
}

/// A value that a setting can have.
pub(super) trait Setting: Sized {
    /// What a user should write, for the error message.
    fn expected() -> String;
    /// The value, or nothing when the node holds something else.
    fn from_node(node: &Node) -> Option<Self>;
    /// Stands in for a missing or wrong value until all faults are known; never used after that.
    fn placeholder() -> Self;
}

/// A setting with a fixed list of spellings.
pub(super) trait Choice: Copy + 'static {
    const NAMES: &'static [(&'static str, Self)];
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
}

/// One table, `[lora]` for example.
pub(super) struct TableReader<'a> {
    name: String,
    node: Option<&'a Node>,
    asked: Vec<&'static str>,
    findings: &'a Findings,
}

impl<'a> TableReader<'a> {
    /// `name` as keys spell it: `lora`, or `data.0` for the first `[[data]]`.
    pub(super) fn new(name: &str, node: Option<&'a Node>, findings: &'a Findings) -> TableReader<'a> {
        if let Some(node) = node
            && !matches!(node.value, Value::Table(_))
        {
            findings.fault(Some(&node.origin), name, format!("is {node}, expected a table"), None);
        }
        TableReader { name: name.to_owned(), node, asked: Vec::new(), findings }
    }

    fn key(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// The node of a key, which is known from now on.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'a Node> {
        self.asked.push(key);
        let node = entries(self.node).iter().find(|(name, _)| name == key).map(|(_, node)| node)?;
        self.findings.places.borrow_mut().insert(self.key(key), node.origin.clone());
        Some(node)
    }

    /// The keys that were written.
    pub(super) fn keys(&self) -> Vec<String> {
        entries(self.node).iter().map(|(key, _)| key.clone()).collect()
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
        let node = self.node(key)?;
        let value = T::from_node(node);
        if value.is_none() {
            let hint = match &node.value {
                Value::Text(text) => suggestion(text, &quoted(&T::expected())),
                _ => None,
            };
            let what = format!("is {node}, expected {}", T::expected());
            self.findings.fault(Some(&node.origin), &self.key(key), what, hint);
        }
        Some(value.unwrap_or_else(T::placeholder))
    }

    /// A setting with a default.
    pub(super) fn or<T: Setting>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// A setting that must be there.
    pub(super) fn required<T: Setting>(&mut self, key: &'static str) -> T {
        self.optional(key).unwrap_or_else(|| {
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
