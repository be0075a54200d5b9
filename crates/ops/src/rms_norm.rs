//! Root-mean-square norm with a frozen weight.

use candle_core::{Result, Tensor, bail};

use crate::cpu::{blocked_sum, for_each_row, tensor, to_f32, uninit, vectorized, view};

/// Root-mean-square norm of every row: `y = x * r * weight`, with `r = 1 / sqrt(mean(x^2) + eps)`.
///
/// * `x`: `(T, C)` f32, contiguous. `weight`: `(C,)`, f32 or bf16, frozen: it gets no gradient.
/// * Returns `y` `(T, C)` f32. [`backward`] recomputes `r`: one pass over a row that it reads anyway.
///
/// # Errors
/// When the shapes disagree; the message gives both.
///
/// Source: Zhang and Sennrich 2019, eq. 4.
pub fn forward(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let c = checked_width(x, weight)?;
    let (x_view, w_view) = (view("rms_norm", x)?, view("rms_norm", weight)?);
    let (x_values, w) = (x_view.f32()?, to_f32(w_view.values()?));
    let mut y = uninit(x_values.len());
    for_each_row(&mut y, c, |row, y| {
        forward_row(&x_values[row * c..][..c], &w, eps, y);
    });
    tensor(y, x.dims())
}

/// Gradient of the norm's input.
///
/// `dx = r (g w) - x r^3 / C * sum_j (g w x)_j`, with `g = dy`.
///
/// * `dy`, `x`: `(T, C)` f32. Returns `dx` `(T, C)`.
///
/// # Errors
/// When the shapes disagree; the message gives both.
pub fn backward(dy: &Tensor, x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let c = checked_width(x, weight)?;
    if dy.dims() != x.dims() {
        bail!("rms_norm backward: dy is {:?}, x is {:?}", dy.dims(), x.dims());
    }
    let (dy_view, x_view, w_view) = (view("rms_norm", dy)?, view("rms_norm", x)?, view("rms_norm", weight)?);
    let (dy_values, x_values, w) = (dy_view.f32()?, x_view.f32()?, to_f32(w_view.values()?));
    let mut dx = uninit(x_values.len());
    for_each_row(&mut dx, c, |row, dx| {
        let (g, x) = (&dy_values[row * c..][..c], &x_values[row * c..][..c]);
        backward_row(g, x, &w, eps, dx);
    });
    tensor(dx, x.dims())
}

vectorized! {
    fn forward_row(x: &[f32], w: &[f32], eps: f32, y: &mut [f32]) {
        let r = inverse_rms(x, eps);
        for ((y, x), w) in y.iter_mut().zip(x).zip(w) {
            *y = x * r * w;
        }
    }

    fn backward_row(g: &[f32], x: &[f32], w: &[f32], eps: f32, dx: &mut [f32]) {
        let c = dx.len();
        let (g, x, w, r) = (&g[..c], &x[..c], &w[..c], inverse_rms(x, eps));
        let weighted = blocked_sum(c, |i| g[i] * w[i] * x[i]);
        let pull = r * r * r * weighted / c as f32;
        for i in 0..c {
            dx[i] = r * g[i] * w[i] - pull * x[i];
        }
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    let mean = blocked_sum(x.len(), |i| x[i] * x[i]) / x.len() as f32;
    1.0 / (mean + eps).sqrt()
}

fn checked_width(x: &Tensor, weight: &Tensor) -> Result<usize> {
    let (t, c) = x.dims2()?;
    if weight.dims() != [c] {
        bail!("rms_norm: x is {t} x {c}, the weight {:?}", weight.dims());
    }
    Ok(c)
}
