//! The gated MLP: `down(silu(gate x) * up x)`.

use candle_core::{Result, Tensor};
use codeact_ops::{residual, swiglu};

use super::Layer;
use crate::adapter::Target;

pub(crate) struct Mlp {
    pub(crate) gate: Tensor,
    pub(crate) up: Tensor,
    pub(crate) down: Tensor,
}

/// Kept for backward: both projections and the LoRA side products. The gated product is computed again.
pub(crate) struct SavedMlp {
    gate: Tensor,
    up: Tensor,
    xa: [Option<Tensor>; 3],
}

impl Mlp {
    /// `x`: `(T, C)`, normed. Returns `(T, C)`.
    pub(crate) fn forward(&self, x: &Tensor, layer: Layer<'_>) -> Result<(Tensor, SavedMlp)> {
        let (gate, xa_gate) = layer.project(x, &self.gate, Target::Gate)?;
        let (up, xa_up) = layer.project(x, &self.up, Target::Up)?;
        let hidden = swiglu::forward(&gate, &up)?;
        let (y, xa_down) = layer.project(&hidden, &self.down, Target::Down)?;
        let xa = [xa_gate, xa_up, xa_down];
        Ok((y, SavedMlp { gate, up, xa }))
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
        let SavedMlp { gate, up, xa: [xa_gate, xa_up, xa_down] } = saved;
        let hidden = swiglu::forward(&gate, &up)?;
        let dhidden = layer.project_backward(dy, (&hidden, xa_down.as_ref()), &self.down, Target::Down, gradients)?;
        drop(hidden);
        let (dgate, dup) = swiglu::backward(&dhidden, &gate, &up)?;
        let dx_gate = layer.project_backward(&dgate, (x, xa_gate.as_ref()), &self.gate, Target::Gate, gradients)?;
        let dx_up = layer.project_backward(&dup, (x, xa_up.as_ref()), &self.up, Target::Up, gradients)?;
        residual::add(&dx_gate, &dx_up)
    }
}
