//! What must be in the workspace after a turn, said without code.

use codeact_sandbox::Policy;
use serde::Serialize;
use serde_json::Value as Json;

use super::tree::{Node, Tree};
use super::value::{self, Tolerance, Value};
use super::{Attempt, Verdict, compiled, literal, python, shown};
use crate::EvalError;

/// What must be in the workspace.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct State {
    /// Files, by path.
    pub files: Vec<(String, Content)>,
    /// What queries of databases give.
    pub sqlite: Vec<Query>,
    /// Files and folders that must be as they were before the turn.
    pub unchanged: Vec<String>,
}

/// What must be at a path.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// This text; one line end at the end makes no difference.
    Text(String),
    /// JSON that says this.
    Json(Json),
    /// These lines; one line end at the end makes no difference.
    Lines(Vec<String>),
    /// Text that matches this pattern as a whole, without blanks around it.
    Regex(String),
    /// A file, whatever it holds.
    Present,
    /// Nothing.
    Absent,
}

/// What a query of a database must give.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Query {
    /// The database.
    pub file: String,
    /// SQL that reads.
    pub query: String,
    /// The rows, each a list, in the order of the query.
    pub rows: Vec<Json>,
}

impl State {
    pub(super) fn judge(&self, attempt: &Attempt<'_>, policy: &Policy) -> Result<Verdict, EvalError> {
        if let Some(reason) = attempt.after.is_cut() {
            return Ok(Verdict::wrong(reason));
        }
        let files = self.files.iter().find_map(|(path, content)| content.refusal(path, attempt.after));
        let changed = || self.unchanged.iter().find_map(|path| change(path, attempt.before, attempt.after));
        if let Some(why) = files.or_else(changed) {
            return Ok(Verdict::wrong(why));
        }
        for query in &self.sqlite {
            if let Some(why) = query.refusal(attempt.after, policy)? {
                return Ok(Verdict::wrong(why));
            }
        }
        Ok(Verdict::right())
    }
}

impl Content {
    /// Why what is at `path` is not this.
    fn refusal(&self, path: &str, tree: &Tree) -> Option<String> {
        if matches!(self, Content::Absent) {
            return match tree.is_absent(path) {
                Ok(true) => None,
                Ok(false) => Some(format!("`{path}` is there, and should not be")),
                Err(reason) => Some(reason),
            };
        }
        let bytes = match tree.read(path) {
            Ok(bytes) => bytes,
            Err(reason) => return Some(reason),
        };
        if matches!(self, Content::Present) {
            return None;
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return Some(format!("`{path}` is not UTF-8")) };
        match self {
            Content::Text(right) => (ended(text) != ended(right))
                .then(|| format!("`{path}` holds `{}`, and `{}` is right", shown(text), shown(right))),
            Content::Lines(right) => line_refusal(path, text, right),
            Content::Json(right) => match serde_json::from_str::<Json>(text) {
                Ok(found) => {
                    let (right, found) = (Value::of(right), Value::of(&found));
                    let tolerance = Tolerance::default();
                    (!value::same(&right, &found, tolerance))
                        .then(|| format!("`{path}` {}", value::difference(&right, &found, tolerance)))
                }
                Err(error) => Some(format!("`{path}` is no JSON: {error}")),
            },
            Content::Regex(pattern) => match compiled(pattern) {
                Ok(whole) => (!whole.is_match(text.trim()))
                    .then(|| format!("`{path}` holds `{}`, which does not match `{pattern}`", shown(text))),
                Err(reason) => Some(format!("the pattern `{pattern}` is none: {reason}")),
            },
            Content::Present | Content::Absent => None,
        }
    }
}

/// Without the line end at its end.
fn ended(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

fn line_refusal(path: &str, text: &str, right: &[String]) -> Option<String> {
    let text = ended(text);
    let lines: Vec<&str> = if text.is_empty() && right.is_empty() { Vec::new() } else { text.split('\n').collect() };
    if let Some(index) = (0..lines.len().min(right.len())).find(|&index| lines[index] != right[index]) {
        return Some(format!(
            "line {} of `{path}` is `{}`, and `{}` is right",
            index + 1,
            shown(lines[index]),
            shown(&right[index])
        ));
    }
    (lines.len() != right.len()).then(|| format!("`{path}` has {} lines, and {} are right", lines.len(), right.len()))
}

/// What is not as it was at `path`, and below it.
fn change(path: &str, before: &Tree, after: &Tree) -> Option<String> {
    if before.get(path).is_none() {
        return Some(format!("nothing was at `{path}` before the turn, so it cannot be as it was"));
    }
    let below = format!("{path}/");
    let is_meant = |name: &str| name == path || name.starts_with(&below);
    let all = before.iter().chain(after.iter()).map(|(name, _)| name).filter(|name| is_meant(name));
    for name in all {
        let what = match (before.get(name), after.get(name)) {
            (Some(Node::Unreadable(_)), _) | (_, Some(Node::Unreadable(_))) => "cannot be read",
            (one, other) if one == other => continue,
            (None, _) => "is new",
            (_, None) => "is gone",
            _ => "has changed",
        };
        return Some(format!("`{name}` {what}, and nothing at `{path}` should have changed"));
    }
    None
}

impl Query {
    /// Why the database does not give these rows.
    fn refusal(&self, tree: &Tree, policy: &Policy) -> Result<Option<String>, EvalError> {
        let file = &self.file;
        let database = match tree.read(file) {
            Ok(bytes) => bytes.clone(),
            Err(reason) => return Ok(Some(reason)),
        };
        // What was written last may stand there still.
        let journal = |end: &str| tree.read(&format!("{file}{end}")).ok().cloned();
        let parts = [("", Some(database)), ("-wal", journal("-wal")), ("-journal", journal("-journal"))];
        let rows = match python::rows(&self.query, parts, policy)? {
            Ok(text) => literal::read(&text),
            Err(reason) => return Ok(Some(format!("`{file}`: `{}` gives {reason}", shown(&self.query)))),
        };
        let found = match rows {
            Ok(found) => found,
            Err(reason) => {
                return Ok(Some(format!(
                    "`{file}`: `{}` gives rows that cannot be read: {reason}",
                    shown(&self.query)
                )));
            }
        };
        let right = Value::List(self.rows.iter().map(Value::of).collect());
        let tolerance = Tolerance::default();
        Ok((!value::same(&right, &found, tolerance)).then(|| {
            format!("`{file}`: what `{}` gives {}", shown(&self.query), value::difference(&right, &found, tolerance))
        }))
    }
}
