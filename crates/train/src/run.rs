//! The optimizer loop, from the first step or a checkpoint to the exports.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use codeact_agent::{ActionFormat, Profile, Wording};
use codeact_data::Step;
use codeact_model::{Adapter, Decoder, ModelError};

use crate::checkpoint::{self, State};
use crate::describe;
use crate::error::TrainError;
use crate::evaluate::{self, batch};
use crate::export::{self, Base, Exports};
use crate::folder::{self, Start};
use crate::memory;
use crate::metrics::Metrics;
use crate::optimizer::Optimizer;
use crate::prepare::Prepared;
use crate::progress::{LoadProgress, Progress, StepReport};

/// How a run ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps were taken.
    Finished {
        /// The results.
        exports: Exports,
        /// Held-out loss before and after, nats per token; `None` without held-out data.
        validation_loss: Option<(f64, f64)>,
    },
    /// It was asked to stop.
    Stopped {
        /// From where `--resume` goes on; `None` when no step was finished.
        checkpoint: Option<PathBuf>,
    },
}

/// Model, adapter and optimizer in the middle of a run.
struct Learner<'a> {
    run: &'a Prepared,
    decoder: Decoder,
    adapter: Adapter,
    optimizer: Optimizer,
    /// `(P,)` f32, zero between steps.
    gradients: Tensor,
    validation_loss_before: Option<f64>,
    metrics: Metrics,
}

/// What became of a step.
enum Taken {
    Whole(StepReport),
    /// Asked to stop between two packs.
    Stopped,
}

/// Takes all steps of the plan and exports. `stop` ends the run after the current pack, with a checkpoint.
///
/// # Errors
/// When the checkpoint in `start` is of another run, a result cannot be written, or the numbers are no longer finite.
pub fn train(run: &Prepared, start: &Start, stop: &AtomicBool) -> Result<Outcome, TrainError> {
    let state = match start {
        Start::Fresh => None,
        Start::Continue(checkpoint) => Some((checkpoint, checkpoint::load_state(checkpoint, &run.identity)?)),
    };
    // A plan of a card that was not there runs only if it is there now.
    let device = run.device.clone().map_or_else(|| codeact_ops::device::open(0).map_err(TrainError::Device), Ok)?;
    if let Some((_, state)) = state.as_ref().filter(|(_, state)| state.pass_tokens != run.fit.pass_tokens) {
        let (before, now) = (state.pass_tokens, run.fit.pass_tokens);
        eprintln!("note: passes of {now} tokens, {before} before: the same result but for rounding");
    }
    let decoder = load(run, &device)?;
    let (adapter, optimizer, validation_loss_before) = match &state {
        None => {
            // New tokens of the chat format get rows of their own, which are trained like the rest.
            let (lora, seed) = (run.config.lora_config(), run.config.train.seed);
            let adapter = match &run.starting_adapter {
                Some(adapter) => adapter.load(&lora, &run.model, &device)?,
                None => decoder
                    .new_adapter_with(&lora, run.format.vocab_size(), seed, run.config.new_rows())
                    .map_err(TrainError::Load)?,
            };
            let optimizer = Optimizer::new(adapter.parameter_count(), &device);
            (adapter, optimizer.map_err(|error| TrainError::Load(error.into()))?, None)
        }
        Some((checkpoint, state)) => {
            let (adapter, optimizer) = checkpoint::load_tensors(checkpoint, state.step, &run.model, &device)?;
            (adapter, optimizer, state.validation_loss_before)
        }
    };
    let gradients = Tensor::zeros(adapter.parameter_count(), DType::F32, &device);
    let gradients = gradients.map_err(|error| TrainError::Load(error.into()))?;
    if state.is_none() {
        folder::clear(run.dir())?;
    }
    let metrics = Metrics::open(&run.dir().join("metrics.jsonl"), optimizer.step as usize)?;
    let mut learner = Learner { run, decoder, adapter, optimizer, gradients, validation_loss_before, metrics };
    folder::write_file(&run.dir().join("config.toml"), run.config.resolved().as_bytes())?;
    folder::write_file(&run.dir().join("plan.jsonl"), describe::plan_lines(run).as_bytes())?;
    if learner.validation_loss_before.is_none() && learner.step() == 0 {
        learner.validation_loss_before = learner.validation_loss(stop)?;
        if let Some(loss) = learner.validation_loss_before {
            eprintln!("held-out loss before training: {loss:.4}");
            learner.metrics.held_out(0, loss)?;
        }
    }
    match learner.take_steps(stop)? {
        false => learner.stopped(),
        true => learner.finish(stop),
    }
}

/// The base model, shown as it goes to the device.
fn load(run: &Prepared, device: &Device) -> Result<Decoder, TrainError> {
    let progress = LoadProgress::new(&run.base_dir);
    let decoder =
        Decoder::load_reporting(&run.base_dir, run.config.weights(), device, &mut |bytes| progress.add(bytes));
    progress.finish();
    decoder.map_err(TrainError::Load)
}

impl Learner<'_> {
    /// Steps taken.
    fn step(&self) -> usize {
        self.optimizer.step as usize
    }

    /// True when all steps were taken, false when it was asked to stop.
    fn take_steps(&mut self, stop: &AtomicBool) -> Result<bool, TrainError> {
        let run = self.run;
        let steps = &run.plan.steps;
        let first = self.step();
        let tokens_left = steps[first..].iter().map(Step::token_count).sum();
        let mut progress = Progress::new(steps.len(), first, tokens_left);
        for (index, step) in steps.iter().enumerate().skip(first) {
            let report = match self.take_step(index, step, stop)? {
                Taken::Whole(report) => report,
                Taken::Stopped => {
                    progress.finish();
                    return Ok(false);
                }
            };
            self.metrics.step(&report)?;
            progress.step(&report);
            let is_due = run.config.checkpoint.every.is_some_and(|every| report.step % every == 0);
            if is_due || report.step == steps.len() {
                let path = self.save()?;
                progress.say(&format!("checkpoint `{}`", path.display()));
            }
        }
        progress.finish();
        Ok(true)
    }

    /// Adds up the packs' gradients, each divided by the supervised tokens of the whole step, and updates the adapter.
    fn take_step(&mut self, index: usize, step: &Step, stop: &AtomicBool) -> Result<Taken, TrainError> {
        let failed = |source: ModelError| TrainError::Step { step: index + 1, source };
        let (begun, run) = (Instant::now(), self.run);
        let scale = 1.0 / step.target_count() as f64;
        let mut loss = 0.0;
        for pack in &step.packs {
            if stop.load(Ordering::Relaxed) {
                return Ok(Taken::Stopped);
            }
            for pass in pack.passes(&run.data.train.documents, run.fit.pass_tokens) {
                let mut batch = batch(&run.data.train, &pass, index + 1)?;
                batch.noise = run.config.noise(index + 1, &pass.documents);
                loss += self
                    .decoder
                    .loss_and_gradients(&self.adapter, &batch, scale, run.fit.recompute, &self.gradients)
                    .map_err(failed)?;
            }
        }
        let loss = loss * scale;
        self.check_finite(index, "loss", loss)?;
        let learning_rate = run.schedule.learning_rate(index);
        let gradient_norm = self
            .optimizer
            .apply(&self.adapter, &self.gradients, &run.config.optimizer, learning_rate)
            .map_err(|error| failed(error.into()))?;
        self.check_finite(index, "gradient norm", gradient_norm)?;
        Ok(Taken::Whole(StepReport {
            step: index + 1,
            epoch: step.epoch,
            loss,
            learning_rate,
            gradient_norm,
            token_count: step.token_count(),
            target_count: step.target_count(),
            seconds: begun.elapsed().as_secs_f64(),
        }))
    }

    fn check_finite(&self, index: usize, what: &'static str, value: f64) -> Result<(), TrainError> {
        if value.is_finite() {
            return Ok(());
        }
        let kept = match folder::checkpoints(self.run.dir()).pop() {
            Some((_, path)) => format!("the last checkpoint is `{}`", path.display()),
            None => "there is no checkpoint yet".to_owned(),
        };
        Err(TrainError::NotFinite { step: index + 1, what, value, kept })
    }

    fn save(&self) -> Result<PathBuf, TrainError> {
        let state =
            State::new(self.step(), self.run.fit.pass_tokens, self.validation_loss_before, self.run.identity.clone());
        checkpoint::save(self.run.dir(), &state, &self.run.config, &self.adapter, &self.optimizer)
    }

    /// Packs of an unfinished step are forgotten: the same step begins anew on resume, so nothing differs.
    fn stopped(&self) -> Result<Outcome, TrainError> {
        let newest = folder::checkpoints(self.run.dir()).pop();
        let checkpoint = match newest {
            Some((step, path)) if step == self.step() => Some(path),
            _ if self.step() == 0 => None,
            _ => Some(self.save()?),
        };
        Ok(Outcome::Stopped { checkpoint })
    }

    fn finish(mut self, stop: &AtomicBool) -> Result<Outcome, TrainError> {
        let after = self.validation_loss(stop)?;
        if stop.load(Ordering::Relaxed) {
            return self.stopped();
        }
        if let Some(loss) = after {
            let step = self.step();
            self.metrics.held_out(step, loss)?;
        }
        if let Some(peak) = memory::peak_bytes(self.gradients.device()) {
            let estimate = describe::bytes(self.run.fit.plan.total());
            eprintln!("memory: {} at the peak, estimated {estimate}", describe::bytes(peak));
        }
        // Merging reads the base from disk again and needs the room of what is no longer used.
        let Learner { run, adapter, validation_loss_before, decoder, optimizer, gradients, .. } = self;
        drop((decoder, optimizer, gradients));
        let output = &run.config.output;
        let profile = Profile::named(&output.profile).expect("the settings are checked for its name");
        let format = ActionFormat::named(&output.action_format).expect("the settings are checked for its name");
        let wording = Wording { profile, format };
        let base = Base { name: &run.config.model.name, dir: &run.base_dir, format: &run.format, wording: &wording };
        let exports = export::export(run.dir(), &adapter, base)?;
        let validation_loss = validation_loss_before.zip(after);
        Ok(Outcome::Finished { exports, validation_loss })
    }

    /// Before the first step a fresh adapter changes nothing, so this is the loss of the base model too.
    fn validation_loss(&self, stop: &AtomicBool) -> Result<Option<f64>, TrainError> {
        let (held_out, pass_tokens) = (&self.run.data.validation, self.run.fit.pass_tokens);
        evaluate::loss(&self.decoder, &self.adapter, held_out, pass_tokens, stop)
    }
}
