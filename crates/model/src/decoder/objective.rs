//! What a pass makes smaller: the sum of its losses, or one in which each supervised token has a weight of its own.

use candle_core::{Result, Tensor};
use codeact_ops::cross_entropy::{self, Head, Scale};

use super::{Decoder, new_head};
use crate::ModelError;
use crate::adapter::Adapter;
use crate::batch::Batch;
use crate::block::Recompute;

/// Makes of the losses of a batch, `(N,)` nats in the order of [`Batch::target_rows`], as many weights.
pub type Weigh<'a> = &'a mut dyn FnMut(&[f64]) -> Vec<f32>;

/// What a pass makes smaller.
pub(super) enum Objective<'a> {
    /// So many times the sum of the losses.
    Sum(f64),
    /// The losses with weights that are made of them, and count as constants.
    Weighed(Weigh<'a>),
}

/// The weights of a pass.
pub(super) enum RowWeights {
    Same(f32),
    Each(Vec<f32>),
}

impl RowWeights {
    /// As the loss takes them.
    pub(super) fn scale(&self) -> Scale<'_> {
        match self {
            RowWeights::Same(weight) => Scale::Same(*weight),
            RowWeights::Each(weights) => Scale::OfRows(weights),
        }
    }
}

impl Objective<'_> {
    /// The weights of these rows, which are normed. Where they depend on the losses the head is gone through twice.
    pub(super) fn weights(self, normed: &Tensor, head: Head<'_>, labels: &[u32]) -> Result<RowWeights> {
        match self {
            Objective::Sum(scale) => Ok(RowWeights::Same(scale as f32)),
            Objective::Weighed(weigh) => Ok(RowWeights::Each(weigh(&cross_entropy::of_rows(normed, head, labels)?))),
        }
    }
}

impl Decoder {
    /// The losses of [`Decoder::loss`] one by one, `(N,)` nats in the order of [`Batch::target_rows`].
    ///
    /// # Errors
    /// When a token is outside the vocabulary.
    pub fn losses(&self, adapter: Option<&Adapter>, batch: &Batch) -> std::result::Result<Vec<f64>, ModelError> {
        let normed = self.hidden(adapter, batch, Some(&batch.target_rows))?;
        let new_head = new_head(adapter)?;
        Ok(cross_entropy::of_rows(&normed, self.head(new_head.as_ref()), &batch.labels)?)
    }

    /// Adds to `gradients` the gradient of the losses, each times the weight that `weigh` gives it when it is shown all
    /// of them. So one pass has the gradient of any function of the losses: the weights are its derivatives.
    ///
    /// * `gradients`: flat f32, as long as [`Adapter::parameters`].
    ///
    /// # Errors
    /// When a token is outside the vocabulary, or there are not as many weights as losses.
    pub fn weighed_gradients(
        &self,
        adapter: &Adapter,
        batch: &Batch,
        weigh: Weigh<'_>,
        recompute: Recompute,
        gradients: &Tensor,
    ) -> std::result::Result<(), ModelError> {
        self.learn(Some(adapter), None, batch, Objective::Weighed(weigh), recompute, gradients).map(|_| ())
    }
}
