//! AdamW and gradient clipping over one flat f32 vector of trainable values.

use candle_core::{CpuStorage, DType, InplaceOp2, InplaceOp3, Layout, Result, Tensor, bail};

use crate::cpu::{slice, slice_mut, vectorized, view};
use crate::gpu::{Argument, Gpu, Grid};

/// Threads of a block on a card.
const THREADS: usize = 256;

/// Sums that a card makes of one vector, added up in order by the processor.
const PARTIAL_SUMS: usize = 1024;

/// Settings of one AdamW step.
#[derive(Debug, Clone, Copy)]
pub struct AdamW {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, on every trainable value.
    pub weight_decay: f64,
    /// Factor on the gradient before anything else: the clipping factor.
    pub gradient_scale: f64,
}

/// Euclidean norm of a flat vector, summed in f64; on a card in 1,024 f32 sums that are added up in f64.
///
/// # Errors
/// When the tensor is not contiguous f32.
pub fn norm(values: &Tensor) -> Result<f64> {
    if let Some(gpu) = Gpu::of(values) {
        let sums = gpu.empty(values, PARTIAL_SUMS, DType::F32)?;
        let count = Argument::Long(values.elem_count() as i64);
        let arguments = [Argument::write(&sums)?, Argument::read(values)?, count];
        gpu.launch("optimizer_square_sums", Grid::of(PARTIAL_SUMS, THREADS), &arguments)?;
        return Ok(sums.to_vec1::<f32>()?.into_iter().map(f64::from).sum::<f64>().sqrt());
    }
    let values_view = view("norm", values)?;
    let sum: f64 =
        values_view.f32()?.chunks(4096).map(|chunk| chunk.iter().map(|x| *x as f64 * *x as f64).sum::<f64>()).sum();
    Ok(sum.sqrt())
}

/// One step of AdamW, in place.
///
/// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
/// `p = p (1 - lr wd) - lr (m / (1 - b1^step)) / (sqrt(v / (1 - b2^step)) + eps)`.
///
/// * `parameters`, `gradients`, `m`, `v`: `(P,)` f32; `step` counts from 1.
///
/// # Errors
/// When the lengths differ.
///
/// Source: Loshchilov and Hutter 2019, algorithm 2, in the order of operations of torch.
pub fn adamw_step(
    parameters: &Tensor,
    gradients: &Tensor,
    m: &Tensor,
    v: &Tensor,
    settings: &AdamW,
    step: u64,
) -> Result<()> {
    let count = parameters.elem_count();
    if [gradients, m, v].iter().any(|t| t.elem_count() != count) {
        bail!("adamw: {count} parameters, but gradients or moments of another length");
    }
    let scale = settings.gradient_scale as f32;
    let (b1, b2) = (settings.beta1 as f32, settings.beta2 as f32);
    let bias1 = 1.0 - settings.beta1.powi(step as i32);
    let bias2 = 1.0 - settings.beta2.powi(step as i32);
    let update = Update {
        keep: (1.0 - settings.learning_rate * settings.weight_decay) as f32,
        step_size: (settings.learning_rate / bias1) as f32,
        bias2_sqrt: bias2.sqrt() as f32,
        eps: settings.eps as f32,
    };
    if let Some(gpu) = Gpu::of(parameters) {
        let arguments = [
            Argument::write(parameters)?,
            Argument::write(m)?,
            Argument::write(v)?,
            Argument::read(gradients)?,
            Argument::Long(count as i64),
            scale.into(),
            b1.into(),
            b2.into(),
            update.keep.into(),
            update.step_size.into(),
            update.bias2_sqrt.into(),
            update.eps.into(),
        ];
        return gpu.launch("optimizer_adamw", Grid::covering(count, THREADS), &arguments);
    }
    m.inplace_op2(gradients, &Moment { decay: b1, scale, square: false })?;
    v.inplace_op2(gradients, &Moment { decay: b2, scale, square: true })?;
    parameters.inplace_op3(m, v, &update)
}

/// Sets every element to zero.
///
/// # Errors
/// When the tensor is not contiguous f32.
pub fn zero(values: &Tensor) -> Result<()> {
    if let Some(gpu) = Gpu::of(values) {
        let count = values.elem_count();
        let arguments = [Argument::write(values)?, Argument::Long(count as i64)];
        return gpu.launch("optimizer_zero", Grid::covering(count, THREADS), &arguments);
    }
    values.inplace_op1(&Zero)
}

struct Zero;

impl candle_core::InplaceOp1 for Zero {
    fn name(&self) -> &'static str {
        "zero"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        slice_mut(storage, layout)?.fill(0.0);
        Ok(())
    }
}

struct Moment {
    decay: f32,
    scale: f32,
    square: bool,
}

impl InplaceOp2 for Moment {
    fn name(&self) -> &'static str {
        "adamw_moment"
    }

    fn cpu_fwd(&self, m: &mut CpuStorage, m_l: &Layout, g: &CpuStorage, g_l: &Layout) -> Result<()> {
        moment(slice_mut(m, m_l)?, slice(g, g_l)?, self.decay, self.scale, self.square);
        Ok(())
    }
}

struct Update {
    keep: f32,
    step_size: f32,
    bias2_sqrt: f32,
    eps: f32,
}

impl InplaceOp3 for Update {
    fn name(&self) -> &'static str {
        "adamw_update"
    }

    fn cpu_fwd(
        &self,
        p: &mut CpuStorage,
        p_l: &Layout,
        m: &CpuStorage,
        m_l: &Layout,
        v: &CpuStorage,
        v_l: &Layout,
    ) -> Result<()> {
        update(slice_mut(p, p_l)?, slice(m, m_l)?, slice(v, v_l)?, self);
        Ok(())
    }
}

vectorized! {
    fn moment(m: &mut [f32], g: &[f32], decay: f32, scale: f32, square: bool) {
        for (m, g) in m.iter_mut().zip(g) {
            let g = g * scale;
            let term = if square { g * g } else { g };
            *m = decay * *m + (1.0 - decay) * term;
        }
    }

    fn update(p: &mut [f32], m: &[f32], v: &[f32], settings: &Update) {
        let Update { keep, step_size, bias2_sqrt, eps } = *settings;
        for ((p, m), v) in p.iter_mut().zip(m).zip(v) {
            let root = v.sqrt() / bias2_sqrt + eps;
            *p = *p * keep - step_size * m / root;
        }
    }
}
