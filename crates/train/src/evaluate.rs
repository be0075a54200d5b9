//! Held-out loss.

use codeact_data::{Pack, Part, plan};
use codeact_model::{Adapter, Batch, Decoder};

use crate::error::TrainError;
use crate::losses::{self, LossSum};
use crate::ranks::{self, Collective};
use crate::requests::Requests;

/// What was measured on held-out data: mean negative log-likelihoods per supervised token, in nats.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldOut {
    /// Of all of it.
    pub loss: f64,
    /// Of each source that has any: its index among the `[[data]]` of the settings, and its loss.
    pub by_source: Vec<(usize, f64)>,
}

/// The conversations of a pack as the model takes them, the two of a pair one after the other. `step` names the step in
/// errors.
///
/// # Errors
/// When they cannot be read any more, or the model refuses them.
pub(crate) fn batch(part: &Part, pack: &Pack, step: usize) -> Result<Batch, TrainError> {
    let examples = pack.documents.iter().map(|index| part.conversations(*index)).collect::<Result<Vec<_>, _>>()?;
    let examples =
        examples.iter().flatten().map(|example| (example.token_ids.as_slice(), example.is_target.as_slice()));
    Batch::new(examples).map_err(|source| TrainError::Step { step, source })
}

/// Measures in passes of at most `pass_tokens` tokens, which need less memory than those of training; each rank takes its
/// share of them. `None` without data, or when a stop was asked for meanwhile, on any rank.
///
/// # Errors
/// When the model refuses a token, or a rank is gone.
pub fn held_out(
    decoder: &Decoder,
    adapter: Option<&Adapter>,
    part: &Part,
    pass_tokens: usize,
    requests: &Requests,
    ranks: &dyn Collective,
) -> Result<Option<HeldOut>, TrainError> {
    let (mut sums, mut counts) = (vec![0.0; part.shares.len()], vec![0; part.shares.len()]);
    let mut passes = Vec::new();
    for (source, count) in counts.iter_mut().enumerate() {
        let is_its = |index: &usize| part.documents[*index].group == source;
        let order: Vec<usize> = (0..part.documents.len()).filter(is_its).collect();
        let of_source = plan::fill(&part.documents, &order, pass_tokens);
        *count = of_source.iter().map(|pack| pack.target_count).sum();
        passes.extend(of_source.into_iter().map(|pack| (source, pack)));
    }
    for (source, pack) in ranks.place().share(passes.iter()) {
        ranks.check()?;
        if requests.wants_stop() {
            break;
        }
        let loss = decoder.loss(adapter, &batch(part, pack, 0)?);
        sums[*source] += loss.map_err(|source| TrainError::Step { step: 0, source })?;
    }
    let [is_stopped] = ranks::any(ranks, [requests.wants_stop()])?;
    if is_stopped {
        return Ok(None);
    }
    ranks.sum_f64(&mut sums)?;
    let all: Vec<LossSum> = sums.into_iter().zip(counts).map(|(sum, units)| LossSum { sum, units }).collect();
    let by_source = losses::means(&all);
    Ok((!by_source.is_empty()).then(|| HeldOut { loss: losses::mean(&all), by_source }))
}
