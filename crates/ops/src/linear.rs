//! Linear projections with optional LoRA pairs: `y = x Wᵀ + s (x Aᵀ) Bᵀ`.
//!
//! Projections of the same input (queries, keys and values; gate and up) are one weight whose output columns lie side by
//! side, so that each product reads `x` once. Their pairs are fused likewise: the rows of all `A` lie under each other,
//! and each `B` adds to the columns of its own projection.
//!
//! Source: Hu et al. 2021, LoRA, eq. 3. Both factors of a pair are kept as `R` long rows (`A: (R, in)`, `Bᵀ: (R, out)`),
//! so that every product of forward and backward walks contiguous rows.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Tensor, bail};

use crate::cpu::{Values, slice_mut, tensor, uninit, view};
use crate::gemm::{Matrix, Precision, Threads, gemm, rows_times_vectors};
use crate::gpu::Gpu;
use crate::noise::Dropout;

/// Up to this many rows a product is bound by reading the weight, and reads it in place.
const FEW_ROWS: usize = 8;

/// Low-rank pairs on the projections of one weight: the factors, or their gradients.
#[derive(Clone)]
pub struct Lora {
    /// The `A` of all pairs under each other, `(R1 + R2 + ..., in)`.
    pub a: Tensor,
    /// For each pair where and how its update is added.
    pub b: Vec<Up>,
    /// What pairs read instead of `x`: for each pair what its dropout keeps of it.
    pub dropout: Option<Dropout>,
}

/// The second factor of a pair.
#[derive(Clone)]
pub struct Up {
    /// The first output column that it adds to.
    pub column: usize,
    /// `Bᵀ`, `(R, columns)`.
    pub b: Tensor,
    /// The factor `s` of the update: `alpha / R`, or `alpha / sqrt(R)` with rank-stabilised scaling.
    pub scale: f32,
}

impl Lora {
    /// Refuses pairs that do not fit their projection. Returns the sum of their ranks.
    pub(crate) fn check(&self, c_in: usize, c_out: usize) -> Result<usize> {
        let (ranks, a_in) = self.a.dims2()?;
        let fits = |up: &Up| matches!(*up.b.dims(), [_, width] if up.column + width <= c_out);
        if a_in != c_in || !self.b.iter().all(fits) || self.b.iter().map(|up| up.b.dims()[0]).sum::<usize>() != ranks {
            let b: Vec<_> = self.b.iter().map(|up| (up.column, up.b.dims())).collect();
            bail!("lora: A is {:?}, Bᵀ {b:?} on a projection of {c_in} to {c_out}", self.a.dims());
        }
        Ok(ranks)
    }

    /// Each pair with its columns of the side product: the first, and how many.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize, &Up)> {
        self.b.iter().scan(0, |next, up| {
            let (at, rank) = (*next, up.b.dims()[0]);
            *next += rank;
            Some((at, rank, up))
        })
    }

    /// Whether the pairs, one after the other, add to every one of `c_out` columns once.
    fn covers(&self, c_out: usize) -> bool {
        self.b.iter().try_fold(0, |end, up| (up.column == end).then(|| end + up.b.dims()[1])) == Some(c_out)
    }
}

/// Projects the rows of `x`.
///
/// * `x`: `(T, in)`. `weight`: `(out, in)`, f32 or bf16; its dtype is the precision of the products.
/// * Returns `y` `(T, out)` in the dtype of `x` and, with pairs, `x Aᵀ` `(T, R1 + R2 + ...)`, which [`pair_gradients`]
///   takes.
///
/// # Errors
/// When the shapes disagree; the message gives both.
pub fn forward(x: &Tensor, weight: &Tensor, lora: Option<&Lora>) -> Result<(Tensor, Option<Tensor>)> {
    let ((t, c_in), (c_out, w_in)) = (x.dims2()?, weight.dims2()?);
    if c_in != w_in {
        bail!("linear: x is {t} x {c_in}, the weight {c_out} x {w_in}");
    }
    let ranks = lora.map(|lora| lora.check(c_in, c_out)).transpose()?;
    if let Some(gpu) = Gpu::of(x) {
        return forward_on(&gpu, x, weight, lora);
    }
    let (x_view, w_view) = (view("linear", x)?, view("linear", weight)?);
    let (x_values, w_values) = (x_view.f32()?, w_view.values()?);
    let precision = Precision::of(weight.dtype());
    let mut y = uninit(t * c_out);
    if t > 0 && t <= FEW_ROWS {
        rows_times_vectors(precision, w_values, x_values, c_in, &mut y);
    } else {
        let a = Matrix::dense(Values::F32(x_values), t, c_in);
        let b = Matrix::dense(w_values, c_out, c_in).t();
        gemm(precision, Threads::Pool, 1.0, a, b, 0.0, (&mut y, c_out));
    }
    let Some((lora, ranks)) = lora.zip(ranks) else {
        return Ok((tensor(y, (t, c_out))?, None));
    };
    let xa = side(x, weight.dtype(), lora)?;
    let xa_view = view("lora", &xa)?;
    for (at, rank, up) in lora.pairs() {
        let b_view = view("lora", &up.b)?;
        let b = Matrix::dense(b_view.values()?, rank, up.b.dim(1)?);
        let y = &mut y[up.column.min(t * c_out)..];
        gemm(precision, Threads::Pool, up.scale, columns(xa_view.f32()?, t, ranks, at, rank), b, 1.0, (y, c_out));
    }
    drop(xa_view);
    Ok((tensor(y, (t, c_out))?, Some(xa)))
}

/// The product `x Aᵀ` `(T, R1 + R2 + ...)` that [`forward`] returns beside the projection.
///
/// * `x`: `(T, in)`; `weights`: dtype of the frozen weight, the precision of the product.
///
/// # Errors
/// When the shapes disagree.
pub fn side(x: &Tensor, weights: DType, lora: &Lora) -> Result<Tensor> {
    let ((t, c_in), (ranks, a_in)) = (x.dims2()?, lora.a.dims2()?);
    if c_in != a_in {
        bail!("lora: x is {t} x {c_in}, A {ranks} x {a_in}");
    }
    if let Some(gpu) = Gpu::of(x) {
        let xa = gpu.empty(x, (t, ranks), x.dtype())?;
        let Some(dropout) = &lora.dropout else {
            gpu.gemm(1.0, x, &lora.a.t()?, 0.0, &xa)?;
            return Ok(xa);
        };
        for (pair, (at, rank, _)) in lora.pairs().enumerate() {
            let a = lora.a.narrow(0, at, rank)?;
            gpu.gemm(1.0, &dropout.kept(x, pair)?, &a.t()?, 0.0, &xa.narrow(1, at, rank)?)?;
        }
        return Ok(xa);
    }
    let x_view = view("lora", x)?;
    let mut xa = uninit(t * ranks);
    let mut multiply = |x: &[f32], a: &Tensor, at: usize| -> Result<()> {
        let (rows, a_view) = (a.dim(0)?, view("lora", a)?);
        let (x, a) = (Matrix::dense(Values::F32(x), t, c_in), Matrix::dense(a_view.values()?, rows, c_in));
        let xa = &mut xa[at.min(t * ranks)..];
        gemm(Precision::of(weights), Threads::Pool, 1.0, x, a.t(), 0.0, (xa, ranks));
        Ok(())
    };
    match &lora.dropout {
        None => multiply(x_view.f32()?, &lora.a, 0)?,
        Some(dropout) => {
            for (pair, (at, rank, _)) in lora.pairs().enumerate() {
                multiply(&dropout.kept_values(x_view.f32()?, c_in, pair)?, &lora.a.narrow(0, at, rank)?, at)?;
            }
        }
    }
    tensor(xa, (t, ranks))
}

/// The columns of one pair in `(T, R1 + R2 + ...)`.
fn columns(values: &[f32], t: usize, ranks: usize, at: usize, rank: usize) -> Matrix<'_> {
    Matrix::rows(Values::F32(&values[at.min(t * ranks)..]), t, rank, ranks)
}

/// Gradient of the projection's input: `dx = dy W + u A` with `u = s dy B`, with dropout of `u A` only what is kept. The
/// weight gets its own by [`weight_gradient`], where it is trained.
///
/// * `dy`: `(T, out)`. Returns `dx` `(T, in)` and, with pairs, `u` `(T, R1 + R2 + ...)`, which
///   [`pair_gradients`] takes.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn backward(dy: &Tensor, weight: &Tensor, lora: Option<&Lora>) -> Result<(Tensor, Option<Tensor>)> {
    let ((t, c_out), (w_out, c_in)) = (dy.dims2()?, weight.dims2()?);
    if c_out != w_out {
        bail!("linear backward: dy is {t} x {c_out}, the weight {w_out} x {c_in}");
    }
    let ranks = lora.map(|lora| lora.check(c_in, c_out)).transpose()?;
    if let Some(gpu) = Gpu::of(dy) {
        return backward_on(&gpu, dy, weight, lora.zip(ranks));
    }
    let (dy_view, w_view) = (view("linear", dy)?, view("linear", weight)?);
    let dy_values = dy_view.f32()?;
    let precision = Precision::of(weight.dtype());
    let mut dx = uninit(t * c_in);
    let w = Matrix::dense(w_view.values()?, c_out, c_in);
    gemm(precision, Threads::Pool, 1.0, Matrix::dense(Values::F32(dy_values), t, c_out), w, 0.0, (&mut dx, c_in));
    let Some((lora, ranks)) = lora.zip(ranks) else {
        return Ok((tensor(dx, (t, c_in))?, None));
    };
    let mut u = uninit(t * ranks);
    for (at, rank, up) in lora.pairs() {
        let (width, b_view) = (up.b.dim(1)?, view("lora", &up.b)?);
        let dy = Matrix::rows(Values::F32(&dy_values[up.column.min(t * c_out)..]), t, width, c_out);
        let b = Matrix::dense(b_view.values()?, rank, width);
        let u = &mut u[at.min(t * ranks)..];
        gemm(precision, Threads::Pool, up.scale, dy, b.t(), 0.0, (u, ranks));
    }
    let a_view = view("lora", &lora.a)?;
    match &lora.dropout {
        None => {
            let (u, a) = (Matrix::dense(Values::F32(&u), t, ranks), Matrix::dense(a_view.values()?, ranks, c_in));
            gemm(precision, Threads::Pool, 1.0, u, a, 1.0, (&mut dx, c_in));
        }
        Some(dropout) => {
            let mut part = uninit(t * c_in);
            for (pair, (at, rank, _)) in lora.pairs().enumerate() {
                let (u, a) = (columns(&u, t, ranks, at, rank), lora.a.narrow(0, at, rank)?);
                let a_view = view("lora", &a)?;
                let a = Matrix::dense(a_view.values()?, rank, c_in);
                gemm(precision, Threads::Pool, 1.0, u, a, 0.0, (&mut part, c_in));
                dropout.add_kept_values(&mut dx, &part, c_in, pair)?;
            }
        }
    }
    Ok((tensor(dx, (t, c_in))?, Some(tensor(u, (t, ranks))?)))
}

/// Adds the gradients of the LoRA pairs to `gradients`: `dA += uᵀ x`, `dBᵀ += s (x Aᵀ)ᵀ dy`, with what dropout keeps of `x`.
///
/// Apart from [`backward`], so that `x` may be made, or take the place of something else, after `dx` is there.
///
/// * `dy`: `(T, out)` and `u`: `(T, R1 + R2 + ...)` of [`backward`]; `x`: `(T, in)` and `xa`, as wide as `u`, of
///   [`forward`].
/// * `weights`: dtype of the frozen weight, the precision of the products. `gradients`: views of the flat gradient, f32,
///   shaped as the pairs, with their scales.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn pair_gradients(
    (dy, u): (&Tensor, &Tensor),
    (x, xa): (&Tensor, &Tensor),
    weights: DType,
    gradients: &Lora,
) -> Result<()> {
    let ((t, c_out), (rows, c_in)) = (dy.dims2()?, x.dims2()?);
    let ranks = gradients.check(c_in, c_out)?;
    if rows != t || xa.dims() != [t, ranks] || u.dims() != [t, ranks] {
        bail!("lora backward: x is {rows} x {c_in}, x Aᵀ {:?}, u {:?}, expected {t} rows", xa.dims(), u.dims());
    }
    if let Some(gpu) = Gpu::of(dy) {
        for (at, rank, up) in gradients.pairs() {
            let xa = xa.narrow(1, at, rank)?;
            gpu.gemm(up.scale, &xa.t()?, &dy.narrow(1, up.column, up.b.dim(1)?)?, 1.0, &up.b)?;
        }
        let Some(dropout) = &gradients.dropout else {
            return gpu.gemm(1.0, &u.t()?, x, 1.0, &gradients.a);
        };
        for (pair, (at, rank, _)) in gradients.pairs().enumerate() {
            let (u, a) = (u.narrow(1, at, rank)?, gradients.a.narrow(0, at, rank)?);
            gpu.gemm(1.0, &u.t()?, &dropout.kept(x, pair)?, 1.0, &a)?;
        }
        return Ok(());
    }
    let views = (view("lora", dy)?, view("lora", u)?, view("lora", x)?, view("lora", xa)?);
    let (dy, u, x, xa) = (views.0.f32()?, views.1.f32()?, views.2.f32()?, views.3.f32()?);
    let precision = Precision::of(weights);
    for (at, rank, up) in gradients.pairs() {
        let dy = Matrix::rows(Values::F32(&dy[up.column.min(t * c_out)..]), t, up.b.dim(1)?, c_out);
        add_product(&up.b, (up.scale, precision), columns(xa, t, ranks, at, rank).t(), dy)?;
    }
    let Some(dropout) = &gradients.dropout else {
        let u = Matrix::dense(Values::F32(u), t, ranks);
        return add_product(&gradients.a, (1.0, precision), u.t(), Matrix::dense(Values::F32(x), t, c_in));
    };
    for (pair, (at, rank, _)) in gradients.pairs().enumerate() {
        let (u, kept) = (columns(u, t, ranks, at, rank), dropout.kept_values(x, c_in, pair)?);
        let a = gradients.a.narrow(0, at, rank)?;
        add_product(&a, (1.0, precision), u.t(), Matrix::dense(Values::F32(&kept), t, c_in))?;
    }
    Ok(())
}

/// Adds the gradient of the weight itself, where it is trained: `dW += dyᵀ x`.
///
/// * `dy`: `(T, out)`; `x`: `(T, in)`. `weights`: dtype of the weight, the precision of the product. `gradient`: `(out, in)`
///   f32, a view of the flat gradient.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn weight_gradient(dy: &Tensor, x: &Tensor, weights: DType, gradient: &Tensor) -> Result<()> {
    let ((t, c_out), (rows, c_in)) = (dy.dims2()?, x.dims2()?);
    if rows != t || gradient.dims() != [c_out, c_in] {
        bail!("weight gradient: dy is {t} x {c_out}, x {rows} x {c_in}, the gradient {:?}", gradient.dims());
    }
    if let Some(gpu) = Gpu::of(dy) {
        return gpu.gemm(1.0, &dy.t()?, x, 1.0, gradient);
    }
    let (dy, x) = (view("linear", dy)?, view("linear", x)?);
    let (dy, x) = (Matrix::dense(Values::F32(dy.f32()?), t, c_out), Matrix::dense(Values::F32(x.f32()?), t, c_in));
    add_product(gradient, (1.0, Precision::of(weights)), dy.t(), x)
}

/// `c += scale * left right` into a view of the flat gradient.
pub(crate) fn add_product(
    c: &Tensor,
    (scale, precision): (f32, Precision),
    left: Matrix<'_>,
    right: Matrix<'_>,
) -> Result<()> {
    c.inplace_op1(&AddProduct { scale, precision, left, right })
}

struct AddProduct<'a> {
    scale: f32,
    precision: Precision,
    left: Matrix<'a>,
    right: Matrix<'a>,
}

impl InplaceOp1 for AddProduct<'_> {
    fn name(&self) -> &'static str {
        "add_product"
    }

    fn cpu_fwd(&self, c: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let c = (slice_mut(c, layout)?, self.right.cols);
        gemm(self.precision, Threads::Pool, self.scale, self.left, self.right, 1.0, c);
        Ok(())
    }
}

fn forward_on(gpu: &Gpu, x: &Tensor, weight: &Tensor, lora: Option<&Lora>) -> Result<(Tensor, Option<Tensor>)> {
    let (t, c_out) = (x.dim(0)?, weight.dim(0)?);
    let y = gpu.empty(x, (t, c_out), x.dtype())?;
    let Some(lora) = lora else {
        gpu.gemm(1.0, x, &weight.t()?, 0.0, &y)?;
        return Ok((y, None));
    };
    let xa = side(x, weight.dtype(), lora)?;
    let update = |beta: f32| -> Result<()> {
        for (at, rank, up) in lora.pairs() {
            gpu.gemm(up.scale, &xa.narrow(1, at, rank)?, &up.b, beta, &y.narrow(1, up.column, up.b.dim(1)?)?)?;
        }
        Ok(())
    };
    // The update first where it covers every column: memory bound, it then only writes, and the large product reads what
    // it adds to while it computes.
    if lora.covers(c_out) {
        update(0.0)?;
        gpu.gemm(1.0, x, &weight.t()?, 1.0, &y)?;
    } else {
        gpu.gemm(1.0, x, &weight.t()?, 0.0, &y)?;
        update(1.0)?;
    }
    Ok((y, Some(xa)))
}

fn backward_on(
    gpu: &Gpu,
    dy: &Tensor,
    weight: &Tensor,
    lora: Option<(&Lora, usize)>,
) -> Result<(Tensor, Option<Tensor>)> {
    let (t, c_in) = (dy.dim(0)?, weight.dim(1)?);
    let dx = gpu.empty(dy, (t, c_in), dy.dtype())?;
    let Some((lora, ranks)) = lora else {
        gpu.gemm(1.0, dy, weight, 0.0, &dx)?;
        return Ok((dx, None));
    };
    let u = gpu.empty(dy, (t, ranks), dy.dtype())?;
    for (at, rank, up) in lora.pairs() {
        let dy = dy.narrow(1, up.column, up.b.dim(1)?)?;
        gpu.gemm(up.scale, &dy, &up.b.t()?, 0.0, &u.narrow(1, at, rank)?)?;
    }
    // The update first, as forward.
    match &lora.dropout {
        None => gpu.gemm(1.0, &u, &lora.a, 0.0, &dx)?,
        Some(dropout) => {
            let part = gpu.empty(dy, (t, c_in), dy.dtype())?;
            for (pair, (at, rank, _)) in lora.pairs().enumerate() {
                gpu.gemm(1.0, &u.narrow(1, at, rank)?, &lora.a.narrow(0, at, rank)?, 0.0, &part)?;
                dropout.launch(gpu, if pair == 0 { "noise_keep" } else { "noise_add" }, &dx, &part, pair)?;
            }
        }
    }
    gpu.gemm(1.0, dy, weight, 1.0, &dx)?;
    Ok((dx, Some(u)))
}
