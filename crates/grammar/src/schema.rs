//! Which JSON schemas are worked on: bounds that keep compiling one to well below a second.
//!
//! The compiler bounds most of its own work, but not all. What it does not bound is measured here beforehand: parts
//! that must hold at once are multiplied out (`allOf` over `anyOf`), patterns that must hold at once become one
//! automaton, an automaton for `multipleOf` has as many states as the number is large, and optional properties of an
//! object are all possible at once.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use crate::error::GrammarError;

const NAME: &str = "JSON schema";
const VALUES_MAX: usize = 5000;
const BYTES_MAX: usize = 256 << 10;
const DEPTH_MAX: usize = 64;
const OPTIONAL_MAX: usize = 400;
const PATTERN_PROPERTIES_MAX: usize = 16;
const COMBINATIONS_MAX: usize = 256;
const MULTIPLE_MAX: u64 = 10_000;

/// 2^53, up to which every whole number is a float. At the ends of 64 bits the compiler recurses without end.
const NUMBER_MAX: f64 = 9_007_199_254_740_992.0;

/// # Errors
/// [`GrammarError::TooLarge`] with what is too much.
pub(crate) fn check(schema: &Value) -> Result<(), GrammarError> {
    let mut measure = Measure::default();
    measure.add(schema, 1);
    within(measure.values, "values", VALUES_MAX)?;
    within(measure.bytes, "bytes", BYTES_MAX)?;
    within(measure.depth, "levels", DEPTH_MAX)?;
    if let Some(number) = measure.beyond {
        return Err(GrammarError::Unusable {
            kind: NAME,
            what: format!("it holds the number {number}"),
            hint: "numbers may be from -2^53 to 2^53",
        });
    }
    within(measure.optional, "optional properties in one object", OPTIONAL_MAX)?;
    within(measure.patterns, "patternProperties in one object", PATTERN_PROPERTIES_MAX)?;
    let multiple = common_multiple(&measure.multiples).unwrap_or(u64::MAX);
    within(multiple.try_into().unwrap_or(usize::MAX), "as a common multiple of all multipleOf", MULTIPLE_MAX as usize)?;
    let mut combinations = Combinations { root: schema, known: BTreeMap::new(), worst: 1 };
    combinations.count(schema, 0);
    within(combinations.worst, "combinations of parts that hold at once", COMBINATIONS_MAX)
}

fn within(size: usize, unit: &'static str, most: usize) -> Result<(), GrammarError> {
    if size > most { Err(GrammarError::TooLarge { kind: NAME, size, unit, most }) } else { Ok(()) }
}

#[derive(Default)]
struct Measure {
    values: usize,
    bytes: usize,
    depth: usize,
    optional: usize,
    patterns: usize,
    /// A number that is too large, or too far below 0.
    beyond: Option<String>,
    /// Digits and decimal places of all `multipleOf`.
    multiples: Vec<(u64, u32)>,
}

impl Measure {
    /// Nothing deeper than the bound is followed: the stack is not the request's to fill.
    fn add(&mut self, value: &Value, depth: usize) {
        self.values += 1;
        self.depth = self.depth.max(depth);
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Value::String(text) => self.bytes += text.len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item, depth + 1)),
            Value::Object(fields) => {
                self.add_object(fields);
                for (name, value) in fields {
                    self.bytes += name.len();
                    self.add(value, depth + 1);
                }
            }
            Value::Number(number) => {
                self.bytes += 8;
                if number.as_f64().is_none_or(|number| !(-NUMBER_MAX..=NUMBER_MAX).contains(&number)) {
                    self.beyond = Some(number.to_string());
                }
            }
            Value::Null | Value::Bool(_) => self.bytes += 8,
        }
    }

    fn add_object(&mut self, fields: &Map<String, Value>) {
        let size = |name: &str| fields.get(name).and_then(Value::as_object).map_or(0, Map::len);
        let required = fields.get("required").and_then(Value::as_array).into_iter().flatten();
        let required: HashSet<&str> = required.filter_map(Value::as_str).collect();
        let properties = fields.get("properties").and_then(Value::as_object);
        let names = properties.into_iter().flat_map(Map::keys);
        let optional = names.filter(|name| !required.contains(name.as_str())).count();
        self.optional = self.optional.max(optional);
        self.patterns = self.patterns.max(size("patternProperties"));
        if let Some(Value::Number(multiple)) = fields.get("multipleOf") {
            self.multiples.push(decimal(&multiple.to_string()));
        }
    }
}

/// Digits and decimal places of a number as JSON writes it: 25 and 2 for `0.25`, `u64::MAX` for more than fits.
fn decimal(text: &str) -> (u64, u32) {
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{}{fraction}", whole.trim_start_matches('-'));
    let digits: u64 = digits.parse().unwrap_or(u64::MAX);
    let places = fraction.len() as i64 - exponent.parse::<i64>().unwrap_or(i64::from(i32::MAX));
    match u32::try_from(places) {
        Ok(places) => (digits, places),
        Err(_) => (scaled(digits, places.unsigned_abs().try_into().unwrap_or(u32::MAX)).unwrap_or(u64::MAX), 0),
    }
}

fn scaled(digits: u64, places: u32) -> Option<u64> {
    digits.checked_mul(10u64.checked_pow(places)?)
}

/// In units of the smallest decimal place; `None` if that does not fit.
fn common_multiple(multiples: &[(u64, u32)]) -> Option<u64> {
    let places = multiples.iter().map(|(_, places)| *places).max().unwrap_or(0);
    multiples.iter().try_fold(1u64, |common, &(digits, own)| {
        // Zero is not a multiple at all; the compiler says so.
        let step = scaled(digits, places - own)?.max(1);
        common.checked_mul(step / divisor(common, step))
    })
}

fn divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { divisor(b, a % b) }
}

/// How many ways there are to take one alternative of everything that holds at once, at the worst place.
struct Combinations<'a> {
    root: &'a Value,
    /// By `$ref`; 1 while it is being counted, which ends circles.
    known: BTreeMap<&'a str, usize>,
    worst: usize,
}

impl<'a> Combinations<'a> {
    fn count(&mut self, schema: &'a Value, depth: usize) -> usize {
        if depth > 2 * DEPTH_MAX {
            // A chain of references this long is no honest schema.
            self.worst = usize::MAX;
            return 1;
        }
        let Some(fields) = schema.as_object() else {
            let items = schema.as_array().into_iter().flatten();
            return items.map(|item| self.count(item, depth + 1)).max().unwrap_or(1);
        };
        let (mut all, mut factors, mut inside) = (1usize, 0, 1);
        for (name, value) in fields {
            let factor = match (name.as_str(), value) {
                ("anyOf" | "oneOf", Value::Array(parts)) => {
                    parts.iter().fold(0, |sum: usize, part| sum.saturating_add(self.count(part, depth + 1)))
                }
                ("allOf", Value::Array(parts)) => {
                    let counts: Vec<usize> = parts.iter().map(|part| self.count(part, depth + 1)).collect();
                    factors += counts.iter().filter(|count| **count > 1).count();
                    counts.into_iter().fold(1, usize::saturating_mul)
                }
                ("$ref", Value::String(target)) => self.referred(target, depth),
                ("pattern" | "format", Value::String(_)) => 2,
                _ => {
                    inside = self.count(value, depth + 1).max(inside);
                    continue;
                }
            };
            factors += usize::from(factor > 1 && name != "allOf");
            all = all.saturating_mul(factor.max(1));
        }
        factors += usize::from(inside > 1);
        all = all.saturating_mul(inside);
        if factors > 1 {
            self.worst = self.worst.max(all);
        }
        all
    }

    fn referred(&mut self, target: &'a str, depth: usize) -> usize {
        if let Some(known) = self.known.get(target) {
            return *known;
        }
        self.known.insert(target, 1);
        let schema = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let count = schema.map_or(1, |schema| self.count(schema, depth + 1));
        self.known.insert(target, count);
        count
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn unit(schema: &Value) -> Option<&'static str> {
        match check(schema) {
            Ok(()) => None,
            Err(GrammarError::TooLarge { unit, .. }) => Some(unit),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn multiples_are_counted_in_their_smallest_place() {
        for (text, expected) in
            [("0.25", (25, 2)), ("7", (7, 0)), ("1e3", (1000, 0)), ("1.50", (15, 1)), ("2e-3", (2, 3)), ("-4", (4, 0))]
        {
            assert_eq!(decimal(text), expected, "{text}");
        }
        assert_eq!(decimal("1e99").0, u64::MAX);
        assert_eq!(common_multiple(&[(1, 2), (7, 0)]), Some(700));
        assert_eq!(common_multiple(&[(6, 0), (4, 0), (0, 0)]), Some(12));
        assert_eq!(common_multiple(&[(u64::MAX, 0), (2, 0)]), None);
        assert_eq!(unit(&json!({"multipleOf": 0.01})), None);
        let two = json!({"allOf": [{"multipleOf": 9973}, {"multipleOf": 9967}]});
        assert_eq!(unit(&two), Some("as a common multiple of all multipleOf"));
        assert!(unit(&json!({"multipleOf": 1e12})).is_some() && unit(&json!({"multipleOf": 1e-300})).is_none());
    }

    #[test]
    fn numbers_at_the_ends_of_their_range_are_refused() {
        for number in [json!(i64::MIN), json!(i64::MAX), json!(u64::MAX), json!(-1e19), json!(1e300)] {
            for schema in [json!({"const": number}), json!({"enum": [{"a": [number]}]}), json!({"minimum": number})] {
                let error = check(&schema).unwrap_err().to_string();
                assert!(error.contains(&number.to_string()) && error.contains("2^53"), "{error}");
            }
        }
        assert_eq!(unit(&json!({"minimum": -(1i64 << 53), "maximum": 1i64 << 53})), None);
    }

    #[test]
    fn alternatives_are_multiplied_only_where_all_must_hold() {
        let either = |name: &str| json!({"anyOf": [{"properties": {name: {"type": "string"}}}, {"type": "null"}]});
        let many: Vec<Value> = (0..300).map(|index| either(&index.to_string())).collect();
        assert_eq!(unit(&json!({"anyOf": many.clone()})), None);
        assert_eq!(unit(&json!({"allOf": many[..8]})), None);
        assert_eq!(unit(&json!({"allOf": many[..9]})), Some("combinations of parts that hold at once"));
        let patterns: Vec<Value> = (0..9).map(|_| json!({"type": "string", "pattern": "a"})).collect();
        assert!(unit(&json!({"allOf": patterns})).is_some());
        let part = json!({"properties": {"x": {"anyOf": many[..20]}}});
        let inner = json!({"allOf": [part, part]});
        assert!(unit(&inner).is_some());
    }

    #[test]
    fn references_are_followed_once_and_circles_end() {
        let mut chain = Map::new();
        for index in 0..30 {
            let next = json!({"$ref": format!("#/$defs/d{}", index + 1)});
            chain.insert(format!("d{index}"), json!({"allOf": [next.clone(), next]}));
        }
        chain.insert("d30".to_owned(), json!({"anyOf": [{"type": "string"}, {"type": "null"}]}));
        assert!(unit(&json!({"$defs": chain, "$ref": "#/$defs/d0"})).is_some());
        let circle = json!({"anyOf": [{"items": {"$ref": "#"}}, {"type": "null"}]});
        assert_eq!(unit(&circle), None);
        assert_eq!(unit(&json!({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})), None);
    }

    #[test]
    fn sizes_are_bounded() {
        let mut deep = json!({"type": "null"});
        (0..100).for_each(|_| deep = json!({"items": deep.clone()}));
        assert_eq!(unit(&deep), Some("levels"));
        assert_eq!(unit(&json!({"enum": (0..6000).collect::<Vec<u32>>()})), Some("values"));
        assert_eq!(unit(&json!({"const": "x".repeat(300_000)})), Some("bytes"));
        let properties: Map<String, Value> = (0..401).map(|index| (index.to_string(), json!({}))).collect();
        assert_eq!(unit(&json!({"properties": properties})), Some("optional properties in one object"));
        let names: Vec<&String> = properties.keys().collect();
        assert_eq!(unit(&json!({"properties": properties, "required": names})), None);
        let others: Vec<String> = (1000..1401).map(|index| index.to_string()).collect();
        assert!(unit(&json!({"properties": properties, "required": others})).is_some());
    }
}
