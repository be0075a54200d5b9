//! NF4: frozen weights in 4 bits, their scales in 8, bit for bit as bitsandbytes has them.
//!
//! A matrix is cut, row after row, into blocks of 64 values. A block keeps its largest magnitude and, for each value,
//! the nearest of 16 fractions of it: the quantiles of a normal distribution. The magnitudes, less their mean, are
//! quantised again: groups of 256 keep their own largest magnitude and, for each, one of 256 levels. That makes
//! 4 + 8/64 + 32/16384 = 4.127 bits for a value.
//!
//! The reference is bitsandbytes' portable code. Its CUDA kernels follow the same rules with approximate reciprocals,
//! and its native code for the CPU finds a level through 65536 steps: either may choose a neighbour now and then.
//!
//! Source: Dettmers et al. 2023 (QLoRA), sections 3 and 4.1; the levels: Dettmers et al. 2022 (8-bit optimizers).
//! Kernels: `kernels/nf4.cu`.
mod on_card;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use half::bf16;
use rayon::prelude::*;

use crate::cpu::{Values, vectorized, view};
use crate::gpu::Gpu;

/// Values that share a scale.
pub const BLOCK: usize = 64;
/// Blocks that share a scale of scales.
pub const GROUP: usize = 256;

/// The fractions of a block's scale that the sixteen codes stand for.
const VALUES: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// What a dequantising kernel reads: [`VALUES`], then the 256 levels of a scale, in rising order.
static TABLES: LazyLock<[f32; 16 + 256]> = LazyLock::new(|| {
    let mut tables = [0.0; 16 + 256];
    tables[..16].copy_from_slice(&VALUES);
    tables[16..].copy_from_slice(&levels());
    tables
});

/// A scale below this is taken as this where values are divided by it, so that a block of zeros gives zeros.
const SCALE_MIN: f32 = 1e-38;

/// Partial sums of [`mean`].
const MEAN_LANES: usize = 1024;

/// A frozen matrix in NF4 with doubly quantised scales.
#[derive(Debug, Clone)]
pub struct Nf4 {
    /// `(ceil(out * in / 2),)` u8: two codes a byte, the first in the upper half; a last half is the code of zero.
    codes: Tensor,
    /// `(blocks,)` u8: each block's scale as an index into the levels.
    scales: Tensor,
    /// `(ceil(blocks / 256),)` f32.
    scale_of_scales: Tensor,
    /// [`TABLES`] beside the codes, for a card's kernel.
    tables: Tensor,
    /// Mean of the blocks' scales.
    offset: f32,
    /// Rows and columns.
    shape: (usize, usize),
}

impl Nf4 {
    /// Quantises a matrix.
    ///
    /// * `weight`: `(out, in)` f32 or bf16, contiguous. bf16 values are widened, not rounded again.
    ///
    /// # Errors
    /// When the weight is empty or holds a value that is not finite.
    pub fn quantise(weight: &Tensor) -> Result<Self> {
        let shape = weight.dims2()?;
        if weight.elem_count() == 0 {
            bail!("nf4: the weight is {} x {}, there is nothing to quantise", shape.0, shape.1);
        }
        if let Some(gpu) = Gpu::of(weight) {
            return on_card::quantise(&gpu, weight);
        }
        let weight_view = view("nf4", weight)?;
        let (codes, absmax) = quantise_values(weight_view.values()?);
        let offset = mean(&absmax);
        if !offset.is_finite() {
            bail!("nf4: the weight has values that are not finite");
        }
        let (scales, scale_of_scales) = quantise_scales(&absmax, offset);
        let on_cpu = |values: Vec<u8>| {
            let len = values.len();
            Tensor::from_vec(values, len, &Device::Cpu)
        };
        let groups = scale_of_scales.len();
        Ok(Self {
            codes: on_cpu(codes)?,
            scales: on_cpu(scales)?,
            scale_of_scales: Tensor::from_vec(scale_of_scales, groups, &Device::Cpu)?,
            tables: tables(&Device::Cpu)?,
            offset,
            shape,
        })
    }

    /// The matrix `(out, in)`, on the device of the codes: `value = fraction * scale` in f32, rounded to `dtype`.
    ///
    /// # Errors
    /// When `dtype` is neither f32 nor bf16.
    pub fn dequantise(&self, dtype: DType) -> Result<Tensor> {
        if let Some(gpu) = Gpu::of(&self.codes) {
            let output = gpu.empty(&self.codes, self.shape, dtype)?;
            on_card::dequantise(&gpu, self, &output)?;
            return Ok(output);
        }
        match (self.codes.device(), dtype) {
            (Device::Cpu, DType::F32) => self.dequantise_cpu(0f32, |value| value),
            (Device::Cpu, DType::BF16) => self.dequantise_cpu(bf16::ZERO, bf16::from_f32),
            (Device::Cpu, _) => bail!("nf4: dequantises to f32 or bf16, not to {dtype:?}"),
            (device, _) => bail!("`nf4` has no kernel for {:?} in this build", device.location()),
        }
    }

    /// On a card: room for matrices of this width under each other, to be filled by [`Nf4::dequantise_into`].
    pub(crate) fn empty_beside(&self, shape: (usize, usize), dtype: DType) -> Result<Option<Tensor>> {
        Gpu::of(&self.codes).map(|gpu| gpu.empty(&self.codes, shape, dtype)).transpose()
    }

    /// As [`Nf4::dequantise`], on a card, into rows of something larger that begin at a multiple of 16 bytes.
    pub(crate) fn dequantise_into(&self, output: &Tensor) -> Result<()> {
        match Gpu::of(&self.codes) {
            Some(gpu) => on_card::dequantise(&gpu, self, output),
            None => bail!("nf4: expands in place on a card only"),
        }
    }

    /// Rows and columns: `(out, in)`.
    pub fn dims(&self) -> (usize, usize) {
        self.shape
    }

    /// Bytes of the tensors of this matrix.
    pub fn byte_count(&self) -> usize {
        byte_count_of(self.shape.0, self.shape.1)
    }

    fn dequantise_cpu<T>(&self, zero: T, round: impl Fn(f32) -> T + Sync) -> Result<Tensor>
    where
        T: candle_core::WithDType,
    {
        let (codes_guard, _) = self.codes.storage_and_layout();
        let (scales_guard, _) = self.scales.storage_and_layout();
        let (codes, scales) = (bytes(&codes_guard)?, bytes(&scales_guard)?);
        let group_view = view("nf4", &self.scale_of_scales)?;
        let groups = group_view.f32()?;

        let mut output = vec![zero; self.shape.0 * self.shape.1];
        let (values, levels) = TABLES.split_at(16);
        output.par_chunks_mut(BLOCK * GROUP).enumerate().for_each(|(group, output)| {
            let (codes, scales) = (&codes[group * GROUP * BLOCK / 2..], &scales[group * GROUP..]);
            for ((output, codes), scale) in output.chunks_mut(BLOCK).zip(codes.chunks(BLOCK / 2)).zip(scales) {
                // Rounded after the product and after the sum.
                let scale = levels[usize::from(*scale)] * groups[group] + self.offset;
                let products: [T; 16] = std::array::from_fn(|code| round(values[code] * scale));
                for (pair, code) in output.chunks_mut(2).zip(codes) {
                    pair[0] = products[usize::from(code >> 4)];
                    if let Some(second) = pair.get_mut(1) {
                        *second = products[usize::from(code & 15)];
                    }
                }
            }
        });
        Tensor::from_vec(output, self.shape, &Device::Cpu)
    }
}

/// Bytes of the tensors of an `(out, in)` matrix in NF4.
pub fn byte_count_of(rows: usize, columns: usize) -> usize {
    let count = rows * columns;
    let blocks = count.div_ceil(BLOCK);
    count.div_ceil(2) + blocks + size_of::<f32>() * blocks.div_ceil(GROUP)
}

/// [`TABLES`] on a device.
fn tables(device: &Device) -> Result<Tensor> {
    Tensor::from_slice(&TABLES[..], TABLES.len(), device)
}

fn bytes(storage: &Storage) -> Result<&[u8]> {
    match storage {
        Storage::Cpu(CpuStorage::U8(values)) => Ok(values),
        _ => bail!("expected a u8 tensor on the CPU"),
    }
}

/// The codes, two a byte, and the largest magnitude of each block.
fn quantise_values(weight: Values<'_>) -> (Vec<u8>, Vec<f32>) {
    let count = match weight {
        Values::F32(values) => values.len(),
        Values::Bf16(values) => values.len(),
    };
    let mut codes = vec![0; count.div_ceil(2)];
    let mut absmax = vec![0.0; count.div_ceil(BLOCK)];
    let tasks = codes.par_chunks_mut(GROUP * BLOCK / 2).zip(absmax.par_chunks_mut(GROUP)).enumerate();
    tasks.for_each(|(task, (codes, absmax))| {
        let range = task * GROUP * BLOCK..(task * GROUP * BLOCK + GROUP * BLOCK).min(count);
        match weight {
            Values::F32(values) => quantise_blocks(&values[range], codes, absmax),
            Values::Bf16(values) => {
                let wide: Vec<f32> = values[range].iter().map(|value| value.to_f32()).collect();
                quantise_blocks(&wide, codes, absmax);
            }
        }
    });
    (codes, absmax)
}

vectorized! {
    fn quantise_blocks(values: &[f32], codes: &mut [u8], absmax: &mut [f32]) {
        for ((values, codes), absmax) in values.chunks(BLOCK).zip(codes.chunks_mut(BLOCK / 2)).zip(absmax) {
            let scale = largest_magnitude(values);
            *absmax = if values.len() == BLOCK { scale } else { scale.max(SCALE_MIN) };
            let mut fractions = [0.0; BLOCK];
            fractions_of(scale, values, BLOCK, &mut fractions);
            let mut indices = [0u8; BLOCK];
            for (index, fraction) in indices.iter_mut().zip(fractions) {
                // The number of thresholds below it; a value halfway gets the lower code.
                *index = (0..15).map(|code| u8::from(fraction > (VALUES[code] + VALUES[code + 1]) / 2.0)).sum();
            }
            for (code, pair) in codes.iter_mut().zip(indices.chunks(2)) {
                *code = pair[0] << 4 | pair[1];
            }
        }
    }
}

/// The largest magnitude; not a number where a value is none. Magnitudes are ordered as their bits are.
#[inline(always)]
fn largest_magnitude(values: &[f32]) -> f32 {
    f32::from_bits(values.iter().fold(0, |largest, value| largest.max(value.abs().to_bits())))
}

/// Values as fractions of their scale. Whole runs multiply by the reciprocal and a short last run divides, as the
/// reference has it: the two may round differently.
#[inline(always)]
fn fractions_of(scale: f32, values: &[f32], whole: usize, fractions: &mut [f32]) {
    let scale = scale.max(SCALE_MIN);
    if values.len() == whole {
        let reciprocal = 1.0 / scale;
        for (fraction, value) in fractions.iter_mut().zip(values) {
            *fraction = value * reciprocal;
        }
    } else {
        for (fraction, value) in fractions.iter_mut().zip(values) {
            *fraction = value / scale;
        }
    }
}

/// The mean, summed in f64 in 1024 lanes (value `i` in lane `i % 1024`), which are then added by halves: 512 to 512,
/// 256 to 256 and on. torch sums in f32, in an order that depends on the processor, and may differ by a few ulp.
fn mean(values: &[f32]) -> f32 {
    let mut lanes = [0f64; MEAN_LANES];
    for chunk in values.chunks(MEAN_LANES) {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(*value);
        }
    }
    let mut half = MEAN_LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    (lanes[0] / values.len() as f64) as f32
}

/// Each block's scale as the index of a level, and the scale of each group.
fn quantise_scales(absmax: &[f32], offset: f32) -> (Vec<u8>, Vec<f32>) {
    let levels = &TABLES[16..];
    let thresholds: Vec<f32> = levels.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
    let mut scales = vec![0; absmax.len()];
    let mut scale_of_scales = vec![0.0; absmax.len().div_ceil(GROUP)];
    let tasks = scales.par_chunks_mut(GROUP).zip(&mut scale_of_scales).zip(absmax.par_chunks(GROUP));
    tasks.for_each(|((scales, group), absmax)| {
        let centred: Vec<f32> = absmax.iter().map(|scale| scale - offset).collect();
        let largest = largest_magnitude(&centred);
        *group = if centred.len() == GROUP { largest } else { largest.max(SCALE_MIN) };
        let mut fractions = [0.0; GROUP];
        fractions_of(largest, &centred, GROUP, &mut fractions);
        for (scale, fraction) in scales.iter_mut().zip(fractions) {
            // At most 255: there are as many thresholds.
            *scale = thresholds.partition_point(|threshold| *threshold < fraction) as u8;
        }
    });
    (scales, scale_of_scales)
}

/// The levels of bitsandbytes' dynamic 8-bit format, in rising order: 0, 1, and plus and minus the centres of `2^i`
/// equal parts of `0.1..1`, times `10^(i - 6)`, for `i` in `0..7`.
fn levels() -> [f32; 256] {
    let mut levels = vec![0.0, 1.0];
    for (power, factor) in [1e-6f32, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0].into_iter().enumerate() {
        let parts = 1usize << power;
        let step = (1.0 - 0.1f32) / parts as f32;
        // As torch spaces numbers evenly: from the nearer end, with one rounding.
        let boundary = |index: usize| {
            if index < parts.div_ceil(2) {
                step.mul_add(index as f32, 0.1)
            } else {
                (-step).mul_add((parts - index) as f32, 1.0)
            }
        };
        for part in 0..parts {
            let centre = factor * ((boundary(part) + boundary(part + 1)) / 2.0);
            levels.extend([centre, -centre]);
        }
    }
    levels.sort_by(f32::total_cmp);
    levels.try_into().expect("two and twice 1 + 2 + 4 + .. + 64 levels are 256")
}
