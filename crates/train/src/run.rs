//! A run, from the first step or a checkpoint to the exports.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use codeact_agent::{ActionFormat, Profile, Wording};
use codeact_model::{Adapter, Decoder};

use crate::checkpoint::{self, State};
use crate::config::Exported;
use crate::describe;
use crate::error::TrainError;
use crate::export::{self, Base, Check, Exports, Training};
use crate::folder::{self, Start};
use crate::guard;
use crate::learner::{Ended, Learner};
use crate::memory;
use crate::metrics::Metrics;
use crate::optimizer::Optimizer;
use crate::prepare::Prepared;
use crate::progress::{LoadProgress, tell};
use crate::requests::Requests;
use crate::standing::{Measure, Standing};

/// How a run ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps were taken, or the held-out loss did not get better any more.
    Finished {
        /// The results.
        exports: Exports,
        /// After which step they are.
        step: usize,
        /// Whether steps were left.
        is_early: bool,
        /// Held-out loss before training and of the results, nats per token; `None` without held-out data.
        held_out_loss: Option<(f64, f64)>,
    },
    /// It was asked to stop.
    Stopped {
        /// From where `--resume` goes on; `None` when no step was finished.
        checkpoint: Option<PathBuf>,
    },
}

/// Takes all steps of the plan and exports. Whoever has `requests` can stop the run after the current pass, with a
/// checkpoint, and ask for checkpoints.
///
/// # Errors
/// When the checkpoint in `start` is of another run, a result cannot be written, or the numbers are no longer finite.
pub fn train(run: &Prepared, start: &Start, requests: &Requests) -> Result<Outcome, TrainError> {
    let state = match start {
        Start::Fresh => None,
        Start::Continue(checkpoint) => Some((checkpoint, checkpoint::load_state(checkpoint, &run.identity)?)),
    };
    // A plan of a card that was not there runs only if it is there now.
    let device = run.device.clone().map_or_else(|| codeact_ops::device::open(0).map_err(TrainError::Device), Ok)?;
    if let Some((_, state)) = state.as_ref().filter(|(_, state)| state.pass_tokens != run.fit.pass_tokens) {
        let (before, now) = (state.pass_tokens, run.fit.pass_tokens);
        tell(&format!("note: passes of {now} tokens, {before} before: the same result but for rounding"));
    }
    let mut learner = learner(run, state, &device)?;
    folder::write_file(&run.dir().join("config.toml"), run.config.resolved().as_bytes())?;
    folder::write_file(&run.dir().join("plan.jsonl"), describe::plan_lines(run).as_bytes())?;
    match learner.take_steps(requests)? {
        Ended::Stopped => Ok(Outcome::Stopped { checkpoint: learner.save_to_stop()? }),
        ended => finish(learner, ended),
    }
}

/// Model, adapter and optimizer as they were at a checkpoint, or as they begin.
fn learner<'a>(
    run: &'a Prepared,
    state: Option<(&PathBuf, State)>,
    device: &Device,
) -> Result<Learner<'a>, TrainError> {
    let decoder = load(run, device)?;
    let (adapter, optimizer) = match &state {
        None => {
            // New tokens of the chat format get rows of their own, which are trained like the rest.
            let (lora, seed) = (run.config.lora_config(), run.config.train.seed);
            let adapter = match &run.starting_adapter {
                Some(adapter) => adapter.load(&lora, &run.model, device)?,
                None => decoder
                    .new_adapter_with(&lora, run.format.vocab_size(), seed, run.config.new_rows())
                    .map_err(TrainError::Load)?,
            };
            let optimizer = Optimizer::new(adapter.parameter_count(), device);
            (adapter, optimizer.map_err(|error| TrainError::Load(error.into()))?)
        }
        Some((checkpoint, state)) => checkpoint::load_tensors(checkpoint, state.updates, &run.model, device)?,
    };
    let gradients = Tensor::zeros(adapter.parameter_count(), DType::F32, device);
    let gradients = gradients.map_err(|error| TrainError::Load(error.into()))?;
    let (position, standing, guard) = match state {
        None => {
            folder::clear(run.dir())?;
            (0, Standing::default(), guard::Memory::default())
        }
        Some((_, state)) => (state.step, state.standing, state.guard),
    };
    let metrics = Metrics::open(&run.dir().join("metrics.jsonl"), position, standing.is_measured(position))?;
    let metrics = metrics.with_tensorboard(run.config.output.tensorboard)?;
    Ok(Learner { run, decoder, adapter, optimizer, gradients, position, standing, guard, metrics })
}

/// The base model, shown as it goes to the device.
fn load(run: &Prepared, device: &Device) -> Result<Decoder, TrainError> {
    let progress = LoadProgress::new(&run.base_dir);
    let decoder =
        Decoder::load_reporting(&run.base_dir, run.config.weights(), device, &mut |bytes| progress.add(bytes));
    progress.finish();
    decoder.map_err(TrainError::Load)
}

fn finish(learner: Learner<'_>, ended: Ended) -> Result<Outcome, TrainError> {
    if let Some(peak) = memory::peak_bytes(learner.gradients.device()) {
        let estimate = describe::bytes(learner.run.fit.plan.total());
        tell(&format!("memory: {} at the peak, estimated {estimate}", describe::bytes(peak)));
    }
    let Learner { run, adapter, standing, position, decoder, optimizer, gradients, .. } = learner;
    drop(optimizer);
    let best = standing.best.filter(|best| run.config.exported() == Exported::Best && best.step != position);
    // It was written long ago.
    let best = best.filter(|best| {
        let checkpoint = run.dir().join(folder::step_name(best.step));
        let checked = checkpoint::check(&checkpoint);
        if let Err(what) = &checked {
            let path = checkpoint.display();
            tell(&format!(
                "warning: the results are of the last step, because the best checkpoint `{path}` is damaged: {what}"
            ));
        }
        checked.is_ok()
    });
    let (adapter, measure) = match best {
        None => (adapter, standing.newest.filter(|newest| newest.step == position)),
        Some(best) => {
            let checkpoint = run.dir().join(folder::step_name(best.step));
            tell(&format!("the results are of step {}, whose held-out loss {:.4} is the best", best.step, best.loss));
            let adapter = Adapter::load(&checkpoint, &run.model, gradients.device()).map_err(TrainError::Load)?;
            (adapter, Some(best))
        }
    };
    let check = Check::of_run(run, &decoder, &adapter)?;
    // Merging reads the base from disk again and needs the room of what is no longer used.
    drop((decoder, gradients));
    let output = &run.config.output;
    let profile = Profile::named(&output.profile).expect("the settings are checked for its name");
    let format = ActionFormat::named(&output.action_format).expect("the settings are checked for its name");
    let wording = Wording { profile, format };
    let base = Base { name: &run.config.model.name, dir: &run.base_dir, format: &run.format, wording: &wording };
    let step = best.map_or(position, |best| best.step);
    let held_out_loss = standing.before.zip(measure.map(|measure: Measure| measure.loss));
    let exports = export::export(run.dir(), &adapter, base, &check, &Training::of_run(run, step, held_out_loss))?;
    Ok(Outcome::Finished { exports, step, is_early: ended == Ended::NoProgress, held_out_loss })
}
