//! Sums in place, element by element.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};

use crate::cpu::{slice, slice_mut};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Threads of a block on a card, each for 16 bytes.
const THREADS: usize = 256;

/// `sum += x` in place.
///
/// # Errors
/// When the shapes differ.
pub fn add_assign(sum: &Tensor, x: &Tensor) -> Result<()> {
    check(sum, x)?;
    match Gpu::of(sum) {
        Some(gpu) => add_on(&gpu, sum, x),
        None => sum.inplace_op2(x, &AddAssign),
    }
}

fn check(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() != b.dims() || a.dtype() != b.dtype() {
        bail!("residual: {:?} {:?} and {:?} {:?} differ", a.dims(), a.dtype(), b.dims(), b.dtype());
    }
    Ok(())
}

fn add_on(gpu: &Gpu, sum: &Tensor, x: &Tensor) -> Result<()> {
    let count = x.elem_count();
    let arguments = [Argument::write(sum)?, Argument::read(sum)?, Argument::read(x)?, Argument::Long(count as i64)];
    let per_thread = 16 / x.dtype().size_in_bytes();
    gpu.launch(&kernel_name("residual_add", x.dtype()), Grid::covering(count.div_ceil(per_thread), THREADS), &arguments)
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
