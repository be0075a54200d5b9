//! What training needs in memory, by arithmetic: every tensor of a step, counted before there is any.
//!
//! The counts follow `decoder.rs` and `block.rs` line by line; a test runs steps in the emulation and compares the bytes
//! that are alive at the worst moment with what is said here.

use codeact_ops::cross_entropy::{CHUNK_ROWS, CHUNK_ROWS_ON_CARD, logit_stride};
use codeact_ops::weight::Weight;

use crate::adapter::{Fused, LoraConfig};
use crate::block::Recompute;
use crate::config::ModelConfig;
use crate::weights::Weights;

/// What is trained, and where.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Shape of the base model.
    pub model: ModelConfig,
    /// Shape of the adapter.
    pub lora: LoraConfig,
    /// Tokens that get trained rows of their own.
    pub new_token_count: usize,
    /// How the frozen weights are kept.
    pub weights: Weights,
    /// On a card activations have the dtype of the weights, on the CPU they are f32.
    pub is_on_card: bool,
}

/// One forward and backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Tokens, `T`.
    pub token_count: usize,
    /// Supervised tokens, `N`.
    pub target_count: usize,
}

/// Bytes, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Frozen weights.
    pub weights: usize,
    /// Trainable values, and their copy in the dtype of the activations.
    pub adapter: usize,
    /// Gradients and the two moments.
    pub optimizer: usize,
    /// What all blocks keep for the backward pass.
    pub saved: usize,
    /// What else is alive at the worst moment: gradients of activations, logits, expanded weights.
    pub working: usize,
}

impl MemoryPlan {
    /// The sum.
    pub fn total(&self) -> usize {
        self.weights + self.adapter + self.optimizer + self.saved + self.working
    }
}

const F32_BYTES: usize = 4;

impl Workload {
    /// Trainable values: the LoRA pairs, and the embedding and head rows of new tokens.
    pub fn parameter_count(&self) -> usize {
        let widths = self.lora.targets.iter().map(|target| target.widths(&self.model));
        let per_layer: usize = widths.map(|(c_in, c_out)| self.lora.rank * (c_in + c_out)).sum();
        let tables = if self.model.tie_word_embeddings { 1 } else { 2 };
        self.model.layer_count * per_layer + self.new_token_count * tables * self.model.hidden_size
    }

    /// The plan of one pass.
    pub fn plan(&self, pass: Pass, recompute: Recompute) -> MemoryPlan {
        let parameters = self.parameter_count();
        let copy = if self.activation_bytes() == F32_BYTES { 0 } else { parameters * self.activation_bytes() };
        // The last block works on supervised rows only, behind its attention.
        let (all, last) = (Pass { target_count: pass.token_count, ..pass }, self.saved_by_block(pass, recompute));
        let saved = self.model.layer_count.saturating_sub(1) * self.saved_by_block(all, recompute) + last;
        // The block below works on all rows, when the last one's are gone.
        let below = self.backward(all, recompute).saturating_sub(last);
        let angles = pass.token_count * self.model.head_width * F32_BYTES;
        MemoryPlan {
            weights: self.weight_bytes(),
            adapter: parameters * F32_BYTES + copy,
            optimizer: 3 * parameters * F32_BYTES,
            saved,
            working: angles + self.loss(pass).max(self.backward(pass, recompute)).max(below),
        }
    }

    fn activation_bytes(&self) -> usize {
        match self.is_on_card {
            true => self.weights.dtype().size_in_bytes(),
            false => F32_BYTES,
        }
    }

    /// Bytes of the frozen weights.
    fn weight_bytes(&self) -> usize {
        let dense = self.model.weight_bytes(self.weights.dtype());
        if self.weights != Weights::Nf4 {
            return dense;
        }
        let (mut projections, mut quantised) = (0, 0);
        for target in Fused::ALL.iter().flat_map(|fused| fused.targets()) {
            let (c_in, c_out) = target.widths(&self.model);
            projections += c_in * c_out * self.weights.dtype().size_in_bytes();
            quantised += Weight::quantised_bytes(c_out, c_in);
        }
        dense - self.model.layer_count * (projections - quantised)
    }

    /// Bytes of a fused weight while it is expanded for a product.
    fn expanded(&self, fused: Fused) -> usize {
        let widths = fused.targets().iter().map(|target| target.widths(&self.model));
        match self.weights {
            Weights::Nf4 => {
                widths.map(|(c_in, c_out)| c_in * c_out).sum::<usize>() * self.weights.dtype().size_in_bytes()
            }
            _ => 0,
        }
    }

    /// Values of a token: residual stream, queries with keys and values, attention output, gate (or up).
    fn widths(&self) -> [usize; 4] {
        let model = &self.model;
        let (q, kv) = (model.head_count * model.head_width, model.kv_head_count * model.head_width);
        [model.hidden_size, q + 2 * kv, q, model.intermediate_size]
    }

    /// Values of a token in the LoRA side product of a fused weight.
    fn side(&self, fused: Fused) -> usize {
        fused.targets().iter().filter(|target| self.lora.targets.contains(target)).count() * self.lora.rank
    }

    fn saved_attention(&self, pass: Pass) -> usize {
        let [_, qkv, out, _] = self.widths();
        let values = pass.token_count * (qkv + out + self.side(Fused::Qkv));
        let side = pass.target_count * self.side(Fused::Output);
        (values + side) * self.activation_bytes() + pass.token_count * self.model.head_count * F32_BYTES
    }

    /// What a block keeps that works on the targets' rows behind its attention.
    fn saved_by_block(&self, pass: Pass, recompute: Recompute) -> usize {
        let [c, _, _, mlp] = self.widths();
        let all = |values: usize| pass.token_count * values * self.activation_bytes();
        let of = |values: usize| pass.target_count * values * self.activation_bytes();
        let kept_mlp = of(2 * mlp + self.side(Fused::GateUp) + self.side(Fused::Down));
        match recompute {
            Recompute::None => all(c) + of(c) + self.saved_attention(pass) + kept_mlp,
            Recompute::Mlp => all(c) + of(c) + self.saved_attention(pass),
            Recompute::Block => all(c),
        }
    }

    /// The worst moment of such a block's backward pass, beside what it and the blocks below it saved.
    fn backward(&self, pass: Pass, recompute: Recompute) -> usize {
        let [c, qkv, out, mlp] = self.widths();
        let all = |values: usize| pass.token_count * values * self.activation_bytes();
        let of = |values: usize| pass.target_count * values * self.activation_bytes();
        let open_mlp = of(2 * mlp + self.side(Fused::GateUp));
        let again = match recompute {
            Recompute::None => 0,
            Recompute::Mlp => open_mlp,
            Recompute::Block => of(c) + self.saved_attention(pass) + open_mlp,
        };
        // Gradient of the block's output, input of the MLP, the gradient of the gated product; then, on a card in its
        // place, the gated product.
        let side_down = self.side(Fused::Down);
        let down = again + of(2 * c + mlp + side_down) + self.expanded(Fused::Down);
        let gated = if self.is_on_card { mlp } else { 2 * mlp };
        let side_again = if recompute == Recompute::None { 0 } else { side_down };
        let down = down.max(again + of(2 * c + gated + side_down + side_again));
        let gate_up = again + of(3 * c + self.side(Fused::GateUp)) + self.expanded(Fused::GateUp);
        // The MLP's own is gone by now: with it, and with the middle of the stream, what was saved shrinks.
        let freed = match recompute {
            Recompute::None => of(2 * mlp + self.side(Fused::GateUp) + self.side(Fused::Down) + c),
            Recompute::Mlp => of(c) + open_mlp,
            Recompute::Block => of(c) + open_mlp,
        };
        let heads = pass.token_count * self.model.head_count * F32_BYTES;
        // On the CPU each query head has gradients of its own until they are summed.
        let apart = if self.is_on_card { 0 } else { all(3 * out) };
        // Behind the output projection; in the kernels; then what attention saved makes room for the last projection.
        let output = of(out) + self.expanded(Fused::Output);
        let kernels = all(out + qkv) + heads + apart;
        let projection = all(qkv + c + self.side(Fused::Qkv)) + self.expanded(Fused::Qkv);
        let projection = projection.saturating_sub(self.saved_attention(pass));
        let attention = (again + of(c) + all(c) + output.max(kernels).max(projection)).saturating_sub(freed);
        down.max(gate_up).max(attention)
    }

    /// The worst moment of head and loss, beside what the blocks saved.
    fn loss(&self, pass: Pass) -> usize {
        let [c, ..] = self.widths();
        let bytes = self.activation_bytes();
        let vocab = self.model.vocab_size + self.new_token_count;
        let logits = match self.is_on_card {
            true => CHUNK_ROWS_ON_CARD.min(pass.target_count) * logit_stride(vocab) * (F32_BYTES + bytes),
            false => CHUNK_ROWS.min(pass.target_count) * vocab * F32_BYTES,
        };
        // Supervised rows, their norm and its gradient, the logits.
        3 * pass.target_count * c * bytes + logits
    }
}
