//! The gated MLP: `down(silu(gate x) * up x)`.

use candle_core::{Result, Tensor};
use codeact_ops::swiglu;
use codeact_ops::weight::Weight;

use super::Layer;
use crate::adapter::Fused;

pub(crate) struct Mlp {
    /// Gate and up, `(2 M, C)`.
    pub(crate) gate_up: Weight,
    /// `(C, M)`.
    pub(crate) down: Weight,
}

/// Kept for backward: gate and up, and the LoRA side products. Backward makes the gated product
/// again.
pub(crate) struct SavedMlp {
    gate_up: Tensor,
    xa_gate_up: Option<Tensor>,
    xa_down: Option<Tensor>,
}

impl Mlp {
    /// `x`: `(T, C)`, normed. Returns `(T, C)`.
    pub(crate) fn forward(&self, x: &Tensor, layer: Layer<'_>) -> Result<(Tensor, SavedMlp)> {
        let saved = self.open(x, layer)?;
        let hidden = swiglu::forward(&saved.gate_up)?;
        let (y, xa_down) = layer.project(&hidden, &self.down, Fused::Down)?;
        Ok((y, SavedMlp { xa_down, ..saved }))
    }

    /// The part of [`Mlp::forward`] that backward cannot do without.
    pub(crate) fn open(&self, x: &Tensor, layer: Layer<'_>) -> Result<SavedMlp> {
        let (gate_up, xa_gate_up) = layer.project(x, &self.gate_up, Fused::GateUp)?;
        Ok(SavedMlp { gate_up, xa_gate_up, xa_down: None })
    }

    /// Gradient of `x`, `(T, C)`.
    pub(crate) fn backward(
        &self,
        dy: &Tensor,
        x: &Tensor,
        saved: SavedMlp,
        layer: Layer<'_>,
        gradients: &Tensor,
    ) -> Result<Tensor> {
        let SavedMlp { gate_up, xa_gate_up, xa_down } = saved;
        let (dhidden, u) = layer.project_backward(dy, &self.down, Fused::Down)?;
        let hidden = swiglu::backward(dhidden, &gate_up)?;
        layer.gradients(&self.down, (dy, u), (&hidden, xa_down), Fused::Down, gradients)?;
        drop(hidden);
        let (dx, u) = layer.project_backward(&gate_up, &self.gate_up, Fused::GateUp)?;
        layer.gradients(&self.gate_up, (&gate_up, u), (x, xa_gate_up), Fused::GateUp, gradients)?;
        Ok(dx)
    }
}
