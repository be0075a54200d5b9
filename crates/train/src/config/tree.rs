//! Settings as written: TOML values that remember where they come from, so that every fault can name its place.

use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the settings file, counted from 1.
    Line(usize),
    /// A `--set key=value` of the command line, as typed.
    Set(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Line(line) => write!(formatter, "line {line}"),
            Origin::Set(typed) => write!(formatter, "`--set {typed}`"),
        }
    }
}

/// A TOML value, owned.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Table(Vec<(String, Node)>),
    Array(Vec<Node>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date or a number beyond 64 bits: no setting is one.
    Other(String),
}

/// A value and its origin.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Node {
    /// The value of a key, where this is a table that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Value::Table(_) => formatter.write_str("a table"),
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(Node::to_string).collect();
                write!(formatter, "[{}]", items.join(", "))
            }
            Value::Text(text) => write!(formatter, "{text:?}"),
            Value::Integer(number) => write!(formatter, "{number}"),
            Value::Float(number) => write!(formatter, "{number:?}"),
            Value::Boolean(flag) => write!(formatter, "{flag}"),
            Value::Other(text) => formatter.write_str(text),
        }
    }
}

/// Parses a whole file.
///
/// # Errors
/// The line (from 1) and what the parser says.
pub(super) fn parse(text: &str) -> Result<Node, (usize, String)> {
    let line_of = |byte: usize| 1 + text[..byte.min(text.len())].matches('\n').count();
    let document = DeTable::parse(text)
        .map_err(|error| (error.span().map_or(1, |span| line_of(span.start)), error.message().to_owned()))?;
    let origin_of = |byte: usize| Origin::Line(line_of(byte));
    Ok(table(document.into_inner(), Origin::Line(1), &origin_of))
}

/// Puts `key.path=value` over the tree. A value that is not TOML counts as text, so that a path needs no quotes.
///
/// # Errors
/// What is wrong with `typed`.
pub(super) fn set(root: &mut Node, typed: &str) -> Result<(), String> {
    let Some((path, written)) = typed.split_once('=') else {
        return Err("expected `key=value`, for example `--set train.steps=20`".to_owned());
    };
    let origin = Origin::Set(typed.to_owned());
    let value = match DeValue::parse(written.trim()) {
        Ok(value) => node(value, &|_| origin.clone()).value,
        Err(_) => Value::Text(written.trim().to_owned()),
    };
    let mut place = root;
    let mut walked = Vec::new();
    for part in path.trim().split('.') {
        if part.is_empty() {
            return Err("the key has an empty part".to_owned());
        }
        place = step_into(place, part, &origin).map_err(|what| match walked.is_empty() {
            true => what,
            false => format!("`{}` {what}", walked.join(".")),
        })?;
        walked.push(part);
    }
    *place = Node { value, origin };
    Ok(())
}

fn step_into<'a>(place: &'a mut Node, part: &str, origin: &Origin) -> Result<&'a mut Node, String> {
    match &mut place.value {
        Value::Table(entries) => {
            let index = entries.iter().position(|(key, _)| key == part).unwrap_or_else(|| {
                let empty = Node { value: Value::Table(Vec::new()), origin: origin.clone() };
                entries.push((part.to_owned(), empty));
                entries.len() - 1
            });
            Ok(&mut entries[index].1)
        }
        Value::Array(items) => {
            let count = items.len();
            let index = part.parse::<usize>().ok().filter(|index| *index < count);
            let index = index.ok_or_else(|| {
                format!("is a list of {count}; `{part}` is not an index from 0 to {}", count.max(1) - 1)
            })?;
            Ok(&mut items[index])
        }
        _ => Err("is a value, not a table".to_owned()),
    }
}

fn table(entries: DeTable<'_>, origin: Origin, origin_of: &dyn Fn(usize) -> Origin) -> Node {
    // As they were written: the parser sorts them, and of patterns the first that matches counts.
    let mut entries: Vec<_> = entries.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let entries = entries.into_iter().map(|(key, value)| {
        let origin = origin_of(key.span().start);
        let value = Node { origin, ..node(value, origin_of) };
        (key.into_inner().into_owned(), value)
    });
    Node { value: Value::Table(entries.collect()), origin }
}

fn node(value: Spanned<DeValue<'_>>, origin_of: &dyn Fn(usize) -> Origin) -> Node {
    let origin = origin_of(value.span().start);
    let value = match value.into_inner() {
        DeValue::Table(entries) => return table(entries, origin, origin_of),
        DeValue::Array(items) => Value::Array(items.into_iter().map(|item| node(item, origin_of)).collect()),
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Boolean(flag) => Value::Boolean(flag),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Other(number.to_string()),
        },
        DeValue::Datetime(date) => Value::Other(date.to_string()),
    };
    Node { value, origin }
}
