//! Held-out loss.

use codeact_data::{Pack, Part, plan};
use codeact_model::{Adapter, Batch, Decoder};

use crate::error::TrainError;
use crate::requests::Requests;

/// What was measured on held-out data: mean negative log-likelihoods per supervised token, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Of all of it.
    pub loss: f64,
    /// Of each source that has any: its index among the `[[data]]` of the settings, and its loss.
    pub by_source: Vec<(usize, f64)>,
}

/// The examples of a pack as the model takes them. `step` names the step in errors.
///
/// # Errors
/// When they cannot be read any more, or the model refuses them.
pub(crate) fn batch(part: &Part, pack: &Pack, step: usize) -> Result<Batch, TrainError> {
    let examples = pack.documents.iter().map(|index| part.example(*index)).collect::<Result<Vec<_>, _>>()?;
    let examples = examples.iter().map(|example| (example.token_ids.as_slice(), example.is_target.as_slice()));
    Batch::new(examples).map_err(|source| TrainError::Step { step, source })
}

/// Measures in passes of at most `pass_tokens` tokens, which need less memory than those of training. `None` without
/// data, or when a stop was asked for meanwhile.
///
/// # Errors
/// When the model refuses a token.
pub fn held_out(
    decoder: &Decoder,
    adapter: &Adapter,
    part: &Part,
    pass_tokens: usize,
    requests: &Requests,
) -> Result<Option<HeldOut>, TrainError> {
    let mut by_source = Vec::new();
    let (mut sum, mut target_count) = (0.0, 0);
    for source in 0..part.shares.len() {
        let is_its = |index: &usize| part.documents[*index].group == source;
        let order: Vec<usize> = (0..part.documents.len()).filter(is_its).collect();
        let (mut source_sum, mut source_count) = (0.0, 0);
        for pack in plan::fill(&part.documents, &order, pass_tokens) {
            if requests.wants_stop() {
                return Ok(None);
            }
            let loss = decoder.loss(Some(adapter), &batch(part, &pack, 0)?);
            source_sum += loss.map_err(|source| TrainError::Step { step: 0, source })?;
            source_count += pack.target_count;
        }
        if source_count > 0 {
            by_source.push((source, source_sum / source_count as f64));
        }
        sum += source_sum;
        target_count += source_count;
    }
    Ok((target_count > 0).then(|| HeldOut { loss: sum / target_count as f64, by_source }))
}
