//! The steps of a run: forward and backward of its packs, the update, and what is measured and saved between them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Tensor;
use codeact_data::{Document, Pack, Step};
use codeact_model::{Batch, Decoder, ModelError};
use codeact_ops::optimizer::zero;

use crate::checkpoint::{self, State, VERSION};
use crate::config::{OnNotFinite, OnSpike};
use crate::error::TrainError;
use crate::evaluate::batch;
use crate::folder;
use crate::guard::{self, Compared};
use crate::losses::{self, LossSum};
use crate::memory;
use crate::metrics::Metrics;
use crate::optimizer::Optimizer;
use crate::preference::{Reference, Tally};
use crate::prepare::Prepared;
use crate::progress::{Progress, StepReport};
use crate::ranks::{self, Collective, Passes, SUSPECTS_MAX, Suspect};
use crate::requests::Requests;
use crate::samples::Samples;
use crate::standing::Standing;
use crate::trained::Trained;

/// Model, what is trained, and optimizer in the middle of a run.
pub(crate) struct Learner<'a> {
    pub run: &'a Prepared,
    /// Those that take the same steps.
    pub ranks: &'a dyn Collective,
    pub decoder: Decoder,
    pub trained: Trained,
    /// What pairs are compared with, where the run learns from them.
    pub reference: Option<Reference>,
    pub optimizer: Optimizer,
    /// `(P,)` f32, zero between steps.
    pub gradients: Tensor,
    /// Steps of the plan that are over.
    pub position: usize,
    pub standing: Standing,
    pub guard: guard::Memory,
    /// Of rank 0.
    pub metrics: Option<Metrics>,
    /// Of rank 0, where there are to be any.
    pub samples: Option<Samples>,
    /// Whether all ranks know that the run shall end.
    pub is_stopping: bool,
}

/// Why there are no more steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All were taken.
    Whole,
    /// Neither held-out loss nor tasks, whichever counts, got better for as long as the settings allow.
    NoProgress,
    /// It was asked to stop.
    Stopped,
}

/// What became of a step.
enum Taken {
    Whole(StepReport),
    /// What is trained is as before it.
    Back(String),
    /// Asked to stop between two passes.
    Stopped,
}

impl Learner<'_> {
    /// Takes the steps that are left.
    ///
    /// # Errors
    /// When a step fails, its numbers are not finite, or something cannot be written.
    pub fn take_steps(&mut self, requests: &Requests) -> Result<Ended, TrainError> {
        let steps = &self.run.plan.steps;
        let tokens_left = steps[self.position..].iter().map(Step::token_count).sum();
        let is_shown = self.ranks.place().is_first();
        let mut progress = Progress::new(steps.len(), self.position, tokens_left, is_shown);
        let ended = self.go_on(requests, &mut progress);
        progress.finish();
        ended
    }

    fn go_on(&mut self, requests: &Requests, progress: &mut Progress) -> Result<Ended, TrainError> {
        let run = self.run;
        let steps = &run.plan.steps;
        // Due before the first step, or where the run was stopped while it measured.
        self.measure(requests, progress)?;
        self.look_back(requests, progress)?;
        while self.position < steps.len() && !self.is_stuck() && !self.is_stopping {
            let rollbacks = self.guard.rollbacks();
            match self.take_step(&steps[self.position], requests, progress)? {
                Taken::Stopped => {
                    self.is_stopping = true;
                    break;
                }
                Taken::Back(why) => {
                    self.position += 1;
                    progress.say(&format!("step {}: taken back: {why}", self.position));
                    let position = self.position;
                    self.record(|metrics| metrics.taken_back(position, &why))?;
                }
                Taken::Whole(report) => {
                    self.position += 1;
                    self.record(|metrics| metrics.step(&report, &run.source_names()))?;
                    progress.step(&report);
                }
            }
            let is_best = self.measure(requests, progress)?;
            let rollbacks = [rollbacks, self.guard.rollbacks()];
            let is_due = checkpoint::is_due(self.position, run.config.checkpoint.every, rollbacks);
            let is_over = self.position == steps.len() || self.is_stuck();
            // A signal reaches some ranks and not others, and not at the same step.
            let asked = [requests.wants_stop() || self.is_stopping, requests.take_save(run.dir())];
            let [wants_stop, is_wanted] = ranks::any(self.ranks, asked)?;
            self.is_stopping = wants_stop;
            // What measures best is not broken, even where the newest step was taken back.
            if is_best || is_due || is_wanted || is_over && !self.is_stopping {
                self.verify()?;
                if let Some(path) = self.save()? {
                    let best = if is_best { ", the best so far" } else { "" };
                    progress.say(&format!("checkpoint `{}`{best}", path.display()));
                }
            }
        }
        Ok(match () {
            () if self.is_stopping => Ended::Stopped,
            () if self.position < steps.len() => Ended::NoProgress,
            () => Ended::Whole,
        })
    }

    /// Where rank 0 keeps the record.
    pub(crate) fn record(
        &mut self,
        act: impl FnOnce(&mut Metrics) -> Result<(), TrainError>,
    ) -> Result<(), TrainError> {
        self.metrics.as_mut().map_or(Ok(()), act)
    }

    /// Adds up the packs' gradients, each divided by the supervised tokens, or pairs, of the whole step, and takes the
    /// update. Each rank takes its share of the passes; behind them everything is decided on what all ranks have together.
    fn take_step(&mut self, step: &Step, requests: &Requests, progress: &Progress) -> Result<Taken, TrainError> {
        let (begun, run, number) = (Instant::now(), self.run, self.position + 1);
        let failed = |source: ModelError| TrainError::Step { step: number, source };
        let scale = 1.0 / step.packs.iter().map(|pack| run.unit_count(pack)).sum::<usize>() as f64;
        let mut mine = Passes::new(run.data.train.shares.len());
        let usual: Vec<Option<f64>> = (0..mine.by_source.len()).map(|source| self.guard.usual(source)).collect();
        let passes = named_passes(step, &run.data.train.documents, run.fit.pass_tokens);
        for (pass, names) in self.ranks.place().share(passes.into_iter()) {
            self.ranks.check()?;
            if requests.wants_stop() {
                mine.is_stopped = true;
                break;
            }
            let mut batch = batch(&run.data.train, &pass, number)?;
            batch.noise = run.config.noise(number, names);
            let losses = self.learn((&pass, &batch), scale, &mut mine.pairs).map_err(failed)?;
            for (document, sum) in pass.documents.iter().zip(losses) {
                let source = run.data.train.documents[*document].group;
                let loss = LossSum { sum, units: run.units(*document) };
                mine.see(source, Suspect { document: *document, loss, usual: usual[source] });
            }
        }
        let Passes { by_source, suspects, pairs, is_stopped } = mine.of_all(self.ranks)?;
        if is_stopped {
            return Ok(Taken::Stopped);
        }
        let loss = losses::mean(&by_source);
        if !loss.is_finite() {
            return self.not_finite("loss", loss, &suspects);
        }
        self.ranks.sum(&self.gradients)?;
        if self.optimizer.step == 0 {
            self.check_reached()?;
        }
        if let Some(why) = self.leap(&by_source, &suspects) {
            match run.config.guard.on_spike {
                OnSpike::Warn => progress.say(&format!("warning: step {number}: {why}")),
                OnSpike::Rollback => return self.take_back(why),
                OnSpike::Stop => return Err(TrainError::Spike { step: number, what: why, kept: self.kept() }),
            }
        }
        let learning_rate = run.schedule.learning_rate(self.position);
        let gradient_norm = self
            .optimizer
            .apply(&self.trained, &self.gradients, &run.config.optimizer, learning_rate)
            .map_err(|error| failed(error.into()))?;
        if !gradient_norm.is_finite() {
            return self.not_finite("gradient norm", gradient_norm, &suspects);
        }
        self.guard.kept(&by_source);
        Ok(Taken::Whole(StepReport {
            step: number,
            epoch: step.epoch,
            loss,
            by_source: losses::means(&by_source),
            learning_rate,
            gradient_norm,
            token_count: step.token_count(),
            target_count: step.target_count(),
            rewards: pairs.rewards(),
            seconds: begun.elapsed().as_secs_f64(),
            memory_bytes: memory::used_bytes(self.gradients.device()),
        }))
    }

    /// The losses of a pass, added up for each of its conversations or pairs; `scale` times the gradient of their sum
    /// is added to those of the step.
    fn learn(&self, pass: (&Pack, &Batch), scale: f64, tally: &mut Tally) -> Result<Vec<f64>, ModelError> {
        if let Some(reference) = &self.reference {
            return self.learn_pairs(reference, pass, scale, tally);
        }
        let (recompute, gradients) = (self.run.fit.recompute, &self.gradients);
        let losses = self.trained.losses_and_gradients(&self.decoder, pass.1, scale, recompute, gradients)?;
        Ok(losses::sums(&losses, &pass.1.target_counts()))
    }

    /// What is said of a loss that leaps.
    fn leap(&self, by_source: &[LossSum], suspects: &[Suspect]) -> Option<String> {
        let limit = self.run.config.guard.spike;
        let Compared { expected, deviations } = self.guard.compared(by_source)?;
        (limit > 0.0 && deviations > limit).then(|| {
            let (loss, named) = (losses::mean(by_source), self.named(suspects));
            format!("the loss leaps to {loss:.4} where {expected:.4} is usual, by {deviations:.1} deviations; {named}")
        })
    }

    fn not_finite(&mut self, what: &'static str, value: f64, suspects: &[Suspect]) -> Result<Taken, TrainError> {
        let documents = self.named(suspects);
        match self.run.config.guard.on_not_finite {
            OnNotFinite::Rollback => self.take_back(format!("the {what} is {value}; {documents}")),
            OnNotFinite::Stop => {
                Err(TrainError::NotFinite { step: self.position + 1, what, value, documents, kept: self.kept() })
            }
        }
    }

    /// Nothing of the step stays.
    fn take_back(&mut self, why: String) -> Result<Taken, TrainError> {
        zero(&self.gradients).map_err(|error| TrainError::Step { step: self.position + 1, source: error.into() })?;
        match self.guard.taken_back() {
            true => Ok(Taken::Back(why)),
            false => Err(TrainError::TakenBackTooOften {
                step: self.position + 1,
                count: guard::ROLLBACKS_MAX,
                what: why,
                kept: self.kept(),
            }),
        }
    }

    /// What the first step does not move is not part of the loss.
    fn check_reached(&self) -> Result<(), TrainError> {
        let layer_count = self.run.model.layer_count;
        let module = self.trained.not_reached(&self.gradients, layer_count);
        match module.map_err(|error| TrainError::Step { step: 1, source: error.into() })? {
            Some(module) => Err(TrainError::NotReached { module }),
            None => Ok(()),
        }
    }

    /// Conversations or pairs by number, id and place, as plan.jsonl and `preview` count them, with their mean losses:
    /// those that have none that is a number, or else those above what is usual.
    pub(crate) fn named(&self, suspects: &[Suspect]) -> String {
        let what = if self.run.config.pairs().is_some() { "pair" } else { "conversation" };
        let name = |Suspect { document, loss, usual }: &Suspect| {
            let (file, entry) = self.run.data.train.entry(*document);
            let id = if entry.id.is_empty() { String::new() } else { format!(" {:?}", entry.id) };
            let mean = loss.mean().unwrap_or(f64::NAN);
            let usual = usual.filter(|_| mean.is_finite()).map(|usual| format!(", usually {usual:.4}"));
            let usual = usual.unwrap_or_default();
            format!("{what} {document}{id} (line {} of `{}`): {mean:.4}{usual}", entry.line, file.path.display())
        };
        let named = |suspects: Vec<&Suspect>| suspects.into_iter().map(name).collect::<Vec<_>>().join(", ");
        let is_broken = |suspect: &&Suspect| !suspect.loss.sum.is_finite();
        let (broken, others): (Vec<&Suspect>, Vec<&Suspect>) = suspects.iter().partition(is_broken);
        let above: Vec<&Suspect> = others.into_iter().filter(|suspect| suspect.excess() > 0.0).collect();
        match () {
            () if broken.len() == SUSPECTS_MAX => format!("{}, and maybe others", named(broken)),
            () if !broken.is_empty() => named(broken),
            () if above.is_empty() => format!("no {what} stands out"),
            () => format!("the most above the usual: {}", named(above)),
        }
    }

    pub(crate) fn kept(&self) -> String {
        match folder::checkpoints(self.run.dir()).pop() {
            Some((_, path)) => format!("the last checkpoint is `{}`", path.display()),
            None => "there is no checkpoint yet".to_owned(),
        }
    }

    /// Makes sure that all ranks have the same trained values and moments, bit for bit.
    ///
    /// # Errors
    /// Names the ranks that have not.
    pub fn verify(&self) -> Result<(), TrainError> {
        if self.ranks.place().count == 1 {
            return Ok(());
        }
        let print = checkpoint::fingerprint(self.trained.parameters(), &self.optimizer);
        let print = print.map_err(|error| TrainError::Step { step: self.position, source: error.into() })?;
        Ok(self.ranks.same(&format!("{} after step {}", self.trained.what(), self.position), &print)?)
    }

    /// Where rank 0 wrote a checkpoint; `None` on the others.
    fn save(&self) -> Result<Option<PathBuf>, TrainError> {
        if !self.ranks.place().is_first() {
            return Ok(None);
        }
        // What the checkpoint counts as recorded is on the disk before it is.
        self.metrics.as_ref().map_or(Ok(()), Metrics::sync)?;
        self.samples.as_ref().map_or(Ok(()), Samples::sync)?;
        let state = State {
            version: VERSION,
            step: self.position,
            updates: self.optimizer.step,
            pass_tokens: self.run.fit.pass_tokens,
            standing: self.standing.clone(),
            guard: self.guard.clone(),
            identity: self.run.identity.clone(),
        };
        checkpoint::save(self.run, &state, &self.trained, &self.optimizer).map(Some)
    }

    /// The checkpoint of a run that is to stop, unless it is there. Passes of an unfinished step are forgotten: the same
    /// step begins anew on resume, so nothing differs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save_to_stop(&self) -> Result<Option<PathBuf>, TrainError> {
        let newest = folder::checkpoints(self.run.dir()).pop();
        match newest {
            Some((step, path)) if step == self.position => Ok(Some(path)),
            _ if self.position == 0 => Ok(None),
            _ => self.save(),
        }
    }
}

/// The passes of a step, each with the names under which its conversations draw random numbers. The first time a
/// conversation comes up its name is its index; each time it does again in the step, the indices of all are added once more,
/// so that it draws others.
///
/// How often it came up before is counted over the whole step, and so it does not matter how that is split into passes and
/// shared among ranks.
fn named_passes(step: &Step, documents: &[Document], pass_tokens: usize) -> Vec<(Pack, Vec<u32>)> {
    let mut times: HashMap<usize, usize> = HashMap::new();
    let mut name = |document: usize| {
        let time = times.entry(document).or_default();
        *time += 1;
        ((*time - 1) * documents.len() + document) as u32
    };
    let mut named = Vec::new();
    for pass in step.packs.iter().flat_map(|pack| pack.passes(documents, pass_tokens)) {
        let names = pass.documents.iter().map(|document| name(*document)).collect();
        named.push((pass, names));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_that_comes_up_again_in_a_step_draws_other_numbers_however_it_is_split() {
        let documents = [Document { token_count: 4, target_count: 2, group: 0 }; 3];
        let pack = |indices: &[usize]| {
            let (token_count, target_count) = (4 * indices.len(), 2 * indices.len());
            Pack { documents: indices.to_vec(), token_count, target_count }
        };
        let step = Step { epoch: 0, packs: vec![pack(&[2, 1]), pack(&[1, 0, 1])] };
        let names = |pass_tokens: usize| -> Vec<Vec<u32>> {
            named_passes(&step, &documents, pass_tokens).into_iter().map(|(_, names)| names).collect()
        };
        assert_eq!(names(100), [vec![2, 1], vec![4, 0, 7]]);
        assert_eq!(names(4), [[2], [1], [4], [0], [7]]);
        assert_eq!(names(8), [vec![2, 1], vec![4, 0], vec![7]]);
    }
}
