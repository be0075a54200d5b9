//! AdamW over the flat vector of an adapter, with clipping.

use candle_core::{DType, Device, Result, Tensor};
use codeact_ops::optimizer::{AdamW, adamw_step, norm, zero};

use crate::config::Optimizer as Settings;

/// torch adds this to the norm before it divides.
const CLIP_EPS: f64 = 1e-6;

/// The state that AdamW carries from step to step.
#[derive(Debug)]
pub struct Optimizer {
    /// First moment, `(P,)` f32.
    pub m: Tensor,
    /// Second moment, `(P,)` f32.
    pub v: Tensor,
    /// Steps taken.
    pub step: u64,
}

impl Optimizer {
    /// The state before the first step.
    ///
    /// # Errors
    /// When the device cannot hold it.
    pub fn new(parameter_count: usize, device: &Device) -> Result<Optimizer> {
        let zeros = || Tensor::zeros(parameter_count, DType::F32, device);
        Ok(Optimizer { m: zeros()?, v: zeros()?, step: 0 })
    }

    /// One step: clips as torch's `clip_grad_norm_` does, updates `parameters` in place and clears `gradients`.
    /// Returns the norm before clipping. When that is not finite nothing is changed.
    ///
    /// * `parameters`, `gradients`: `(P,)` f32.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn apply(
        &mut self,
        parameters: &Tensor,
        gradients: &Tensor,
        settings: &Settings,
        learning_rate: f64,
    ) -> Result<f64> {
        let gradient_norm = norm(gradients)?;
        if !gradient_norm.is_finite() {
            return Ok(gradient_norm);
        }
        let adamw = AdamW {
            learning_rate,
            beta1: settings.beta1,
            beta2: settings.beta2,
            eps: settings.eps,
            weight_decay: settings.weight_decay,
            gradient_scale: (settings.clip_norm / (gradient_norm + CLIP_EPS)).min(1.0),
        };
        adamw_step(parameters, gradients, &self.m, &self.v, &adamw, self.step + 1)?;
        self.step += 1;
        zero(gradients)?;
        Ok(gradient_norm)
    }
}
