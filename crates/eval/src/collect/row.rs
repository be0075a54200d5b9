//! What is written: conversations in CodeActInstruct's schema, with where each comes from and under which terms.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use codeact_chat::Message;
use serde::{Deserialize, Serialize};

use super::pick;
use crate::EvalError;
use crate::measure::Actions;
use crate::verify::Verdict;

/// A line of the collected data. Trainers that know CodeActInstruct's two keys ignore the others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `collected/SUITE/TASK/TEACHER/SAMPLE`.
    pub id: String,
    /// The conversation.
    pub conversations: Vec<Message>,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Under which terms the tasks may be used; empty where nobody said.
    pub licence: String,
}

/// Where a conversation comes from: enough to make the same attempt again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The suite.
    pub suite: String,
    /// The task.
    pub task: String,
    /// Its family.
    pub family: String,
    /// Who was asked: a model's folder, file or name, or an address and the name there.
    pub teacher: String,
    /// The adapter on top of it.
    pub adapter: Option<String>,
    /// Which attempt, from 0.
    pub sample: u32,
    /// What its tokens were drawn with.
    pub seed: u64,
    /// Sampling temperature.
    pub temperature: f64,
    /// Form of the actions.
    pub action_format: String,
    /// Replies of the model.
    pub replies: usize,
    /// Its actions.
    pub actions: Actions,
    /// `right` or `wrong`, as the grader says.
    pub verdict: String,
    /// What running the code again said; `None` where it was not.
    pub verified: Option<Verdict>,
    /// The program that wrote it.
    pub program: String,
}

/// The name of a row, `contestant` being what the teacher is called in the records.
pub fn id(provenance: &Provenance, contestant: &str) -> String {
    format!("collected/{}/{}/{contestant}/{}", provenance.suite, provenance.task, provenance.sample)
}

/// Writes a line for each row, beside `path`, and renames. Returns how many there are.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, rows: impl IntoIterator<Item = impl Serialize>) -> Result<usize, EvalError> {
    let failed = |source| EvalError::Write { path: path.to_owned(), source };
    let partial = crate::written::partial_path(path);
    let mut writer = BufWriter::new(File::create(&partial).map_err(failed)?);
    let mut count = 0;
    for row in rows {
        count += 1;
        let mut line = serde_json::to_vec(&row).expect("rows have only text keys and finite numbers");
        line.push(b'\n');
        writer.write_all(&line).map_err(failed)?;
    }
    let synced = writer.into_inner().map_err(|error| failed(error.into_error()))?.sync_all();
    synced.and_then(|()| std::fs::rename(&partial, path)).map_err(failed)?;
    Ok(count)
}

/// What the rows of an earlier collection have in common with any that are the same; see [`pick::key`].
///
/// # Errors
/// When the file cannot be read, or a line is none of ours.
pub fn keys(path: &Path) -> Result<Vec<String>, EvalError> {
    let failed = |source| EvalError::Read { path: path.to_owned(), source };
    let reader = BufReader::new(File::open(path).map_err(failed)?);
    let mut keys = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        let line = line.map_err(failed)?;
        if line.trim().is_empty() {
            continue;
        }
        let row: Row = serde_json::from_str(&line).map_err(|error| EvalError::Line {
            path: path.to_owned(),
            line: index + 1,
            what: format!("column {}: no collected conversation", error.column()),
        })?;
        keys.push(pick::key(&row.conversations));
    }
    Ok(keys)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn row(task: &str, prompt: &str) -> Row {
        let conversations = vec![
            Message::user(prompt),
            Message::assistant("<execute>\n1\n</execute>"),
            Message::user("Observation:\n1"),
            Message::assistant("<solution>1</solution>"),
        ];
        let provenance = Provenance {
            suite: "s".to_owned(),
            task: task.to_owned(),
            family: "f".to_owned(),
            teacher: "m".to_owned(),
            adapter: None,
            sample: 0,
            seed: 1,
            temperature: 0.5,
            action_format: "code".to_owned(),
            replies: 2,
            actions: Actions::default(),
            verdict: "right".to_owned(),
            verified: Some(Verdict::Reproduced),
            program: "p".to_owned(),
        };
        Row { id: format!("collected/s/{task}/m/0"), conversations, provenance, licence: "MIT".to_owned() }
    }

    #[test]
    fn what_was_written_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        let rows = [row("a", "p"), row("b", "q")];
        write(&path, &rows).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(
            text.starts_with(r#"{"id":"collected/s/a/m/0","conversations":[{"role":"user","content":"p"}"#),
            "{text}"
        );
        assert!(
            text.lines().all(|line| line.contains(r#""licence":"MIT""#) && line.contains(r#""verified":"reproduced""#))
        );
        assert_eq!(keys(&path).unwrap(), rows.map(|row| pick::key(&row.conversations)));
        std::fs::write(&path, text + "{\"id\":1}\n").unwrap();
        let error = keys(&path).unwrap_err();
        assert!(error.to_string().contains("line 3") && error.is_bad_input(), "{error}");
    }
}
