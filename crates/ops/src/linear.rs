//! A frozen linear projection with an optional LoRA pair: `y = x Wᵀ + s (x Aᵀ) Bᵀ`.
//!
//! Source: Hu et al. 2021, LoRA, eq. 3. Both factors of the pair are kept as `R` long rows (`A: (R, in)`,
//! `Bᵀ: (R, out)`), so that every product of forward and backward walks contiguous rows.

use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Tensor, bail};

use crate::cpu::{Values, slice, slice_mut, tensor, uninit, view};
use crate::gemm::{Matrix, Precision, Threads, gemm, rows_times_vectors};

/// Up to this many rows a product is bound by reading the weight, and reads it in place.
const FEW_ROWS: usize = 8;

/// A low-rank pair on one projection, f32.
#[derive(Clone)]
pub struct LoraPair {
    /// `A`, `(R, in)`.
    pub a: Tensor,
    /// `Bᵀ`, `(R, out)`.
    pub b: Tensor,
    /// The factor `s` of the update: `alpha / R`, or `alpha / sqrt(R)` with rank-stabilised scaling.
    pub scale: f32,
}

/// Where the gradients of a [`LoraPair`] are accumulated; shapes as in the pair.
pub struct LoraGradients {
    /// Gradient of `A`, `(R, in)`.
    pub a: Tensor,
    /// Gradient of `Bᵀ`, `(R, out)`.
    pub b: Tensor,
}

/// Refuses a pair that does not fit its projection.
fn check_pair(lora: &LoraPair, c_in: usize, c_out: usize) -> Result<usize> {
    let rank = lora.a.dim(0)?;
    if lora.a.dims() != [rank, c_in] || lora.b.dims() != [rank, c_out] {
        bail!("lora: A is {:?}, Bᵀ {:?} on a projection of {c_in} to {c_out}", lora.a.dims(), lora.b.dims());
    }
    Ok(rank)
}

/// Projects the rows of `x`.
///
/// * `x`: `(T, in)` f32. `weight`: `(out, in)`, f32 or bf16; its dtype is the precision of the products.
/// * Returns `y` `(T, out)` f32 and, with a LoRA pair, `x Aᵀ` `(T, R)`, which [`backward`] takes.
///
/// # Errors
/// When the shapes disagree; the message gives both.
pub fn forward(x: &Tensor, weight: &Tensor, lora: Option<&LoraPair>) -> Result<(Tensor, Option<Tensor>)> {
    let ((t, c_in), (c_out, w_in)) = (x.dims2()?, weight.dims2()?);
    if c_in != w_in {
        bail!("linear: x is {t} x {c_in}, the weight {c_out} x {w_in}");
    }
    let (x_view, w_view) = (view("linear", x)?, view("linear", weight)?);
    let (x_values, w_values) = (x_view.f32()?, w_view.values()?);
    let mut y = uninit(t * c_out);
    if t > 0 && t <= FEW_ROWS {
        rows_times_vectors(Precision::of(weight.dtype()), w_values, x_values, c_in, &mut y);
    } else {
        let a = Matrix::dense(Values::F32(x_values), t, c_in);
        let b = Matrix::dense(w_values, c_out, c_in).t();
        gemm(Precision::of(weight.dtype()), Threads::Pool, 1.0, a, b, 0.0, (&mut y, c_out));
    }
    let Some(lora) = lora else {
        return Ok((tensor(y, (t, c_out))?, None));
    };
    let rank = check_pair(lora, c_in, c_out)?;
    let (a_view, b_view) = (view("lora", &lora.a)?, view("lora", &lora.b)?);
    let mut xa = uninit(t * rank);
    let x = Matrix::dense(Values::F32(x_values), t, c_in);
    let a = Matrix::dense(a_view.values()?, rank, c_in);
    let b = Matrix::dense(b_view.values()?, rank, c_out);
    let precision = Precision::of(weight.dtype());
    gemm(precision, Threads::Pool, 1.0, x, a.t(), 0.0, (&mut xa, rank));
    let xa_rows = Matrix::dense(Values::F32(&xa), t, rank);
    gemm(precision, Threads::Pool, lora.scale, xa_rows, b, 1.0, (&mut y, c_out));
    Ok((tensor(y, (t, c_out))?, Some(tensor(xa, (t, rank))?)))
}

/// Gradient of the projection's input; adds the gradients of the LoRA pair to `gradients`.
///
/// With `u = s dy B`: `dx = dy W + u A`, `dA += uᵀ x`, `dBᵀ += s (x Aᵀ)ᵀ dy`. The frozen weight gets none.
///
/// * `dy`: `(T, out)`, `x`: `(T, in)`, `xa`: `(T, R)` from [`forward`]. Returns `dx` `(T, in)`.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn backward(
    dy: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    lora: Option<(&LoraPair, &Tensor, &LoraGradients)>,
) -> Result<Tensor> {
    let ((t, c_out), (w_out, c_in)) = (dy.dims2()?, weight.dims2()?);
    if c_out != w_out {
        bail!("linear backward: dy is {t} x {c_out}, the weight {w_out} x {c_in}");
    }
    let (dy_view, w_view) = (view("linear", dy)?, view("linear", weight)?);
    let dy_rows = Matrix::dense(Values::F32(dy_view.f32()?), t, c_out);
    let mut dx = uninit(t * c_in);
    let precision = Precision::of(weight.dtype());
    let w = Matrix::dense(w_view.values()?, c_out, c_in);
    gemm(precision, Threads::Pool, 1.0, dy_rows, w, 0.0, (&mut dx, c_in));
    if let Some((lora, xa, gradients)) = lora {
        let rank = check_pair(lora, c_in, c_out)?;
        if x.dims() != [t, c_in] || xa.dims() != [t, rank] {
            bail!("lora backward: x is {:?}, x Aᵀ {:?}, expected {t} rows", x.dims(), xa.dims());
        }
        let (a_view, b_view) = (view("lora", &lora.a)?, view("lora", &lora.b)?);
        let mut u = uninit(t * rank);
        let b = Matrix::dense(b_view.values()?, rank, c_out);
        gemm(precision, Threads::Pool, lora.scale, dy_rows, b.t(), 0.0, (&mut u, rank));
        let a = Matrix::dense(a_view.values()?, rank, c_in);
        let u_rows = Matrix::dense(Values::F32(&u), t, rank);
        gemm(precision, Threads::Pool, 1.0, u_rows, a, 1.0, (&mut dx, c_in));
        let u = tensor(u, (t, rank))?;
        let add = |scale| AddTransposedProduct { scale, precision };
        gradients.a.inplace_op3(&u, x, &add(1.0))?;
        gradients.b.inplace_op3(xa, dy, &add(lora.scale))?;
    }
    tensor(dx, (t, c_in))
}

/// `C += scale * Lᵀ R` for `L: (T, R)`, `R: (T, N)` into a view of the flat gradient.
struct AddTransposedProduct {
    scale: f32,
    precision: Precision,
}

impl InplaceOp3 for AddTransposedProduct {
    fn name(&self) -> &'static str {
        "lora_gradient"
    }

    fn cpu_fwd(
        &self,
        c: &mut CpuStorage,
        c_layout: &Layout,
        left: &CpuStorage,
        left_layout: &Layout,
        right: &CpuStorage,
        right_layout: &Layout,
    ) -> Result<()> {
        let (t, rank) = left_layout.shape().dims2()?;
        let (_, n) = right_layout.shape().dims2()?;
        let l = Matrix::dense(Values::F32(slice(left, left_layout)?), t, rank);
        let r = Matrix::dense(Values::F32(slice(right, right_layout)?), t, n);
        gemm(self.precision, Threads::Pool, self.scale, l.t(), r, 1.0, (slice_mut(c, c_layout)?, n));
        Ok(())
    }
}
