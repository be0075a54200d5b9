//! Running cells again where a state could not be kept, and replacing an interpreter that is gone.

use super::history::{Point, Step};
use super::yard::FIRST_LINE;
use super::{Session, define_tools, lock, open_best};
use crate::cell::{Cell, CellEnd, State};
use crate::journal;
use crate::{SandboxError, interpreter};
use std::sync::{Arc, Mutex};

/// What running a cell again came to.
pub(super) struct Again {
    pub end: CellEnd,
    /// Whether the variables of cells before it are gone, or its own.
    pub was_lost: bool,
    pub difference: Option<String>,
}

impl Session {
    /// Whether the session's processes had to be replaced, so that variables are gone.
    pub(super) fn replace_if_dead(&mut self) -> Result<bool, SandboxError> {
        let is_dead = lock(&self.yard).jail.link.is_closed();
        if is_dead {
            self.lose()?;
        }
        Ok(is_dead)
    }

    /// Go on with new processes, and keep in mind that the variables of earlier cells are gone.
    pub(super) fn lose(&mut self) -> Result<(), SandboxError> {
        self.replace()?;
        // A cell that is run again has been written down, with the state that it found the first time.
        if self.earlier.is_none() {
            self.begin_anew();
        }
        Ok(())
    }

    /// Go on with new processes. The files stay; variables and the points of undo are gone.
    pub(super) fn replace(&mut self) -> Result<(), SandboxError> {
        let interpreter = interpreter::find(&self.policy.python)?;
        let (mut fresh, protection) = open_best(&self.policy, &interpreter)?;
        define_tools(&mut fresh, &self.policy)?;
        self.unrestored = match self.policy.workspace {
            // What ran may still hold the old ones, as the first process of a branch beside this one.
            None => lock(&self.yard).hand_files_over(None, &mut fresh).err(),
            Some(_) => None,
        };
        let fresh = Arc::new(Mutex::new(fresh));
        let old = std::mem::replace(&mut self.yard, fresh.clone());
        lock(&old).abandon(self.line, self.entry);
        for step in &mut self.steps {
            step.before = Point::default();
        }
        (self.line, self.entry, self.tip) = (FIRST_LINE, FIRST_LINE, Point::default());
        self.protection = protection;
        self.save(&mut lock(&fresh));
        Ok(())
    }

    /// Run the session's cells again in a fresh interpreter, and bring the files to where they were at `point`.
    ///
    /// Returns how the cells ended differently from the first time, and which files did not come back.
    pub(super) fn replay(&mut self, point: &Point) -> Result<Vec<String>, SandboxError> {
        let old = self.yard.clone();
        let steps = std::mem::take(&mut self.steps);
        self.replace()?;
        self.unrestored = None; // each cell is given the files of its own time
        let mut differences = self.run_again(steps, &old)?;
        differences.extend(self.bring_files(&old, point).err().map(|reason| format!("files: {reason}")));
        Ok(differences)
    }

    /// Run `steps` from the newest loss of variables on, each with the files of the first time. A folder of the host is
    /// left as it is.
    ///
    /// Every cell counts afterwards as it did before, whatever it came to this time.
    pub(super) fn run_again(
        &mut self,
        steps: Vec<Step>,
        old: &Arc<Mutex<super::Yard>>,
    ) -> Result<Vec<String>, SandboxError> {
        let first = self.losses.last().copied().unwrap_or(0);
        let mut differences = Vec::new();
        let mut is_interrupted = false;
        for (index, step) in steps.into_iter().enumerate() {
            let number = index + 1;
            if index < first || is_interrupted {
                differences.extend(is_interrupted.then(|| format!("cell {number}: it was not run again")));
                self.steps.push(Step { before: Point::default(), ..step });
                continue;
            }
            if self.policy.workspace.is_none() && step.before.snapshot.is_some() {
                let files = self.bring_files(old, &step.before);
                differences.extend(files.err().map(|reason| format!("files before cell {number}: {reason}")));
            }
            let again = self.run_step_again(step)?;
            differences.extend(again.difference.map(|difference| format!("cell {number}: {difference}")));
            is_interrupted = again.end == CellEnd::Interrupted;
        }
        Ok(differences)
    }

    /// Run the cell of `step` again: how it ended, and what came out differently.
    pub(super) fn run_step_again(&mut self, step: Step) -> Result<Again, SandboxError> {
        let (mut cell, mut effect) = self.run_record_again(&step)?;
        if (cell.end, effect) == (CellEnd::Exited, State::RolledBack) {
            // The first time it went through: what ended it now came from outside.
            (cell, effect) = self.run_record_again(&step)?;
        }
        let difference = journal::differences(&step.record, &cell.record(&step.record.code));
        match self.steps.last_mut().filter(|_| effect == State::Kept) {
            Some(ran) => ran.sequence = step.sequence,
            None => self.steps.push(Step { before: Point::default(), ..step }),
        }
        Ok(Again { end: cell.end, was_lost: cell.state == State::Lost, difference })
    }

    fn run_record_again(&mut self, step: &Step) -> Result<(Cell, State), SandboxError> {
        // Tools are not called again: their results are those of the first time.
        self.earlier = Some(step.calls.to_vec());
        let ran = self.run_cell(&step.record.code, &mut |_| {});
        self.earlier = None;
        ran
    }

    /// Make the files what they were at `point` of another session.
    pub(super) fn bring_files(&self, old: &Arc<Mutex<super::Yard>>, point: &Point) -> Result<(), String> {
        lock(old).hand_files_over(Some(point.files()?), &mut lock(&self.yard))
    }
}
