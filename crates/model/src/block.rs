//! One block of the decoder: attention and MLP, each added to the residual stream.

mod attention;
mod mlp;

use candle_core::{DType, Result, Tensor, bail};
use codeact_ops::attention::Attention;
use codeact_ops::dora::Gate;
use codeact_ops::linear::Lora;
use codeact_ops::rope::Angles;
use codeact_ops::weight::Weight;
use codeact_ops::{SeqBounds, dora, embedding, linear, rms_norm};

use crate::ModelError;
use crate::adapter::{Adapter, Fused};
use crate::config::ModelConfig;
use crate::full::{BlockPlaces, Layout, Place};
use crate::noise::StepDropout;
use crate::weights::WeightSource;

use attention::{SavedAttention, SelfAttention};
use mlp::{Mlp, SavedMlp};

/// What the backward pass computes again rather than keep from the forward pass. The results are the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recompute {
    /// Nothing: fastest, most memory.
    None,
    /// The MLP's gate and up projections: the largest part of what is saved.
    Mlp,
    /// The whole block: only the residual stream is saved.
    Block,
}

/// What every block of a step shares.
pub(crate) struct Step<'a> {
    pub(crate) bounds: &'a SeqBounds,
    pub(crate) angles: &'a Angles,
    pub(crate) attention: &'a Attention,
    pub(crate) eps: f32,
    /// Dtype of the weights' values in products.
    pub(crate) weights: DType,
    /// The adapter, and its parameters in the dtype of the activations.
    pub(crate) adapter: Option<(&'a Adapter, Tensor)>,
    /// What the adapter drops, in training.
    pub(crate) dropout: Option<StepDropout>,
    /// What DoRA does to the output of each fused weight of each layer; empty without it.
    pub(crate) gates: Gates,
    /// Where the gradients of the weights go, where they are trained themselves.
    pub(crate) places: Option<&'a Layout>,
}

impl Step<'_> {
    /// Heads that carry a position: queries and keys.
    fn rotated_heads(&self) -> usize {
        self.attention.head_count + self.attention.kv_head_count
    }
}

/// DoRA's gate of each fused weight of each layer that has pairs; without DoRA there are no layers.
pub(crate) type Gates = Vec<[Option<Gate>; Fused::ALL.len()]>;

/// One layer's place in a step.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) step: &'a Step<'a>,
    pub(crate) index: usize,
    /// The rows of the output that anyone reads, ascending; `None` for all. In the last block these are the supervised
    /// ones: attention reads keys and values of every row, but what follows it works row by row.
    pub(crate) rows: Option<&'a [u32]>,
}

pub(crate) struct Block {
    attention_norm: Tensor,
    attention: SelfAttention,
    mlp_norm: Tensor,
    mlp: Mlp,
}

/// What a block's backward takes from its forward, as [`Recompute`] allows.
pub(crate) struct Saved {
    input: Tensor,
    middle: Option<Tensor>,
    attention: Option<SavedAttention>,
    mlp: Option<SavedMlp>,
}

impl Block {
    pub(crate) fn load(
        source: &mut WeightSource<'_>,
        config: &ModelConfig,
        index: usize,
    ) -> std::result::Result<Self, ModelError> {
        let mut linear = |fused| source.projection(config, index, fused);
        let attention = SelfAttention { qkv: linear(Fused::Qkv)?, output: linear(Fused::Output)? };
        let mlp = Mlp { gate_up: linear(Fused::GateUp)?, down: linear(Fused::Down)? };
        let mut norm = |part| source.norm(&format!("model.layers.{index}.{part}.weight"), config.hidden_size);
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention,
            mlp_norm: norm("post_attention_layernorm")?,
            mlp,
        })
    }

    /// A frozen projection.
    pub(crate) fn projection(&self, fused: Fused) -> &Weight {
        match fused {
            Fused::Qkv => &self.attention.qkv,
            Fused::Output => &self.attention.output,
            Fused::GateUp => &self.mlp.gate_up,
            Fused::Down => &self.mlp.down,
        }
    }

    /// Weights of the norms before attention and before the MLP, `(C,)`.
    pub(crate) fn norms(&self) -> [&Tensor; 2] {
        [&self.attention_norm, &self.mlp_norm]
    }

    /// A block of views into a flat vector.
    pub(crate) fn of_views(places: &BlockPlaces, flat: &Tensor) -> Result<Self> {
        let linear = |fused| places.projection(fused).view(flat).map(Weight::from);
        Ok(Self {
            attention_norm: places.attention_norm.view(flat)?,
            attention: SelfAttention { qkv: linear(Fused::Qkv)?, output: linear(Fused::Output)? },
            mlp_norm: places.mlp_norm.view(flat)?,
            mlp: Mlp { gate_up: linear(Fused::GateUp)?, down: linear(Fused::Down)? },
        })
    }

    /// Residual stream in, residual stream out: each as a sum `(T, C)` and what is still to be added to it, so that the
    /// addition and the norm behind it are one pass. Out come the layer's rows.
    pub(crate) fn forward(&self, stream: Stream, layer: Layer<'_>, recompute: Recompute) -> Result<(Stream, Saved)> {
        let eps = layer.step.eps;
        let (input, normed) = stream.settle(&self.attention_norm, eps)?;
        let (attended, attention) = self.attention.forward(&normed, layer)?;
        drop(normed);
        let (middle, normed) = rms_norm::forward_sum(&layer.pick(&input)?, &attended, &self.mlp_norm, eps)?;
        drop(attended);
        let (mixed, mlp) = self.mlp.forward(&normed, layer)?;
        let saved = Saved {
            input,
            middle: (recompute != Recompute::Block).then(|| middle.clone()),
            attention: (recompute != Recompute::Block).then_some(attention),
            mlp: (recompute == Recompute::None).then_some(mlp),
        };
        Ok((Stream { sum: middle, delta: Some(mixed) }, saved))
    }

    /// Gradient of the input from that of the output's rows; adds the gradients of what the layer trains to `gradients`.
    pub(crate) fn backward(
        &self,
        doutput: Tensor,
        saved: Saved,
        layer: Layer<'_>,
        gradients: &Tensor,
    ) -> Result<Tensor> {
        let eps = layer.step.eps;
        let Saved { input, middle, attention, mlp } = saved;
        let (attention, middle, mlp_input) = match (attention, middle) {
            (Some(attention), Some(middle)) => {
                let mlp_input = rms_norm::forward(&middle, &self.mlp_norm, eps)?;
                (attention, middle, mlp_input)
            }
            _ => {
                let normed = rms_norm::forward(&input, &self.attention_norm, eps)?;
                let (attended, attention) = self.attention.forward(&normed, layer)?;
                let picked = layer.pick(&input)?;
                let (middle, mlp_input) = rms_norm::forward_sum(&picked, &attended, &self.mlp_norm, eps)?;
                (attention, middle, mlp_input)
            }
        };
        let mlp = match mlp {
            Some(mlp) => mlp,
            None => self.mlp.open(&mlp_input, layer)?,
        };
        let dmlp_input = self.mlp.backward(&doutput, &mlp_input, mlp, layer, gradients)?;
        layer.norm_gradient(|block| &block.mlp_norm, (&dmlp_input, &middle), gradients)?;
        let dmiddle = rms_norm::backward(&dmlp_input, &middle, &self.mlp_norm, eps, Some(&doutput))?;
        drop((middle, mlp_input, dmlp_input, doutput));
        let normed = rms_norm::forward(&input, &self.attention_norm, eps)?;
        let dnormed = self.attention.backward(&dmiddle, &normed, attention, layer, gradients)?;
        drop(normed);
        layer.norm_gradient(|block| &block.attention_norm, (&dnormed, &input), gradients)?;
        let dmiddle = layer.put_back(dmiddle, input.dim(0)?)?;
        rms_norm::backward(&dnormed, &input, &self.attention_norm, eps, Some(&dmiddle))
    }
}

/// The residual stream between two blocks.
pub(crate) struct Stream {
    sum: Tensor,
    /// What the last part of a block adds.
    delta: Option<Tensor>,
}

impl Stream {
    /// The stream as the embedding begins it.
    pub(crate) fn new(embedded: Tensor) -> Self {
        Self { sum: embedded, delta: None }
    }

    /// The whole sum and its norm.
    pub(crate) fn settle(self, norm: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
        match self.delta {
            Some(delta) => rms_norm::forward_sum(&self.sum, &delta, norm, eps),
            None => {
                let normed = rms_norm::forward(&self.sum, norm, eps)?;
                Ok((self.sum, normed))
            }
        }
    }
}

impl Layer<'_> {
    /// The layer's rows of what all tokens have.
    fn pick(self, x: &Tensor) -> Result<Tensor> {
        self.rows.map_or_else(|| Ok(x.clone()), |rows| embedding::forward(x, None, rows))
    }

    /// Gradient of [`Layer::pick`] for `row_count` tokens: zeros where nobody read.
    fn put_back(self, dx: Tensor, row_count: usize) -> Result<Tensor> {
        match self.rows {
            Some(rows) => embedding::backward(&dx, rows, row_count),
            None => Ok(dx),
        }
    }

    /// Projects `x` by a weight and, where the adapter has them, its LoRA pairs.
    fn project(self, x: &Tensor, weight: &Weight, fused: Fused) -> Result<(Tensor, Option<Tensor>)> {
        let (weight, lora) = (weight.dense()?, self.lora(fused)?);
        match (&lora, self.gate(fused)) {
            (Some(lora), Some(gate)) => dora::forward(x, &weight, lora, gate),
            _ => linear::forward(x, &weight, lora.as_ref()),
        }
    }

    /// What DoRA does to an output.
    fn gate(&self, fused: Fused) -> Option<&Gate> {
        self.step.gates.get(self.index)?[fused as usize].as_ref()
    }

    fn lora(self, fused: Fused) -> Result<Option<Lora>> {
        match &self.step.adapter {
            Some((adapter, values)) => self.pairs(adapter, values, fused),
            None => Ok(None),
        }
    }

    /// The pairs in a flat vector, the parameters or their gradients, with their dropout.
    fn pairs(self, adapter: &Adapter, flat: &Tensor, fused: Fused) -> Result<Option<Lora>> {
        let lora = adapter.lora(flat, self.index, fused)?;
        let dropout = self.step.dropout.as_ref().map(|dropout| dropout.of(adapter, self, fused));
        Ok(lora.map(|lora| Lora { dropout, ..lora }))
    }

    /// Gradient of the input of [`Layer::project`], and the side product that [`Layer::gradients`] takes.
    fn project_backward(self, dy: &Tensor, weight: &Weight, fused: Fused) -> Result<(Tensor, Option<Tensor>)> {
        let (weight, lora) = (weight.dense()?, self.lora(fused)?);
        match (&lora, self.gate(fused)) {
            (Some(lora), Some(gate)) => dora::backward(dy, &weight, lora, gate),
            _ => linear::backward(dy, &weight, lora.as_ref()),
        }
    }

    /// Adds the gradients of what [`Layer::project`] trains: its weight, or its pairs, if it has any. `u` is of
    /// [`Layer::project_backward`]; `xa` is what stood beside the projection of `x`, or is computed again.
    fn gradients(
        self,
        weight: &Weight,
        (dy, u): (&Tensor, Option<Tensor>),
        (x, xa): (&Tensor, Option<Tensor>),
        fused: Fused,
        gradients: &Tensor,
    ) -> Result<()> {
        if let Some(places) = self.step.places {
            let gradient = places.blocks[self.index].projection(fused).view(gradients)?;
            return linear::weight_gradient(dy, x, self.step.weights, &gradient);
        }
        let (Some((adapter, _)), Some(lora), Some(u)) = (&self.step.adapter, self.lora(fused)?, u) else {
            return Ok(());
        };
        let weights = self.step.weights;
        let xa = xa.map_or_else(|| linear::side(x, weights, &lora), Ok)?;
        let Some(places) = self.pairs(adapter, gradients, fused)? else {
            bail!("{fused:?} of layer {} has LoRA pairs but its gradients no place", self.index);
        };
        let Some(gate) = self.gate(fused) else {
            return linear::pair_gradients((dy, &u), (x, &xa), weights, &places);
        };
        let magnitudes = adapter.magnitudes(gradients, self.index, fused)?;
        dora::gradients((dy, &u), (x, &xa), &weight.dense()?, (&lora, gate), (&places, &magnitudes))
    }

    /// Adds the gradient of a norm's weight where it is trained: `dy` of what comes out, `x` what went in.
    fn norm_gradient(
        self,
        norm: impl Fn(&BlockPlaces) -> &Place,
        (dy, x): (&Tensor, &Tensor),
        gradients: &Tensor,
    ) -> Result<()> {
        match self.step.places {
            Some(places) => {
                rms_norm::weight_gradient(dy, x, self.step.eps, &norm(&places.blocks[self.index]).view(gradients)?)
            }
            None => Ok(()),
        }
    }
}
