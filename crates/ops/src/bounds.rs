//! Where each sequence of a ragged batch begins and ends.

/// Cumulative sequence lengths (`cu_seqlens`): sequence `s` owns rows `starts[s]..starts[s + 1]`.
///
/// A packed training row and a serving batch have the same shape: tokens end to end, no padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeqBounds {
    starts: Vec<usize>,
}

impl SeqBounds {
    /// Bounds of sequences with these lengths, in order. A length may be zero.
    pub fn from_lengths(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut starts = vec![0];
        let mut total = 0;
        for length in lengths {
            total += length;
            starts.push(total);
        }
        Self { starts }
    }

    /// Tokens of all sequences together, `T`.
    pub fn token_count(&self) -> usize {
        *self.starts.last().expect("starts holds at least the zero")
    }

    /// Number of sequences, `S`.
    pub fn sequence_count(&self) -> usize {
        self.starts.len() - 1
    }

    /// Row ranges of the sequences, in order.
    pub fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
        self.starts.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// Position of every token inside its own sequence, `(T,)`.
    pub fn positions(&self) -> Vec<u32> {
        self.ranges().flat_map(|range| 0..range.len() as u32).collect()
    }
}
