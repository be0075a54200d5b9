//! Counts the bytes that a template reads and makes while it runs, and stops it when they are too many.

use std::cell::Cell;

use minijinja::value::{Kwargs, StringInput, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Reads a value with all texts in it.
pub(super) const WEIGH: &str = "weigh!";
/// Passes a value on: its items count, the texts in them do not.
pub(super) const COUNT: &str = "count!";
/// As [`COUNT`], and refuses a namespace, which could come to hold itself.
pub(super) const KEEP: &str = "keep!";
/// Multiplies.
pub(super) const TIMES: &str = "times!";

/// Bytes for every template, and more for each byte and each message of the conversation.
const BYTES_MAX: u64 = 64 << 20;
const BYTES_PER_BYTE: u64 = 64;
const BYTES_PER_MESSAGE: u64 = 256 << 10;

/// What an item of a list costs beside its text.
const ITEM_BYTES: u64 = 16;
/// What a character costs that becomes an item.
const SPLIT_BYTES: u64 = 32;
/// Widest indentation of JSON.
const TABS_MAX: i64 = 16;
/// Lists within lists.
const DEPTH_MAX: usize = 32;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
}

type Result<T> = std::result::Result<T, Error>;

/// Begins to count, for a conversation of this size.
pub(super) fn start(message_count: usize, content_bytes: usize) {
    let more = content_bytes as u64 * BYTES_PER_BYTE + message_count as u64 * BYTES_PER_MESSAGE;
    LEFT.set(BYTES_MAX + more);
}

/// Registers the meter, and what replaces the engine's own functions that make much of little.
pub(super) fn install(environment: &mut Environment<'_>) {
    environment.add_function(WEIGH, |value: Value| pass(value, true));
    environment.add_function(COUNT, |value: Value| pass(value, false));
    environment.add_function(KEEP, |value: Value| {
        refuse_namespaces(&value, 0)?;
        pass(value, false)
    });
    environment.add_function(TIMES, times);
    environment.add_filter("replace", |text: String, from: String, to: String| replaced(&text, &from, &to));
    environment.add_filter("join", |values: Value, between: Option<String>| joined(&values, between.as_deref()));
    environment.add_filter("indent", indent);
    environment.add_filter("tojson", to_json);
    environment.add_filter("list", |state: &State, value: Value| {
        charge(value.as_str().map_or(0, |text| text.len() as u64 * SPLIT_BYTES))?;
        minijinja::filters::list(state, value)
    });
    // Widths in a format, padding of lists, and sums of texts are not bounded by what goes in.
    for name in ["format", "batch", "slice", "sum", "zip", "chain", "pprint", "split", "lines", "groupby"] {
        environment.remove_filter(name);
    }
    environment.set_unknown_method_callback(method);
}

fn charge(bytes: u64) -> Result<()> {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(bytes));
    match bytes <= left {
        true => Ok(()),
        false => {
            let what = "stopped because it makes too much of these messages; it may loop forever";
            Err(Error::new(ErrorKind::InvalidOperation, what))
        }
    }
}

/// Charges for a value, and hands it on: a lazy sequence as a list, so that none is made of a thousand others.
fn pass(value: Value, reads_texts: bool) -> Result<Value> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map => walk(&value, 0, reads_texts)?,
        ValueKind::Iterable => {
            let mut items = Vec::new();
            for item in value.try_iter()?.checked() {
                let item = item?;
                charge(ITEM_BYTES)?;
                walk(&item, 1, reads_texts)?;
                items.push(item);
            }
            return Ok(Value::from(items));
        }
        _ => walk(&value, 0, true)?,
    }
    Ok(value)
}

fn walk(value: &Value, depth: usize, reads_texts: bool) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::new(ErrorKind::InvalidOperation, "lists within lists go too deep"));
    }
    match value.kind() {
        ValueKind::String | ValueKind::Bytes => {
            let bytes = value.as_str().map_or(0, str::len).max(value.as_bytes().map_or(0, <[u8]>::len));
            charge(ITEM_BYTES + if reads_texts { bytes as u64 } else { 0 })
        }
        ValueKind::Seq | ValueKind::Iterable => {
            charge(ITEM_BYTES)?;
            value.try_iter()?.checked().try_for_each(|item| walk(&item?, depth + 1, reads_texts))
        }
        ValueKind::Map => {
            charge(ITEM_BYTES)?;
            for key in value.try_iter()?.checked() {
                let key = key?;
                walk(&key, depth + 1, reads_texts)?;
                walk(&value.get_item(&key)?, depth + 1, reads_texts)?;
            }
            Ok(())
        }
        _ => charge(ITEM_BYTES),
    }
}

fn refuse_namespaces(value: &Value, depth: usize) -> Result<()> {
    let Some(object) = value.as_object() else {
        return Ok(());
    };
    charge(ITEM_BYTES)?;
    if object.type_name().ends_with("Namespace") || depth > DEPTH_MAX {
        return Err(Error::new(ErrorKind::InvalidOperation, "a namespace cannot hold a namespace"));
    }
    let Ok(items) = value.try_iter() else {
        return Ok(());
    };
    for item in items.checked() {
        let item = item?;
        if value.kind() == ValueKind::Map {
            refuse_namespaces(&value.get_item(&item)?, depth + 1)?;
        }
        refuse_namespaces(&item, depth + 1)?;
    }
    Ok(())
}

fn times(left: Value, right: Value) -> Result<Value> {
    let unfit = || {
        let what = format!("{} times {} is not supported in a chat template", left.kind(), right.kind());
        Error::new(ErrorKind::InvalidOperation, what)
    };
    let (text, count) = if left.as_str().is_some() { (&left, &right) } else { (&right, &left) };
    if let Some(text) = text.as_str() {
        let count = count.as_usize().ok_or_else(unfit)?;
        charge((text.len() as u64).saturating_mul(count as u64))?;
        return Ok(Value::from(text.repeat(count)));
    }
    if left.kind() != ValueKind::Number || right.kind() != ValueKind::Number {
        return Err(unfit());
    }
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => left.checked_mul(right).map(Value::from).ok_or_else(unfit),
        _ => Ok(Value::from(f64::try_from(left.clone())? * f64::try_from(right.clone())?)),
    }
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    let places = text.len() / from.len().max(1) + 1;
    charge(text.len() as u64 + (places as u64).saturating_mul(to.len() as u64))?;
    Ok(text.replace(from, to))
}

fn joined(values: &Value, between: Option<&str>) -> Result<String> {
    let mut text = String::new();
    for (index, item) in values.try_iter()?.checked().enumerate() {
        let item = item?;
        if let (Some(between), true) = (between, index > 0) {
            charge(between.len() as u64)?;
            text.push_str(between);
        }
        walk(&item, 0, true)?;
        match item.as_str() {
            Some(item) => text.push_str(item),
            None => text.push_str(&item.to_string()),
        }
    }
    Ok(text)
}

fn indent(
    text: StringInput<'_>,
    width: Option<usize>,
    first: Option<bool>,
    blank: Option<bool>,
    named: Kwargs,
) -> Result<Value> {
    let wide = width.or(named.peek::<Option<usize>>("width")?).unwrap_or(4);
    let lines = text.as_str().lines().count() + 1;
    charge((lines as u64).saturating_mul(wide as u64))?;
    minijinja::filters::indent(text, width, first, blank, named)
}

fn to_json(value: &Value, indent: Option<Value>, named: Kwargs) -> Result<Value> {
    let wide = indent.clone().or(named.peek::<Option<Value>>("indent")?);
    if wide.is_some_and(|wide| wide.as_i64().is_some_and(|wide| !(0..=TABS_MAX).contains(&wide))) {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("`tojson` indents by {TABS_MAX} at most")));
    }
    minijinja::filters::tojson(value, indent, named)
}

/// Python's methods.
fn method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value> {
    let text = value.as_str();
    match (text, name, arguments) {
        (Some(text), "replace", [from, to]) => {
            let (Some(from), Some(to)) = (from.as_str(), to.as_str()) else {
                return Err(Error::new(ErrorKind::InvalidOperation, "`replace` takes texts"));
            };
            return Ok(Value::from(replaced(text, from, to)?));
        }
        (Some(text), "join", [values]) => return Ok(Value::from(joined(values, Some(text))?)),
        (Some(_), "replace" | "join", _) => {
            return Err(Error::new(ErrorKind::InvalidOperation, format!("`{name}` with other arguments")));
        }
        (Some(text), "format", _) => {
            if text.contains(':') {
                return Err(Error::new(ErrorKind::InvalidOperation, "`format` with a width is not supported"));
            }
            for _ in text.matches('{') {
                arguments.iter().try_for_each(|argument| walk(argument, 0, true))?;
            }
        }
        (Some(text), "split" | "splitlines" | "rsplit", _) => charge(text.len() as u64 * SPLIT_BYTES)?,
        (Some(text), ..) => charge(text.len() as u64)?,
        _ => {}
    }
    minijinja_contrib::pycompat::unknown_method_callback(state, value, name, arguments)
}
