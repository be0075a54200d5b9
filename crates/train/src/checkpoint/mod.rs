//! Checkpoints: everything a run needs to go on as if it had never stopped.

mod identity; // of which run it is
mod sums; // whether it is what was written

use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use codeact_model::{read_f32, write_f32};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use identity::{Identity, STARTING_ADAPTER, TASKS, differences, identity};

use crate::config::Config;
use crate::error::TrainError;
use crate::folder;
use crate::guard;
use crate::optimizer::Optimizer;
use crate::prepare::Prepared;
use crate::standing::Standing;
use crate::trained::Trained;

/// `state.json`: all that is not a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Format of the checkpoint.
    pub version: u32,
    /// Steps of the plan that are over.
    pub step: usize,
    /// Updates that were taken: one for each of these steps but for those that were taken back.
    pub updates: u64,
    /// Tokens of a pass at most: with others the numbers agree to rounding, not bit for bit.
    pub pass_tokens: usize,
    /// What was measured on held-out data and tasks.
    pub standing: Standing,
    /// What the guard remembers.
    pub guard: guard::Memory,
    /// Of which run it is.
    pub identity: Identity,
}

/// The format that this code writes and reads.
pub const VERSION: u32 = 4;

/// Values that [`fingerprint`] takes off a device at once.
const HASHED_AT_ONCE: usize = 1 << 22;

/// Writes `step-NNNNNN` into the folder of the run, and removes the checkpoints that the settings do not keep.
///
/// # Errors
/// When something cannot be written; then no folder of this step is left.
pub fn save(run: &Prepared, state: &State, trained: &Trained, optimizer: &Optimizer) -> Result<PathBuf, TrainError> {
    let (dir, config) = (run.dir(), &run.config);
    let target = dir.join(folder::step_name(state.step));
    folder::write_whole(&target, |partial| {
        trained.save(partial, &config.model.name, &run.base_dir).map_err(TrainError::export(partial))?;
        save_moments(&partial.join("optimizer.safetensors"), optimizer)?;
        let text = serde_json::to_string_pretty(state).expect("plain values are JSON") + "\n";
        for (name, text) in [("state.json", text), ("config.toml", config.resolved())] {
            let path = partial.join(name);
            std::fs::write(&path, text).map_err(TrainError::write(&path))?;
        }
        sums::write(partial)
    })?;
    rotate(dir, state, config)?;
    Ok(target)
}

/// Whether the settings want a checkpoint after `step`. Not where that was taken back: the step before it may have done
/// the harm, and what is trained is as that left it. The next step that is kept makes up for it.
///
/// * `rollbacks`: steps in a row that were taken back, up to the step before this one and up to this one.
pub fn is_due(step: usize, every: Option<usize>, rollbacks: [usize; 2]) -> bool {
    let [before, now] = rollbacks;
    let kept = step.saturating_sub(1).saturating_sub(before);
    every.is_some_and(|every| now == 0 && step / every > kept / every)
}

/// Removes the checkpoints that the settings do not keep; also of a run that goes on, which may have been killed before
/// it came to that. All stay while the newest step was taken back: the one before it may have done the harm, and what
/// is older is then what there is to go on from.
///
/// # Errors
/// When one cannot be removed.
pub fn rotate(dir: &Path, state: &State, config: &Config) -> Result<(), TrainError> {
    if state.guard.rollbacks() > 0 {
        return Ok(());
    }
    let best = state.standing.best_step(config.evaluation.metric);
    let steps: Vec<usize> = folder::checkpoints(dir).into_iter().map(|(step, _)| step).collect();
    for step in surplus(&steps, config.checkpoint.keep_last, config.checkpoint.keep_every, best) {
        folder::discard(&dir.join(folder::step_name(step)))?;
    }
    Ok(())
}

/// Of checkpoints after `steps`, oldest first, those that do not stay: neither among the last, nor after a multiple of
/// `keep_every` steps, nor the best.
fn surplus(steps: &[usize], keep_last: usize, keep_every: Option<usize>, best: Option<usize>) -> Vec<usize> {
    let stays = |step: usize| best == Some(step) || keep_every.is_some_and(|every| step.is_multiple_of(every));
    let older = &steps[..steps.len().saturating_sub(keep_last)];
    older.iter().copied().filter(|step| !stays(*step)).collect()
}

/// sha256 over everything that an update changes, bit for bit: `(P,)` f32 each.
///
/// # Errors
/// When a tensor cannot be read.
pub fn fingerprint(parameters: &Tensor, optimizer: &Optimizer) -> candle_core::Result<[u8; 32]> {
    let mut hasher = Sha256::new();
    hasher.update(optimizer.step.to_le_bytes());
    for tensor in [parameters, &optimizer.m, &optimizer.v] {
        // A part at a time: all weights of a model are more than is to exist twice.
        for start in (0..tensor.elem_count()).step_by(HASHED_AT_ONCE) {
            let part = tensor.narrow(0, start, HASHED_AT_ONCE.min(tensor.elem_count() - start))?;
            for values in part.to_vec1::<f32>()?.chunks(1 << 12) {
                hasher.update(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
            }
        }
    }
    Ok(hasher.finalize().into())
}

/// Moments are as large as what is trained: no copy of them is made, neither here nor in [`load_optimizer`].
fn save_moments(path: &Path, optimizer: &Optimizer) -> Result<(), TrainError> {
    write_f32(path, &[("m", &optimizer.m), ("v", &optimizer.v)], None).map_err(TrainError::export(path))
}

/// The newest checkpoint in `dir` that is what was written. Damaged ones before it are told to `say`, and set aside if
/// `sets_aside`: they would stand for steps that are taken again.
///
/// # Errors
/// When there are checkpoints and none of them is whole; or when one cannot be renamed.
pub fn newest_whole(dir: &Path, sets_aside: bool, say: &dyn Fn(&str)) -> Result<Option<PathBuf>, TrainError> {
    let mut damaged = Vec::new();
    for (_, path) in folder::checkpoints(dir).into_iter().rev() {
        match sums::check(&path) {
            Ok(()) => {
                for (path, what) in damaged {
                    let path: PathBuf = path;
                    say(&format!(
                        "warning: checkpoint `{}` is damaged, the one before it is used: {what}",
                        path.display()
                    ));
                    if sets_aside {
                        folder::set_aside(&path)?;
                    }
                }
                return Ok(Some(path));
            }
            Err(what) => damaged.push((path, what)),
        }
    }
    match damaged.into_iter().next() {
        None => Ok(None),
        Some((path, what)) => Err(TrainError::BadCheckpoint { path, what }),
    }
}

/// Whether a checkpoint is what was written: what is not, in words.
///
/// # Errors
/// The first difference.
pub fn check(checkpoint: &Path) -> Result<(), String> {
    sums::check(checkpoint)
}

/// Reads the state of a checkpoint and makes sure that it is of the run `identity`.
///
/// # Errors
/// Names everything that differs, or what is broken.
pub fn load_state(checkpoint: &Path, identity: &Identity) -> Result<State, TrainError> {
    let path = checkpoint.join("state.json");
    let bad = |what: String| TrainError::BadCheckpoint { path: path.clone(), what };
    let text = std::fs::read_to_string(&path).map_err(|error| bad(error.to_string()))?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let version = &value["version"];
    if version.as_u64() != Some(u64::from(VERSION)) {
        return Err(bad(format!("has format {version}, expected {VERSION}")));
    }
    let state: State = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
    check_identity(checkpoint, &state, identity)?;
    Ok(state)
}

/// Makes sure that the state of a checkpoint is of the run `identity`.
///
/// # Errors
/// Names everything that differs.
pub fn check_identity(checkpoint: &Path, state: &State, identity: &Identity) -> Result<(), TrainError> {
    let differences = differences(&state.identity, identity);
    match differences.is_empty() {
        true => Ok(()),
        false => Err(TrainError::OtherRun { checkpoint: checkpoint.display().to_string(), differences }),
    }
}

/// Makes sure that the state of a checkpoint is one that a run of so many steps comes to.
///
/// # Errors
/// When it is beyond the last of them, or has more updates than steps.
pub fn check_steps(checkpoint: &Path, state: &State, step_count: usize) -> Result<(), TrainError> {
    let State { step, updates, .. } = state;
    let what = match () {
        () if *step > step_count => format!("is after step {step} of a plan of {step_count} steps"),
        () if *updates > *step as u64 => format!("has {updates} updates after {step} steps"),
        () => return Ok(()),
    };
    Err(TrainError::BadCheckpoint { path: checkpoint.join("state.json"), what })
}

/// Reads the moments of a checkpoint, of so many trained values.
///
/// # Errors
/// When a file is missing, broken or of another shape.
pub fn load_optimizer(
    checkpoint: &Path,
    updates: u64,
    parameter_count: usize,
    device: &Device,
) -> Result<Optimizer, TrainError> {
    let path = checkpoint.join("optimizer.safetensors");
    let optimizer = Optimizer::new(parameter_count, device).map_err(|error| TrainError::Load(error.into()))?;
    read_f32(&path, &[("m", &optimizer.m), ("v", &optimizer.v)])
        .map_err(|error| TrainError::BadCheckpoint { path, what: error.to_string() })?;
    Ok(Optimizer { step: updates, ..optimizer })
}

#[cfg(test)]
mod tests {
    use super::{is_due, surplus};

    #[test]
    fn a_checkpoint_that_falls_on_a_step_taken_back_is_made_up_for_by_the_next_one_kept() {
        let due = |step, rollbacks| is_due(step, Some(3), rollbacks);
        assert_eq!([1, 2, 3, 4, 5, 6].map(|step| due(step, [0, 0])), [false, false, true, false, false, true]);
        assert_eq!([due(6, [0, 1]), due(7, [1, 2]), due(8, [2, 0]), due(9, [0, 0])], [false, false, true, true]);
        assert_eq!([due(7, [0, 1]), due(8, [1, 0])], [false, false], "nothing fell on 7");
        assert!(!is_due(3, None, [0, 0]) && !due(1, [usize::MAX, 0]));
    }

    #[test]
    fn the_last_the_best_and_every_mth_stay() {
        let steps = [10, 20, 30, 40, 50];
        assert_eq!(surplus(&steps, 2, None, None), [10, 20, 30]);
        assert_eq!(surplus(&steps, 2, Some(20), None), [10, 30]);
        assert_eq!(surplus(&steps, 2, Some(20), Some(30)), [10]);
        assert_eq!(surplus(&steps, 9, None, None), [0; 0]);
        assert_eq!(surplus(&[], 1, Some(1), Some(1)), [0; 0]);
    }
}
