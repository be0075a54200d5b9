//! Root-mean-square norm, fused with the residual sum before it and behind its backward.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::{blocked_sum, for_each_row, for_each_row_pair, slice_mut, tensor, to_f32, uninit, vectorized, view};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Threads that share a row on a card: four 16-byte accesses each at a width of 4,096.
const ROW_THREADS: usize = 128;

/// Sums over rows that a card makes side by side for the gradient of a weight, two for each multiprocessor of a large one.
pub const SLABS: usize = 264;

/// Columns of that gradient that one task on the CPU adds up.
const COLUMNS: usize = 64;

/// Root-mean-square norm of every row: `y = x * r * weight`, with `r = 1 / sqrt(mean(x^2) + eps)`.
///
/// * `x`: `(T, C)`, contiguous. `weight`: `(C,)`, f32 or bf16; [`weight_gradient`] is its own where it is trained.
/// * Returns `y` `(T, C)` in the dtype of `x`. [`backward`] recomputes `r`: one pass over a row that it reads anyway.
///
/// # Errors
/// When the shapes disagree; the message gives both.
///
/// Source: Zhang and Sennrich 2019, eq. 4.
pub fn forward(x: &Tensor, weight: &Tensor, eps: f32) -> Result<Tensor> {
    let c = checked_width(x, weight)?;
    if let Some(gpu) = Gpu::of(x) {
        return Ok(forward_on(&gpu, x, None, weight, eps)?.1);
    }
    let (x_view, w_view) = (view("rms_norm", x)?, view("rms_norm", weight)?);
    let (x_values, w) = (x_view.f32()?, to_f32(w_view.values()?));
    let mut y = uninit(x_values.len());
    for_each_row(&mut y, c, |row, y| {
        forward_row(&x_values[row * c..][..c], &w, eps, y);
    });
    tensor(y, x.dims())
}

/// The norm of `x + delta`, and that sum: the residual stream after a part of a block, and the next part's input.
///
/// * `x`, `delta`: `(T, C)`. Returns `(x + delta, norm)`, both `(T, C)`.
///
/// # Errors
/// As [`forward`].
pub fn forward_sum(x: &Tensor, delta: &Tensor, weight: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
    let c = checked_width(x, weight)?;
    if delta.dims() != x.dims() {
        bail!("rms_norm: {:?} and {:?} do not add up", x.dims(), delta.dims());
    }
    if let Some(gpu) = Gpu::of(x) {
        return forward_on(&gpu, x, Some(delta), weight, eps);
    }
    let (x_view, delta_view, w_view) = (view("rms_norm", x)?, view("rms_norm", delta)?, view("rms_norm", weight)?);
    let (x_values, delta_values, w) = (x_view.f32()?, delta_view.f32()?, to_f32(w_view.values()?));
    let (mut sum, mut y) = (uninit(x_values.len()), uninit(x_values.len()));
    for_each_row_pair(&mut sum, &mut y, c, |row, sum, y| {
        add_row(&x_values[row * c..][..c], &delta_values[row * c..][..c], sum);
        forward_row(sum, &w, eps, y);
    });
    Ok((tensor(sum, x.dims())?, tensor(y, x.dims())?))
}

/// On a card: adds `delta`, if there is one, to `stream` in place, and writes the norm of the sum to `normed`.
///
/// * All but `weight`: `(T, C)`.
///
/// # Errors
/// When shapes or dtypes disagree, or this is no card.
pub fn advance(stream: &Tensor, delta: Option<&Tensor>, weight: &Tensor, eps: f32, normed: &Tensor) -> Result<()> {
    let c = checked_width(stream, weight)?;
    let Some(gpu) = Gpu::of(stream) else {
        bail!("rms_norm: a stream is advanced in place on a card");
    };
    check_dtypes(stream, &[Some(weight), delta, Some(normed)])?;
    if normed.dims() != stream.dims() || delta.is_some_and(|delta| delta.dims() != stream.dims()) {
        bail!("rms_norm: stream {:?}, delta {delta:?}, normed {:?}", stream.dims(), normed.dims());
    }
    launch_forward(&gpu, normed, delta.map(|delta| (stream, delta)), stream, weight, (c, eps))
}

/// Gradient of the norm's input, added to the gradient that reaches it past the norm.
///
/// `dx = residual + r (g w) - x r^3 / C * sum_j (g w x)_j`, with `g = dy`.
///
/// * `dy`, `x`, `residual`: `(T, C)`. Returns `dx` `(T, C)`.
///
/// # Errors
/// When the shapes disagree; the message gives both.
pub fn backward(dy: &Tensor, x: &Tensor, weight: &Tensor, eps: f32, residual: Option<&Tensor>) -> Result<Tensor> {
    let c = checked_width(x, weight)?;
    if dy.dims() != x.dims() || residual.is_some_and(|residual| residual.dims() != x.dims()) {
        bail!("rms_norm backward: dy is {:?}, x is {:?}, residual {residual:?}", dy.dims(), x.dims());
    }
    if let Some(gpu) = Gpu::of(x) {
        return backward_on(&gpu, (dy, x), weight, eps, residual);
    }
    let (dy_view, x_view, w_view) = (view("rms_norm", dy)?, view("rms_norm", x)?, view("rms_norm", weight)?);
    let (dy_values, x_values, w) = (dy_view.f32()?, x_view.f32()?, to_f32(w_view.values()?));
    let residual_view = residual.map(|residual| view("rms_norm", residual)).transpose()?;
    let residual = residual_view.as_ref().map(|residual| residual.f32()).transpose()?;
    let mut dx = uninit(x_values.len());
    for_each_row(&mut dx, c, |row, dx| {
        let row = row * c..(row + 1) * c;
        backward_row(&dy_values[row.clone()], &x_values[row.clone()], &w, eps, dx);
        if let Some(residual) = residual {
            add_to_row(&residual[row], dx);
        }
    });
    tensor(dx, x.dims())
}

/// Adds the gradient of the norm's weight, where it is trained: `dw_i += sum_t dy_ti x_ti r_t`.
///
/// * `dy`, `x`: `(T, C)`, as in [`backward`]. `gradient`: `(C,)` f32, a view of the flat gradient.
///
/// On the CPU each sum is f64, in the order of the rows; on a card f32, of up to [`SLABS`] sums of neighbouring rows.
///
/// # Errors
/// When the shapes disagree; the message gives both.
pub fn weight_gradient(dy: &Tensor, x: &Tensor, eps: f32, gradient: &Tensor) -> Result<()> {
    let c = checked_width(x, gradient)?;
    if dy.dims() != x.dims() {
        bail!("rms_norm weight gradient: dy is {:?}, x is {:?}", dy.dims(), x.dims());
    }
    if let Some(gpu) = Gpu::of(x) {
        return weight_gradient_on(&gpu, (dy, x), eps, gradient);
    }
    let (dy_view, x_view) = (view("rms_norm", dy)?, view("rms_norm", x)?);
    let (dy, x) = (dy_view.f32()?, x_view.f32()?);
    let factors = x.par_chunks(c).map(|x| inverse_rms(x, eps)).collect();
    gradient.inplace_op1(&AddColumns { dy, x, factors })
}

struct AddColumns<'a> {
    dy: &'a [f32],
    x: &'a [f32],
    /// `r` of each row.
    factors: Vec<f32>,
}

impl InplaceOp1 for AddColumns<'_> {
    fn name(&self) -> &'static str {
        "rms_norm_weight_gradient"
    }

    fn cpu_fwd(&self, gradient: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let gradient = slice_mut(gradient, layout)?;
        let c = gradient.len();
        gradient.par_chunks_mut(COLUMNS).enumerate().for_each(|(index, gradient)| {
            let (start, width) = (index * COLUMNS, gradient.len());
            let mut sums = [0.0; COLUMNS];
            for (row, factor) in self.factors.iter().enumerate() {
                let at = row * c + start;
                add_products(&mut sums[..width], &self.dy[at..at + width], &self.x[at..at + width], *factor);
            }
            for (gradient, sum) in gradient.iter_mut().zip(sums) {
                *gradient += sum as f32;
            }
        });
        Ok(())
    }
}

fn weight_gradient_on(gpu: &Gpu, (dy, x): (&Tensor, &Tensor), eps: f32, gradient: &Tensor) -> Result<()> {
    let (rows, c) = x.dims2()?;
    check_dtypes(x, &[Some(dy)])?;
    if rows == 0 {
        return Ok(());
    }
    let slab_rows = rows.div_ceil(SLABS);
    let slabs = rows.div_ceil(slab_rows);
    let partial = gpu.empty(x, (slabs, c), DType::F32)?;
    let arguments = [
        Argument::write(&partial)?,
        Argument::read(dy)?,
        Argument::read(x)?,
        Argument::int(rows)?,
        Argument::int(slab_rows)?,
        Argument::int(c)?,
        eps.into(),
    ];
    gpu.launch(&kernel_name("rms_norm_weight_slabs", x.dtype()), Grid::of(slabs, ROW_THREADS), &arguments)?;
    let arguments = [Argument::write(gradient)?, Argument::read(&partial)?, Argument::int(slabs)?, Argument::int(c)?];
    gpu.launch("rms_norm_weight_sum_f32", Grid::covering(c, ROW_THREADS), &arguments)
}

/// `(sum, normed)`; without a delta the sum is `x` itself.
fn forward_on(gpu: &Gpu, x: &Tensor, delta: Option<&Tensor>, weight: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
    let (rows, c) = x.dims2()?;
    check_dtypes(x, &[Some(weight), delta])?;
    let normed = gpu.empty(x, (rows, c), x.dtype())?;
    let sum = delta.map(|_| gpu.empty(x, (rows, c), x.dtype())).transpose()?;
    launch_forward(gpu, &normed, sum.as_ref().zip(delta), x, weight, (c, eps))?;
    Ok((sum.unwrap_or_else(|| x.clone()), normed))
}

/// `sum` and `delta` come together. The sum may be written over `x`: each thread reads what it writes.
fn launch_forward(
    gpu: &Gpu,
    normed: &Tensor,
    sum_delta: Option<(&Tensor, &Tensor)>,
    x: &Tensor,
    weight: &Tensor,
    (c, eps): (usize, f32),
) -> Result<()> {
    let (sum, delta) = sum_delta.unzip();
    let arguments = [
        Argument::write(normed)?,
        sum.map_or(Ok(Argument::NULL), Argument::write)?,
        Argument::read(x)?,
        Argument::read_optional(delta)?,
        Argument::read(weight)?,
        Argument::int(c)?,
        eps.into(),
    ];
    gpu.launch(&kernel_name("rms_norm_forward", x.dtype()), Grid::of(x.dim(0)?, ROW_THREADS), &arguments)
}

fn backward_on(
    gpu: &Gpu,
    (dy, x): (&Tensor, &Tensor),
    weight: &Tensor,
    eps: f32,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let (rows, c) = x.dims2()?;
    check_dtypes(x, &[Some(dy), Some(weight), residual])?;
    let dx = gpu.empty(x, (rows, c), x.dtype())?;
    let arguments = [
        Argument::write(&dx)?,
        Argument::read(dy)?,
        Argument::read(x)?,
        Argument::read(weight)?,
        Argument::read_optional(residual)?,
        Argument::int(c)?,
        eps.into(),
    ];
    gpu.launch(&kernel_name("rms_norm_backward", x.dtype()), Grid::of(rows, ROW_THREADS), &arguments)?;
    Ok(dx)
}

/// On a card everything that meets in a kernel has one dtype.
fn check_dtypes(x: &Tensor, others: &[Option<&Tensor>]) -> Result<()> {
    match others.iter().flatten().find(|other| other.dtype() != x.dtype()) {
        Some(other) => bail!("rms_norm on a card: {:?} beside {:?}", other.dtype(), x.dtype()),
        None => Ok(()),
    }
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

    fn add_row(a: &[f32], b: &[f32], sum: &mut [f32]) {
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum = a + b;
        }
    }

    fn add_products(sums: &mut [f64], dy: &[f32], x: &[f32], factor: f32) {
        for ((sum, dy), x) in sums.iter_mut().zip(dy).zip(x) {
            *sum += (dy * x * factor) as f64;
        }
    }

    fn add_to_row(x: &[f32], sum: &mut [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
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
