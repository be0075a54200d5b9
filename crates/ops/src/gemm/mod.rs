//! Matrix products `C = alpha * A * B + beta * C` into f32, on the CPU.
//!
//! f32 operands multiply through the `gemm` crate. With bf16 products the operands are rounded to bf16 while they are
//! packed, and the products are summed in f32: by AVX512-BF16 dot instructions where the processor has them
//! ([`bf16`]), else by widening to f32.
//!
//! In the bf16 kernel each element of `C` is one sum in the order of `k`, whatever the shape of `A` around it: a row
//! gives the same bits alone and in a batch.
#[cfg(target_arch = "x86_64")]
mod bf16;
#[cfg(target_arch = "x86_64")]
mod pack;
mod rows;

use candle_core::DType;
use half::bf16 as Half;
use rayon::prelude::*;

pub(crate) use rows::rows_times_vectors;

use crate::cpu::Values;

/// In what precision factors are multiplied. Sums are f32 in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// f32 factors.
    F32,
    /// Factors rounded to bf16 (round to nearest, ties to even) where the processor multiplies them, f32 elsewhere.
    Bf16,
}

impl Precision {
    /// The precision that weights of this dtype ask for.
    pub fn of(weights: DType) -> Self {
        match weights {
            DType::BF16 => Self::Bf16,
            _ => Self::F32,
        }
    }
}

/// Whether to spread one product over the thread pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// All threads of the pool share the product.
    Pool,
    /// The calling thread alone: for products inside a task.
    Caller,
}

/// A strided view of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: Values<'a>,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A row-major matrix whose rows lie `stride` elements apart.
    pub(crate) fn rows(values: Values<'a>, rows: usize, cols: usize, stride: usize) -> Self {
        let matrix = Self { values, rows, cols, row_stride: stride, col_stride: 1 };
        let reach = if rows == 0 { 0 } else { (rows - 1) * stride + cols };
        assert!(reach <= matrix.len(), "{rows} x {cols} (stride {stride}) in {}", matrix.len());
        matrix
    }

    /// A row-major matrix without gaps.
    pub(crate) fn dense(values: Values<'a>, rows: usize, cols: usize) -> Self {
        Self::rows(values, rows, cols, cols)
    }

    /// The given rows of a row-major matrix.
    pub(crate) fn slice(self, rows: std::ops::Range<usize>) -> Self {
        let start = rows.start * self.row_stride;
        let values = match self.values {
            Values::F32(values) => Values::F32(&values[start..]),
            Values::Bf16(values) => Values::Bf16(&values[start..]),
        };
        Self::rows(values, rows.len(), self.cols, self.row_stride)
    }

    /// The transpose, without moving anything.
    pub(crate) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    fn len(&self) -> usize {
        match self.values {
            Values::F32(values) => values.len(),
            Values::Bf16(values) => values.len(),
        }
    }
}

/// Whether bf16 products run on bf16 dot instructions here.
pub fn has_bf16_kernel() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// `C = alpha * A * B + beta * C`; with `beta == 0` the old content of `C` is not read.
///
/// * `a`: `(M, K)`, `b`: `(K, N)`, any strides with one of the two equal to 1.
/// * `c`: row-major `(M, N)` and the distance of its rows.
pub(crate) fn gemm(
    precision: Precision,
    threads: Threads,
    alpha: f32,
    a: Matrix<'_>,
    b: Matrix<'_>,
    beta: f32,
    (c, c_stride): (&mut [f32], usize),
) {
    assert_eq!(a.cols, b.rows, "inner dimensions of a matrix product");
    let (m, n) = (a.rows, b.cols);
    if m == 0 || n == 0 {
        return;
    }
    assert!(c_stride >= n && (m - 1) * c_stride + n <= c.len(), "output of {m} x {n} in {}", c.len());
    #[cfg(target_arch = "x86_64")]
    if precision == Precision::Bf16 && has_bf16_kernel() {
        return bf16::gemm(threads, alpha, a, b, beta, c, c_stride);
    }
    let _ = precision; // Without the instructions, f32 products are the exact form of bf16 ones.
    f32_gemm(threads, alpha, a, b, beta, c, c_stride);
}

fn f32_gemm(threads: Threads, alpha: f32, a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: &mut [f32], c_stride: usize) {
    let (a_wide, b_wide) = (widened(a.values), widened(b.values));
    let a_values = a_wide.as_deref().unwrap_or_else(|| f32_values(a.values));
    let b_values = b_wide.as_deref().unwrap_or_else(|| f32_values(b.values));
    let parallelism = match threads {
        Threads::Pool => ::gemm::Parallelism::Rayon(0),
        Threads::Caller => ::gemm::Parallelism::None,
    };
    // SAFETY: the views were checked against their slices when they were made and `c` in `gemm`; `c` is borrowed
    // mutably, so it overlaps neither operand.
    unsafe {
        ::gemm::gemm(
            a.rows,
            b.cols,
            a.cols,
            c.as_mut_ptr(),
            1,
            c_stride as isize,
            beta != 0.0,
            a_values.as_ptr(),
            a.col_stride as isize,
            a.row_stride as isize,
            b_values.as_ptr(),
            b.col_stride as isize,
            b.row_stride as isize,
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}

fn widened(values: Values<'_>) -> Option<Vec<f32>> {
    match values {
        Values::F32(_) => None,
        Values::Bf16(values) => {
            Some(values.par_iter().with_min_len(1 << 16).map(|value: &Half| value.to_f32()).collect())
        }
    }
}

fn f32_values<'a>(values: Values<'a>) -> &'a [f32] {
    match values {
        Values::F32(values) => values,
        Values::Bf16(_) => &[],
    }
}

#[cfg(test)]
mod tests;
