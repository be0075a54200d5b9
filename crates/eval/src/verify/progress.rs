//! What is done so far, on the disk: a run that was killed goes on where it was.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::replay::RowReport;
use crate::EvalError;

/// Everything that a result depends on. What differs makes another run.
pub type Identity = BTreeMap<String, String>;

/// A file with a line for its run, and then one for each row that is done, in the order in which they were.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    file: Mutex<File>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    run: Identity,
}

impl Progress {
    /// Opens the progress of this run, or begins it. Returns what is done already, by line.
    ///
    /// A last line that was not written whole is taken off, and so is everything behind one that is damaged.
    ///
    /// # Errors
    /// When the file cannot be used, another process uses it, or it is of another run.
    pub fn open(
        path: &Path,
        identity: &Identity,
        restart: bool,
    ) -> Result<(Progress, BTreeMap<usize, RowReport>), EvalError> {
        let failed = |source| EvalError::Write { path: path.to_owned(), source };
        let refused = |reason| EvalError::Out { path: path.to_owned(), reason };
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = opened.map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EvalError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (head, done, kept) = read(&bytes);
        let (kept, done) = match head {
            Some(head) if !restart => {
                if head != *identity {
                    let what = differing(&head, identity);
                    return Err(EvalError::OtherRun { path: path.to_owned(), what });
                }
                (kept, done)
            }
            _ => (0, BTreeMap::new()),
        };
        file.set_len(kept as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let progress = Progress { path: path.to_owned(), file: Mutex::new(file) };
        if kept == 0 {
            progress.write(&Head { run: identity.clone() })?;
        }
        Ok((progress, done))
    }

    /// Writes down what came of a row.
    ///
    /// # Errors
    /// When the disk is full, and the like.
    pub fn add(&self, report: &RowReport) -> Result<(), EvalError> {
        self.write(report)
    }

    fn write(&self, line: &impl Serialize) -> Result<(), EvalError> {
        let mut bytes = serde_json::to_vec(line).expect("reports have only text keys and whole numbers");
        bytes.push(b'\n');
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.write_all(&bytes).map_err(|source| EvalError::Write { path: self.path.clone(), source })
    }

    /// Removes the file: everything is where it belongs.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn finish(self) -> Result<(), EvalError> {
        std::fs::remove_file(&self.path).map_err(|source| EvalError::Write { path: self.path.clone(), source })
    }
}

/// The head, the reports by line, and how many bytes of whole lines there are.
fn read(bytes: &[u8]) -> (Option<Identity>, BTreeMap<usize, RowReport>, usize) {
    let (mut head, mut done, mut kept) = (None, BTreeMap::new(), 0);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        if !line.ends_with(b"\n") {
            break;
        }
        if head.is_none() {
            let Ok(found) = serde_json::from_slice::<Head>(line) else { break };
            head = Some(found.run);
        } else {
            let Ok(report) = serde_json::from_slice::<RowReport>(line) else { break };
            done.insert(report.line, report);
        }
        kept += line.len();
    }
    (head, done, kept)
}

/// `seed (was 0, is 1), ...`.
fn differing(was: &Identity, is: &Identity) -> String {
    let mut keys: Vec<&String> = was.keys().chain(is.keys()).collect();
    keys.sort();
    keys.dedup();
    let shown = |run: &Identity, key: &String| run.get(key).map_or("nothing", String::as_str).to_owned();
    let differing = keys.into_iter().filter(|key| was.get(*key) != is.get(*key));
    let told: Vec<String> =
        differing.map(|key| format!("{key} (was {}, is {})", shown(was, key), shown(is, key))).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(seed: &str) -> Identity {
        BTreeMap::from([("data".to_owned(), "d".to_owned()), ("seed".to_owned(), seed.to_owned())])
    }

    fn open(path: &Path, seed: &str, restart: bool) -> Result<(Progress, BTreeMap<usize, RowReport>), EvalError> {
        Progress::open(path, &identity(seed), restart)
    }

    #[test]
    fn what_was_written_whole_is_there_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        let (progress, done) = open(&path, "1", false).unwrap();
        assert!(done.is_empty());
        for line in [3, 1] {
            progress.add(&RowReport::unreadable(line, "x".into())).unwrap();
        }
        assert!(matches!(open(&path, "1", false), Err(EvalError::Busy { .. })));
        drop(progress);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (progress, done) = open(&path, "1", false).unwrap();
            let lines = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            assert_eq!(done.len(), lines.saturating_sub(1));
            // It goes on behind the last whole line, whatever stood there.
            progress.add(&RowReport::unreadable(9, "y".into())).unwrap();
            drop(progress);
            let (_, done) = open(&path, "1", false).unwrap();
            assert!(done.contains_key(&9) && done.len() == lines.saturating_sub(1) + 1);
        }
    }

    #[test]
    fn another_run_is_refused_and_can_be_thrown_away() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("p");
        open(&path, "1", false).unwrap().0.add(&RowReport::unreadable(1, "x".into())).unwrap();
        let error = open(&path, "2", false).unwrap_err();
        assert!(error.to_string().contains("seed (was 1, is 2)") && error.is_bad_input(), "{error}");
        assert_eq!(open(&path, "1", false).unwrap().1.len(), 1);
        assert_eq!(open(&path, "2", true).unwrap().1.len(), 0);
        std::fs::write(&path, "{\"run\":{}}\nnonsense\n").unwrap();
        let error = open(&path, "1", false).unwrap_err().to_string();
        assert!(error.contains("data (was nothing, is d)"), "{error}");
    }
}
