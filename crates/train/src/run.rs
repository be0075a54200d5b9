//! A run, from the first step or a checkpoint to the exports.

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor};
use codeact_agent::{ActionFormat, Profile, Wording};

use crate::checkpoint::{self, State};
use crate::config::{Exported, Metric};
use crate::describe;
use crate::error::TrainError;
use crate::export::{self, Base, Check, Exports, Training};
use crate::folder::{self, Held, Start};
use crate::guard;
use crate::learner::{Ended, Learner};
use crate::memory;
use crate::metrics::{Known, Metrics};
use crate::optimizer::Optimizer;
use crate::prepare::Prepared;
use crate::progress::tell;
use crate::ranks::{Collective, RankError};
use crate::requests::Requests;
use crate::samples::Samples;
use crate::standing::Standing;
use crate::trained::Trained;

/// How a run ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All steps were taken, or what is measured did not get better any more.
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
    /// On a rank that is not the first: the first one did all that is left to do.
    Followed,
    /// It was asked to stop.
    Stopped {
        /// From where `--resume` goes on; `None` when no step was finished.
        checkpoint: Option<PathBuf>,
    },
}

/// Takes all steps of the plan and exports. Whoever has `requests` can stop the run after the current pass, with a
/// checkpoint, and ask for checkpoints. When another rank is gone, rank 0 saves what all had after the last step.
///
/// * `start`: of rank 0; the others begin where it does, and need none of its files.
/// * `held`: the run's folder since `start` was looked for there. What is not held yet rank 0 takes hold of.
/// * `ranks`: those that take the same steps, with the same identity and tokens of a pass.
///
/// # Errors
/// When the checkpoint in `start` is of another run, another run is in the folder, a result cannot be written, the
/// numbers are no longer finite, or a rank is gone.
pub fn train(
    run: &Prepared,
    start: &Start,
    mut held: Held,
    requests: &Requests,
    ranks: &dyn Collective,
) -> Result<Outcome, TrainError> {
    // Data and tokenizer are there already. On a card the plan is of the card alone.
    let held_bytes = run.device.as_ref().filter(|device| device.is_cpu()).and_then(memory::used_bytes).unwrap_or(0);
    let state = state(run, start, ranks)?;
    // A plan of a card that was not there runs only if it is there now.
    let device = run.device.clone().map_or_else(|| codeact_ops::device::open(0).map_err(TrainError::Device), Ok)?;
    let is_first = ranks.place().is_first();
    let other_passes = state.as_ref().filter(|(_, state)| is_first && state.pass_tokens != run.fit.pass_tokens);
    if let Some((_, state)) = other_passes {
        let (before, now) = (state.pass_tokens, run.fit.pass_tokens);
        tell(&format!("note: passes of {now} tokens, {before} before: the same result but for rounding"));
    }
    let mut learner = learner(run, state, &mut held, &device, ranks)?;
    if is_first {
        folder::write_file(&run.dir().join("config.toml"), run.config.resolved().as_bytes())?;
        folder::write_file(&run.dir().join("plan.jsonl"), describe::plan_lines(run).as_bytes())?;
    }
    let ended = match learner.take_steps(requests) {
        // What is trained is that of the last whole step, on all ranks alike.
        Err(error @ TrainError::Ranks(RankError::Lost { .. } | RankError::Nccl(_))) if is_first => {
            learner.save_to_stop()?;
            return Err(error);
        }
        ended => ended?,
    };
    if ended == Ended::Stopped {
        learner.verify()?;
    }
    let outcome = match ended {
        _ if !is_first => Ok(Outcome::Followed),
        Ended::Stopped => Ok(Outcome::Stopped { checkpoint: learner.save_to_stop()? }),
        ended => finish(learner, ended, held_bytes),
    }?;
    // All end together. What is written stays written, whoever is gone by now.
    match ranks.gather(&[]) {
        Err(error) if !is_first => Err(error.into()),
        _ => Ok(outcome),
    }
}

/// Where rank 0 begins, as all ranks know it; each makes sure that it is of its run.
fn state(run: &Prepared, start: &Start, ranks: &dyn Collective) -> Result<Option<(PathBuf, State)>, TrainError> {
    let of_first = match start {
        Start::Continue(checkpoint) if ranks.place().is_first() => {
            let state = checkpoint::load_state(checkpoint, &run.identity)?;
            serde_json::to_string(&(checkpoint, state)).expect("plain values are JSON")
        }
        _ => "null".to_owned(),
    };
    let text = ranks.spread_text(&of_first)?;
    let nonsense =
        |error: serde_json::Error| RankError::Nonsense { rank: 0, what: format!("no state of a run: {error}") };
    let state: Option<(PathBuf, State)> = serde_json::from_str(&text).map_err(nonsense)?;
    if let Some((checkpoint, state)) = &state {
        checkpoint::check_identity(checkpoint, state, &run.identity)?;
        checkpoint::check_steps(checkpoint, state, run.plan.steps.len())?;
    }
    Ok(state)
}

/// Model, what is trained, and optimizer as they were at a checkpoint, or as they begin.
fn learner<'a>(
    run: &'a Prepared,
    state: Option<(PathBuf, State)>,
    held: &mut Held,
    device: &Device,
    ranks: &'a dyn Collective,
) -> Result<Learner<'a>, TrainError> {
    let is_first = ranks.place().is_first();
    let checkpoint = state.as_ref().filter(|_| is_first);
    let (decoder, trained) = Trained::load(run, checkpoint.map(|(path, _)| path.as_path()), device, is_first)?;
    let count = trained.parameters().elem_count();
    let mut optimizer = match checkpoint {
        Some((path, state)) => checkpoint::load_optimizer(path, state.updates, count, device)?,
        None => Optimizer::new(count, device).map_err(|error| TrainError::Load(error.into()))?,
    };
    if let Some((_, state)) = &state {
        // Whoever still loads takes nothing yet.
        ranks.gather(&[])?;
        [trained.parameters(), &optimizer.m, &optimizer.v].into_iter().try_for_each(|vector| ranks.spread(vector))?;
        optimizer.step = state.updates;
        trained.refresh().map_err(|error| TrainError::Load(error.into()))?;
    }
    let gradients = Tensor::zeros(count, DType::F32, device);
    let gradients = gradients.map_err(|error| TrainError::Load(error.into()))?;
    if is_first {
        held.make(run.dir())?;
    }
    let (position, standing, guard) = match state {
        None => {
            if is_first {
                folder::clear(run.dir())?;
            }
            (0, Standing::default(), guard::Memory::default())
        }
        Some((_, state)) => {
            if is_first {
                checkpoint::rotate(run.dir(), &state, &run.config)?;
            }
            (state.step, state.standing, state.guard)
        }
    };
    let known = standing.known(position, run.config.evaluation.metric);
    let records = is_first.then(|| records(run, position, known)).transpose()?;
    let (metrics, samples) = records.map_or((None, None), |(metrics, samples)| (Some(metrics), samples));
    let learner = Learner {
        run,
        ranks,
        decoder,
        trained,
        reference: None,
        optimizer,
        gradients,
        position,
        standing,
        guard,
        metrics,
        samples,
        is_stopping: false,
    };
    learner.verify()?;
    Ok(learner)
}

/// What rank 0 writes down of a run after `position` steps.
fn records(run: &Prepared, position: usize, known: Known) -> Result<(Metrics, Option<Samples>), TrainError> {
    let metrics = Metrics::open(&run.dir().join("metrics.jsonl"), position, known)?;
    let metrics = metrics.with_tensorboard(run.config.output.tensorboard)?;
    let is_known = if run.tasks.is_empty() { known.loss } else { known.success };
    let open = || Samples::open(&run.dir().join("samples.jsonl"), position, is_known);
    Ok((metrics, (run.config.evaluation.samples > 0).then(open).transpose()?))
}

fn finish(learner: Learner<'_>, ended: Ended, held_bytes: usize) -> Result<Outcome, TrainError> {
    if let Some(peak) = memory::peak_bytes(learner.gradients.device()) {
        let estimate = describe::bytes(learner.run.fit.plan.total() + held_bytes);
        tell(&format!("memory: {} at the peak, estimated {estimate}", describe::bytes(peak)));
    }
    let Learner { run, trained, standing, position, decoder, optimizer, gradients, .. } = learner;
    drop(optimizer);
    let best = standing.best_step(run.config.evaluation.metric);
    let best = best.filter(|best| run.config.exported() == Exported::Best && *best != position);
    // It was written long ago.
    let best = best.filter(|best| {
        let checkpoint = run.dir().join(folder::step_name(*best));
        let checked = checkpoint::check(&checkpoint);
        if let Err(what) = &checked {
            let path = checkpoint.display();
            tell(&format!(
                "warning: the results are of the last step, because the best checkpoint `{path}` is damaged: {what}"
            ));
        }
        checked.is_ok()
    });
    let trained = match best {
        None => trained,
        Some(best) => {
            tell(&format!("the results are of step {best}, {}", why_best(&standing, run.config.evaluation.metric)));
            trained.restored(&run.dir().join(folder::step_name(best)), &run.model)?
        }
    };
    let check = Check::of_run(run, &decoder, &trained)?;
    // Merging reads the base from disk again and needs the room of what is no longer used.
    drop((decoder, gradients));
    let output = &run.config.output;
    let profile = Profile::named(&output.profile).expect("the settings are checked for its name");
    let format = ActionFormat::named(&output.action_format).expect("the settings are checked for its name");
    let wording = Wording { profile, format };
    let base = Base { name: &run.config.model.name, dir: &run.base_dir, format: &run.format, wording: &wording };
    let step = best.unwrap_or(position);
    let held_out_loss = standing.before.zip(standing.loss_after(step));
    let training = Training { solved: standing.solved_after(step), ..Training::of_run(run, step, held_out_loss) };
    let exports = export::export(run.dir(), trained, base, &check, &training)?;
    Ok(Outcome::Finished { exports, step, is_early: ended == Ended::NoProgress, held_out_loss })
}

/// Why the best step is it.
fn why_best(standing: &Standing, metric: Metric) -> String {
    match (metric, standing.best, standing.success.best) {
        (Metric::Loss, Some(best), _) => format!("whose held-out loss {:.4} is the best", best.loss),
        (Metric::Success, _, Some(best)) => format!("which solves the most tasks, {} of {}", best.solved, best.tasks),
        _ => "the best".to_owned(),
    }
}
