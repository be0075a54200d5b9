//! What training needs in memory, by arithmetic: every tensor of a step, counted before there is any.
//!
//! The counts follow `decoder.rs` and `block.rs` line by line; a test runs steps in the emulation and compares the bytes
//! that are alive at the worst moment with what is said here.

use candle_core::DType;
use codeact_ops::cross_entropy::{CHUNK_ROWS, CHUNK_ROWS_ON_CARD, logit_stride};
use codeact_ops::weight::Weight;

use crate::adapter::{Fused, LoraConfig, Target};
use crate::block::Recompute;
use crate::config::ModelConfig;
use crate::weights::Weights;

/// What is trained, and where.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Shape of the base model.
    pub model: ModelConfig,
    /// Shape of the adapter; `None` where all weights are trained.
    pub lora: Option<LoraConfig>,
    /// Tokens that get trained rows of their own.
    pub new_token_count: usize,
    /// How the weights are kept that products read.
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
    /// What products read: frozen weights, or trained ones.
    pub weights: usize,
    /// Trainable values beside them, their copy in the dtype of the activations, and DoRA's gates. Where all weights are
    /// trained in f32 there is nothing beside them; in bf16 there is their f32.
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
    /// Trainable values: the LoRA pairs, and the embedding and head rows of new tokens; or every weight.
    pub fn parameter_count(&self) -> usize {
        self.planner().parameter_count
    }

    /// The plan of one pass.
    pub fn plan(&self, pass: Pass, recompute: Recompute) -> MemoryPlan {
        self.planner().plan(pass, recompute)
    }

    /// For the plans of many passes: what they share is found once.
    pub fn planner(&self) -> Planner<'_> {
        let pair = |layer: usize, target: &Target| {
            self.lora.as_ref().and_then(|lora| lora.pair(layer, *target)).map_or(0, |pair| pair.rank)
        };
        let sides = (0..self.model.layer_count).map(|layer| {
            Fused::ALL.map(|fused| fused.targets().iter().map(|target| pair(layer, target)).sum::<usize>())
        });
        let layers = 0..self.model.layer_count;
        let pairs: usize = layers
            .flat_map(|layer| Target::ALL.map(|target| (layer, target)))
            .map(|(layer, target)| {
                let (c_in, c_out) = target.widths(&self.model);
                let rank = pair(layer, &target);
                rank * (c_in + c_out) + if self.has_dora() && rank > 0 { c_out } else { 0 }
            })
            .sum();
        let parameter_count = self.new_row_values() + if self.lora.is_some() { pairs } else { self.base_values() };
        Planner { workload: self, sides: sides.collect(), parameter_count }
    }

    fn has_dora(&self) -> bool {
        self.lora.as_ref().is_some_and(|lora| lora.dora)
    }

    /// Values of the embedding and head rows of new tokens.
    fn new_row_values(&self) -> usize {
        let tables = if self.model.tie_word_embeddings { 1 } else { 2 };
        self.new_token_count * tables * self.model.hidden_size
    }

    /// Values of the base model.
    fn base_values(&self) -> usize {
        self.model.weight_bytes(DType::F32) / F32_BYTES
    }

    fn activation_bytes(&self) -> usize {
        match self.is_on_card {
            true => self.weights.dtype().size_in_bytes(),
            false => F32_BYTES,
        }
    }

    /// Bytes of the weights that products read.
    fn weight_bytes(&self) -> usize {
        let mut dense = self.model.weight_bytes(self.weights.dtype());
        if self.lora.is_none() {
            dense += self.new_row_values() * self.weights.dtype().size_in_bytes();
        }
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

    /// Input and output width of a fused weight.
    fn fused_widths(&self, fused: Fused) -> (usize, usize) {
        let widths = fused.targets().iter().map(|target| target.widths(&self.model));
        widths.fold((0, 0), |(_, sum), (c_in, c_out)| (c_in, sum + c_out))
    }

    /// Bytes of a fused weight while it is expanded for a product.
    fn expanded(&self, fused: Fused) -> usize {
        let (c_in, c_out) = self.fused_widths(fused);
        match self.weights {
            Weights::Nf4 => c_in * c_out * self.weights.dtype().size_in_bytes(),
            _ => 0,
        }
    }

    /// Values of a token: residual stream, queries with keys and values, attention output, gate (or up).
    fn widths(&self) -> [usize; 4] {
        let model = &self.model;
        let (q, kv) = (model.head_count * model.head_width, model.kv_head_count * model.head_width);
        [model.hidden_size, q + 2 * kv, q, model.intermediate_size]
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

/// Counts passes of a workload.
pub struct Planner<'a> {
    workload: &'a Workload,
    /// For each layer and fused weight, values of a token in its LoRA side product.
    sides: Vec<[usize; 4]>,
    parameter_count: usize,
}

impl Planner<'_> {
    /// The plan of one pass.
    pub fn plan(&self, pass: Pass, recompute: Recompute) -> MemoryPlan {
        let workload = self.workload;
        let (parameters, bytes) = (self.parameter_count, workload.activation_bytes());
        let adapter = match workload.lora {
            Some(_) if bytes == F32_BYTES => parameters * F32_BYTES + self.gates(),
            Some(_) => parameters * (F32_BYTES + bytes) + self.gates(),
            None if workload.weights.dtype() == DType::F32 => 0,
            None => parameters * F32_BYTES,
        };
        // The last block works on supervised rows only, behind its attention.
        let all = Pass { target_count: pass.token_count, ..pass };
        let of_layer = |layer: usize| if layer + 1 == self.sides.len() { pass } else { all };
        // From the last block down: below a block what it saved is gone.
        let (mut gone, mut backward) = (0, 0);
        for layer in (0..self.sides.len()).rev() {
            let pass = of_layer(layer);
            backward = backward.max(self.backward(layer, pass, recompute).saturating_sub(gone));
            gone += self.saved_by_block(layer, pass, recompute);
        }
        let angles = pass.token_count * workload.model.head_width * F32_BYTES;
        MemoryPlan {
            weights: workload.weight_bytes(),
            adapter,
            optimizer: 3 * parameters * F32_BYTES,
            saved: gone,
            working: angles + workload.loss(pass).max(backward),
        }
    }

    fn side(&self, layer: usize, fused: Fused) -> usize {
        self.sides[layer][fused as usize]
    }

    /// DoRA's gates, which live as long as a pass: a factor and a length for each column of a fused weight with pairs.
    fn gates(&self) -> usize {
        let layers = 0..self.sides.len();
        let places = layers.flat_map(|layer| Fused::ALL.map(|fused| (layer, fused)));
        let gated = places.filter(|(layer, fused)| self.is_gated(*layer, *fused));
        gated.map(|(_, fused)| 2 * self.workload.fused_widths(fused).1 * F32_BYTES).sum()
    }

    fn is_gated(&self, layer: usize, fused: Fused) -> bool {
        self.workload.has_dora() && self.side(layer, fused) > 0
    }

    /// Values of a token that backward holds beside others because of DoRA, at a fused weight: the gradient before its
    /// gate; with dropout that of one projection before and behind it, and more gradients of the input, of what is kept
    /// and not.
    fn gated(&self, layer: usize, fused: Fused) -> usize {
        let ((c_in, c_out), targets) = (self.workload.fused_widths(fused), fused.targets());
        let widest = targets.iter().map(|target| target.widths(&self.workload.model).1).max().unwrap_or(0);
        match (self.is_gated(layer, fused), self.drops()) {
            (false, _) => 0,
            (true, false) => c_out,
            (true, true) if targets.len() > 1 => 2 * c_in + 2 * widest,
            (true, true) => c_in + c_out,
        }
    }

    fn drops(&self) -> bool {
        self.workload.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0)
    }

    fn saved_attention(&self, layer: usize, pass: Pass) -> usize {
        let [_, qkv, out, _] = self.workload.widths();
        let values = pass.token_count * (qkv + out + self.side(layer, Fused::Qkv));
        let side = pass.target_count * self.side(layer, Fused::Output);
        (values + side) * self.workload.activation_bytes()
            + pass.token_count * self.workload.model.head_count * F32_BYTES
    }

    /// What a block keeps that works on the targets' rows behind its attention.
    fn saved_by_block(&self, layer: usize, pass: Pass, recompute: Recompute) -> usize {
        let [c, _, _, mlp] = self.workload.widths();
        let all = |values: usize| pass.token_count * values * self.workload.activation_bytes();
        let of = |values: usize| pass.target_count * values * self.workload.activation_bytes();
        let kept_mlp = of(2 * mlp + self.side(layer, Fused::GateUp) + self.side(layer, Fused::Down));
        match recompute {
            Recompute::None => all(c) + of(c) + self.saved_attention(layer, pass) + kept_mlp,
            Recompute::Mlp => all(c) + of(c) + self.saved_attention(layer, pass),
            Recompute::Block => all(c),
        }
    }

    /// The worst moment of such a block's backward pass, beside what it and the blocks below it saved.
    fn backward(&self, layer: usize, pass: Pass, recompute: Recompute) -> usize {
        let [c, qkv, out, mlp] = self.workload.widths();
        let all = |values: usize| pass.token_count * values * self.workload.activation_bytes();
        let of = |values: usize| pass.target_count * values * self.workload.activation_bytes();
        let open_mlp = of(2 * mlp + self.side(layer, Fused::GateUp));
        let again = match recompute {
            Recompute::None => 0,
            Recompute::Mlp => open_mlp,
            Recompute::Block => of(c) + self.saved_attention(layer, pass) + open_mlp,
        };
        // Gradient of the block's output, input of the MLP, the gradient of the gated product; then, on a card in its
        // place, the gated product.
        // What dropout keeps of an input, or its gradient before it.
        let dropped = |bytes: usize| if self.drops() { bytes } else { 0 };
        let gate = |fused: Fused| self.gated(layer, fused);
        let side_down = self.side(layer, Fused::Down);
        let down = again + of(2 * c + mlp + side_down + gate(Fused::Down)) + self.workload.expanded(Fused::Down);
        let gated = if self.workload.is_on_card { mlp } else { 2 * mlp };
        let side_again = if recompute == Recompute::None { 0 } else { side_down };
        // DoRA takes the weight once more.
        let twice = if self.is_gated(layer, Fused::Down) { of(c) + self.workload.expanded(Fused::Down) } else { 0 };
        let down = down.max(again + of(2 * c + gated + side_down + side_again) + twice) + dropped(of(mlp));
        let gate_up = again
            + of(3 * c + self.side(layer, Fused::GateUp) + gate(Fused::GateUp))
            + self.workload.expanded(Fused::GateUp)
            + dropped(of(c));
        // The MLP's own is gone by now: with it, and with the middle of the stream, what was saved shrinks.
        let freed = match recompute {
            Recompute::None => of(2 * mlp + self.side(layer, Fused::GateUp) + self.side(layer, Fused::Down) + c),
            Recompute::Mlp => of(c) + open_mlp,
            Recompute::Block => of(c) + open_mlp,
        };
        let heads = pass.token_count * self.workload.model.head_count * F32_BYTES;
        // On the CPU each query head has gradients of its own until they are summed.
        let apart = if self.workload.is_on_card { 0 } else { all(3 * out) };
        // Behind the output projection; in the kernels; then what attention saved makes room for the last projection.
        let output = of(out + gate(Fused::Output)) + self.workload.expanded(Fused::Output) + dropped(of(out));
        let kernels = all(out + qkv) + heads + apart;
        let projection = all(qkv + c + self.side(layer, Fused::Qkv) + gate(Fused::Qkv))
            + self.workload.expanded(Fused::Qkv)
            + dropped(all(c));
        let projection = projection.saturating_sub(self.saved_attention(layer, pass));
        let attention = (again + of(c) + all(c) + output.max(kernels).max(projection)).saturating_sub(freed);
        down.max(gate_up).max(attention)
    }
}
