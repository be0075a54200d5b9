//! Values of answers, of solutions and of what is found in files, and when two of them are the same.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value as Json;

/// Numbers that differ by no more than this, absolutely or relative to the answer, are equal where a task does not say.
pub(super) const NUMBER_TOLERANCE: f64 = 1e-6;
/// The same, relative, where the answer is a whole number: the noise of computing it with fractions, and far from 1.
const WHOLE_TOLERANCE: f64 = 1e-12;
/// How far from a whole number what stands for it may be, however large it is.
const WHOLE_DISTANCE_MAX: f64 = 0.25;
/// Above, a float does not tell a whole number from the next one.
const FLOAT_WHOLE_MAX: f64 = (1_u64 << 53) as f64;
/// Pairs of values that are compared to find out whether two sets are the same.
const PAIRS_MAX: usize = 10_000_000;

/// How far numbers may be from the answer. What a task gives holds for whole numbers too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Tolerance {
    /// Difference.
    pub absolute: Option<f64>,
    /// Difference by the answer.
    pub relative: Option<f64>,
}

/// A value. Tuples are lists; a whole number is its digits, because it may be of any size.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    /// As `-12`: no plus, no leading zeros.
    Int(String),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
}

impl Value {
    /// A value of JSON.
    pub fn of(json: &Json) -> Value {
        match json {
            Json::Null => Value::None,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) if number.is_f64() => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            Json::Number(number) => Value::Int(number.to_string()),
            Json::String(text) => Value::Text(text.clone()),
            Json::Array(items) => Value::List(items.iter().map(Value::of).collect()),
            Json::Object(items) => {
                Value::Dict(items.iter().map(|(key, value)| (Value::Text(key.clone()), Value::of(value))).collect())
            }
        }
    }

    /// A number without sign as Python writes it.
    pub fn number(text: &str) -> Option<Value> {
        let is_apart = |part: &str| part.split('_').all(|digits| !digits.is_empty());
        if text.contains('_') && !text.split(['.', 'e', 'E']).filter(|part| part.contains('_')).all(is_apart) {
            return None;
        }
        let plain = text.replace('_', "");
        let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|next| next.is_ascii_digit());
        if all_digits(&plain) {
            let digits = plain.trim_start_matches('0');
            return match (digits.is_empty(), plain.starts_with('0')) {
                (true, _) => Some(Value::Int("0".to_owned())),
                (false, true) => None,
                (false, false) => Some(Value::Int(plain)),
            };
        }
        let radix = match plain.get(..2).map(str::to_ascii_lowercase).as_deref() {
            Some("0x") => 16,
            Some("0o") => 8,
            Some("0b") => 2,
            _ => 10,
        };
        if radix != 10 {
            let digits = plain[2..].to_owned();
            let is_signed = digits.starts_with(['+', '-']);
            return u128::from_str_radix(&digits, radix).ok().filter(|_| !is_signed).map(|n| Value::Int(n.to_string()));
        }
        let is_number = plain.starts_with(|next: char| next.is_ascii_digit() || next == '.');
        let number = plain.parse::<f64>().ok().filter(|_| is_number)?;
        Some(Value::Float(number))
    }

    /// The number with the other sign.
    pub fn negated(self) -> Value {
        match self {
            Value::Int(digits) if digits == "0" => Value::Int(digits),
            Value::Int(digits) => Value::Int(format!("-{digits}")),
            Value::Float(number) => Value::Float(-number),
            other => other,
        }
    }

    /// As a number with fraction.
    fn float(&self) -> Option<f64> {
        let number = match self {
            Value::Int(digits) => digits.parse().ok()?,
            Value::Float(number) => *number,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// For people, cut where it is long.
    pub fn shown(&self) -> String {
        const CHARS_MAX: usize = 200;
        let mut text = String::new();
        self.write(&mut text, CHARS_MAX);
        match text.char_indices().nth(CHARS_MAX) {
            Some((at, _)) => format!("{}..", &text[..at]),
            None => text,
        }
    }

    fn write(&self, to: &mut String, bytes_max: usize) {
        if to.len() > bytes_max {
            return;
        }
        let joined = |to: &mut String, open: &str, items: &[Value], close: &str| {
            to.push_str(open);
            for (index, item) in items.iter().enumerate().take_while(|(index, _)| *index <= bytes_max) {
                to.push_str(if index > 0 { ", " } else { "" });
                item.write(to, bytes_max);
            }
            to.push_str(close);
        };
        match self {
            Value::None => to.push_str("None"),
            Value::Bool(true) => to.push_str("True"),
            Value::Bool(false) => to.push_str("False"),
            Value::Int(digits) => to.extend(digits.chars().take(bytes_max + 1)),
            Value::Float(number) => to.push_str(&format!("{number:?}")),
            Value::Text(text) => {
                let head: String = text.chars().take(bytes_max + 1).collect();
                to.push_str(&format!("{head:?}"));
            }
            Value::Bytes(bytes) => to.push_str(&format!("{} bytes", bytes.len())),
            Value::List(items) => joined(to, "[", items, "]"),
            Value::Set(items) => joined(to, "{", items, "}"),
            Value::Dict(items) => {
                to.push('{');
                for (index, (key, value)) in items.iter().enumerate().take_while(|(index, _)| *index <= bytes_max) {
                    to.push_str(if index > 0 { ", " } else { "" });
                    key.write(to, bytes_max);
                    to.push_str(": ");
                    value.write(to, bytes_max);
                }
                to.push('}');
            }
        }
    }
}

/// Whether `found` is the number `answer`. Without a tolerance of the task a whole number must be met exactly, or but
/// for the noise of a computation with fractions.
pub(super) fn same_number(answer: &Value, found: &Value, tolerance: Tolerance) -> bool {
    let is_whole = matches!(answer, Value::Int(_));
    let is_given = tolerance.absolute.is_some() || tolerance.relative.is_some();
    if let (Value::Int(answer), Value::Int(found)) = (answer, found)
        && (answer == found || !is_given)
    {
        return answer == found;
    }
    let relative = if is_whole && !is_given { WHOLE_TOLERANCE } else { NUMBER_TOLERANCE };
    let (absolute, relative) = (tolerance.absolute.unwrap_or(NUMBER_TOLERANCE), tolerance.relative.unwrap_or(relative));
    let (Some(answer), Some(found)) = (answer.float(), found.float()) else { return false };
    let (distance, distance_max) = ((answer - found).abs(), absolute.max(relative * answer.abs()));
    match is_whole && !is_given {
        // However large it is, the next whole number is another one.
        true => answer.abs() < FLOAT_WHOLE_MAX && distance <= distance_max.min(WHOLE_DISTANCE_MAX),
        false => distance <= distance_max,
    }
}

/// Whether `found` is `answer`: types must be the same, but for whole numbers and numbers with a fraction.
pub(super) fn same(answer: &Value, found: &Value, tolerance: Tolerance) -> bool {
    match (answer, found) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => same_number(answer, found, tolerance),
        (Value::List(answer), Value::List(found)) => {
            answer.len() == found.len() && answer.iter().zip(found).all(|(one, other)| same(one, other, tolerance))
        }
        (Value::Dict(answer), Value::Dict(found)) => same_dict(answer, found, tolerance),
        _ => answer == found,
    }
}

fn same_dict(answer: &[(Value, Value)], found: &[(Value, Value)], tolerance: Tolerance) -> bool {
    let Some(entries) = by_key(found) else { return false };
    entries.len() == answer.len()
        && answer.iter().all(|(key, value)| {
            key_text(key).and_then(|key| entries.get(key)).is_some_and(|found| same(value, found, tolerance))
        })
}

/// Values by the text of their keys; `None`: a key is no text and no whole number. Of equal keys the last one counts, as
/// in Python.
fn by_key(items: &[(Value, Value)]) -> Option<HashMap<&str, &Value>> {
    let (mut entries, mut numbers) = (HashMap::new(), HashMap::new());
    for (key, value) in items {
        match key {
            Value::Text(text) => entries.insert(text.as_str(), value),
            Value::Int(digits) => numbers.insert(digits.as_str(), value),
            _ => return None,
        };
    }
    // JSON has no numbers as keys, so `1` is taken for `"1"`; both at once are two keys.
    let is_clear = numbers.keys().all(|key| !entries.contains_key(key));
    entries.extend(numbers);
    is_clear.then_some(entries)
}

fn key_text(key: &Value) -> Option<&str> {
    match key {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// Whether each of `answer` is among `found` and each of `found` among `answer`.
pub(super) fn same_set(answer: &[Value], found: &[Value], tolerance: Tolerance) -> bool {
    let mut left = PAIRS_MAX;
    let mut among = |one: &Value, all: &[Value], is_answer: bool| {
        all.iter().any(|other| {
            let (answer, found) = if is_answer { (one, other) } else { (other, one) };
            left = left.saturating_sub(1);
            left > 0 && same(answer, found, tolerance)
        })
    };
    answer.iter().all(|one| among(one, found, true)) && found.iter().all(|one| among(one, answer, false))
}

/// Where `found` first differs from `answer`, which it does, for people.
pub(super) fn difference(answer: &Value, found: &Value, tolerance: Tolerance) -> String {
    let mut place = String::new();
    let (mut answer, mut found) = (answer, found);
    loop {
        let inner = match (answer, found) {
            (Value::List(answer), Value::List(found)) if answer.len() != found.len() => {
                return format!("{place}has {} items, and {} are right", found.len(), answer.len());
            }
            (Value::List(answer), Value::List(found)) => {
                let mut pairs = answer.iter().zip(found).enumerate();
                pairs
                    .find(|(_, (one, other))| !same(one, other, tolerance))
                    .map(|(index, pair)| (index.to_string(), pair))
            }
            (Value::Dict(answer), Value::Dict(found)) => {
                let entries = by_key(found).unwrap_or_default();
                let missing =
                    answer.iter().find(|(key, _)| !key_text(key).is_some_and(|key| entries.contains_key(key)));
                if let Some((key, _)) = missing {
                    return format!("{place}has no {}", key.shown());
                }
                if entries.len() != answer.len() {
                    return format!("{place}has {} keys, and {} are right", entries.len(), answer.len());
                }
                let pairs =
                    answer.iter().filter_map(|(key, value)| Some((key, (value, *entries.get(key_text(key)?)?))));
                let mut pairs = pairs.filter(|(_, (one, other))| !same(one, other, tolerance));
                pairs.next().map(|(key, pair)| (key.shown(), pair))
            }
            _ => None,
        };
        match inner {
            Some((key, pair)) => {
                place = format!("{}[{key}] ", place.trim_end());
                (answer, found) = pair;
            }
            None => return format!("{place}is {}, and {} is right", found.shown(), answer.shown()),
        }
    }
}
