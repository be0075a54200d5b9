//! SwiGLU: `silu(gate) * up`, with gate and up side by side in one buffer.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::{exp, for_each_row, slice, slice_mut, tensor, uninit, vectorized, view};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Threads of a block on a card.
const THREADS: usize = 256;

/// Values that a thread of a card takes at a time.
const PACK: usize = 8;

/// `y = gate * sigmoid(gate) * up`, element by element.
///
/// * `gate_up`: `(T, 2 C)`, a row's gates and then its ups. Returns `(T, C)`.
///
/// # Errors
/// When the width is odd.
///
/// Source: Shazeer 2020, eq. 6.
pub fn forward(gate_up: &Tensor) -> Result<Tensor> {
    let (t, c) = checked(gate_up)?;
    if let Some(gpu) = Gpu::of(gate_up) {
        let y = gpu.empty(gate_up, (t, c), gate_up.dtype())?;
        forward_into(gate_up, &y)?;
        return Ok(y);
    }
    let gate_up_view = view("swiglu", gate_up)?;
    let values = gate_up_view.f32()?;
    let mut y = uninit(t * c);
    for_each_row(&mut y, c, |row, y| {
        let (gate, up) = values[row * 2 * c..][..2 * c].split_at(c);
        forward_row(gate, up, y);
    });
    tensor(y, (t, c))
}

/// As [`forward`] on a card, into `y`, `(T, C)`.
///
/// # Errors
/// When shapes or dtypes disagree, or this is no card.
pub fn forward_into(gate_up: &Tensor, y: &Tensor) -> Result<()> {
    let (t, c) = checked(gate_up)?;
    let Some(gpu) = Gpu::of(gate_up) else {
        bail!("swiglu: results are written in place on a card");
    };
    if y.dims() != [t, c] || y.dtype() != gate_up.dtype() {
        bail!("swiglu: gate and up {:?} {:?} into {:?} {:?}", gate_up.dims(), gate_up.dtype(), y.dims(), y.dtype());
    }
    let arguments = [Argument::write(y)?, Argument::read(gate_up)?, Argument::int(c)?];
    gpu.launch(&kernel_name("swiglu_forward", gate_up.dtype()), grid(t, c), &arguments)
}

/// Gradients of gate and up, in their place, and the product `y` of [`forward`] once more: what reads it in a backward
/// pass then costs no pass of its own over gate and up. On a card it takes the place of `dy`.
///
/// With `s = sigmoid(gate)`: `dgate = dy * up * s (1 + gate (1 - s))`, `dup = dy * gate * s`.
///
/// * `dy`: `(T, C)`. `gate_up`: `(T, 2 C)`, on return the gradients. Returns `y` `(T, C)`.
///
/// # Errors
/// When the shapes differ.
pub fn backward(dy: Tensor, gate_up: &Tensor) -> Result<Tensor> {
    let (t, c) = checked(gate_up)?;
    if dy.dims() != [t, c] {
        bail!("swiglu backward: dy is {:?}, gate and up {:?}", dy.dims(), gate_up.dims());
    }
    let Some(gpu) = Gpu::of(gate_up) else {
        let y = forward(gate_up)?;
        gate_up.inplace_op2(&dy, &Backward)?;
        return Ok(y);
    };
    if dy.dtype() != gate_up.dtype() {
        bail!("swiglu on a card: {:?} beside {:?}", dy.dtype(), gate_up.dtype());
    }
    let arguments = [Argument::write(gate_up)?, Argument::write(&dy)?, Argument::int(c)?];
    gpu.launch(&kernel_name("swiglu_backward", gate_up.dtype()), grid(t, c), &arguments)?;
    Ok(dy)
}

struct Backward;

impl InplaceOp2 for Backward {
    fn name(&self) -> &'static str {
        "swiglu_backward"
    }

    fn cpu_fwd(&self, gate_up: &mut CpuStorage, g_l: &Layout, dy: &CpuStorage, dy_l: &Layout) -> Result<()> {
        let (_, c) = dy_l.shape().dims2()?;
        let (rows, dys) = (slice_mut(gate_up, g_l)?, slice(dy, dy_l)?);
        rows.par_chunks_mut(2 * c).zip(dys.par_chunks(c)).for_each(|(row, dy)| {
            let (gate, up) = row.split_at_mut(c);
            backward_row(dy, gate, up);
        });
        Ok(())
    }
}

/// A row to each block in x, a part of it in y.
fn grid(t: usize, c: usize) -> Grid {
    Grid { blocks: [t, c.div_ceil(THREADS * PACK), 1], threads: THREADS, shared_bytes: 0 }
}

vectorized! {
    fn forward_row(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate * sigmoid(*gate) * up;
        }
    }

    fn backward_row(dy: &[f32], gate: &mut [f32], up: &mut [f32]) {
        let c = dy.len();
        let (gate, up) = (&mut gate[..c], &mut up[..c]);
        for i in 0..c {
            let s = sigmoid(gate[i]);
            let (g, u) = (gate[i], up[i]);
            gate[i] = dy[i] * u * s * (1.0 + g * (1.0 - s));
            up[i] = dy[i] * g * s;
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Rows, and the width of gate and up each.
fn checked(gate_up: &Tensor) -> Result<(usize, usize)> {
    match gate_up.dims2()? {
        (t, width) if width % 2 == 0 => Ok((t, width / 2)),
        (t, width) => bail!("swiglu: gate and up together are {t} x {width}"),
    }
}
