//! How far the logits of an export are from those of the model it was made of, and how far they may be.

use std::path::Path;

use candle_core::{DType, Device};
use codeact_model::gguf::Quant;
use codeact_model::serving::{ServedModel, Step, Wanted};
use codeact_model::{Adapter, Decoder, ModelError, Weights, saves_exactly, stored_dtype};
use serde::{Deserialize, Serialize};

use super::probe::Probe;
use crate::error::TrainError;

/// Bounds on the largest difference, of the largest logit, with room for other models and processors. What was measured
/// is of SmolLM2-135M with adapters of the quickstart. There one matrix of 210 that is lost gives 0.28, two that are
/// exchanged 0.46, queries and keys in the wrong order of rows 0.89.
mod bounds {
    /// The same numbers in the same order on one processor.
    pub const SAME_ON_CPU: f64 = 0.0;
    /// A card may choose another algorithm for a product when it is asked again.
    pub const SAME_ON_CARD: f64 = 0.02;
    /// Sums in another order: measured 2e-6 on tiny models, 5e-5 on SmolLM2.
    pub const F32: f64 = 2e-4;
    /// Every merged weight is rounded once to 16 bits: measured 7e-3.
    pub const MERGED_16_BITS: f64 = 0.05;
    /// The same, and every product is rounded too: measured 1.4e-2.
    pub const PRODUCTS_16_BITS: f64 = 0.1;
    /// Merged weights fall on other levels of 4 bits than those of the base: measured 0.18.
    pub const NF4: f64 = 0.6;
    /// Weights and keys in 16 bits: measured 5e-4 in f16 and 6e-3 in bf16.
    pub const GGUF_16_BITS: f64 = 0.05;
    /// Weights and activations in 8 bits: measured 4e-2.
    pub const GGUF_8_BITS: f64 = 0.1;
    /// Weights in 4 bits: measured 0.12 with the mix of Q4_K_M, 0.29 with Q4_0.
    pub const GGUF_4_BITS: f64 = 0.6;
}

/// What an export rounds that its model did not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rounding {
    bound: f64,
}

impl Rounding {
    /// Nothing: the same weights.
    pub(super) fn same(device: &Device) -> Rounding {
        Rounding { bound: if device.is_cpu() { bounds::SAME_ON_CPU } else { bounds::SAME_ON_CARD } }
    }

    /// A merged folder in the dtype of its base, loaded as `weights`.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub(super) fn merged(base: &Path, weights: Weights) -> Result<Rounding, ModelError> {
        let is_f32 = matches!(stored_dtype(base)?, DType::F32 | DType::F64);
        let bound = match weights {
            Weights::F32 if is_f32 => bounds::F32,
            Weights::F32 => bounds::MERGED_16_BITS,
            Weights::Bf16 => bounds::PRODUCTS_16_BITS,
            Weights::Nf4 => bounds::NF4,
        };
        Ok(Rounding { bound })
    }

    /// Trained weights in the dtypes of their base, loaded as `weights`, which they were trained with.
    ///
    /// # Errors
    /// When the base cannot be read.
    pub(super) fn trained(base: &Path, weights: Weights, device: &Device) -> Result<Rounding, ModelError> {
        match saves_exactly(base, weights)? {
            true => Ok(Rounding::same(device)),
            false => Rounding::merged(base, weights),
        }
    }

    /// A GGUF file, served as it is, beside a model whose weights were kept as `weights`.
    pub(super) fn gguf(quant: Quant, weights: Weights) -> Rounding {
        let of_reference = match weights {
            Weights::F32 => 0.0,
            Weights::Bf16 => bounds::PRODUCTS_16_BITS,
            Weights::Nf4 => bounds::NF4,
        };
        let bound = match quant {
            Quant::F16 | Quant::Bf16 => bounds::GGUF_16_BITS,
            Quant::Q8_0 => bounds::GGUF_8_BITS,
            Quant::Q4_0 | Quant::Q4KM => bounds::GGUF_4_BITS,
        };
        Rounding { bound: f64::max(bound, of_reference) }
    }
}

/// How far two models are apart on a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// What was asked.
    pub asked: String,
    /// Sequences of it.
    pub conversations: usize,
    /// Supervised tokens of it.
    pub tokens: usize,
    /// Largest difference of a logit; `None` when one is not a number.
    pub largest_difference: Option<f64>,
    /// Largest logit of the model it was made of.
    pub largest_logit: f64,
    /// The difference as part of the largest logit.
    pub relative: Option<f64>,
    /// What `relative` may be.
    pub bound: f64,
    /// Part of the tokens for which both think the same one most likely.
    pub same_first_choice: f64,
    /// By how much the adapter changes a logit at most, where both models were at hand.
    pub adapter_changes: Option<f64>,
}

impl Agreement {
    /// Whether the difference is within its bound.
    pub fn holds(&self) -> bool {
        self.relative.is_some_and(|relative| relative <= self.bound)
    }

    /// Refuses a difference beyond the bound.
    ///
    /// # Errors
    /// Names the export and the difference.
    pub(super) fn require(&self, path: &Path) -> Result<(), TrainError> {
        match self.holds() {
            true => Ok(()),
            false => Err(TrainError::Differs {
                path: path.to_owned(),
                found: self.relative.map_or("not a number".to_owned(), |relative| format!("{relative:.1e}")),
                bound: self.bound,
            }),
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let Agreement { tokens, conversations, asked, same_first_choice, bound, .. } = self;
        let relative = self.relative.map_or("not a number".to_owned(), |relative| format!("{relative:.1e}"));
        format!(
            "read again: logits differ by at most {relative} of the largest (allowed {bound:.0e}), and {:.1}% of first choices \
             agree, on {tokens} tokens of {conversations} {asked}",
            100.0 * same_first_choice
        )
    }
}

/// Logits that a model gives for the supervised tokens of a probe.
#[derive(Debug)]
pub struct Reference {
    probe: Probe,
    /// `(N, V)` for each sequence, row by row.
    logits: Vec<Vec<f32>>,
    vocab_size: usize,
    adapter_changes: Option<f64>,
}

impl Reference {
    /// Asks a model, and its base where there is an adapter.
    ///
    /// # Errors
    /// When an operation fails.
    pub fn of(decoder: &Decoder, adapter: Option<&Adapter>, probe: Probe) -> Result<Reference, ModelError> {
        let vocab_size = decoder.config().vocab_size + adapter.map_or(0, Adapter::new_token_count);
        let logits = of_decoder(decoder, adapter, &probe)?;
        // The base has no rows for new tokens.
        let is_comparable = adapter.is_some_and(|adapter| adapter.new_token_count() == 0);
        let mut reference = Reference { probe, logits, vocab_size, adapter_changes: None };
        if is_comparable {
            let base = of_decoder(decoder, None, &reference.probe)?;
            reference.adapter_changes = reference.differences(&base).map(|found| found.0);
        }
        Ok(reference)
    }

    /// Compares another model, or the same one loaded from elsewhere.
    ///
    /// # Errors
    /// When an operation fails.
    pub(super) fn with_decoder(
        &self,
        decoder: &Decoder,
        adapter: Option<&Adapter>,
        rounding: Rounding,
    ) -> Result<Agreement, ModelError> {
        Ok(self.agreement(&of_decoder(decoder, adapter, &self.probe)?, rounding))
    }

    /// Compares a model as it is served.
    ///
    /// # Errors
    /// When a pass fails.
    pub(super) fn with_served(&self, model: &mut ServedModel, rounding: Rounding) -> Result<Agreement, ModelError> {
        let mut logits = Vec::new();
        for example in self.probe.sequences() {
            let pages: Vec<u32> = (0..example.token_ids.len().div_ceil(model.page_tokens()) as u32).collect();
            let wanted = Wanted::Logits { from: 0 };
            let step = Step { token_ids: &example.token_ids, first: 0, pages: &pages, adapter: None, wanted };
            let mut rows = Vec::new();
            model.forward(&[step], &mut |_, token, row| {
                if example.is_target.get(token + 1) == Some(&true) {
                    rows.extend_from_slice(row);
                }
            })?;
            logits.push(rows);
        }
        Ok(self.agreement(&logits, rounding))
    }

    fn agreement(&self, other: &[Vec<f32>], rounding: Rounding) -> Agreement {
        let found = self.differences(other);
        let largest_logit = self.logits.iter().flatten().fold(0f32, |peak, logit| peak.max(logit.abs()));
        Agreement {
            asked: self.probe.source.to_owned(),
            conversations: self.probe.conversation_count(),
            tokens: self.logits.iter().map(|rows| rows.len() / self.vocab_size).sum(),
            largest_difference: found.map(|found| found.0),
            largest_logit: f64::from(largest_logit),
            relative: found.map(|found| found.0 / f64::from(largest_logit).max(f64::MIN_POSITIVE)),
            bound: rounding.bound,
            same_first_choice: found.map_or(0.0, |found| found.1),
            adapter_changes: self.adapter_changes,
        }
    }

    /// The largest difference, and the part of rows with the same first choice. `None` when a number is not finite, or
    /// there are other numbers of them.
    fn differences(&self, other: &[Vec<f32>]) -> Option<(f64, f64)> {
        let (mut largest, mut same, mut count) = (0.0, 0, 0);
        for (ours, theirs) in self.logits.iter().zip(other) {
            if ours.len() != theirs.len() {
                return None;
            }
            for (ours, theirs) in ours.chunks_exact(self.vocab_size).zip(theirs.chunks_exact(self.vocab_size)) {
                for (our, their) in ours.iter().zip(theirs) {
                    let difference = f64::from(*our) - f64::from(*their);
                    if !difference.is_finite() {
                        return None;
                    }
                    largest = f64::max(largest, difference.abs());
                }
                count += 1;
                same += usize::from(first_choice(ours) == first_choice(theirs));
            }
        }
        Some((largest, f64::from(same as u32) / f64::from((count as u32).max(1))))
    }
}

fn first_choice(logits: &[f32]) -> Option<usize> {
    logits.iter().enumerate().max_by(|one, other| one.1.total_cmp(other.1)).map(|(index, _)| index)
}

fn of_decoder(decoder: &Decoder, adapter: Option<&Adapter>, probe: &Probe) -> Result<Vec<Vec<f32>>, ModelError> {
    let logits = |batch: Result<_, ModelError>| {
        let logits = decoder.target_logits(adapter, &batch?)?;
        Ok(logits.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?)
    };
    probe.batches().map(logits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(logits: Vec<f32>) -> Reference {
        Reference { probe: Probe::drawn(2), logits: vec![logits], vocab_size: 2, adapter_changes: None }
    }

    #[test]
    fn the_largest_difference_decides() {
        let reference = reference(vec![1.0, -4.0, 2.0, 1.0]);
        let agreement = reference.agreement(&[vec![1.0, -4.0, 2.0, 3.0]], Rounding { bound: 0.4 });
        assert_eq!((agreement.largest_difference, agreement.relative), (Some(2.0), Some(0.5)));
        assert_eq!((agreement.tokens, agreement.same_first_choice), (2, 0.5));
        assert!(!agreement.holds());
        let error = agreement.require(Path::new("run/merged")).unwrap_err();
        assert!(error.to_string().contains("run/merged") && error.to_string().contains("5.0e-1"), "{error}");
        assert_eq!(error.exit_code(), 1);
        assert!(reference.agreement(&[vec![1.0, -4.0, 2.0, 1.0]], Rounding { bound: 0.0 }).holds());
    }

    #[test]
    fn what_is_no_number_or_missing_never_agrees() {
        let reference = reference(vec![1.0, -4.0]);
        for other in [vec![f32::NAN, 0.0], vec![f32::INFINITY, 0.0], vec![1.0], vec![]] {
            let agreement = reference.agreement(&[other], Rounding { bound: 1e9 });
            assert!(!agreement.holds() && agreement.relative.is_none());
        }
    }
}
