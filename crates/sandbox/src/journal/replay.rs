//! What to run again so that a session is as it was.

use super::{Entry, Record, RecordedCell};

/// One thing to do again, in order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Step<'a> {
    /// All variables were lost, and the workspace is what the uploads behind this make of an empty one: what comes before
    /// is not done again, and its cells can still be taken back. The loss counts as a cell.
    Anew {
        /// Which event this was.
        sequence: u64,
    },
    /// Put a blob of the journal into the workspace.
    Upload {
        /// Which event this was.
        sequence: u64,
        /// Where, in the workspace.
        path: &'a str,
        /// What: see [`super::Journal::blob`].
        blob: &'a str,
    },
    /// Remove something from the workspace.
    Remove {
        /// What, in the workspace.
        path: &'a str,
    },
    /// Run a cell, and compare: see [`super::differences`].
    Cell {
        /// Which event this was.
        sequence: u64,
        /// The cell as it was recorded.
        cell: &'a RecordedCell,
    },
}

/// Events that cannot have happened in this order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// More cells were taken back than there were.
    #[error(
        "event {sequence} takes back {cells} cells, and there are {cells_there}\nhint: the journal is not complete; \
        start a new session"
    )]
    UndoneTooMany {
        /// The event.
        sequence: u64,
        /// How many it takes back.
        cells: u64,
        /// How many there are.
        cells_there: u64,
    },
    /// The first event is not the start of a session.
    #[error("the journal does not begin with the start of a session\nhint: start a new session")]
    NoStart,
}

/// The steps that lead from a fresh session to the state behind the last of `records`. For the state at an earlier
/// event, as for a branch, give the records up to it.
///
/// A cell that was rolled back had no effect and is left out. An undo goes back to the workspace before its oldest
/// cell, so that uploads since then are left out with it. Where variables were lost since then, so is that.
///
/// # Errors
/// When the events cannot have happened in this order.
pub fn steps(records: &[Record]) -> Result<Vec<Step<'_>>, ReplayError> {
    let mut steps = Vec::new();
    let first = match records.first() {
        None => return Ok(steps),
        Some(Record { entry: Entry::Started { .. }, sequence, .. }) => *sequence,
        Some(_) => return Err(ReplayError::NoStart),
    };
    for Record { sequence, entry, .. } in records {
        let sequence = *sequence;
        match entry {
            Entry::Started { .. } if sequence == first => {}
            Entry::Started { .. } => steps.push(Step::Anew { sequence }),
            Entry::Uploaded { path, blob, .. } => steps.push(Step::Upload { sequence, path, blob }),
            Entry::Removed { path } => steps.push(Step::Remove { path }),
            Entry::Cell(cell) if cell.rolled_back => {}
            Entry::Cell(cell) => steps.push(Step::Cell { sequence, cell }),
            Entry::Undone { cells } => {
                let kept = before_newest(&steps, *cells).map_err(|cells_there| ReplayError::UndoneTooMany {
                    sequence,
                    cells: *cells,
                    cells_there,
                })?;
                steps.truncate(kept);
            }
            Entry::Branched { .. } | Entry::Restored { .. } | Entry::Ended => {}
        }
    }
    Ok(steps)
}

/// How many steps there are before the newest `cells` cells and losses; the number of those if there are not as many.
fn before_newest(steps: &[Step<'_>], cells: u64) -> Result<usize, u64> {
    if cells == 0 {
        return Ok(steps.len());
    }
    let mut seen = 0;
    for (index, _) in
        steps.iter().enumerate().rev().filter(|(_, step)| matches!(step, Step::Cell { .. } | Step::Anew { .. }))
    {
        seen += 1;
        if seen == cells {
            return Ok(index);
        }
    }
    Err(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CellEnd;
    use crate::journal::Output;

    fn records(entries: Vec<Entry>) -> Vec<Record> {
        let start = Entry::Started { python: "3.11".into(), imports: Vec::new(), policy: serde_json::Value::Null };
        let entries = std::iter::once(start).chain(entries).enumerate();
        entries.map(|(index, entry)| Record { sequence: index as u64, milliseconds: 0, entry }).collect()
    }

    fn cell(code: &str, rolled_back: bool) -> Entry {
        Entry::Cell(RecordedCell {
            code: code.into(),
            end: CellEnd::Finished,
            stdout: Output::default(),
            stderr: Output::default(),
            value: None,
            error: None,
            rolled_back,
            unrestored: None,
            full_output: None,
            calls: None,
            displays: Vec::new(),
            files_changed: Vec::new(),
        })
    }

    fn upload(path: &str) -> Entry {
        Entry::Uploaded { path: path.into(), blob: "0".into(), bytes: 1 }
    }

    fn names(records: &[Record]) -> Vec<&str> {
        let name = |step: &Step<'_>| match step {
            Step::Anew { .. } => Some("ANEW"),
            Step::Remove { path } => records.iter().find_map(|record| match &record.entry {
                Entry::Removed { path: recorded } if recorded == path => Some(recorded.as_str()),
                _ => None,
            }),
            Step::Upload { path, .. } => records.iter().find_map(|record| match &record.entry {
                Entry::Uploaded { path: recorded, .. } if recorded == path => Some(recorded.as_str()),
                _ => None,
            }),
            Step::Cell { sequence, .. } => match &records[*sequence as usize].entry {
                Entry::Cell(cell) => Some(cell.code.as_str()),
                _ => None,
            },
        };
        steps(records).unwrap().iter().map(|step| name(step).unwrap()).collect()
    }

    #[test]
    fn cells_and_uploads_come_in_their_order() {
        let gone = Entry::Removed { path: "gone".into() };
        let all =
            records(vec![cell("a", false), upload("file"), cell("lost", true), gone, cell("b", false), Entry::Ended]);
        assert_eq!(names(&all), ["a", "file", "gone", "b"]);
        assert_eq!(names(&all[..2]), ["a"]);
        assert_eq!(names(&records(vec![])), [""; 0]);
        assert_eq!(steps(&[]), Ok(vec![]));
    }

    #[test]
    fn an_undo_takes_its_cells_and_what_came_after_them() {
        let all = records(vec![
            upload("one"),
            cell("a", false),
            cell("b", false),
            upload("two"),
            cell("lost", true),
            cell("c", false),
            Entry::Undone { cells: 2 },
            Entry::Branched { at: 7, into: "other".into() },
            cell("d", false),
            Entry::Undone { cells: 0 },
            Entry::Restored { differences: Vec::new() },
        ]);
        assert_eq!(names(&all), ["one", "a", "d"]);
        let again =
            records(vec![cell("a", false), cell("b", false), Entry::Undone { cells: 1 }, Entry::Undone { cells: 1 }]);
        assert_eq!(names(&again), [""; 0]);
    }

    #[test]
    fn a_second_start_begins_anew() {
        let again = || Entry::Started { python: "3.11".into(), imports: Vec::new(), policy: serde_json::Value::Null };
        let undone = |cells| Entry::Undone { cells };
        let all = records(vec![
            upload("one"),
            cell("a", false),
            cell("b", false),
            cell("dies", true),
            again(),
            upload("left"),
            cell("c", false),
            undone(1),
            undone(1),
            undone(1),
        ]);
        assert_eq!(names(&all[..8]), ["one", "a", "b", "ANEW", "left", "c"]);
        assert_eq!(names(&all[..9]), ["one", "a", "b", "ANEW", "left"], "the loss stays");
        assert_eq!(names(&all[..10]), ["one", "a", "b"], "the loss is taken back");
        assert_eq!(names(&all), ["one", "a"]);
    }

    #[test]
    fn what_cannot_have_happened_is_an_error() {
        let all = records(vec![cell("a", false), cell("lost", true), Entry::Undone { cells: 2 }]);
        assert_eq!(steps(&all), Err(ReplayError::UndoneTooMany { sequence: 3, cells: 2, cells_there: 1 }));
        let all = records(vec![cell("a", false), Entry::Undone { cells: u64::MAX }]);
        assert!(steps(&all).is_err());
        assert_eq!(steps(&records(vec![cell("a", false)])[1..]), Err(ReplayError::NoStart));
    }
}
