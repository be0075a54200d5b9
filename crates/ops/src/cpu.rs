//! Borrowing candle's CPU storage as slices, and loops compiled for the vectors of this processor.

use std::ops::Deref;

use candle_core::{CpuStorage, Device, Layout, Result, Shape, Storage, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

/// A read guard on a tensor's storage together with the part of it that the tensor covers.
pub(crate) struct View<G> {
    guard: G,
    start: usize,
    len: usize,
}

/// The values of a contiguous CPU tensor.
#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    F32(&'a [f32]),
    Bf16(&'a [bf16]),
}

/// Borrows a contiguous CPU tensor.
///
/// # Errors
/// When the tensor is not on the CPU or not contiguous; `op` is named in the message.
pub(crate) fn view<'a>(op: &str, tensor: &'a Tensor) -> Result<View<impl Deref<Target = Storage> + 'a>> {
    if !matches!(tensor.device(), Device::Cpu) {
        bail!("`{op}` has no kernel for {:?} in this build", tensor.device().location());
    }
    let (guard, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("`{op}` wants a contiguous tensor, got strides {:?}", layout.stride());
    };
    Ok(View { guard, start, len: end - start })
}

impl<G: Deref<Target = Storage>> View<G> {
    pub(crate) fn values(&self) -> Result<Values<'_>> {
        let range = self.start..self.start + self.len;
        match &*self.guard {
            Storage::Cpu(CpuStorage::F32(values)) => Ok(Values::F32(&values[range])),
            Storage::Cpu(CpuStorage::BF16(values)) => Ok(Values::Bf16(&values[range])),
            _ => bail!("expected an f32 or bf16 tensor on the CPU"),
        }
    }

    pub(crate) fn f32(&self) -> Result<&[f32]> {
        match self.values()? {
            Values::F32(values) => Ok(values),
            Values::Bf16(_) => bail!("expected f32 values, got bf16"),
        }
    }
}

/// The values of a contiguous f32 storage, for in-place ops.
pub(crate) fn slice<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("in-place ops want contiguous f32"),
    }
}

/// As [`slice`], to be written.
pub(crate) fn slice_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("in-place ops want contiguous f32"),
    }
}

/// Wraps freshly computed values as a CPU tensor.
pub(crate) fn tensor(values: Vec<f32>, shape: impl Into<Shape>) -> Result<Tensor> {
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// A buffer whose every element the caller writes before reading any.
///
/// Zeroing would cost a pass over memory for each op: about a tenth of a matrix product at the sizes trained here.
#[allow(clippy::uninit_vec)]
pub(crate) fn uninit(len: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    // SAFETY: the capacity is there and f32 has no drop. Each op of this crate writes its whole output before anything
    // reads it, which the oracle tests show element by element; nothing outside the crate can call this.
    unsafe { values.set_len(len) };
    values
}

/// Copies out a contiguous f32 or bf16 tensor as f32.
pub(crate) fn to_f32(values: Values<'_>) -> Vec<f32> {
    match values {
        Values::F32(values) => values.to_vec(),
        Values::Bf16(values) => values.iter().map(|value| value.to_f32()).collect(),
    }
}

/// Rows handed to one task: enough work to pay for waking a thread.
fn rows_per_task(width: usize) -> usize {
    (32 * 1024 / width.max(1)).max(1)
}

/// Calls `row(index, output_row)` for every row of `output`, in parallel.
pub(crate) fn for_each_row<F>(output: &mut [f32], width: usize, row: F)
where
    F: Fn(usize, &mut [f32]) + Sync,
{
    let rows = rows_per_task(width);
    output.par_chunks_mut(rows * width).enumerate().for_each(|(task, chunk)| {
        for (offset, values) in chunk.chunks_mut(width).enumerate() {
            row(task * rows + offset, values);
        }
    });
}

/// As [`for_each_row`], over two outputs of the same width.
pub(crate) fn for_each_row_pair<F>(first: &mut [f32], second: &mut [f32], width: usize, row: F)
where
    F: Fn(usize, &mut [f32], &mut [f32]) + Sync,
{
    let rows = rows_per_task(width);
    first.par_chunks_mut(rows * width).zip(second.par_chunks_mut(rows * width)).enumerate().for_each(
        |(task, (a, b))| {
            let pairs = a.chunks_mut(width).zip(b.chunks_mut(width));
            for (offset, (a, b)) in pairs.enumerate() {
                row(task * rows + offset, a, b);
            }
        },
    );
}

/// Defines functions that are compiled three times, for AVX-512, AVX2 and the target's baseline, and picks the widest
/// that this processor has at each call. The loops are left to the compiler; no factor is fused into a sum, so all
/// three give the same bits.
macro_rules! vectorized {
    ($($(#[$meta:meta])* $visibility:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {$(
        $(#[$meta])*
        $visibility fn $name($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body($($arg: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                fn avx512($($arg: $type),*) $(-> $result)? { body($($arg),*) }
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $type),*) $(-> $result)? { body($($arg),*) }

                if is_x86_feature_detected!("avx512dq") && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                {
                    // SAFETY: the processor has these instructions.
                    return unsafe { avx512($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has these instructions.
                    return unsafe { avx2($($arg),*) };
                }
            }
            body($($arg),*)
        }
    )*};
}
pub(crate) use vectorized;

/// Lanes of a blocked sum. A fixed number, so that every processor adds in the same order.
const LANES: usize = 16;

/// `sum(term(i))` over `0..len` in [`LANES`] interleaved partial sums: vectorises, and adds in one fixed order.
#[inline(always)]
pub(crate) fn blocked_sum(len: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let whole = len - len % LANES;
    let mut index = 0;
    while index < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(index + lane);
        }
        index += LANES;
    }
    for (lane, sum) in lanes.iter_mut().enumerate().take(len - whole) {
        *sum += term(whole + lane);
    }
    lanes.iter().sum()
}

/// Largest value of a row, in lanes so that it vectorises.
#[inline(always)]
pub(crate) fn row_max(row: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let chunks = row.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| a.max(*b))
}

/// `exp(x)` for `x <= 88`, accurate to 4 ulp, in arithmetic that vectorises.
///
/// Splits `x = n ln 2 + r` with `|r| <= ln 2 / 2` (Cody and Waite) and takes a degree-6 polynomial of `r`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const MAGIC: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to the nearest integer
    let x = x.clamp(-87.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + MAGIC;
    let n = shifted - MAGIC;
    let r = x - n * 0.693_359_4;
    let r = r - n * -2.121_944_4e-4;
    let p = 1.388_888_9e-3;
    let p = p * r + 8.333_334e-3;
    let p = p * r + 4.166_666_6e-2;
    let p = p * r + 0.166_666_67;
    let p = p * r + 0.5;
    let p = p * r + 1.0;
    let p = p * r + 1.0;
    let exponent = shifted.to_bits().wrapping_sub(MAGIC.to_bits());
    p * f32::from_bits(exponent.wrapping_add(127) << 23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_four_ulp_of_libm() {
        for step in -8_700..=880 {
            let x = step as f32 * 0.01;
            let want = (x as f64).exp();
            let relative = ((exp(x) as f64 - want) / want).abs();
            assert!(relative < 4.0 * f32::EPSILON as f64, "exp({x}): {relative}");
        }
    }
}
