//! SwiGLU: `silu(gate) * up`.

use candle_core::{Result, Tensor, bail};

use crate::cpu::{exp, for_each_row, for_each_row_pair, tensor, uninit, vectorized, view};

/// `y = gate * sigmoid(gate) * up`, element by element.
///
/// * `gate`, `up`: `(T, C)` f32. Returns `(T, C)`.
///
/// # Errors
/// When the shapes differ.
///
/// Source: Shazeer 2020, eq. 6.
pub fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let c = checked_width(gate, up)?;
    let (gate_view, up_view) = (view("swiglu", gate)?, view("swiglu", up)?);
    let (gates, ups) = (gate_view.f32()?, up_view.f32()?);
    let mut y = uninit(gates.len());
    for_each_row(&mut y, c, |row, y| {
        forward_row(&gates[row * c..][..c], &ups[row * c..][..c], y);
    });
    tensor(y, gate.dims())
}

/// Gradients of gate and up.
///
/// With `s = sigmoid(gate)`: `dgate = dy * up * s (1 + gate (1 - s))`, `dup = dy * gate * s`.
///
/// * `dy`, `gate`, `up`: `(T, C)` f32. Returns `(dgate, dup)`.
///
/// # Errors
/// When the shapes differ.
pub fn backward(dy: &Tensor, gate: &Tensor, up: &Tensor) -> Result<(Tensor, Tensor)> {
    let c = checked_width(gate, up)?;
    checked_width(gate, dy)?;
    let (dy_view, gate_view, up_view) = (view("swiglu", dy)?, view("swiglu", gate)?, view("swiglu", up)?);
    let (dys, gates, ups) = (dy_view.f32()?, gate_view.f32()?, up_view.f32()?);
    let (mut dgate, mut dup) = (uninit(gates.len()), uninit(gates.len()));
    for_each_row_pair(&mut dgate, &mut dup, c, |row, dgate, dup| {
        let row = row * c..(row + 1) * c;
        backward_row(&dys[row.clone()], &gates[row.clone()], &ups[row], dgate, dup);
    });
    Ok((tensor(dgate, gate.dims())?, tensor(dup, gate.dims())?))
}

vectorized! {
    fn forward_row(gate: &[f32], up: &[f32], y: &mut [f32]) {
        for ((y, gate), up) in y.iter_mut().zip(gate).zip(up) {
            *y = gate * sigmoid(*gate) * up;
        }
    }

    fn backward_row(dy: &[f32], gate: &[f32], up: &[f32], dgate: &mut [f32], dup: &mut [f32]) {
        let c = dy.len();
        let (gate, up, dgate, dup) = (&gate[..c], &up[..c], &mut dgate[..c], &mut dup[..c]);
        for i in 0..c {
            let s = sigmoid(gate[i]);
            dgate[i] = dy[i] * up[i] * s * (1.0 + gate[i] * (1.0 - s));
            dup[i] = dy[i] * gate[i] * s;
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

fn checked_width(gate: &Tensor, up: &Tensor) -> Result<usize> {
    if gate.dims() != up.dims() {
        bail!("swiglu: {:?} and {:?} differ", gate.dims(), up.dims());
    }
    Ok(gate.dims2()?.1)
}
