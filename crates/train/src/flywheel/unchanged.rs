//! Whether the files that later stages read are still what earlier ones wrote.

use std::collections::BTreeMap;
use std::path::Path;

use codeact_data::hash;
use codeact_model::ModelError;

use super::start_adapter;
use super::state::State;
use super::wheel::setting;
use crate::error::TrainError;

/// Files of an adapter that decide what it says.
const ADAPTER_FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

/// sha256 of a file.
///
/// # Errors
/// When it cannot be read.
pub(super) fn of_file(path: &Path) -> Result<String, TrainError> {
    hash::of_file(path).map_err(|source| TrainError::Load(ModelError::Io { path: path.to_owned(), source }))
}

/// sha256 of an adapter's settings and weights, by name of file.
///
/// # Errors
/// When one cannot be read.
pub(super) fn of_adapter(folder: &Path) -> Result<BTreeMap<String, String>, TrainError> {
    let sum = |name: &str| of_file(&folder.join(name)).map(|sum| (name.to_owned(), sum));
    ADAPTER_FILES.into_iter().map(sum).collect()
}

/// Looks at what is still to be read: everything that was collected, pairs that are still to be learned, the adapter that
/// learns them, the best adapter, and one that is not measured yet. What was rejected may be gone.
///
/// * `dir`: folder of the flywheel.
///
/// # Errors
/// Names the first file that is another one, or cannot be read.
pub(super) fn check(dir: &Path, state: &State) -> Result<(), TrainError> {
    let collected = state.rounds.iter().filter_map(|round| round.collected.as_ref());
    for collected in collected.filter(|collected| collected.kept > 0) {
        same(&collected.file, &collected.sha256)?;
    }
    let best = state.best().and_then(|best| best.adapter.as_deref());
    let first = start_adapter(dir);
    if let Some(sums) = &state.start_sha256
        && (state.start.is_none() || best == Some(first.as_path()))
    {
        same_adapter(&first, sums)?;
    }
    for round in &state.rounds {
        let to_learn = round.pairs.as_ref().filter(|pairs| pairs.trained.is_none() && pairs.verdict.is_none());
        if let Some(pairs) = to_learn {
            same(&pairs.file, &pairs.sha256)?;
        }
        let is_due = round.verdict.is_none() || to_learn.is_some();
        let of_pairs = round.pairs.iter().filter_map(|pairs| Some((pairs.trained.as_ref()?, pairs.verdict.is_none())));
        for (trained, is_due) in round.trained.iter().map(|trained| (trained, is_due)).chain(of_pairs) {
            if is_due || best == Some(trained.adapter.as_path()) {
                same_adapter(&trained.adapter, &trained.sha256)?;
            }
        }
    }
    Ok(())
}

fn same_adapter(folder: &Path, sums: &BTreeMap<String, String>) -> Result<(), TrainError> {
    sums.iter().try_for_each(|(name, sum)| same(&folder.join(name), sum))
}

fn same(path: &Path, sum: &str) -> Result<(), TrainError> {
    let what = match hash::of_file(path) {
        Ok(found) if found == sum => return Ok(()),
        Ok(_) => "is not what the flywheel wrote: its sha256 is another".to_owned(),
        Err(error) => format!("cannot be read any more: {error}"),
    };
    let what = format!("`{}` {what}", path.display());
    Err(setting("output.dir", what, "put it back as it was, or begin anew in another folder"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flywheel::figures::figures;
    use crate::flywheel::state::{Collected, Pairs, Trained};
    use crate::flywheel::verdict::Verdict;

    fn adapter(folder: &Path) {
        std::fs::create_dir_all(folder).expect("a folder");
        for name in ADAPTER_FILES {
            std::fs::write(folder.join(name), name).expect("a file");
        }
    }

    /// A flywheel whose first round was kept or not, and whose second one is not measured.
    fn state(dir: &Path, is_kept: bool) -> State {
        let mut state = State::new(BTreeMap::new());
        let trained = |folder: &Path| {
            adapter(folder);
            of_adapter(folder).expect("its files")
        };
        let first = start_adapter(dir);
        state.start_sha256 = Some(trained(&first));
        state.start = Some(figures("start", (Some(first), dir.join("start/measured")), None, &[], None));
        for number in [1, 2] {
            let folder = dir.join(format!("round-{number}"));
            let (file, adapter) = (folder.join("conversations.jsonl"), folder.join("adapter"));
            let sha256 = trained(&adapter);
            std::fs::write(&file, "kept").expect("a file");
            let round = state.open_round();
            round.collected = Some(Collected {
                teacher: "start".to_owned(),
                sha256: of_file(&file).expect("it is there"),
                file,
                tasks: 1,
                solved: 1,
                attempts: 1,
                right: 1,
                kept: 1,
                dropped: BTreeMap::new(),
                seconds: 1.0,
            });
            round.trained =
                Some(Trained { adapter: adapter.clone(), sha256, steps: 1, conversations: 1, seconds: 1.0 });
            if number == 1 {
                round.figures = Some(figures("round 1", (Some(adapter), folder.join("measured")), None, &[], None));
                round.verdict = Some(Verdict { is_kept, why: "so".to_owned() });
            }
        }
        state
    }

    #[test]
    fn a_file_that_is_read_again_must_be_what_was_written() {
        let weights = "adapter_model.safetensors";
        for (is_kept, best, other) in
            [(true, "round-1/adapter", "start/train/adapter"), (false, "start/train/adapter", "round-1/adapter")]
        {
            let room = tempfile::tempdir().expect("a folder");
            let dir = room.path();
            let state = state(dir, is_kept);
            check(dir, &state).expect("all is as it was");
            // Nothing reads it again.
            std::fs::remove_dir_all(dir.join(other)).expect("removed");
            check(dir, &state).expect("it was not needed");
            let read_again = [
                "round-1/conversations.jsonl".to_owned(),
                "round-2/conversations.jsonl".to_owned(),
                format!("{best}/{weights}"),
                format!("{best}/adapter_config.json"),
                format!("round-2/adapter/{weights}"),
            ];
            for name in read_again {
                let path = dir.join(&name);
                let before = std::fs::read(&path).expect("a file");
                std::fs::write(&path, "other").expect("a file");
                let error = check(dir, &state).expect_err("another one").to_string();
                assert!(error.contains(&format!("{name}` is not what the flywheel wrote")), "{error}");
                std::fs::remove_file(&path).expect("removed");
                let error = check(dir, &state).expect_err("none").to_string();
                assert!(error.contains(&format!("{name}` cannot be read any more")), "{error}");
                std::fs::write(&path, before).expect("put back");
            }
            check(dir, &state).expect("all is as it was");
        }
    }

    #[test]
    fn pairs_are_what_was_collected_until_they_are_learned_and_then_what_learned_them() {
        let room = tempfile::tempdir().expect("a folder");
        let dir = room.path();
        let mut state = state(dir, false);
        let changed = |state: &State, name: &str| {
            let path = dir.join(name);
            let before = std::fs::read(&path).expect("a file");
            std::fs::write(&path, "other").expect("a file");
            let found = check(dir, state);
            std::fs::write(&path, before).expect("put back");
            found.is_err_and(|error| error.to_string().contains(&format!("{name}` is not what the flywheel wrote")))
        };
        let weights = |folder: &str| format!("{folder}/adapter_model.safetensors");
        let file = dir.join("round-1/pairs.jsonl");
        std::fs::write(&file, "two").expect("a file");
        let sha256 = of_file(&file).expect("it is there");
        state.rounds[0].pairs = Some(Pairs { count: 2, file, sha256, ..Pairs::default() });
        check(dir, &state).expect("all is as it was");
        // The round was rejected: its adapter learns them still.
        assert!(changed(&state, "round-1/pairs.jsonl") && changed(&state, &weights("round-1/adapter")));

        let folder = dir.join("round-1/pairs");
        adapter(&folder);
        let sha256 = of_adapter(&folder).expect("its files");
        let trained = Trained { adapter: folder.clone(), sha256, steps: 1, conversations: 2, seconds: 1.0 };
        let pairs = state.rounds[0].pairs.as_mut().expect("they are there");
        pairs.trained = Some(trained);
        assert!(!changed(&state, "round-1/pairs.jsonl") && !changed(&state, &weights("round-1/adapter")));
        assert!(changed(&state, &weights("round-1/pairs")), "it is still to be measured");
        for is_kept in [true, false] {
            let pairs = state.rounds[0].pairs.as_mut().expect("they are there");
            pairs.figures = Some(figures("pairs 1", (Some(folder.clone()), dir.join("measured")), None, &[], None));
            pairs.verdict = Some(Verdict { is_kept, why: "so".to_owned() });
            assert_eq!(changed(&state, &weights("round-1/pairs")), is_kept);
        }
    }
}
