//! Projections with pairs of DoRA: `y = g (W x + s B (A x))`, where `g = m / |W + s B A|` is a factor for each row of the
//! weight.
//!
//! The norm moves with `A` and `B`, but counts as a constant in backward, as in the paper's section 4.3 and in PEFT.
//! With dropout the gate is on what is kept of `x` alone, and the rest goes through the frozen weight, as in PEFT:
//! `y = W (x - kept) + g (W kept + s B (A kept))`, for each pair with what it keeps.
//!
//! Source: Liu et al. 2024, DoRA, eq. 5 and 11; `DoraLinearLayer` in `peft/tuners/lora/dora.py`.

use candle_core::{CpuStorage, DType, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::{Values, blocked_sum, for_each_row, slice, slice_mut, tensor, uninit, vectorized, view};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};
use crate::linear::{self, Lora, Up};
use crate::residual;

/// Threads that share a row on a card.
const ROW_THREADS: usize = 128;

/// Sums over rows that a card makes side by side, and the fewest rows of one, so that they take little memory.
const SLABS: usize = 264;
const SLAB_ROWS_MIN: usize = 16;

/// Columns that one task on the CPU adds up.
const COLUMNS: usize = 64;

/// What DoRA does to the columns of a projection, `(out,)` f32 each: one where there is no pair.
pub struct Gate {
    /// `m / |W + s B A|`.
    pub factors: Tensor,
    /// `|W + s B A|`.
    pub norms: Tensor,
}

impl Gate {
    /// The gate of the pairs on a weight as they are now.
    ///
    /// * `weight`: `(out, in)` f32 or bf16. `magnitudes`: of each pair its `m` `(columns,)` f32.
    ///
    /// # Errors
    /// When the shapes disagree; the message gives them.
    pub fn new(weight: &Tensor, lora: &Lora, magnitudes: &[Tensor]) -> Result<Self> {
        let norms = Tensor::ones(weight.dim(0)?, DType::F32, weight.device())?;
        let factors = norms.copy()?;
        let own = self::norms(weight, lora)?;
        if own.len() != magnitudes.len() {
            bail!("dora: {} pairs, and magnitudes for {}", own.len(), magnitudes.len());
        }
        for ((up, own), magnitude) in lora.b.iter().zip(&own).zip(magnitudes) {
            factors.slice_set(&(magnitude / own)?, 0, up.column)?;
            norms.slice_set(own, 0, up.column)?;
        }
        Ok(Self { factors, norms })
    }

    /// Gradient of what goes into the gate from that of what comes out of it.
    fn back(&self, dy: &Tensor) -> Result<Tensor> {
        scaled(dy, &self.factors)
    }
}

/// Columns of a projection that one pair adds to, or none.
struct Part {
    first: usize,
    count: usize,
    /// Which of the pairs, and the pair alone on these columns.
    pair: Option<(usize, Lora)>,
}

/// All columns, first to last.
fn parts(lora: &Lora, width: usize) -> Result<Vec<Part>> {
    let (mut parts, mut end) = (Vec::new(), 0);
    for (index, (at, rank, up)) in lora.pairs().enumerate() {
        if up.column > end {
            parts.push(Part { first: end, count: up.column - end, pair: None });
        }
        let b = vec![Up { column: 0, ..up.clone() }];
        let own = Lora { a: lora.a.narrow(0, at, rank)?, b, dropout: None };
        let (first, count) = (up.column, up.b.dim(1)?);
        parts.push(Part { first, count, pair: Some((index, own)) });
        end = first + count;
    }
    if end < width {
        parts.push(Part { first: end, count: width - end, pair: None });
    }
    Ok(parts)
}

/// Projects the rows of `x`, as [`linear::forward`], with what it says of shapes and results.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn forward(x: &Tensor, weight: &Tensor, lora: &Lora, gate: &Gate) -> Result<(Tensor, Option<Tensor>)> {
    let Some(dropout) = &lora.dropout else {
        let (y, xa) = linear::forward(x, weight, Some(lora))?;
        scale(&y, &gate.factors)?;
        return Ok((y, xa));
    };
    let (mut columns, mut sides) = (Vec::new(), Vec::new());
    for Part { first, count, pair } in parts(lora, weight.dim(0)?)? {
        let weight = weight.narrow(0, first, count)?;
        let Some((index, pair)) = pair else {
            columns.push(linear::forward(x, &weight, None)?.0);
            continue;
        };
        let kept = dropout.kept(x, index)?;
        let (y, xa) = linear::forward(&kept, &weight, Some(&pair))?;
        scale(&y, &gate.factors.narrow(0, first, count)?)?;
        let rest = (x - kept)?;
        residual::add_assign(&y, &linear::forward(&rest, &weight, None)?.0)?;
        columns.push(y);
        sides.extend(xa);
    }
    Ok((Tensor::cat(&columns, 1)?, Some(Tensor::cat(&sides, 1)?)))
}

/// Gradient of the projection's input, as [`linear::backward`], with what it says of shapes and results.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn backward(dy: &Tensor, weight: &Tensor, lora: &Lora, gate: &Gate) -> Result<(Tensor, Option<Tensor>)> {
    let Some(dropout) = &lora.dropout else {
        return linear::backward(&gate.back(dy)?, weight, Some(lora));
    };
    let (mut sum, mut sides) = (None, Vec::new());
    for Part { first, count, pair } in parts(lora, weight.dim(0)?)? {
        let weight = weight.narrow(0, first, count)?;
        let dy = dy.narrow(1, first, count)?.contiguous()?;
        let dx = linear::backward(&dy, &weight, None)?.0;
        if let Some((index, pair)) = pair {
            let dz = scaled(&dy, &gate.factors.narrow(0, first, count)?)?;
            let (through, u) = linear::backward(&dz, &weight, Some(&pair))?;
            // What is kept goes through the gate, and not past it.
            residual::add_assign(&dx, &dropout.kept(&(through - &dx)?, index)?)?;
            sides.extend(u);
        }
        match &sum {
            None => sum = Some(dx),
            Some(sum) => residual::add_assign(sum, &dx)?,
        }
    }
    let Some(dx) = sum else {
        bail!("dora backward: a projection to no columns");
    };
    Ok((dx, Some(Tensor::cat(&sides, 1)?)))
}

/// Adds the gradients of the pairs, as [`linear::pair_gradients`], and of their magnitudes:
/// `dm_j += sum_t dy_tj z_tj / |W + s B A|_j`, where `z` is what goes into the gate: not kept, but computed again.
///
/// * `dy`, `u`, `x`, `xa`: as there. `places`: of the gradients of the pairs, and of the magnitudes of each pair.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn gradients(
    (dy, u): (&Tensor, &Tensor),
    (x, xa): (&Tensor, &Tensor),
    weight: &Tensor,
    (lora, gate): (&Lora, &Gate),
    places: (&Lora, &[Tensor]),
) -> Result<()> {
    let (pairs, magnitudes) = places;
    if magnitudes.len() != lora.b.len() {
        bail!("dora gradient: {} pairs, and places for {} magnitudes", lora.b.len(), magnitudes.len());
    }
    for Part { first, count, pair } in parts(lora, weight.dim(0)?)? {
        let Some((index, pair)) = pair else { continue };
        let weight = weight.narrow(0, first, count)?;
        let kept = lora.dropout.as_ref().map_or_else(|| Ok(x.clone()), |dropout| dropout.kept(x, index))?;
        let z = linear::forward(&kept, &weight, Some(&pair))?.0;
        magnitude_gradient((dy, first), &z, &gate.norms.narrow(0, first, count)?, &magnitudes[index])?;
    }
    linear::pair_gradients((&gate.back(dy)?, u), (x, xa), weight.dtype(), pairs)
}

/// L2 norms of the rows of `W + s B A`, of each pair's rows of the weight: `(columns,)` f32. No norm is zero, so that a
/// row of zeros stays one.
///
/// * `weight`: `(out, in)` f32 or bf16.
///
/// # Errors
/// When the shapes disagree; the message gives them.
pub fn norms(weight: &Tensor, lora: &Lora) -> Result<Vec<Tensor>> {
    lora.check(weight.dim(1)?, weight.dim(0)?)?;
    let of_pair = |(at, rank, up): (usize, usize, &Up)| {
        row_norms(&weight.narrow(0, up.column, up.b.dim(1)?)?, &lora.a.narrow(0, at, rank)?, up)
    };
    lora.pairs().map(of_pair).collect()
}

/// * `weight`: the rows of the pair.
fn row_norms(weight: &Tensor, a: &Tensor, up: &Up) -> Result<Tensor> {
    let ((rows, width), ranks) = (weight.dims2()?, a.dim(0)?);
    if let Some(gpu) = Gpu::of(weight) {
        let norms = gpu.empty(weight, rows, DType::F32)?;
        let arguments = [
            Argument::write(&norms)?,
            Argument::read(weight)?,
            Argument::read(a)?,
            Argument::read(&up.b)?,
            Argument::int(ranks)?,
            Argument::int(width)?,
            Argument::int(rows)?,
            up.scale.into(),
        ];
        gpu.launch(&kernel_name("dora_row_norms", weight.dtype()), Grid::of(rows, ROW_THREADS), &arguments)?;
        return Ok(norms);
    }
    let (w_view, a_view, b_view) = (view("dora", weight)?, view("dora", a)?, view("dora", &up.b)?);
    let (weight, a, b, scale) = (w_view.values()?, a_view.f32()?, b_view.f32()?, up.scale);
    let mut norms = uninit(rows);
    norms.par_chunks_mut(COLUMNS).enumerate().for_each(|(chunk, norms)| {
        let mut sum = vec![0.0; width];
        for (offset, norm) in norms.iter_mut().enumerate() {
            let row = chunk * COLUMNS + offset;
            match weight {
                Values::F32(values) => sum.copy_from_slice(&values[row * width..][..width]),
                Values::Bf16(values) => {
                    for (sum, value) in sum.iter_mut().zip(&values[row * width..][..width]) {
                        *sum = value.to_f32();
                    }
                }
            }
            for (rank, a) in a.chunks_exact(width).enumerate() {
                add_multiple(&mut sum, a, scale * b[rank * rows + row]);
            }
            *norm = square_sum(&sum).sqrt().max(f32::MIN_POSITIVE);
        }
    });
    tensor(norms, rows)
}

/// `y_tj *= factors_j` in place. `y`: `(T, out)`; `factors`: `(out,)` f32.
fn scale(y: &Tensor, factors: &Tensor) -> Result<()> {
    let (rows, width) = y.dims2()?;
    if factors.dims() != [width] {
        bail!("dora: {:?} factors for {width} columns", factors.dims());
    }
    let Some(gpu) = Gpu::of(y) else {
        return y.inplace_op2(factors, &Scale);
    };
    let arguments = [Argument::write(y)?, Argument::read(factors)?, Argument::int(width)?];
    gpu.launch(&kernel_name("dora_scale", y.dtype()), Grid::of(rows, ROW_THREADS), &arguments)
}

/// As [`scale`], of a copy.
fn scaled(y: &Tensor, factors: &Tensor) -> Result<Tensor> {
    let copy = y.copy()?;
    scale(&copy, factors)?;
    Ok(copy)
}

struct Scale;

impl InplaceOp2 for Scale {
    fn name(&self) -> &'static str {
        "dora_scale"
    }

    fn cpu_fwd(&self, y: &mut CpuStorage, y_l: &Layout, factors: &CpuStorage, f_l: &Layout) -> Result<()> {
        let (y, factors) = (slice_mut(y, y_l)?, slice(factors, f_l)?);
        for_each_row(y, factors.len(), |_, y| multiply(y, factors));
        Ok(())
    }
}

/// Adds the gradient of a pair's magnitudes.
///
/// * `dy`: `(T, out)`, whose columns from `first` on are the pair's. `z`: `(T, columns)`. `norms`, `gradient`:
///   `(columns,)` f32, the latter a view of the flat gradient.
fn magnitude_gradient((dy, first): (&Tensor, usize), z: &Tensor, norms: &Tensor, gradient: &Tensor) -> Result<()> {
    let ((rows, width), (z_rows, columns)) = (dy.dims2()?, z.dims2()?);
    if z_rows != rows || first + columns > width || norms.dims() != [columns] || gradient.dims() != [columns] {
        let (norms, gradient) = (norms.dims(), gradient.dims());
        bail!(
            "dora gradient: dy is {rows} x {width} from {first} on, z {z_rows} x {columns}, norms {norms:?}, \
             magnitudes {gradient:?}"
        );
    }
    let Some(gpu) = Gpu::of(dy) else {
        let (dy, z, norms) = (view("dora", dy)?, view("dora", z)?, view("dora", norms)?);
        return gradient.inplace_op1(&AddColumns { dy: dy.f32()?, first, width, z: z.f32()?, norms: norms.f32()? });
    };
    if rows == 0 {
        return Ok(());
    }
    let slab_rows = rows.div_ceil(SLABS).max(SLAB_ROWS_MIN);
    let slabs = rows.div_ceil(slab_rows);
    let partial = gpu.empty(dy, (slabs, columns), DType::F32)?;
    let arguments = [
        Argument::write(&partial)?,
        Argument::read(dy)?,
        Argument::read(z)?,
        Argument::int(rows)?,
        Argument::int(slab_rows)?,
        Argument::int(width)?,
        Argument::int(first)?,
        Argument::int(columns)?,
    ];
    gpu.launch(&kernel_name("dora_slabs", dy.dtype()), Grid::of(slabs, ROW_THREADS), &arguments)?;
    let arguments = [
        Argument::write(gradient)?,
        Argument::read(&partial)?,
        Argument::read(norms)?,
        Argument::int(slabs)?,
        Argument::int(columns)?,
    ];
    gpu.launch("dora_sum_f32", Grid::covering(columns, ROW_THREADS), &arguments)
}

struct AddColumns<'a> {
    dy: &'a [f32],
    first: usize,
    width: usize,
    z: &'a [f32],
    norms: &'a [f32],
}

impl InplaceOp1 for AddColumns<'_> {
    fn name(&self) -> &'static str {
        "dora_gradient"
    }

    fn cpu_fwd(&self, gradient: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (gradient, columns) = (slice_mut(gradient, layout)?, self.norms.len());
        gradient.par_chunks_mut(COLUMNS).enumerate().for_each(|(index, gradient)| {
            let own = index * COLUMNS..index * COLUMNS + gradient.len();
            let mut sums = [0.0; COLUMNS];
            for (dy, z) in self.dy.chunks_exact(self.width).zip(self.z.chunks_exact(columns)) {
                add_products(&mut sums[..own.len()], &dy[self.first..][own.clone()], &z[own.clone()]);
            }
            for ((gradient, sum), norm) in gradient.iter_mut().zip(sums).zip(&self.norms[own]) {
                *gradient += (sum / f64::from(*norm)) as f32;
            }
        });
        Ok(())
    }
}

vectorized! {
    fn add_multiple(sum: &mut [f32], x: &[f32], factor: f32) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += factor * x;
        }
    }

    fn square_sum(x: &[f32]) -> f32 {
        blocked_sum(x.len(), |i| x[i] * x[i])
    }

    fn multiply(y: &mut [f32], factors: &[f32]) {
        for (y, factor) in y.iter_mut().zip(factors) {
            *y *= factor;
        }
    }

    fn add_products(sums: &mut [f64], dy: &[f32], z: &[f32]) {
        for ((sum, dy), z) in sums.iter_mut().zip(dy).zip(z) {
            *sum += f64::from(dy * z);
        }
    }
}
