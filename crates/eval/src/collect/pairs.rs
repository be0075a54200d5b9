//! Preference pairs: what is kept of a task, each beside each attempt at it that failed.

use std::collections::HashMap;
use std::path::Path;

use codeact_chat::Message;
use codeact_data::prompt_of;
use serde::Serialize;

use super::row::{self, Provenance, Row};
use crate::EvalError;

/// A line of the pairs: two conversations that begin with the same prompt, as trainers of preferences take them.
#[derive(Debug, Serialize)]
struct Pair<'a> {
    /// Both rows' ids.
    id: String,
    chosen: &'a [Message],
    rejected: &'a [Message],
    chosen_provenance: &'a Provenance,
    rejected_provenance: &'a Provenance,
    licence: &'a str,
}

/// Writes a line for each pair, in the order of what is kept, and returns how many there are. Attempts that were asked
/// with other words are no pair.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn write(path: &Path, kept: &[Row], failures: &[Row]) -> Result<usize, EvalError> {
    let mut failed: HashMap<(&str, &str), Vec<&Row>> = HashMap::new();
    for row in failures {
        failed.entry(task(row)).or_default().push(row);
    }
    let pairs = kept.iter().flat_map(|chosen| {
        let failed = failed.get(&task(chosen)).into_iter().flatten();
        let alike =
            failed.filter(move |rejected| prompt_of(&rejected.conversations) == prompt_of(&chosen.conversations));
        alike.map(move |rejected| Pair {
            id: format!("{} over {}", chosen.id, rejected.id),
            chosen: &chosen.conversations,
            rejected: &rejected.conversations,
            chosen_provenance: &chosen.provenance,
            rejected_provenance: &rejected.provenance,
            licence: &chosen.licence,
        })
    });
    row::write(path, pairs)
}

fn task(row: &Row) -> (&str, &str) {
    (&row.provenance.suite, &row.provenance.task)
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    #[test]
    fn each_success_meets_each_failure_of_its_task_that_began_alike() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pairs.jsonl");
        let numbered = |task: &str, prompt: &str, sample: u32| {
            let mut row = row(task, prompt);
            row.id = format!("{task}/{sample}");
            row
        };
        let kept = [numbered("a", "p", 0), numbered("a", "p", 1), numbered("b", "q", 0)];
        let failures = [numbered("a", "p", 2), numbered("a", "p", 3), numbered("a", "other", 4), numbered("c", "r", 5)];
        assert_eq!(write(&path, &kept, &failures).unwrap(), 4);
        let text = std::fs::read_to_string(&path).unwrap();
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let ids: Vec<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["a/0 over a/2", "a/0 over a/3", "a/1 over a/2", "a/1 over a/3"]);
        assert_eq!(rows[0]["chosen"][0], serde_json::json!({"role": "user", "content": "p"}));
        assert_eq!(rows[0]["rejected"].as_array().unwrap().len(), 4);
        assert_eq!(rows[0]["licence"], "MIT");
    }
}
