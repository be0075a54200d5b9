//! One block of the decoder: attention and MLP, each added to the residual stream.

mod attention;
mod mlp;

use candle_core::{Result, Tensor, bail};
use codeact_ops::attention::{Attention, KvCache};
use codeact_ops::linear::LoraPair;
use codeact_ops::residual;
use codeact_ops::rope::Angles;
use codeact_ops::{SeqBounds, rms_norm};

use crate::ModelError;
use crate::adapter::{Adapter, Target};
use crate::config::ModelConfig;
use crate::weights::WeightFiles;

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
    pub(crate) adapter: Option<&'a Adapter>,
}

/// One layer's place in a step.
#[derive(Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) step: &'a Step<'a>,
    pub(crate) index: usize,
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
        files: &WeightFiles,
        config: &ModelConfig,
        index: usize,
    ) -> std::result::Result<Self, ModelError> {
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        let linear = |target: Target| {
            let (c_in, c_out) = target.widths(config);
            files.get(&name(target.module()), &[c_out, c_in])
        };
        let norm = |part: &str| files.get(&name(part), &[config.hidden_size]);
        Ok(Self {
            attention_norm: norm("input_layernorm")?,
            attention: SelfAttention {
                q: linear(Target::Q)?,
                k: linear(Target::K)?,
                v: linear(Target::V)?,
                o: linear(Target::O)?,
            },
            mlp_norm: norm("post_attention_layernorm")?,
            mlp: Mlp { gate: linear(Target::Gate)?, up: linear(Target::Up)?, down: linear(Target::Down)? },
        })
    }

    /// Residual stream in, residual stream out, both `(T, C)`.
    pub(crate) fn forward(&self, input: &Tensor, layer: Layer<'_>, recompute: Recompute) -> Result<(Tensor, Saved)> {
        let (attended, attention) = self.attend(input, layer)?;
        let middle = residual::add(input, &attended)?;
        let (mixed, mlp) = self.mix(&middle, layer)?;
        let output = residual::add(&middle, &mixed)?;
        let saved = Saved {
            input: input.clone(),
            middle: (recompute != Recompute::Block).then_some(middle),
            attention: (recompute != Recompute::Block).then_some(attention),
            mlp: (recompute == Recompute::None).then_some(mlp),
        };
        Ok((output, saved))
    }

    /// Gradient of the input from that of the output; adds the layer's LoRA gradients to `gradients`.
    pub(crate) fn backward(
        &self,
        doutput: &Tensor,
        saved: Saved,
        layer: Layer<'_>,
        gradients: &Tensor,
    ) -> Result<Tensor> {
        let eps = layer.step.eps;
        let (attention, middle) = match (saved.attention, saved.middle) {
            (Some(attention), Some(middle)) => (attention, middle),
            _ => {
                let (attended, attention) = self.attend(&saved.input, layer)?;
                let middle = residual::add(&saved.input, &attended)?;
                (attention, middle)
            }
        };
        let mlp_input = rms_norm::forward(&middle, &self.mlp_norm, eps)?;
        let mlp = match saved.mlp {
            Some(mlp) => mlp,
            None => self.mlp.forward(&mlp_input, layer)?.1,
        };
        let dmlp_input = self.mlp.backward(doutput, &mlp_input, mlp, layer, gradients)?;
        let dmiddle = rms_norm::backward(&dmlp_input, &middle, &self.mlp_norm, eps)?;
        let dmiddle = residual::add(doutput, &dmiddle)?;
        drop((middle, mlp_input, dmlp_input));
        let input = rms_norm::forward(&saved.input, &self.attention_norm, eps)?;
        let dinput = self.attention.backward(&dmiddle, &input, attention, layer, gradients)?;
        let dinput = rms_norm::backward(&dinput, &saved.input, &self.attention_norm, eps)?;
        residual::add(&dmiddle, &dinput)
    }

    /// [`Block::forward`] for new tokens after those in the caches.
    pub(crate) fn forward_cached(
        &self,
        input: &Tensor,
        layer: Layer<'_>,
        caches: &mut [&mut KvCache],
    ) -> Result<Tensor> {
        let normed = rms_norm::forward(input, &self.attention_norm, layer.step.eps)?;
        let attended = self.attention.forward_cached(&normed, layer, caches)?;
        let middle = residual::add(input, &attended)?;
        let (mixed, _) = self.mix(&middle, layer)?;
        residual::add(&middle, &mixed)
    }

    fn attend(&self, input: &Tensor, layer: Layer<'_>) -> Result<(Tensor, SavedAttention)> {
        let normed = rms_norm::forward(input, &self.attention_norm, layer.step.eps)?;
        self.attention.forward(&normed, layer)
    }

    fn mix(&self, middle: &Tensor, layer: Layer<'_>) -> Result<(Tensor, SavedMlp)> {
        let normed = rms_norm::forward(middle, &self.mlp_norm, layer.step.eps)?;
        self.mlp.forward(&normed, layer)
    }
}

impl Layer<'_> {
    /// Projects `x` by a weight and, where the adapter has one, its LoRA pair.
    fn project(self, x: &Tensor, weight: &Tensor, target: Target) -> Result<(Tensor, Option<Tensor>)> {
        codeact_ops::linear::forward(x, weight, self.pair(target)?.as_ref())
    }

    fn pair(self, target: Target) -> Result<Option<LoraPair>> {
        match self.step.adapter {
            Some(adapter) => adapter.pair(self.index, target),
            None => Ok(None),
        }
    }

    /// Backward of [`Layer::project`]; `xa` is what it returned beside the projection.
    fn project_backward(
        self,
        dy: &Tensor,
        (x, xa): (&Tensor, Option<&Tensor>),
        weight: &Tensor,
        target: Target,
        gradients: &Tensor,
    ) -> Result<Tensor> {
        let (Some(adapter), Some(pair)) = (self.step.adapter, self.pair(target)?) else {
            return codeact_ops::linear::backward(dy, x, weight, None);
        };
        let (Some(xa), Some(places)) = (xa, adapter.gradients(gradients, self.index, target)?) else {
            bail!("`{}` of layer {} has a LoRA pair but kept no product of it", target.module(), self.index);
        };
        codeact_ops::linear::backward(dy, x, weight, Some((&pair, xa, &places)))
    }
}
