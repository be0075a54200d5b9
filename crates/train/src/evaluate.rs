//! Held-out loss.

use std::sync::atomic::{AtomicBool, Ordering};

use codeact_model::{Adapter, Batch, Decoder};

use crate::data::Part;
use crate::error::TrainError;
use crate::plan::{Pack, pack};

/// The examples of a pack as the model takes them.
///
/// # Errors
/// When the model refuses them.
pub(crate) fn batch(part: &Part, pack: &Pack) -> Result<Batch, codeact_model::ModelError> {
    let examples = pack.documents.iter().map(|index| &part.examples[*index]);
    Batch::new(examples.map(|example| (example.token_ids.as_slice(), example.is_target.as_slice())))
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
    let order: Vec<usize> = (0..part.examples.len()).collect();
    let (mut sum, mut target_count) = (0.0, 0);
    for pack in pack(&part.documents, &order, pass_tokens) {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let loss = batch(part, &pack).and_then(|batch| decoder.loss(Some(adapter), &batch));
        sum += loss.map_err(|source| TrainError::Step { step: 0, source })?;
        target_count += pack.target_count;
    }
    Ok((target_count > 0).then(|| sum / target_count as f64))
}
