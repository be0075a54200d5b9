//! The residual stream: sums of activations.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};

use crate::cpu::{for_each_row, slice, slice_mut, tensor, uninit, vectorized, view};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Threads of a block on a card, each for 16 bytes.
const THREADS: usize = 256;

/// `a + b`, both `(T, C)`. Its backward is the identity on both sides.
///
/// # Errors
/// When the shapes differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check(a, b)?;
    if let Some(gpu) = Gpu::of(a) {
        let sum = gpu.empty(a, a.shape(), a.dtype())?;
        add_on(&gpu, &sum, a, b)?;
        return Ok(sum);
    }
    let (_, c) = a.dims2()?;
    let (a_view, b_view) = (view("residual", a)?, view("residual", b)?);
    let (a_values, b_values) = (a_view.f32()?, b_view.f32()?);
    let mut sum = uninit(a_values.len());
    for_each_row(&mut sum, c, |row, sum| {
        add_row(&a_values[row * c..][..c], &b_values[row * c..][..c], sum);
    });
    tensor(sum, a.dims())
}

/// `sum += x` in place.
///
/// # Errors
/// When the shapes differ.
pub fn add_assign(sum: &Tensor, x: &Tensor) -> Result<()> {
    check(sum, x)?;
    match Gpu::of(sum) {
        Some(gpu) => add_on(&gpu, sum, sum, x),
        None => sum.inplace_op2(x, &AddAssign),
    }
}

fn check(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() != b.dims() || a.dtype() != b.dtype() {
        bail!("residual: {:?} {:?} and {:?} {:?} differ", a.dims(), a.dtype(), b.dims(), b.dtype());
    }
    Ok(())
}

fn add_on(gpu: &Gpu, sum: &Tensor, a: &Tensor, b: &Tensor) -> Result<()> {
    let count = a.elem_count();
    let arguments = [Argument::write(sum)?, Argument::read(a)?, Argument::read(b)?, Argument::Long(count as i64)];
    let per_thread = 16 / a.dtype().size_in_bytes();
    gpu.launch(&kernel_name("residual_add", a.dtype()), Grid::covering(count.div_ceil(per_thread), THREADS), &arguments)
}

struct AddAssign;

impl InplaceOp2 for AddAssign {
    fn name(&self) -> &'static str {
        "add_assign"
    }

    fn cpu_fwd(&self, sum: &mut CpuStorage, sum_l: &Layout, x: &CpuStorage, x_l: &Layout) -> Result<()> {
        for (sum, x) in slice_mut(sum, sum_l)?.iter_mut().zip(slice(x, x_l)?) {
            *sum += x;
        }
        Ok(())
    }
}

vectorized! {
    fn add_row(a: &[f32], b: &[f32], sum: &mut [f32]) {
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum = a + b;
        }
    }
}
