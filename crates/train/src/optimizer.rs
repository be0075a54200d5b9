//! AdamW over the flat vector of what is trained, with clipping.

use std::ops::Range;

use candle_core::{DType, Device, Result, Tensor};
use codeact_ops::optimizer::{AdamW, adamw_step, norm, zero};

use crate::config::Optimizer as Settings;
use crate::trained::Trained;

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

    /// One step: clips as torch's `clip_grad_norm_` does, updates the parameters in place and clears `gradients`.
    /// Returns the norm before clipping. When that is not finite nothing is changed.
    ///
    /// With `lora_plus_ratio` every `B` has its own learning rate, as in PEFT's `create_loraplus_optimizer`. Weights of norms,
    /// where they are trained, do not decay.
    ///
    /// * `gradients`: `(P,)` f32.
    ///
    /// # Errors
    /// When the lengths differ.
    pub fn apply(
        &mut self,
        trained: &Trained,
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
        match (trained, settings.lora_plus_ratio) {
            (Trained::Adapter(adapter), Some(ratio)) => {
                let faster = AdamW { learning_rate: learning_rate * ratio, ..adamw };
                self.step_by_range(trained, gradients, &adamw, (adapter.up_ranges(), &faster))?;
            }
            (Trained::Weights(weights), _) if adamw.weight_decay != 0.0 => {
                let undecayed = AdamW { weight_decay: 0.0, ..adamw };
                self.step_by_range(trained, gradients, &adamw, (weights.norm_ranges(), &undecayed))?;
            }
            _ => adamw_step(trained.parameters(), gradients, &self.m, &self.v, &adamw, self.step + 1)?,
        }
        trained.refresh()?;
        self.step += 1;
        zero(gradients)?;
        Ok(gradient_norm)
    }

    /// A step of some ranges, ascending, with settings of their own, and of what lies between with `rest`.
    fn step_by_range(
        &self,
        trained: &Trained,
        gradients: &Tensor,
        rest: &AdamW,
        (ranges, own): (Vec<Range<usize>>, &AdamW),
    ) -> Result<()> {
        let step_range = |range: Range<usize>, settings: &AdamW| -> Result<()> {
            if range.is_empty() {
                return Ok(());
            }
            let part = |flat: &Tensor| flat.narrow(0, range.start, range.len());
            let (m, v) = (part(&self.m)?, part(&self.v)?);
            adamw_step(&part(trained.parameters())?, &part(gradients)?, &m, &v, settings, self.step + 1)
        };
        let mut end = 0;
        for range in ranges {
            step_range(end..range.start, rest)?;
            end = range.end;
            step_range(range, own)?;
        }
        step_range(end..trained.parameters().elem_count(), rest)
    }
}
