//! Runs read again from their folders, for a summary of one or of several beside each other.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use codeact_agent::ActionFormat;

use super::record::Record;
use super::results::{Identity, read};
use super::summary::Summary;
use crate::EvalError;

/// Runs on one page: of more nobody can tell the colours apart.
const RUNS_MAX: usize = 16;

/// Bytes of transcripts that are kept, of all runs together.
const TRANSCRIPT_BYTES_MAX: usize = 64 << 20;

/// What the folders hold.
#[derive(Debug)]
pub struct Loaded {
    /// In numbers.
    pub summary: Summary,
    /// All tries, the contestants of several runs with the names of their runs.
    pub records: Vec<Record>,
}

/// Reads the runs in `folders`. With `with_transcripts` their transcripts come too, up to a bound.
///
/// A suite that is not the same in all runs is taken for as many suites, so that nothing is compared that is not the same.
///
/// # Errors
/// When a folder holds no results, or they are damaged.
pub fn load(folders: &[PathBuf], with_transcripts: bool) -> Result<Loaded, EvalError> {
    if folders.len() > RUNS_MAX {
        return Err(EvalError::Options(format!("{} runs\nhint: a page is about {RUNS_MAX} at most", folders.len())));
    }
    let bytes_max = if with_transcripts { TRANSCRIPT_BYTES_MAX / folders.len().max(1) } else { 0 };
    let mut runs: BTreeMap<String, Identity> = BTreeMap::new();
    let mut all: Vec<(String, Vec<Record>)> = Vec::new();
    let mut notes = Vec::new();
    for folder in folders {
        let found = read(folder, bytes_max)?;
        let name = run_name(folder, &runs);
        if found.is_torn {
            notes.push(format!(
                "{name}: the last line of its results is incomplete: it is being written, or was cut off"
            ));
        }
        if with_transcripts && found.left_out > 0 {
            notes.push(format!("{name}: {} transcripts are left out, because there are so many", found.left_out));
        }
        runs.insert(name.clone(), found.identity.unwrap_or_default());
        all.push((name, found.records));
    }
    if all.len() > 1 {
        for (name, records) in &mut all {
            rename(name, records, &runs, &mut notes);
        }
    }
    let mut records: Vec<Record> = all.into_iter().flat_map(|(_, records)| records).collect();
    // In whatever order they ended, the summary is the same.
    records.sort_by(|one, other| {
        let place = |format: &str| ActionFormat::NAMES.iter().position(|name| *name == format).unwrap_or(usize::MAX);
        let (one, other) = (&one.key, &other.key);
        one.contestant
            .cmp(&other.contestant)
            .then_with(|| place(&one.format).cmp(&place(&other.format)))
            .then_with(|| one.cmp(other))
    });
    Ok(Loaded { summary: Summary::of(runs, &records, notes), records })
}

/// Gives contestants, and suites that differ, the name of their run.
fn rename(run: &str, records: &mut [Record], runs: &BTreeMap<String, Identity>, notes: &mut Vec<String>) {
    let mut noted = std::collections::BTreeSet::new();
    for record in records {
        let key = format!("suite {}", record.key.suite);
        let is_same =
            runs.values().filter_map(|identity| identity.get(&key)).all(|hash| Some(hash) == runs[run].get(&key));
        if !is_same {
            if noted.insert(record.key.suite.clone()) {
                notes.push(format!("{run}: its suite {} is another than that of other runs", record.key.suite));
            }
            record.key.suite = format!("{} ({run})", record.key.suite);
        }
        record.key.contestant = format!("{run}: {}", record.key.contestant);
    }
}

/// The name of the folder, made one of its own.
fn run_name(folder: &Path, runs: &BTreeMap<String, Identity>) -> String {
    let name = folder.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let name = name.unwrap_or_else(|| folder.display().to_string());
    let numbered = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name} {number}")));
    numbered.into_iter().find(|name| !runs.contains_key(name)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::super::results::Results;
    use super::*;

    fn run(folder: &Path, hash: &str) {
        let identity = Identity::from([("suite s".to_owned(), hash.to_owned())]);
        let (results, _) = Results::open(folder, &identity).unwrap();
        results.add(&record("m", "code", "t", hash == "1")).unwrap();
    }

    #[test]
    fn several_runs_are_compared_on_suites_that_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["a/x", "b/x", "y"].map(|name| folder.path().join(name));
        run(&folders[0], "1");
        run(&folders[1], "1");
        run(&folders[2], "2");
        let one = load(&folders[..1], true).unwrap();
        assert_eq!((one.summary.columns[0].name().as_str(), one.records[0].transcript.len()), ("m, code", 1));
        let two = load(&folders[..2], false).unwrap();
        let names: Vec<&str> = two.summary.columns.iter().map(|column| column.contestant.as_str()).collect();
        assert_eq!(names, ["x 2: m", "x: m"]);
        assert_eq!((two.summary.comparisons.len(), two.summary.notes.len()), (1, 0));
        let three = load(&folders, true).unwrap();
        assert!(three.summary.comparisons.is_empty() && three.summary.notes.len() == 3, "{:?}", three.summary.notes);
        assert_eq!(three.records[2].key.suite, "s (y)");
        assert!(load(&[folder.path().to_owned()], true).is_err());
    }
}
