//! Held-out loss.

use std::sync::atomic::{AtomicBool, Ordering};

use codeact_data::{Pack, Part, plan};
use codeact_model::{Adapter, Batch, Decoder};

use crate::error::TrainError;

/// The examples of a pack as the model takes them. `step` names the step in errors.
///
/// # Errors
/// When they cannot be read any more, or the model refuses them.
pub(crate) fn batch(part: &Part, pack: &Pack, step: usize) -> Result<Batch, TrainError> {
    let examples = pack.documents.iter().map(|index| part.example(*index)).collect::<Result<Vec<_>, _>>()?;
    let examples = examples.iter().map(|example| (example.token_ids.as_slice(), example.is_target.as_slice()));
    Batch::new(examples).map_err(|source| TrainError::Step { step, source })
}

/// Mean negative log-likelihood per supervised token, in nats. `None` without data, or when `stop` was set meanwhile.
///
/// # Errors
/// When the model refuses a token.
pub fn loss(
    decoder: &Decoder,
    adapter: &Adapter,
    part: &Part,
    pass_tokens: usize,
    stop: &AtomicBool,
) -> Result<Option<f64>, TrainError> {
    let order: Vec<usize> = (0..part.documents.len()).collect();
    let (mut sum, mut target_count) = (0.0, 0);
    for pack in plan::fill(&part.documents, &order, pass_tokens) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let loss = decoder.loss(Some(adapter), &batch(part, &pack, 0)?);
        sum += loss.map_err(|source| TrainError::Step { step: 0, source })?;
        target_count += pack.target_count;
    }
    Ok((target_count > 0).then(|| sum / target_count as f64))
}
