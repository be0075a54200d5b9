//! Learning from pairs: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290), with the likelihood of
//! the chosen conversation beside it (Pang et al. 2024, arXiv 2404.19733).
//!
//! A pair is one document of the plan, so both its conversations are in one pass, wherever a step is cut. Its loss is a
//! function of the losses of their learned tokens, and the derivatives of that function are the weights of the tokens:
//! everything else of a step is as it is for conversations. The model that is compared with is the run's own start. It
//! is there at each resume, so what it says of the pairs is found anew then, in the same passes, with the same bits.

use std::collections::BTreeSet;

use codeact_data::{Pack, plan};
use codeact_model::{Batch, ModelError};
use serde::{Deserialize, Serialize};

use crate::config::Preference;
use crate::error::TrainError;
use crate::evaluate::batch;
use crate::learner::Learner;
use crate::losses::{self, LossSum};
use crate::prepare::Prepared;
use crate::progress::Progress;
use crate::ranks::{self, Suspect};
use crate::requests::Requests;
use crate::trained::{Trained, starting_adapter};

/// Numbers that ranks add up at once; [`ranks::Collective::gather`] is for little.
const SUMMED_AT_ONCE: usize = 1 << 16;

/// Losses of both conversations of each document as the run began: the chosen one's and the rejected one's, each the
/// sum over its learned tokens, in nats.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reference(Vec<[f64; 2]>);

/// What came of pairs, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Tally {
    /// How many.
    pub pairs: usize,
    /// Those whose chosen conversation has the higher reward.
    pub right: usize,
    /// Rewards of the chosen conversations: what their log-likelihood has gained since the run began, times `beta`.
    pub chosen: f64,
    /// Rewards of the rejected ones.
    pub rejected: f64,
    /// Losses of the chosen conversations, each a mean over its learned tokens, in nats.
    pub likelihood: f64,
}

/// The same for a connection: numbers as their bits, because JSON has neither NaN nor infinity.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct TallyBits(usize, usize, [u64; 3]);

impl Tally {
    /// Takes in another one.
    pub fn add(&mut self, other: Tally) {
        self.pairs += other.pairs;
        self.right += other.right;
        self.chosen += other.chosen;
        self.rejected += other.rejected;
        self.likelihood += other.likelihood;
    }

    /// For a connection.
    pub fn bits(&self) -> TallyBits {
        TallyBits(self.pairs, self.right, [self.chosen, self.rejected, self.likelihood].map(f64::to_bits))
    }

    /// The inverse of [`Tally::bits`].
    pub fn of_bits(TallyBits(pairs, right, sums): TallyBits) -> Tally {
        let [chosen, rejected, likelihood] = sums.map(f64::from_bits);
        Tally { pairs, right, chosen, rejected, likelihood }
    }

    /// Means over the pairs; `None` where there were none.
    pub fn rewards(&self) -> Option<Rewards> {
        let mean = |sum: f64| sum / self.pairs as f64;
        (self.pairs > 0).then(|| Rewards {
            accuracy: mean(self.right as f64),
            chosen: mean(self.chosen),
            rejected: mean(self.rejected),
            chosen_loss: mean(self.likelihood),
        })
    }
}

/// What came of the pairs of a step, before its update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rewards {
    /// Part of the pairs whose chosen conversation has the higher reward, 0 to 1.
    pub accuracy: f64,
    /// Mean reward of the chosen conversations: by how much their log-likelihood has grown, times `beta`.
    pub chosen: f64,
    /// Mean reward of the rejected ones.
    pub rejected: f64,
    /// Mean loss of the chosen conversations, in nats per learned token.
    pub chosen_loss: f64,
}

impl Rewards {
    /// Each number by its key in `metrics.jsonl`.
    pub fn named(&self) -> [(&'static str, f64); 5] {
        [
            ("reward_accuracy", self.accuracy),
            ("reward_margin", self.chosen - self.rejected),
            ("reward_chosen", self.chosen),
            ("reward_rejected", self.rejected),
            ("chosen_loss", self.chosen_loss),
        ]
    }
}

/// What is to be said of one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Judged {
    loss: f64,
    /// Of the chosen conversation and of the rejected one.
    rewards: [f64; 2],
    /// Derivatives of the loss by that of each learned token of the one and of the other.
    weights: [f64; 2],
}

impl Preference {
    /// Judges a pair.
    ///
    /// * `losses`: sums over the learned tokens of the chosen conversation and of the rejected one, in nats.
    /// * `before`: the same as the run began.
    /// * `counts`: learned tokens.
    fn judge(&self, losses: [f64; 2], before: [f64; 2], counts: [usize; 2]) -> Judged {
        let rewards = [0, 1].map(|side| self.beta * (before[side] - losses[side]));
        let margin = rewards[0] - rewards[1];
        // -log sigmoid(margin), and its derivative by the chosen one's loss; neither overflows.
        let loss = (-margin).max(0.0) + (-margin.abs()).exp().ln_1p();
        let pull = self.beta / (1.0 + margin.exp());
        let likelihood = self.sft_weight / counts[0] as f64;
        Judged { loss: loss + likelihood * losses[0], rewards, weights: [pull + likelihood, -pull] }
    }
}

impl Prepared {
    /// What the loss of a pack is to be divided by: pairs, or supervised tokens.
    pub(crate) fn unit_count(&self, pack: &Pack) -> usize {
        pack.documents.iter().map(|document| self.units(*document)).sum()
    }

    /// The same of a document: a pair is one.
    pub(crate) fn units(&self, document: usize) -> usize {
        match self.config.pairs() {
            Some(_) => 1,
            None => self.data.train.documents[document].target_count,
        }
    }
}

impl Learner<'_> {
    /// Finds out what the pairs of the plan were to the model that the run began with, where it learns from pairs and
    /// has steps left.
    ///
    /// # Errors
    /// When the model fails, a number is not finite, or a rank is gone.
    pub(crate) fn look_back(&mut self, requests: &Requests, progress: &Progress) -> Result<(), TrainError> {
        let run = self.run;
        let lora = run.config.lora_config().filter(|_| run.config.pairs().is_some());
        let has_steps = self.position < run.plan.steps.len() && !self.is_stuck();
        let Some(lora) = lora.filter(|_| has_steps && !self.is_stopping) else {
            return Ok(());
        };
        let (part, failed) = (&run.data.train, |source: ModelError| TrainError::Step { step: 0, source });
        // Of the whole plan, wherever the run goes on: the same passes each time.
        let planned: BTreeSet<usize> = run.plan.packs().flat_map(|pack| &pack.documents).copied().collect();
        progress.say(&format!("comparing with the start of the run: {} pairs", planned.len()));
        let start = starting_adapter(run, &lora, &self.decoder, self.gradients.device())?;
        let mut sums = vec![0.0; 2 * part.documents.len()];
        let order: Vec<usize> = planned.iter().copied().collect();
        let passes = plan::fill(&part.documents, &order, run.fit.pass_tokens);
        for pass in self.ranks.place().share(passes.iter()) {
            self.ranks.check()?;
            if requests.wants_stop() {
                break;
            }
            let batch = batch(part, pass, 0)?;
            let losses = self.decoder.losses(Some(&start), &batch).map_err(failed)?;
            let pairs = sums_of_pairs(&losses, &batch.target_counts());
            for (document, pair) in pass.documents.iter().zip(pairs) {
                sums[2 * document..2 * document + 2].copy_from_slice(&pair);
            }
        }
        let [is_stopped] = ranks::any(self.ranks, [requests.wants_stop()])?;
        if is_stopped {
            self.is_stopping = true;
            return Ok(());
        }
        sums.chunks_mut(SUMMED_AT_ONCE).try_for_each(|part| self.ranks.sum_f64(part))?;
        let sums: Vec<[f64; 2]> = sums.as_chunks::<2>().0.to_vec();
        let is_broken = |document: &usize| !sums[*document].iter().all(|sum| sum.is_finite());
        if let Some(document) = planned.into_iter().find(is_broken) {
            let value = sums[document].iter().sum();
            let loss = LossSum { sum: value, units: 1 };
            let documents = self.named(&[Suspect { document, loss, usual: None }]);
            let what = "loss at the start of the run";
            return Err(TrainError::NotFinite { step: 0, what, value, documents, kept: self.kept() });
        }
        self.reference = Some(Reference(sums));
        Ok(())
    }

    /// The losses of the pairs of a pass; what came of them is added to `tally`, and `scale` times the gradient of
    /// their sum to those of the step.
    ///
    /// # Errors
    /// When the model fails, or all weights are trained.
    pub(crate) fn learn_pairs(
        &self,
        Reference(reference): &Reference,
        (pass, batch): (&Pack, &Batch),
        scale: f64,
        tally: &mut Tally,
    ) -> Result<Vec<f64>, ModelError> {
        let run = self.run;
        let (Some(settings), Trained::Adapter(adapter)) = (run.config.pairs(), &self.trained) else {
            return Err(ModelError::Batch("pairs are learned by an adapter alone".to_owned()));
        };
        let (counts, mut of_pairs) = (batch.target_counts(), Vec::with_capacity(pass.documents.len()));
        let mut weigh = |losses: &[f64]| {
            let mut weights = Vec::with_capacity(losses.len());
            let pairs = sums_of_pairs(losses, &counts).into_iter().zip(counts.as_chunks::<2>().0);
            for ((sums, counts), document) in pairs.zip(&pass.documents) {
                let judged = settings.judge(sums, reference[*document], *counts);
                of_pairs.push(judged.loss);
                tally.add(Tally {
                    pairs: 1,
                    right: usize::from(judged.rewards[0] > judged.rewards[1]),
                    chosen: judged.rewards[0],
                    rejected: judged.rewards[1],
                    likelihood: sums[0] / counts[0] as f64,
                });
                for (weight, count) in judged.weights.into_iter().zip(counts) {
                    weights.extend(std::iter::repeat_n((scale * weight) as f32, *count));
                }
            }
            weights
        };
        self.decoder.weighed_gradients(adapter, batch, &mut weigh, run.fit.recompute, &self.gradients)?;
        Ok(of_pairs)
    }
}

/// The sums of the losses of both conversations of each pair; `counts` says how many each conversation has.
fn sums_of_pairs(losses: &[f64], counts: &[usize]) -> Vec<[f64; 2]> {
    losses::sums(losses, counts).as_chunks::<2>().0.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: [f64; 2] = [12.0, 9.0];
    const COUNTS: [usize; 2] = [6, 4];

    fn plain(beta: f64) -> Preference {
        Preference { beta, sft_weight: 0.0 }
    }

    #[test]
    fn the_weights_are_the_derivatives_of_the_loss() {
        for settings in [plain(0.1), plain(3.0), Preference { beta: 0.5, sft_weight: 0.7 }] {
            for losses in [[12.0, 9.0], [10.0, 11.0], [15.5, 8.0]] {
                let judged = settings.judge(losses, BEFORE, COUNTS);
                for (side, weight) in judged.weights.into_iter().enumerate() {
                    let at = |step: f64| {
                        let mut moved = losses;
                        moved[side] += step;
                        settings.judge(moved, BEFORE, COUNTS).loss
                    };
                    let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((slope - weight).abs() < 1e-8, "{settings:?} {losses:?} {side}: {slope}, {weight}");
                }
            }
        }
    }

    #[test]
    fn the_loss_is_that_of_the_paper() {
        let (beta, losses) = (0.4, [10.0, 11.0]);
        let judged = plain(beta).judge(losses, BEFORE, COUNTS);
        // Log-likelihoods: the chosen one has won 2 nats, the rejected one has lost 2.
        assert_eq!(judged.rewards, [beta * 2.0, beta * -2.0]);
        let sigmoid = 1.0 / (1.0 + (-beta * 4.0f64).exp());
        assert!((judged.loss + sigmoid.ln()).abs() < 1e-12);
        assert!((judged.weights[0] - beta * (1.0 - sigmoid)).abs() < 1e-12 && judged.weights[1] == -judged.weights[0]);
        // Where nothing has changed a pair is even, and with the likelihood beside it that is all that is added.
        let even = plain(beta).judge(BEFORE, BEFORE, COUNTS);
        assert!((even.loss - 2f64.ln()).abs() < 1e-12 && even.weights == [beta / 2.0, -beta / 2.0]);
        let both = Preference { beta, sft_weight: 0.5 }.judge(BEFORE, BEFORE, COUNTS);
        assert!((both.loss - even.loss - 0.5 * 2.0).abs() < 1e-12 && both.weights[1] == even.weights[1]);
        assert!((both.weights[0] - even.weights[0] - 0.5 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_pair_the_other_way_round_pulls_the_other_way_and_nothing_pulls_without_beta() {
        let swapped = |pair: [f64; 2]| [pair[1], pair[0]];
        let (losses, settings) = ([10.0, 11.0], plain(0.4));
        let one = settings.judge(losses, BEFORE, COUNTS);
        let other = settings.judge(swapped(losses), swapped(BEFORE), [4, 6]);
        assert_eq!(one.rewards, swapped(other.rewards));
        // The sum of both pulls is beta: what one pair is sure of the other one is not.
        assert!((one.weights[0] + other.weights[0] - 0.4).abs() < 1e-12);
        assert!(one.weights[0] > 0.0 && other.weights[0] > 0.0 && one.weights[1] < 0.0);
        assert!(plain(1e-9).judge(losses, BEFORE, COUNTS).weights.iter().all(|weight| weight.abs() < 1e-9));
    }

    #[test]
    fn what_is_far_apart_stays_finite_and_what_is_no_number_shows() {
        for far in [1e4, -1e4] {
            let judged = plain(1.0).judge([10.0 - far, 10.0], [10.0, 10.0], COUNTS);
            assert!((judged.loss - (-far).max(0.0)).abs() < 1e-9, "{judged:?}");
            assert!(judged.weights.iter().all(|weight| weight.is_finite()), "{judged:?}");
        }
        assert!(plain(1.0).judge([f64::NAN, 1.0], BEFORE, COUNTS).loss.is_nan());
    }

    #[test]
    fn losses_find_their_conversations() {
        let mask = |targets: &[usize], length| (0..length).map(|at| targets.contains(&at)).collect::<Vec<bool>>();
        let masks = [mask(&[2, 3], 5), mask(&[1, 2, 4], 5), mask(&[3], 4), mask(&[1], 2)];
        let ids: [&[u32]; 4] = [&[7; 5], &[7; 5], &[7; 4], &[7; 2]];
        let batch = Batch::new(ids.into_iter().zip(masks.iter().map(Vec::as_slice))).expect("sequences");
        let counts = batch.target_counts();
        assert_eq!(counts, [2, 3, 1, 1]);
        let losses = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
        assert_eq!(sums_of_pairs(&losses, &counts), [[3.0, 28.0], [32.0, 64.0]]);
    }

    #[test]
    fn tallies_travel_as_their_bits() {
        let mut tally = Tally { pairs: 2, right: 1, chosen: f64::NAN, rejected: -0.0, likelihood: f64::INFINITY };
        let text = serde_json::to_string(&tally.bits()).expect("JSON");
        let back = Tally::of_bits(serde_json::from_str(&text).expect("the same"));
        assert_eq!(format!("{back:?}"), format!("{tally:?}"));
        tally = Tally { pairs: 1, right: 1, chosen: 3.0, rejected: 1.0, likelihood: 2.0 };
        tally.add(Tally { pairs: 3, right: 0, chosen: 1.0, rejected: 3.0, likelihood: 6.0 });
        let rewards = tally.rewards().expect("pairs");
        let wanted = [0.25, 0.0, 1.0, 1.0, 2.0];
        assert_eq!(rewards.named().map(|(_, value)| value), wanted);
        assert_eq!(Tally::default().rewards(), None);
    }
}
