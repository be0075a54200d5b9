//! Self-attention: projections, rotary embedding, attention, output projection.

use candle_core::{Result, Tensor};
use codeact_ops::attention::{self, KvCache};
use codeact_ops::{residual, rope};

use super::Layer;
use crate::adapter::Target;

pub(crate) struct SelfAttention {
    pub(crate) q: Tensor,
    pub(crate) k: Tensor,
    pub(crate) v: Tensor,
    pub(crate) o: Tensor,
}

/// Kept for backward: rotated queries and keys, values, output with its log-sum-exp, and the LoRA side products.
pub(crate) struct SavedAttention {
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    lse: Tensor,
    xa: [Option<Tensor>; 4],
}

impl SelfAttention {
    /// `x`: `(T, C)`, normed. Returns `(T, C)`.
    pub(crate) fn forward(&self, x: &Tensor, layer: Layer<'_>) -> Result<(Tensor, SavedAttention)> {
        let step = layer.step;
        let (q, xa_q) = layer.project(x, &self.q, Target::Q)?;
        let (k, xa_k) = layer.project(x, &self.k, Target::K)?;
        let (v, xa_v) = layer.project(x, &self.v, Target::V)?;
        let q = rope::forward(&q, step.angles)?;
        let k = rope::forward(&k, step.angles)?;
        let (out, lse) = attention::forward(&q, &k, &v, step.bounds, step.attention)?;
        let (y, xa_o) = layer.project(&out, &self.o, Target::O)?;
        let xa = [xa_q, xa_k, xa_v, xa_o];
        Ok((y, SavedAttention { q, k, v, out, lse, xa }))
    }

    /// Gradient of `x`, `(T, C)`.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        saved: SavedAttention,
        layer: Layer<'_>,
        gradients: &Tensor,
    ) -> Result<Tensor> {
        let step = layer.step;
        let SavedAttention { q, k, v, out, lse, xa: [xa_q, xa_k, xa_v, xa_o] } = saved;
        let dout = layer.project_backward(dy, (&out, xa_o.as_ref()), &self.o, Target::O, gradients)?;
        let kept = attention::Saved { q: &q, k: &k, v: &v, out: &out, lse: &lse };
        let (dq, dk, dv) = attention::backward(&dout, &kept, step.bounds, step.attention)?;
        let dq = rope::backward(&dq, step.angles)?;
        let dk = rope::backward(&dk, step.angles)?;
        let dx_q = layer.project_backward(&dq, (x, xa_q.as_ref()), &self.q, Target::Q, gradients)?;
        let dx_k = layer.project_backward(&dk, (x, xa_k.as_ref()), &self.k, Target::K, gradients)?;
        let dx_v = layer.project_backward(&dv, (x, xa_v.as_ref()), &self.v, Target::V, gradients)?;
        residual::add(&residual::add(&dx_q, &dx_k)?, &dx_v)
    }

    pub(crate) fn forward_cached(&self, x: &Tensor, layer: Layer<'_>, caches: &mut [&mut KvCache]) -> Result<Tensor> {
        let step = layer.step;
        let (q, _) = layer.project(x, &self.q, Target::Q)?;
        let (k, _) = layer.project(x, &self.k, Target::K)?;
        let (v, _) = layer.project(x, &self.v, Target::V)?;
        let q = rope::forward(&q, step.angles)?;
        let k = rope::forward(&k, step.angles)?;
        let out = attention::forward_cached(&q, (&k, &v), step.bounds, layer.index, caches, step.attention)?;
        Ok(layer.project(&out, &self.o, Target::O)?.0)
    }
}
