//! Sessions that outlive the host: everything that happened is written down, and run again after a crash.

use super::history::{Point, Step};
use super::{Session, lock};
use crate::cell::{Cell, State};
use crate::journal::{Cut, Entry, Journal, JournalError, Record, RecordedCell, RecordedDisplay, Step as Replay, steps};
use crate::tools::Call;
use crate::workspace::{EntryKind, SnapshotId};
use crate::{Policy, SandboxError};
use std::io::{BufReader, Read};
use std::path::Path;

/// Changed paths that are recorded of one cell.
const CHANGES_MAX: usize = 1000;
/// Files that are recorded when variables are lost and files are not.
const FILES_MAX: usize = 1000;

/// How often a session is brought back from the start when its Python is killed on the way.
const ATTEMPTS: usize = 3;

/// How a session came back.
#[derive(Debug)]
pub struct Recovery {
    /// Cells that were run again.
    pub cells: usize,
    /// What came out differently, or could not be put back.
    pub differences: Vec<String>,
    /// What a crash cut off the journal.
    pub cut: Option<Cut>,
}

impl Session {
    /// Start a session whose events are written down in `folder`, which is new or empty: code and output as they are,
    /// secrets in them included.
    ///
    /// # Errors
    /// As [`Session::start`], and when the folder cannot be used.
    pub fn start_recorded(policy: &Policy, folder: &Path) -> Result<Session, SandboxError> {
        let mut session = Session::start(policy)?;
        session.journal = Some(Journal::create(folder).map_err(SandboxError::Journal)?);
        session.note(&session.beginning())?;
        Ok(session)
    }

    /// Bring a recorded session back in fresh processes: its uploads and cells are run again, and it goes on being
    /// recorded.
    ///
    /// # Errors
    /// As [`Session::start`], and when the journal cannot be read or does not make sense.
    pub fn restore(policy: &Policy, folder: &Path) -> Result<(Session, Recovery), SandboxError> {
        let (journal, records, cut) = Journal::open(folder).map_err(SandboxError::Journal)?;
        let replay = steps(&records).map_err(SandboxError::Replay)?;
        let mut attempts = 1..=ATTEMPTS;
        let (mut session, mut recovery) = loop {
            let is_last = attempts.next() == Some(ATTEMPTS);
            let mut session = Session::start(policy)?;
            let mut recovery = Recovery { cells: 0, differences: Vec::new(), cut };
            // A Python that is killed meanwhile would leave half of the variables.
            if session.run_steps(&replay, &journal, &mut recovery)? || is_last {
                break (session, recovery);
            }
        };
        if policy.workspace.is_none() {
            recovery.differences.extend(left_behind(&records));
        }
        session.journal = Some(journal);
        session.note(&Entry::Restored { differences: recovery.differences.clone() })?;
        Ok((session, recovery))
    }

    /// What variables were lost of: only an undo that goes back to it runs it again.
    fn count_step(&mut self, step: Replay<'_>, journal: &Journal, recovery: &mut Recovery) {
        match step {
            Replay::Anew => self.losses.push(self.steps.len()),
            Replay::Cell { sequence, cell } => {
                let step = self.read_step(sequence, cell, journal, recovery);
                self.steps.push(step);
            }
            Replay::Upload { .. } | Replay::Remove { .. } => {}
        }
    }

    /// Do all of it again. Whether no variables were lost meanwhile.
    fn run_steps(
        &mut self,
        replay: &[Replay<'_>],
        journal: &Journal,
        recovery: &mut Recovery,
    ) -> Result<bool, SandboxError> {
        let alive = replay.iter().rposition(|step| *step == Replay::Anew).map_or(0, |index| index + 1);
        for step in &replay[..alive] {
            self.count_step(*step, journal, recovery);
        }
        let mut is_whole = true;
        for step in &replay[alive..] {
            is_whole &= !self.run_step(*step, journal, recovery)?;
        }
        Ok(is_whole)
    }

    /// Whether variables were lost.
    fn run_step(&mut self, step: Replay<'_>, journal: &Journal, recovery: &mut Recovery) -> Result<bool, SandboxError> {
        match step {
            Replay::Anew => {}
            Replay::Upload { path, blob, .. } => {
                let content = journal.blob(blob).map_err(|error| error.to_string());
                let written = content.and_then(|mut content| {
                    self.files().write(path, &mut content, u64::MAX).map_err(|error| error.to_string())
                });
                recovery.differences.extend(written.err().map(|error| format!("upload of `{path}`: {error}")));
            }
            Replay::Remove { path } => {
                let removed = self.files().remove(path).map_err(|error| error.to_string());
                recovery.differences.extend(removed.err().map(|error| format!("removal of `{path}`: {error}")));
            }
            Replay::Cell { sequence, cell } => {
                recovery.cells += 1;
                let step = self.read_step(sequence, cell, journal, recovery);
                let again = self.run_step_again(step)?;
                let told = again.difference.map(|difference| format!("cell {}: {difference}", self.steps.len()));
                recovery.differences.extend(told);
                return Ok(again.was_lost);
            }
        }
        Ok(false)
    }

    /// A cell as it was recorded, with the calls of tools that it made.
    fn read_step(&self, sequence: u64, cell: &RecordedCell, journal: &Journal, recovery: &mut Recovery) -> Step {
        let calls = calls_of(cell, journal).unwrap_or_else(|error| {
            let number = self.steps.len() + 1;
            recovery.differences.push(format!("results of tools of cell {number}: {error}"));
            Vec::new()
        });
        Step { record: cell.clone(), before: Point::default(), calls: calls.into(), sequence: Some(sequence) }
    }

    /// Put a file into the workspace, of at most `bytes_max` bytes, and write that down. Returns its size.
    ///
    /// # Errors
    /// When the path or the content is refused, or the journal does not take it.
    pub fn upload(&mut self, path: &str, content: &mut dyn Read, bytes_max: u64) -> Result<u64, SandboxError> {
        self.attend()?;
        let files = self.files();
        let Some(journal) = &mut self.journal else {
            return files.write(path, content, bytes_max).map_err(SandboxError::File);
        };
        let blob = journal.put_blob(&mut content.take(bytes_max.saturating_add(1))).map_err(SandboxError::Journal)?;
        let mut kept = journal.blob(&blob).map_err(SandboxError::Journal)?;
        let bytes = files.write(path, &mut kept, bytes_max).map_err(SandboxError::File)?;
        self.note(&Entry::Uploaded { path: path.to_string(), blob, bytes })?;
        Ok(bytes)
    }

    /// Remove a file, or a folder with all that is in it, from the workspace, and write that down.
    ///
    /// # Errors
    /// When there is nothing, or the journal does not take it.
    pub fn remove(&mut self, path: &str) -> Result<(), SandboxError> {
        self.attend()?;
        self.files().remove(path).map_err(SandboxError::File)?;
        self.note(&Entry::Removed { path: path.to_string() })
    }

    /// Write down that the session ended on purpose. It can still be restored.
    ///
    /// # Errors
    /// When the journal does not take it.
    pub fn end(mut self) -> Result<(), SandboxError> {
        self.note(&Entry::Ended)
    }

    /// As [`Session::branch`], with a journal for the branch in `folder`: what both share, and then its own.
    ///
    /// # Errors
    /// As there, and when this session is not recorded or the folder cannot be used.
    pub fn branch_recorded(&mut self, at: usize, folder: &Path) -> Result<(Session, super::Restored), SandboxError> {
        let (mut branch, how) = self.branch(at)?;
        let Some(journal) = &mut self.journal else {
            return Err(SandboxError::NotRecorded);
        };
        // Up to the event before the cell, or to the newest one.
        let end = self.steps.get(at).and_then(|step| step.sequence).map(|sequence| sequence.saturating_sub(1));
        let (copy, last) = journal.branch(end, folder).map_err(SandboxError::Journal)?;
        branch.journal = Some(copy);
        let into = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.note(&Entry::Branched { at: last, into })?;
        Ok((branch, how))
    }

    /// Write an event down, if this session is recorded.
    pub(super) fn note(&mut self, entry: &Entry) -> Result<(), SandboxError> {
        match &mut self.journal {
            Some(journal) => journal.append(entry).map(drop).map_err(SandboxError::Journal),
            None => Ok(()),
        }
    }

    fn beginning(&self) -> Entry {
        let Policy { imports, limits, network, .. } = &self.policy;
        let policy = serde_json::json!({ "limits": format!("{limits:?}"), "network": format!("{network:?}") });
        Entry::Started { python: self.python_version(), imports: imports.clone(), policy }
    }

    /// Write a cell down. What the journal does not take is told before the next cell: this one has been run.
    pub(super) fn write_down(&mut self, cell: &Cell, effect: State, code: &str) {
        let Some(mut journal) = self.journal.take() else { return };
        let mut record = cell.record(code);
        record.rolled_back = effect != State::Kept;
        if effect == State::Kept {
            record.files_changed = self.changed_since(self.steps.last().and_then(|step| step.before.snapshot));
        }
        let kept = keep_blobs(&mut journal, cell, &mut record);
        let written = kept.and_then(|()| journal.append(&Entry::Cell(record)));
        self.journal = Some(journal);
        match written {
            Ok(sequence) if effect == State::Kept => {
                if let Some(step) = self.steps.last_mut() {
                    step.sequence = Some(sequence);
                }
            }
            Ok(_) => {}
            Err(error) => self.unwritten = Some(error),
        }
    }

    /// Variables are gone and files are not: the journal begins again, with the files.
    pub(super) fn begin_anew(&mut self) {
        self.losses.push(self.steps.len());
        if let Err(SandboxError::Journal(error)) = self.note_beginning() {
            self.unwritten = Some(error);
        }
    }

    fn note_beginning(&mut self) -> Result<(), SandboxError> {
        if self.journal.is_none() {
            return Ok(());
        }
        self.note(&self.beginning())?;
        let files = self.files();
        let mut folders = vec![String::new()];
        let mut left = FILES_MAX;
        while let Some(folder) = folders.pop() {
            let entries = files.list(&folder, left).map(|listing| listing.entries).unwrap_or_default();
            for entry in entries {
                let path = entry.path;
                left = left.saturating_sub(1);
                match entry.kind {
                    EntryKind::Folder => folders.push(path),
                    EntryKind::File => {
                        // One that cannot be read now is missing after a restore, which then says so.
                        let Ok(mut content) = files.open(&path) else { continue };
                        let Some(journal) = &mut self.journal else { return Ok(()) };
                        let blob =
                            journal.put_blob(&mut (&mut content).take(entry.bytes)).map_err(SandboxError::Journal)?;
                        self.note(&Entry::Uploaded { path, blob, bytes: entry.bytes })?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn changed_since(&mut self, before: Option<SnapshotId>) -> Vec<String> {
        let mut yard = lock(&self.yard);
        let after = yard.take_snapshot().ok();
        let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
        let changes = yard.changes(before, after, CHANGES_MAX);
        yard.forget_snapshot(after);
        changes
    }
}

/// Cells that are not run again, though their files stayed when their variables went back.
fn left_behind(records: &[Record]) -> Vec<String> {
    let begins = |record: &Record| matches!(record.entry, Entry::Started { .. });
    let start = records.iter().rposition(begins).unwrap_or(0);
    let reason = |record: &Record| match &record.entry {
        Entry::Cell(cell) if cell.rolled_back => cell.unrestored.clone(),
        _ => None,
    };
    let told = |reason| format!("files that a cell changed which had to be killed are missing: {reason}");
    records[start..].iter().filter_map(reason).map(told).collect()
}

/// The calls of tools that a cell made the first time.
fn calls_of(cell: &RecordedCell, journal: &Journal) -> Result<Vec<Call>, String> {
    let Some(blob) = &cell.calls else { return Ok(Vec::new()) };
    let content = journal.blob(blob).map_err(|error| error.to_string())?;
    serde_json::from_reader(BufReader::new(content)).map_err(|error| error.to_string())
}

/// Keep figures, calls of tools, and output that is too long for a line, beside the journal.
fn keep_blobs(journal: &mut Journal, cell: &Cell, record: &mut RecordedCell) -> Result<(), JournalError> {
    if let Some(mut file) = cell.full_output.as_ref().and_then(|path| std::fs::File::open(path).ok()) {
        record.full_output = Some(journal.put_blob(&mut file)?);
    }
    if !cell.calls.is_empty() {
        let text = serde_json::to_vec(&cell.calls).map_err(|source| JournalError::Json { source })?;
        record.calls = Some(journal.put_blob(&mut text.as_slice())?);
    }
    for (mime, mut bytes) in cell.displays.iter().chain([&cell.value]).flat_map(crate::Bundle::iter) {
        if mime != "text/plain" {
            record.displays.push(RecordedDisplay { mime: mime.to_string(), blob: journal.put_blob(&mut bytes)? });
        }
    }
    Ok(())
}
