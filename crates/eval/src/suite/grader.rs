//! `grader = {"kind": ..}` as it stands in a task.

use serde_json::Value;

use super::disk;
use super::entry::Around;
use super::fields::{Fields, closest, cut, list, shown, some_text, switch, text, tolerance};
use crate::grade::{Content, Grader, Query, State, Tolerance, compiled};

const KINDS: [&str; 9] = ["exact", "number", "list", "set", "dict", "regex", "tests", "state", "all"];
/// Graders within graders.
const DEPTH_MAX: usize = 4;

/// The grader that `fields` describe; `None`: what is wrong has been noted.
pub(super) fn grader(mut fields: Fields<'_>, around: &Around<'_>, depth: usize) -> Option<Grader> {
    let kind = fields.needed("kind", text)?;
    let made =
        match kind.as_str() {
            "exact" => {
                let ignore_case = fields.read("ignore_case", switch).unwrap_or(false);
                fields.needed("answer", text_or_number).map(|answer| Grader::Exact { answer, ignore_case })
            }
            "number" => {
                let tolerance = Tolerance {
                    absolute: fields.read("absolute", tolerance),
                    relative: fields.read("relative", tolerance),
                };
                fields.needed("answer", number).map(|answer| Grader::Number { answer, tolerance })
            }
            "list" => values(&mut fields, Value::is_array, "a list")
                .map(|(answer, tolerance)| Grader::List { answer, tolerance }),
            "set" => values(&mut fields, Value::is_array, "a list")
                .map(|(answer, tolerance)| Grader::Set { answer, tolerance }),
            "dict" => {
                let made = values(&mut fields, Value::is_object, "an object");
                made.map(|(answer, tolerance)| Grader::Dict { answer, tolerance })
            }
            "regex" => fields.needed("pattern", pattern).map(|pattern| Grader::Regex { pattern }),
            "tests" => code(&mut fields, around).map(|code| Grader::Tests { code }),
            "state" => Some(Grader::State(state(&mut fields))),
            "all" => all(&mut fields, around, depth),
            other => {
                let hint = closest(other, &KINDS).map(|known| format!(", did you mean `{known}`?"));
                let hint = hint.unwrap_or_else(|| format!("; there are {}", KINDS.join(", ")));
                fields.fault("kind", &format!("is `{}`, which is no grader{hint}", cut(other)));
                return None;
            }
        };
    fields.finish();
    made
}

/// The short form: a text, or a number as its text.
pub(super) fn text_or_number(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        other => Err(format!("must be a text or a number, and is {}", shown(&other))),
    }
}

fn number(value: Value) -> Result<String, String> {
    let text = text_or_number(value)?;
    match text.trim().parse::<f64>().is_ok_and(f64::is_finite) {
        true => Ok(text),
        false => Err(format!("must be a number, and is \"{}\"", cut(&text))),
    }
}

/// `answer`, and the tolerance of the numbers in it: one for both kinds, or each by itself.
fn values(fields: &mut Fields<'_>, is_kind: fn(&Value) -> bool, name: &str) -> Option<(Value, Tolerance)> {
    let both = fields.read("tolerance", tolerance);
    let tolerance = Tolerance {
        absolute: fields.read("absolute", tolerance).or(both),
        relative: fields.read("relative", tolerance).or(both),
    };
    let answer = fields.needed("answer", |value| match is_kind(&value) {
        true => Ok(value),
        false => Err(format!("must be {name}, and is {}", shown(&value))),
    })?;
    Some((answer, tolerance))
}

fn pattern(value: Value) -> Result<String, String> {
    let pattern = text(value)?;
    match compiled(&pattern) {
        Ok(_) => Ok(pattern),
        Err(reason) => Err(format!("is no regular expression: {reason}")),
    }
}

/// The Python of `tests`: given in the task, or in a file.
fn code(fields: &mut Fields<'_>, around: &Around<'_>) -> Option<String> {
    let given = fields.read("code", some_text);
    let file = fields.read("file", |value| {
        let name = text(value)?;
        let path = disk::inside(around.folder, &name).map_err(|what| format!("`{}` {what}", cut(&name)))?;
        around.used.borrow_mut().push(path.clone());
        disk::read_text(&path, disk::TEXT_BYTES_MAX).map_err(|what| format!("`{}` {what}", cut(&name)))
    });
    match (fields.had("code"), fields.had("file")) {
        (true, true) => fields.fault("code", "and `file` are both given; give one of them"),
        (false, false) => fields.missing("code"),
        _ => {}
    }
    let code = given.or(file)?;
    let is_test = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("def test_").is_some()
    };
    if !code.lines().any(is_test) {
        fields.fault("code", "has no function `test_..` at its top level");
    }
    Some(code)
}

fn all(fields: &mut Fields<'_>, around: &Around<'_>, depth: usize) -> Option<Grader> {
    if depth >= DEPTH_MAX {
        fields.fault("graders", &format!("lie more than {DEPTH_MAX} deep"));
        return None;
    }
    let items = fields.needed("graders", |value| list(value, Ok))?;
    if items.is_empty() {
        fields.fault("graders", "must not be empty");
    }
    let inner = items.into_iter().enumerate().map(|(index, item)| {
        let inner = fields.inner("graders", &index.to_string(), item);
        grader(inner, around, depth + 1)
    });
    inner.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>().map(|graders| Grader::All { graders })
}

fn state(fields: &mut Fields<'_>) -> State {
    let mut state = State::default();
    if let Some(Value::Object(files)) = fields.read("files", object) {
        for (path, wanted) in files {
            let clean =
                plain(&path).map_err(|what| fields.fault("files", &format!("names `{}`, which {what}", cut(&path))));
            let made = content(fields.inner("files", &path, wanted));
            state.files.extend(clean.ok().zip(made));
        }
    }
    let queries = fields.read("sqlite", |value| list(value, Ok)).unwrap_or_default();
    for (index, item) in queries.into_iter().enumerate() {
        let mut inner = fields.inner("sqlite", &index.to_string(), item);
        let file = inner.needed("file", path);
        let query = inner.needed("query", some_text);
        let rows = inner.needed("rows", rows);
        inner.finish();
        if let (Some(file), Some(query), Some(rows)) = (file, query, rows) {
            state.sqlite.push(Query { file, query, rows });
        }
    }
    state.unchanged = fields.read("unchanged", |value| list(value, path)).unwrap_or_default();
    if !["files", "sqlite", "unchanged"].iter().any(|key| fields.had(key)) {
        fields.missing("files");
    }
    state
}

fn object(value: Value) -> Result<Value, String> {
    match value.as_object().is_some_and(|entries| !entries.is_empty()) {
        true => Ok(value),
        false => Err(format!("must be an object in which there is something, and is {}", shown(&value))),
    }
}

fn path(value: Value) -> Result<String, String> {
    let name = text(value)?;
    plain(name.trim_end_matches('/')).map_err(|what| format!("`{}` {what}", cut(&name)))
}

/// A path as the workspace has it, whatever it was written like: another spelling would meet nothing.
fn plain(path: &str) -> Result<String, String> {
    disk::checked(path).map(|path| path.to_string_lossy().into_owned())
}

fn rows(value: Value) -> Result<Vec<Value>, String> {
    list(value, |row| match row.is_array() {
        true => Ok(row),
        false => Err(format!("must be a list, and is {}", shown(&row))),
    })
}

/// What a file must hold: one of the keys.
fn content(mut fields: Fields<'_>) -> Option<Content> {
    let found = [
        fields.read("text", text).map(Content::Text),
        fields.take("json").map(Content::Json),
        fields.read("lines", |value| list(value, text)).map(Content::Lines),
        fields.read("regex", pattern).map(Content::Regex),
        fields.read("absent", switch).map(|is_absent| if is_absent { Content::Absent } else { Content::Present }),
    ];
    let given = ["text", "json", "lines", "regex", "absent"].into_iter().filter(|key| fields.had(key)).count();
    if given != 1 {
        fields.fault(
            "text",
            &format!("or one of `json`, `lines`, `regex` and `absent` must be given, and only one; there are {given}"),
        );
    }
    fields.finish();
    found.into_iter().flatten().next()
}
