//! TOML as the same values as JSON, with the line of every key.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::fields::Place;

/// The table in `text`, and where its keys stand. The error says line and reason.
pub(super) fn parse(path: &Path, text: &str) -> Result<(Value, Place), String> {
    let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| line_of(span.start));
        format!("`{}` line {line}: {}", path.display(), error.message().trim())
    })?;
    let mut lines = BTreeMap::new();
    let value = table(document.into_inner(), "", &line_of, &mut lines)
        .map_err(|(line, what)| format!("`{}` line {line}: {what}", path.display()))?;
    Ok((value, Place { path: path.to_owned(), line: 1, lines }))
}

type Fault = (usize, String);

fn table(
    entries: DeTable<'_>,
    prefix: &str,
    line_of: &dyn Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) -> Result<Value, Fault> {
    let mut map = Map::new();
    for (key, value) in entries {
        let line = line_of(key.span().start);
        let name = format!("{prefix}{}", key.get_ref());
        lines.insert(name.clone(), line);
        let value = converted(value.into_inner(), &name, line, line_of, lines)?;
        map.insert(key.into_inner().into_owned(), value);
    }
    Ok(Value::Object(map))
}

fn converted(
    value: DeValue<'_>,
    name: &str,
    line: usize,
    line_of: &dyn Fn(usize) -> usize,
    lines: &mut BTreeMap<String, usize>,
) -> Result<Value, Fault> {
    let refused = |what: &str| (line, format!("`{name}` {what}"));
    Ok(match value {
        DeValue::String(text) => Value::String(text.into_owned()),
        DeValue::Boolean(value) => Value::Bool(value),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| refused("is a whole number beyond 64 bits"))?
            .into(),
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(Number::from_f64);
            Value::Number(number.ok_or_else(|| refused("is no finite number"))?)
        }
        DeValue::Datetime(_) => return Err(refused("is a date; write it as a text, in quotes")),
        DeValue::Array(items) => {
            let items = items.into_iter().enumerate().map(|(index, item)| {
                let line = line_of(item.span().start);
                converted(item.into_inner(), &format!("{name}.{index}"), line, line_of, lines)
            });
            Value::Array(items.collect::<Result<_, Fault>>()?)
        }
        DeValue::Table(entries) => table(entries, &format!("{name}."), line_of, lines)?,
    })
}
