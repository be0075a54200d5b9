//! What a pass computes in. Kept from pass to pass, so that none asks for memory.

use codeact_cpu::Activations;

use super::pass::LOGIT_ROWS;
use crate::config::ModelConfig;

#[derive(Default)]
pub(super) struct Scratch {
    /// The residual stream, `(T, C)`.
    pub(super) stream: Vec<f32>,
    /// Normed rows, `(T, C)`.
    pub(super) normed: Vec<f32>,
    /// Queries, keys and values, `(T, (H + 2 G) D)`.
    pub(super) qkv: Vec<f32>,
    /// What attention gives, `(T, H D)`, or the MLP in its width, `(T, F)`.
    pub(super) inner: Vec<f32>,
    /// Gate and up, `(T, 2 F)`.
    pub(super) gate_up: Vec<f32>,
    /// The narrow side of adapters.
    pub(super) side: Vec<f32>,
    /// What is added to the stream, `(T, C)`.
    pub(super) update: Vec<f32>,
    /// Logits of some rows.
    pub(super) logits: Vec<f32>,
    /// The rows of a product as its kernel wants them.
    pub(super) activations: Activations,
}

/// The first `len` values of a buffer that grows as needed; what they hold is left from before.
pub(super) fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

impl Scratch {
    /// Bytes at most in a pass of so many tokens of a model of this shape, all of them wanted, without what an adapter adds.
    pub(super) fn byte_count(config: &ModelConfig, tokens: usize) -> usize {
        let heads = config.head_count * config.head_width;
        let qkv = heads + 2 * config.kv_head_count * config.head_width;
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        // The input of the widest product a second time, as kernels want it.
        let columns = 3 * width + qkv + inner.max(heads) + 2 * inner + inner.max(heads);
        (tokens * columns + LOGIT_ROWS * config.vocab_size) * size_of::<f32>()
    }
}
