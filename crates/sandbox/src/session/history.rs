//! Undo and branch: the points between cells, and the ways back to them.

use super::{Session, lock};
use crate::SandboxError;
use crate::journal::{Entry, RecordedCell};
use crate::tools::Call;
use crate::wire::fields::{Fields, Writer};
use crate::workspace::SnapshotId;
use std::sync::Arc;

/// The state between two cells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Point {
    /// The interpreter, as the id of a checkpoint.
    pub checkpoint: Option<u64>,
    /// The files.
    pub snapshot: Option<SnapshotId>,
    /// Why going back here means to run the cells again.
    pub unclean: Option<String>,
    /// Why there are no files, if they never were kept.
    pub unkept: Option<String>,
}

/// A cell that had its effect, or a loss of all variables, and the point before it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// `None` for a loss. It counts as a cell, so that a state before it and one behind it have different numbers.
    pub record: Option<RecordedCell>,
    pub before: Point,
    /// Calls of tools that it made.
    pub calls: Arc<[Call]>,
    /// Its place in the journal, if there is one.
    pub sequence: Option<u64>,
}

/// How an earlier state came back.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Restored {
    /// The interpreter itself, and the files, as they were.
    Resumed,
    /// The interpreter itself, but not the files, or not all of them.
    WithoutFiles {
        /// Why not.
        reason: String,
    },
    /// The cells were run again in a fresh interpreter.
    Replayed {
        /// Why the interpreter itself could not be kept.
        reason: String,
        /// Cells that ended in another way than the first time, and files that could not be brought back.
        differences: Vec<String>,
    },
}

impl Restored {
    /// The interpreter is there; the files are unless there is a reason.
    fn resumed(unrestored: Option<String>) -> Restored {
        unrestored.map_or(Restored::Resumed, |reason| Restored::WithoutFiles { reason })
    }
}

impl Point {
    /// The snapshot, or why there is none.
    pub(super) fn files(&self) -> Result<SnapshotId, String> {
        let given_up = || "the copies of its files were given up".to_string();
        self.snapshot.ok_or_else(|| self.unkept.clone().unwrap_or_else(given_up))
    }

    fn reason(&self) -> String {
        self.unclean.clone().unwrap_or_else(|| "its checkpoint was given up".to_string())
    }

    /// From what the interpreter said about its fork.
    pub(super) fn saved(id: u64, payload: &[u8]) -> Point {
        let fields = Fields::parse(payload).unwrap_or_default();
        let threads = fields.text("threads").filter(|names| !names.is_empty());
        let unclean = match (fields.text("error"), threads, fields.number("native_threads")) {
            (Some(error), _, _) => Some(format!("the interpreter could not be copied: {error}")),
            (None, Some(names), _) => Some(format!("threads were running: {}", names.replace('\n', ", "))),
            (None, None, Some(count)) if count > 0 => Some(format!("{count} threads of a library were running")),
            _ => None,
        };
        Point { checkpoint: unclean.is_none().then_some(id), unclean, ..Point::default() }
    }
}

impl Session {
    /// Cells that can be undone. A loss of all variables counts as one: undone, the cells before it are run again.
    pub fn cells(&self) -> usize {
        self.steps.len()
    }

    /// Files of the workspace that undo does not bring back, each with the reason; `paths_max` at most.
    pub fn files_without_undo(&mut self, paths_max: usize) -> Vec<String> {
        lock(&self.yard).uncovered(paths_max)
    }

    /// Take the last `count` cells back: variables, imports and files are as before them, those of a folder of the host
    /// included.
    ///
    /// # Errors
    /// When there are fewer cells, or when the cells had to be run again and no interpreter started.
    pub fn undo(&mut self, count: usize) -> Result<Restored, SandboxError> {
        let at = self
            .steps
            .len()
            .checked_sub(count)
            .ok_or(SandboxError::NoSuchCell { at: count, count: self.steps.len() })?;
        if count == 0 {
            return Ok(Restored::Resumed);
        }
        let yard = self.yard.clone();
        let mut yard = lock(&yard);
        let is_dead = yard.jail.link.is_closed();
        if !is_dead {
            self.activate(&mut yard)?;
            self.hear_of_point(&mut yard, &mut |_| {}); // to be given up below
        }
        self.note(&Entry::Undone { cells: count as u64 })?;
        let point = self.steps[at].before.clone();
        let removed: Vec<Step> = self.steps.drain(at..).collect();
        let resumed = match point.checkpoint {
            _ if is_dead => Err("its processes are gone".to_string()),
            Some(id) => yard.command(b'U', Writer::default().number("id", id)).map(|_| yard.costs.gone(id)),
            None => Err(point.reason()),
        };
        for step in removed.iter().skip(1) {
            yard.forget(&step.before);
        }
        yard.forget(&self.tip.clone());
        let resumed = resumed.and_then(|()| {
            let unrestored = yard.restore(&point).err();
            yard.wake().map(|()| unrestored)
        });
        match resumed {
            Ok(unrestored) => {
                self.unrestored = None;
                self.tip = point;
                self.save(&mut yard);
                Ok(Restored::resumed(unrestored))
            }
            Err(reason) => {
                drop(yard); // which goes on if it has branches
                let differences = self.replay(&point)?;
                Ok(Restored::Replayed { reason, differences })
            }
        }
    }

    /// A second session that goes on from the point before cell `at` (0: the start; [`Session::cells`]: now), while
    /// this one stays as it is. The two take turns: they share process ids, limits and the place of the workspace.
    ///
    /// # Errors
    /// When there is no such cell, or when the cells had to be run again and no interpreter started.
    pub fn branch(&mut self, at: usize) -> Result<(Session, Restored), SandboxError> {
        if at > self.steps.len() {
            return Err(SandboxError::NoSuchCell { at, count: self.steps.len() });
        }
        let shared = self.yard.clone();
        let mut yard = lock(&shared);
        self.activate(&mut yard)?;
        self.settle_point(&mut yard, &mut |_| {});
        let point = self.steps.get(at).map_or_else(|| self.tip.clone(), |step| step.before.clone());
        let id = yard.next_id();
        let copied = match point.checkpoint {
            Some(from) => {
                let copied = yard.command(b'B', Writer::default().number("id", id).number("from", from));
                copied.map(|payload| yard.costs.made(id, &payload))
            }
            None => Err(point.reason()),
        };
        let mut steps = self.steps[..at].to_vec();
        match copied {
            Ok(()) => {
                let unrestored = yard.park_new(id, &point).err();
                drop(yard);
                let mut branch = self.beside(id)?;
                // The way back beyond the branching point belongs to this session.
                steps.iter_mut().for_each(|step| step.before = Point::default());
                branch.steps = steps;
                Ok((branch, Restored::resumed(unrestored)))
            }
            Err(reason) => {
                drop(yard);
                let mut branch = Session::start(&self.policy)?;
                let mut differences = branch.run_again(steps, &shared)?;
                let files = match self.policy.workspace {
                    None => branch.bring_files(&shared, &point),
                    Some(_) => Err(super::LEFT_ALONE.to_string()),
                };
                differences.extend(files.err().map(|reason| format!("files: {reason}")));
                Ok((branch, Restored::Replayed { reason, differences }))
            }
        }
    }
}
