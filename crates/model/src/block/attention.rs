//! Self-attention: projections, rotary embedding, attention, output projection.

use candle_core::{Result, Tensor};
use codeact_ops::weight::Weight;
use codeact_ops::{attention, rope};

use super::Layer;
use crate::adapter::Fused;

pub(crate) struct SelfAttention {
    /// Queries, keys and values, `((H + 2 G) D, C)`.
    pub(crate) qkv: Weight,
    /// `(C, H D)`.
    pub(crate) output: Weight,
}

/// Kept for backward: rotated queries and keys with the values, output with its log-sum-exp, LoRA side products.
pub(crate) struct SavedAttention {
    qkv: Tensor,
    out: Tensor,
    lse: Tensor,
    xa_qkv: Option<Tensor>,
    xa_output: Option<Tensor>,
}

impl SelfAttention {
    /// `x`: `(T, C)`, normed. Returns the layer's rows, `(N, C)`.
    pub(crate) fn forward(&self, x: &Tensor, layer: Layer<'_>) -> Result<(Tensor, SavedAttention)> {
        let step = layer.step;
        let (qkv, xa_qkv) = layer.project(x, &self.qkv, Fused::Qkv)?;
        rope::forward(&qkv, step.rotated_heads(), step.angles)?;
        let (out, lse) = attention::forward(&qkv, step.bounds, step.attention)?;
        let (y, xa_output) = layer.project(&layer.pick(&out)?, &self.output, Fused::Output)?;
        Ok((y, SavedAttention { qkv, out, lse, xa_qkv, xa_output }))
    }

    /// Gradient of `x`, `(T, C)`, from that of the layer's rows.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        saved: SavedAttention,
        layer: Layer<'_>,
        gradients: &Tensor,
    ) -> Result<Tensor> {
        let step = layer.step;
        let SavedAttention { qkv, out, lse, xa_qkv, xa_output } = saved;
        let (dout, u) = layer.project_backward(dy, &self.output, Fused::Output)?;
        layer.gradients(&self.output, (dy, u), (&layer.pick(&out)?, xa_output), Fused::Output, gradients)?;
        let dout = layer.put_back(dout, out.dim(0)?)?;
        let kept = attention::Saved { qkv: &qkv, out: &out, lse: &lse };
        let dqkv = attention::backward(&dout, &kept, step.bounds, step.attention)?;
        drop((dout, qkv, out, lse));
        rope::backward(&dqkv, step.rotated_heads(), step.angles)?;
        let (dx, u) = layer.project_backward(&dqkv, &self.qkv, Fused::Qkv)?;
        layer.gradients(&self.qkv, (&dqkv, u), (x, xa_qkv), Fused::Qkv, gradients)?;
        Ok(dx)
    }
}
