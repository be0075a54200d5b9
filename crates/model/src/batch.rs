//! A ragged batch of supervised sequences.

use codeact_ops::SeqBounds;

use crate::ModelError;
use crate::noise::Noise;

/// Sequences end to end, and the rows whose next token is supervised.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Token ids of all sequences, `(T,)`.
    pub token_ids: Vec<u32>,
    /// Where each sequence begins and ends.
    pub bounds: SeqBounds,
    /// Rows of `token_ids` whose prediction is supervised, ascending, `(N,)`.
    pub target_rows: Vec<u32>,
    /// The token that should follow each of `target_rows`, `(N,)`.
    pub labels: Vec<u32>,
    /// Random numbers of training; without them a pass is as in evaluation. [`Batch::new`] has none.
    pub noise: Option<Noise>,
}

impl Batch {
    /// Lays sequences end to end. `is_target[i]` says that token `i` is to be predicted from the tokens before it;
    /// the first token of a sequence has none before it.
    ///
    /// # Errors
    /// When a mask is not as long as its tokens, or supervises a first token.
    pub fn new<'a>(examples: impl IntoIterator<Item = (&'a [u32], &'a [bool])>) -> Result<Self, ModelError> {
        let (mut token_ids, mut lengths) = (Vec::new(), Vec::new());
        let (mut target_rows, mut labels) = (Vec::new(), Vec::new());
        for (ids, is_target) in examples {
            if ids.len() != is_target.len() || is_target.first() == Some(&true) {
                return Err(ModelError::Batch(format!(
                    "{} tokens with a mask of {}; the first token cannot be a target",
                    ids.len(),
                    is_target.len()
                )));
            }
            for (index, _) in is_target.iter().enumerate().filter(|(_, target)| **target) {
                target_rows.push((token_ids.len() + index - 1) as u32);
                labels.push(ids[index]);
            }
            token_ids.extend_from_slice(ids);
            lengths.push(ids.len());
        }
        Ok(Self { token_ids, bounds: SeqBounds::from_lengths(lengths), target_rows, labels, noise: None })
    }

    /// Supervised tokens of each sequence.
    pub fn target_counts(&self) -> Vec<usize> {
        let before = |row: usize| self.target_rows.partition_point(|target| (*target as usize) < row);
        self.bounds.ranges().map(|range| before(range.end) - before(range.start)).collect()
    }
}
