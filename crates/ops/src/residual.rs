//! The residual stream: sums of activations.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};

use crate::cpu::{for_each_row, slice, slice_mut, tensor, uninit, vectorized, view};

/// `a + b`, both `(T, C)` f32. Its backward is the identity on both sides.
///
/// # Errors
/// When the shapes differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dims() != b.dims() {
        bail!("residual: {:?} and {:?} differ", a.dims(), b.dims());
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

/// `sum += x` in place, f32.
///
/// # Errors
/// When the shapes differ.
pub fn add_assign(sum: &Tensor, x: &Tensor) -> Result<()> {
    if sum.dims() != x.dims() {
        bail!("residual: {:?} and {:?} differ", sum.dims(), x.dims());
    }
    sum.inplace_op2(x, &AddAssign)
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
