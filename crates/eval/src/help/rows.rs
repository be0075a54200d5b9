//! Solved tasks as they lie in a file: conversations such as `codeact-eval collect` writes, or those of a data set.

use std::path::Path;

use codeact_agent::ActionFormat;
use codeact_chat::Message;
use codeact_chat::action::{Action, ActionParser};
use serde::Deserialize;

use crate::EvalError;
use crate::verify::rows::{Row, Rows, Speaker};

/// Rows of a file: all of them are compared with every task.
const ROWS_MAX: usize = 100_000;

/// A conversation that solved its task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solved {
    /// Its name; empty if it has none.
    pub id: String,
    /// The task it solved, where it says so.
    pub task: Option<String>,
    /// The form of its actions.
    pub format: ActionFormat,
    /// What was said, without the system message: user and assistant in turn, the assistant last.
    pub messages: Vec<Message>,
}

/// What is known of a row besides its conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct About {
    provenance: Option<Provenance>,
}

/// As `codeact-eval collect` writes it. Other programs may say other things.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Provenance {
    task: Option<String>,
    verdict: Option<String>,
    action_format: Option<String>,
}

/// The conversations of a file that solved their task, and the SHA-256 of the file, in base 16.
///
/// A conversation did when its `provenance` says that it is `right`, or where nothing is said, when it ends with a
/// `<solution>`: whoever made the data vouches for that.
///
/// # Errors
/// When the file cannot be read, a line is no conversation, or there are too many.
pub fn solved_rows(path: &Path) -> Result<(Vec<Solved>, String), EvalError> {
    let rows = Rows::open(path)?;
    if rows.count() > ROWS_MAX {
        let what = format!("`{}` has {} rows, which is more than {ROWS_MAX}", path.display(), rows.count());
        return Err(EvalError::Options(format!("{what}\nhint: give a part of it")));
    }
    let mut solved = Vec::new();
    for index in 0..rows.count() {
        let fault = |what: String| EvalError::Line { path: path.to_owned(), line: rows.line(index), what };
        let row = rows.row(index)?.map_err(fault)?;
        let about = serde_json::from_slice::<About>(&rows.bytes(index)?);
        let said =
            |error: serde_json::Error| error.to_string().split(" at line ").next().unwrap_or_default().to_owned();
        let about = about.map_err(|error| fault(format!("its `provenance` is none: {}", said(error))))?;
        solved.extend(one(row, about.provenance.unwrap_or_default()));
    }
    // What was hashed is what was read.
    rows.check_unchanged()?;
    Ok((solved, rows.digest))
}

/// The row, if it solved its task in a form of action that is known.
fn one(row: Row, Provenance { task, verdict, action_format }: Provenance) -> Option<Solved> {
    let format = action_format.map_or(Some(ActionFormat::Code), |name| ActionFormat::named(&name))?;
    let mut messages: Vec<Message> = Vec::new();
    for (index, (speaker, content)) in row.messages.into_iter().enumerate() {
        let message = match speaker {
            Speaker::System if index == 0 => continue,
            Speaker::System => return None,
            Speaker::User | Speaker::Output => Message::user(content),
            Speaker::Assistant => Message::assistant(content),
        };
        // Chat templates want the two in turn, the user first.
        let is_turn = (messages.len().is_multiple_of(2)) == (speaker != Speaker::Assistant);
        messages.push(is_turn.then_some(message)?);
    }
    let last = messages.last().filter(|_| messages.len().is_multiple_of(2))?;
    let is_right = match verdict {
        Some(verdict) => verdict == "right",
        None => {
            let mut parser = ActionParser::new(format);
            parser.push(&last.content);
            parser.finish();
            matches!(parser.action(), Some(Action::Solution(_)))
        }
    };
    is_right.then_some(Solved { id: row.id, task, format, messages })
}
