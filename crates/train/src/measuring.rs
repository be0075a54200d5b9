//! What the loop measures between steps: the held-out loss, and how many tasks the agent solves.

use crate::config::Metric;
use crate::error::TrainError;
use crate::evaluate;
use crate::learner::Learner;
use crate::metrics::Known;
use crate::progress::Progress;
use crate::ranks::{RankError, any};
use crate::requests::Requests;
use crate::samples::Written;
use crate::standing::{Measure, Solved, Standing};
use crate::tasks::{Live, Tried};

/// Whether something is due after `step` of `steps` steps: before the first, behind the last and every so many.
pub(crate) fn is_due(step: usize, steps: usize, every: Option<usize>) -> bool {
    step == 0 || step == steps || every.is_some_and(|every| step.is_multiple_of(every))
}

impl Standing {
    /// What is known of this very step.
    pub(crate) fn known(&self, step: usize, metric: Metric) -> Known {
        let (loss, success) = (self.is_measured(step), self.is_tried(step));
        Known { loss, success, best: if metric == Metric::Loss { loss } else { success } }
    }
}

impl Learner<'_> {
    /// Measures what is due and was not done. Whether this is the best so far.
    ///
    /// # Errors
    /// When the model fails, a number is not finite, or a rank is gone.
    pub(crate) fn measure(&mut self, requests: &Requests, progress: &Progress) -> Result<bool, TrainError> {
        let is_best_loss = self.measure_loss(requests, progress)?;
        let is_best_success = !self.is_stopping && self.try_tasks(requests, progress)?;
        let evaluation = &self.run.config.evaluation;
        let is_best = match evaluation.metric {
            Metric::Loss => is_best_loss,
            Metric::Success => is_best_success,
        };
        Ok(is_best && evaluation.best_every().is_some())
    }

    /// The loss of held-out data.
    fn measure_loss(&mut self, requests: &Requests, progress: &Progress) -> Result<bool, TrainError> {
        let (run, step) = (self.run, self.position);
        let evaluation = &run.config.evaluation;
        if !is_due(step, run.plan.steps.len(), evaluation.every) || self.standing.is_measured(step) {
            return Ok(false);
        }
        let (held_out, pass_tokens) = (&run.data.validation, run.fit.pass_tokens);
        let (decoder, adapter) = (&self.decoder, self.trained.adapter());
        let measured = evaluate::held_out(decoder, adapter, held_out, pass_tokens, requests, self.ranks)?;
        let Some(measured) = measured else {
            self.is_stopping |= !held_out.documents.is_empty();
            return Ok(false);
        };
        if !measured.loss.is_finite() {
            let (value, documents) = (measured.loss, "what is trained is past saving".to_owned());
            return Err(TrainError::NotFinite { step, what: "held-out loss", value, documents, kept: self.kept() });
        }
        if run.tasks.is_empty() && evaluation.samples > 0 && !self.write_samples(requests)? {
            self.is_stopping = true;
            return Ok(false);
        }
        let is_best = self.standing.note(Measure { step, loss: measured.loss });
        self.record(|metrics| metrics.held_out(step, &measured, &run.source_names()))?;
        if is_best && evaluation.metric == Metric::Loss && evaluation.every.is_some() {
            self.record(|metrics| metrics.best(step))?;
        }
        progress.say(&format!("held-out loss {}: {:.4}", when(step), measured.loss));
        Ok(is_best)
    }

    /// The tasks that the agent solves. Rank 0 alone has Pythons; the others wait for what it says.
    fn try_tasks(&mut self, requests: &Requests, progress: &Progress) -> Result<bool, TrainError> {
        let (run, step) = (self.run, self.position);
        let evaluation = &run.config.evaluation;
        let is_due = is_due(step, run.plan.steps.len(), evaluation.tasks_every());
        if run.tasks.is_empty() || !is_due || self.standing.is_tried(step) {
            return Ok(false);
        }
        let mut mine: Option<(Tried, Vec<Written>)> = None;
        if self.ranks.place().is_first() {
            let live = Live::begin(run, &self.decoder, self.trained.adapter())?;
            let mut is_over = || self.ranks.check().map(|()| requests.wants_stop()).map_err(TrainError::from);
            mine = live.solve(run, &mut is_over, &|line| progress.say(line))?;
        }
        let (tried, samples) = mine.unzip();
        let text = self.ranks.spread_text(&serde_json::to_string(&tried).expect("plain values are JSON"))?;
        let nonsense = |error: serde_json::Error| RankError::Nonsense { rank: 0, what: error.to_string() };
        let tried: Option<Tried> = serde_json::from_str(&text).map_err(nonsense)?;
        let Some(tried) = tried else {
            self.is_stopping = true;
            return Ok(false);
        };
        if let (Some(file), Some(samples)) = (&mut self.samples, samples) {
            file.append(step, &samples)?;
        }
        let Tried { solved, tasks, .. } = tried;
        let is_best = self.standing.note_solved(Solved { step, solved, tasks });
        self.record(|metrics| metrics.tried(step, &tried))?;
        if is_best && evaluation.metric == Metric::Success && evaluation.best_every().is_some() {
            self.record(|metrics| metrics.best(step))?;
        }
        progress.say(&format!("tasks solved {}: {solved} of {tasks}", when(step)));
        Ok(is_best)
    }

    /// Samples for held-out conversations, on rank 0. Whether all were written, on all ranks.
    fn write_samples(&mut self, requests: &Requests) -> Result<bool, TrainError> {
        let mut is_stopped = false;
        if let Some(file) = &mut self.samples {
            let live = Live::begin(self.run, &self.decoder, self.trained.adapter())?;
            match live.continue_held_out(self.run, &|| requests.wants_stop())? {
                Some(written) => file.append(self.position, &written)?,
                None => is_stopped = true,
            }
        }
        let [is_stopped] = any(self.ranks, [is_stopped])?;
        Ok(!is_stopped)
    }

    /// Whether nothing got better for as long as the settings allow.
    pub(crate) fn is_stuck(&self) -> bool {
        let evaluation = &self.run.config.evaluation;
        evaluation.patience.is_some_and(|patience| self.standing.worse_in_a_row(evaluation.metric) >= patience)
    }
}

fn when(step: usize) -> String {
    if step == 0 { "before training".to_owned() } else { format!("after step {step}") }
}
