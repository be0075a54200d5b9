//! `results.jsonl`: a line for the run, and then one for each try as it ends, so that a run can go on after a kill.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::record::{Key, Record};
use crate::EvalError;

/// Name of the file in the folder of a run.
pub const RESULTS: &str = "results.jsonl";

/// Everything that a result depends on, by name. What differs makes another run.
pub type Identity = BTreeMap<String, String>;

/// A longer line is none of ours: transcripts are bounded by the context of a model.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    run: Identity,
}

/// What stands in a file of results.
#[derive(Debug, Default)]
pub struct Found {
    /// The first line; `None` where the file is empty or its first line was not written whole.
    pub identity: Option<Identity>,
    /// Records, in the order in which they ended.
    pub records: Vec<Record>,
    /// Bytes of all whole lines.
    pub whole_bytes: u64,
    /// Whether something stands behind them: a line that was being written when the run was killed, or is now.
    pub is_torn: bool,
    /// Transcripts that were left out.
    pub left_out: usize,
}

/// The file of a run that goes on.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// Whether a line may be there in part: what is written behind it would be lost with it.
    is_torn: bool,
}

impl Results {
    /// Opens the results of this run in `folder`, which is made if it is not there. Returns also what is done already,
    /// without transcripts. A last line that was not written whole is taken off.
    ///
    /// # Errors
    /// When the file cannot be used, another process uses it, it is of a run with other settings, or a line in it is
    /// damaged.
    pub fn open(folder: &Path, identity: &Identity) -> Result<(Results, Vec<Record>), EvalError> {
        let path = folder.join(RESULTS);
        let refused = |reason| EvalError::Out { path: path.clone(), reason };
        std::fs::create_dir_all(folder).map_err(refused)?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = opened.map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EvalError::Busy { path }),
            Err(TryLockError::Error(source)) => return Err(EvalError::Write { path, source }),
        }
        let found = read_from(&mut file, &path, 0)?;
        if let Some(other) = found.identity.as_ref().filter(|found| *found != identity) {
            return Err(EvalError::OtherResults { path, what: differing(other, identity) });
        }
        let failed = |source| EvalError::Write { path: path.clone(), source };
        file.set_len(found.whole_bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let results = Results { path, log: Mutex::new(Log { file, is_torn: false }) };
        if found.identity.is_none() {
            results.write(&Head { run: identity.clone() })?;
            // The name of the file too.
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|source| EvalError::Write { path: folder.to_owned(), source })?;
        }
        Ok((results, found.records))
    }

    /// Writes down what came of a try. It is on the disk when this returns.
    ///
    /// # Errors
    /// When the disk is full, and the like.
    pub fn add(&self, record: &Record) -> Result<(), EvalError> {
        self.write(record)
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn write(&self, line: &impl Serialize) -> Result<(), EvalError> {
        let mut bytes = serde_json::to_vec(line).expect("records have only text keys and finite numbers");
        bytes.push(b'\n');
        let mut log = self.log.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let written = match log.is_torn {
            true => Err(std::io::Error::other("the line before it could not be written")),
            false => log.file.write_all(&bytes).and_then(|()| log.file.sync_data()),
        };
        log.is_torn = written.is_err();
        written.map_err(|source| EvalError::Write { path: self.path.clone(), source })
    }
}

/// Reads the results in `folder` for a report, whether the run is over or going on.
///
/// * `transcript_bytes_max`: transcripts are kept as long as all of them together are not longer.
///
/// # Errors
/// When there are none, they cannot be read, or a line in them is damaged.
pub fn read(folder: &Path, transcript_bytes_max: usize) -> Result<Found, EvalError> {
    let path = folder.join(RESULTS);
    let is_file = std::fs::metadata(&path).map(|data| data.is_file());
    let opened = match is_file {
        // A pipe would make everybody wait.
        Ok(false) => Err(ErrorKind::InvalidInput.into()),
        _ => File::open(&path),
    };
    let mut file = opened.map_err(|source| EvalError::Read { path: path.clone(), source })?;
    read_from(&mut file, &path, transcript_bytes_max)
}

fn read_from(file: &mut File, path: &Path, transcript_bytes_max: usize) -> Result<Found, EvalError> {
    let failed = |source| EvalError::Read { path: path.to_owned(), source };
    let damaged = |line, what| EvalError::Line { path: path.to_owned(), line, what };
    let (mut found, mut seen, mut transcript_bytes) = (Found::default(), HashSet::<Key>::new(), 0);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed)?;
        if length == 0 {
            break;
        }
        if !line.ends_with(b"\n") {
            if length as u64 == LINE_BYTES_MAX {
                return Err(damaged(number, format!("it has more than {LINE_BYTES_MAX} bytes")));
            }
            found.is_torn = true;
            break;
        }
        if number == 1 {
            let head = serde_json::from_slice::<Head>(&line);
            let head = head.map_err(|error| damaged(1, format!("this is no file of results: {}", said(&error))))?;
            found.identity = Some(head.run);
        } else {
            let mut record = serde_json::from_slice::<Record>(&line).map_err(|error| damaged(number, said(&error)))?;
            if !seen.insert(record.key.clone()) {
                return Err(damaged(number, format!("task `{}` stands there twice", record.key.task)));
            }
            let bytes: usize = record.transcript.iter().map(|message| message.content.len()).sum();
            if transcript_bytes + bytes > transcript_bytes_max {
                record.transcript = Vec::new();
                found.left_out += 1;
            } else {
                transcript_bytes += bytes;
            }
            found.records.push(record);
        }
        found.whole_bytes += length as u64;
    }
    Ok(found)
}

/// What the parser says, without its place: it sees one line, so its own "line 1" would mislead.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    format!("column {}: {}", error.column(), text.split(" at line ").next().unwrap_or(&text))
}

/// `seed (was 0, is 1), ...`.
fn differing(was: &Identity, is: &Identity) -> String {
    let keys: std::collections::BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let shown = |run: &Identity, key: &String| run.get(key).map_or("nothing", String::as_str).to_owned();
    let differing = keys.into_iter().filter(|key| was.get(*key) != is.get(*key));
    let told: Vec<String> =
        differing.map(|key| format!("{key} (was {}, is {})", shown(was, key), shown(is, key))).collect();
    told.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    fn identity(seed: &str) -> Identity {
        Identity::from([("seed".to_owned(), seed.to_owned())])
    }

    #[test]
    fn what_was_written_whole_is_there_again_wherever_it_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let open = |seed: &str| Results::open(folder.path(), &identity(seed));
        let (results, done) = open("1").unwrap();
        assert!(done.is_empty());
        for task in ["a", "b"] {
            results.add(&record("c", "code", task, true)).unwrap();
        }
        assert!(matches!(open("1"), Err(EvalError::Busy { .. })));
        let path = results.path().to_owned();
        drop(results);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let lines = whole[..cut].iter().filter(|&&byte| byte == b'\n').count();
            let (results, done) = open("1").unwrap();
            assert_eq!(done.len(), lines.saturating_sub(1));
            assert!(done.iter().all(|record| record.transcript.is_empty()));
            // It goes on behind the last whole line.
            results.add(&record("c", "code", "z", false)).unwrap();
            drop(results);
            let found = read(folder.path(), usize::MAX).unwrap();
            assert_eq!((found.records.len(), found.is_torn, found.left_out), (done.len() + 1, false, 0));
            assert_eq!(found.records.last(), Some(&record("c", "code", "z", false)));
        }
    }

    #[test]
    fn other_settings_and_damage_are_refused_by_name_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let open = |seed: &str| Results::open(folder.path(), &identity(seed));
        open("1").unwrap().0.add(&record("c", "code", "a", true)).unwrap();
        let error = open("2").unwrap_err();
        assert!(error.to_string().contains("seed (was 1, is 2)") && error.is_bad_input(), "{error}");
        assert_eq!(open("1").unwrap().1.len(), 1);
        let path = folder.path().join(RESULTS);
        let whole = std::fs::read_to_string(&path).unwrap();
        let line = whole.lines().nth(1).unwrap();
        for (damage, expected) in [("{}\n", "missing field"), (&format!("{line}\n"), "twice"), ("\u{0}\n", "column 1")]
        {
            std::fs::write(&path, format!("{whole}{damage}")).unwrap();
            let error = open("1").unwrap_err();
            assert!(error.to_string().contains("line 3") && error.to_string().contains(expected), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{whole}{damage}"));
        }
        std::fs::write(&path, "something else\n").unwrap();
        assert!(open("1").unwrap_err().to_string().contains("no file of results"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else\n");
    }

    #[test]
    fn a_report_reads_what_is_being_written_and_bounded_transcripts() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path(), 0).is_err());
        let (results, _) = Results::open(folder.path(), &identity("1")).unwrap();
        for task in ["a", "b", "c"] {
            results.add(&record("c", "code", task, true)).unwrap();
        }
        std::fs::OpenOptions::new().append(true).open(results.path()).unwrap().write_all(b"{\"cont").unwrap();
        let found = read(folder.path(), 2 * "do it".len()).unwrap();
        assert_eq!((found.records.len(), found.is_torn, found.left_out), (3, true, 1));
        assert_eq!(found.identity, Some(identity("1")));
    }
}
