//! Settings of single modules: values by a pattern of the module's name, in their order.

use std::fmt;

use codeact_model::ModulePattern;
use serde::{Serialize, Serializer};
use serde_json::json;

use super::reader::{Setting, TableReader};
use super::tree::Value;

/// Values by pattern; the first pattern that matches counts.
#[derive(Debug, Clone, PartialEq)]
pub struct Patterns<T>(Vec<(ModulePattern, T)>);

impl<T: Copy> Patterns<T> {
    /// Each pattern with its value.
    pub fn entries(&self) -> &[(ModulePattern, T)] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> From<Vec<(ModulePattern, T)>> for Patterns<T> {
    fn from(entries: Vec<(ModulePattern, T)>) -> Self {
        Self(entries)
    }
}

/// Reads a table of a table; faults go to its findings, each with the pattern's own place.
pub(super) fn read<T: Setting>(table: &mut TableReader<'_>, key: &'static str) -> Patterns<T> {
    let node = table.node(key);
    let schema = json!({"type": "object", "additionalProperties": T::schema()});
    table.tell(|asked| asked.schema = schema.as_object().cloned());
    let Some(node) = node else {
        return Patterns(Vec::new());
    };
    let Value::Table(entries) = &node.value else {
        table.fault(node, key, format!("is {node}, expected a table of module patterns"));
        return Patterns(Vec::new());
    };
    let mut patterns = Vec::new();
    for (name, node) in entries {
        let place = table.place(node, &format!("{key}.{}", quoted(name)));
        let value = T::from_node(node);
        if value.is_none() {
            table.fault(node, &place, format!("is {node}, expected {}", T::expected()));
        }
        match ModulePattern::new(name) {
            Ok(pattern) => patterns.push((pattern, value.unwrap_or_else(T::placeholder))),
            Err(what) => table.fault(node, &place, what),
        }
    }
    Patterns(patterns)
}

/// In their order, which a table of TOML does not have.
impl<T: fmt::Display> fmt::Display for Patterns<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entries: Vec<String> =
            self.0.iter().map(|(pattern, value)| format!("{} = {value}", quoted(pattern.text()))).collect();
        write!(formatter, "{{ {} }}", entries.join(", "))
    }
}

/// A key as TOML wants it written.
pub(super) fn quoted(name: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if !name.is_empty() && name.chars().all(is_bare) { name.to_owned() } else { format!("{name:?}") }
}

impl<T: Serialize> Serialize for Patterns<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(pattern, value)| (pattern.text(), value)))
    }
}
