//! Random numbers by counter: dropout in front of LoRA pairs, and noise on embeddings.
//!
//! A number is a function of a key (seed and step), of its row's document and position in it, of a stream (which module)
//! and of its column. So nothing is kept for backward, and it is the same whatever is recomputed, however documents are
//! packed, split into passes or resumed, and on every device.
//!
//! Source: Salmon et al. 2011, Parallel random numbers: as easy as 1, 2, 3 (Philox4x32-10), four columns a call.

use std::sync::Arc;

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};

use crate::cpu::{for_each_row, slice_mut, tensor, uninit, vectorized, view};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Threads that share a row on a card.
const ROW_THREADS: usize = 128;

/// Calls of the generator that go through a vector together, four columns each.
const LANES: usize = 16;

/// The stream of noise on embeddings; those of modules are smaller.
pub const EMBEDDING_STREAM: u32 = u32::MAX;

/// Names the numbers of one optimizer step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key([u32; 2]);

impl Key {
    /// The key of a step of a run with this seed.
    pub fn new(seed: u64, step: u64) -> Self {
        let mixed = split_mix(split_mix(seed).wrapping_add(step));
        Self([mixed as u32, (mixed >> 32) as u32])
    }
}

/// One output of SplitMix64 (Steele et al. 2014).
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Whose numbers the rows of a tensor get: for each its document and its position in it.
#[derive(Clone)]
pub struct Rows {
    ids: Arc<Vec<[u32; 2]>>,
    /// The same on a card, `(2 T,)` u32.
    on_card: Option<Tensor>,
}

impl Rows {
    /// * `ids`: document and position of each row. `like`: a tensor where these rows lie.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn new(ids: Vec<[u32; 2]>, like: &Tensor) -> Result<Self> {
        let on_card = Gpu::of(like).map(|gpu| gpu.list(&ids.concat(), like)).transpose()?;
        Ok(Self { ids: Arc::new(ids), on_card })
    }

    /// Some of the rows.
    ///
    /// # Errors
    /// As [`Rows::new`].
    pub fn pick(&self, rows: &[u32], like: &Tensor) -> Result<Self> {
        Self::new(rows.iter().map(|row| self.ids[*row as usize]).collect(), like)
    }

    /// Refuses a tensor that has other rows. Returns its width.
    fn width(&self, x: &Tensor) -> Result<usize> {
        let (t, width) = x.dims2()?;
        if t != self.ids.len() {
            bail!("noise: {t} rows, and numbers for {}", self.ids.len());
        }
        Ok(width)
    }

    fn argument(&self) -> Result<Argument> {
        match &self.on_card {
            Some(ids) => Argument::read(ids),
            None => bail!("noise: these rows were prepared for the CPU"),
        }
    }
}

/// Dropout of the inputs of LoRA pairs: each pair with a mask of its own, as PEFT's modules have.
#[derive(Clone)]
pub struct Dropout {
    key: Key,
    rows: Rows,
    /// Of each pair.
    streams: Vec<u32>,
    /// Draws below it are dropped.
    threshold: u32,
    /// `1 / (1 - p)`.
    scale: f32,
}

impl Dropout {
    /// * `probability`: of a value to be dropped, 0 or more and less than 1. `streams`: one for each pair.
    pub fn new(probability: f64, key: Key, rows: Rows, streams: Vec<u32>) -> Self {
        let threshold = (probability * 2f64.powi(32)).round() as u32;
        Self { key, rows, streams, threshold, scale: (1.0 / (1.0 - probability)) as f32 }
    }

    fn stream(&self, pair: usize) -> Result<u32> {
        match self.streams.get(pair) {
            Some(stream) => Ok(*stream),
            None => bail!("noise: dropout of {} pairs, asked for another", self.streams.len()),
        }
    }

    /// What is kept of `x` `(T, C)` for a pair, scaled so that its mean stays; zero elsewhere.
    ///
    /// # Errors
    /// When there are other rows.
    pub fn kept(&self, x: &Tensor, pair: usize) -> Result<Tensor> {
        let width = self.rows.width(x)?;
        if let Some(gpu) = Gpu::of(x) {
            let y = gpu.empty(x, x.dims2()?, x.dtype())?;
            self.launch(&gpu, "noise_keep", &y, x, pair)?;
            return Ok(y);
        }
        let x_view = view("dropout", x)?;
        tensor(self.kept_values(x_view.f32()?, width, pair)?, x.dims2()?)
    }

    /// As [`Dropout::kept`], of values on the CPU.
    pub(crate) fn kept_values(&self, x: &[f32], width: usize, pair: usize) -> Result<Vec<f32>> {
        let stream = self.stream(pair)?;
        let mut y = uninit(x.len());
        for_each_row(&mut y, width, |row, y| {
            y.copy_from_slice(&x[row * width..][..width]);
            keep(y, self.rows.ids[row], stream, self.key.0, (self.threshold, self.scale));
        });
        Ok(y)
    }

    /// Adds what is kept of `x` to `y`, both rows of `width` on the CPU.
    pub(crate) fn add_kept_values(&self, y: &mut [f32], x: &[f32], width: usize, pair: usize) -> Result<()> {
        let stream = self.stream(pair)?;
        for_each_row(y, width, |row, y| {
            add_kept(
                y,
                &x[row * width..][..width],
                self.rows.ids[row],
                stream,
                self.key.0,
                (self.threshold, self.scale),
            );
        });
        Ok(())
    }

    /// On a card: `y` becomes what is kept of `x`, or with `noise_add` grows by it.
    pub(crate) fn launch(&self, gpu: &Gpu, kernel: &str, y: &Tensor, x: &Tensor, pair: usize) -> Result<()> {
        let width = self.rows.width(x)?;
        let [key0, key1] = self.key.0.map(|part| Argument::Int(part as i32));
        let arguments = [
            Argument::write(y)?,
            Argument::read(x)?,
            self.rows.argument()?,
            Argument::int(width)?,
            Argument::Int(self.stream(pair)? as i32),
            key0,
            key1,
            Argument::Int(self.threshold as i32),
            self.scale.into(),
        ];
        gpu.launch(&kernel_name(kernel, x.dtype()), Grid::of(x.dim(0)?, ROW_THREADS), &arguments)
    }
}

/// Adds uniform noise to the rows of `x`, in place.
///
/// * `x`: `(T, C)`. `magnitudes`: of each row, `(T,)`: its noise lies within it on both sides of zero.
///
/// # Errors
/// When there are other rows.
pub fn add_uniform(x: &Tensor, rows: &Rows, magnitudes: &[f32], key: Key, stream: u32) -> Result<()> {
    let width = rows.width(x)?;
    if magnitudes.len() != rows.ids.len() {
        bail!("noise: {} rows, and {} magnitudes", rows.ids.len(), magnitudes.len());
    }
    let Some(gpu) = Gpu::of(x) else {
        return x.inplace_op1(&AddUniform { rows, magnitudes, key, stream, width });
    };
    let magnitudes = gpu.list(magnitudes, x)?;
    let [key0, key1] = key.0.map(|part| Argument::Int(part as i32));
    let arguments = [
        Argument::write(x)?,
        rows.argument()?,
        Argument::read(&magnitudes)?,
        Argument::int(width)?,
        Argument::Int(stream as i32),
        key0,
        key1,
    ];
    gpu.launch(&kernel_name("noise_uniform", x.dtype()), Grid::of(x.dim(0)?, ROW_THREADS), &arguments)
}

struct AddUniform<'a> {
    rows: &'a Rows,
    magnitudes: &'a [f32],
    key: Key,
    stream: u32,
    width: usize,
}

impl InplaceOp1 for AddUniform<'_> {
    fn name(&self) -> &'static str {
        "uniform_noise"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        for_each_row(slice_mut(storage, layout)?, self.width, |row, x| {
            add_noise(x, self.rows.ids[row], self.stream, self.key.0, self.magnitudes[row]);
        });
        Ok(())
    }
}

/// The draws of `4 LANES` columns from the `first`th group of four on: number `i` of a call for all lanes, for each `i`.
#[inline(always)]
fn draws(
    first: usize,
    [document, position]: [u32; 2],
    stream: u32,
    [mut key0, mut key1]: [u32; 2],
) -> [[u32; LANES]; 4] {
    let mut counter = [[0; LANES], [position; LANES], [document; LANES], [stream; LANES]];
    for (lane, group) in counter[0].iter_mut().enumerate() {
        *group = (first + lane) as u32;
    }
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        for lane in 0..LANES {
            let left = 0xD251_1F53 * u64::from(a[lane]);
            let right = 0xCD9E_8D57 * u64::from(c[lane]);
            counter[0][lane] = (right >> 32) as u32 ^ b[lane] ^ key0;
            counter[1][lane] = right as u32;
            counter[2][lane] = (left >> 32) as u32 ^ d[lane] ^ key1;
            counter[3][lane] = left as u32;
        }
        key0 = key0.wrapping_add(0x9E37_79B9);
        key1 = key1.wrapping_add(0xBB67_AE85);
    }
    counter
}

vectorized! {
    fn keep(y: &mut [f32], row: [u32; 2], stream: u32, key: [u32; 2], limits: (u32, f32)) {
        let (threshold, scale) = limits;
        for (chunk, y) in y.chunks_mut(4 * LANES).enumerate() {
            let draws = draws(chunk * LANES, row, stream, key);
            for (at, y) in y.iter_mut().enumerate() {
                *y = if draws[at % 4][at / 4] >= threshold { *y * scale } else { 0.0 };
            }
        }
    }

    fn add_kept(y: &mut [f32], x: &[f32], row: [u32; 2], stream: u32, key: [u32; 2], limits: (u32, f32)) {
        let (threshold, scale) = limits;
        for (chunk, (y, x)) in y.chunks_mut(4 * LANES).zip(x.chunks(4 * LANES)).enumerate() {
            let draws = draws(chunk * LANES, row, stream, key);
            for (at, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y += if draws[at % 4][at / 4] >= threshold { *x * scale } else { 0.0 };
            }
        }
    }

    fn add_noise(x: &mut [f32], row: [u32; 2], stream: u32, key: [u32; 2], magnitude: f32) {
        for (chunk, x) in x.chunks_mut(4 * LANES).enumerate() {
            let draws = draws(chunk * LANES, row, stream, key);
            for (at, x) in x.iter_mut().enumerate() {
                let unit = (draws[at % 4][at / 4] >> 8) as f32 * (1.0 / 16_777_216.0);
                *x += (2.0 * unit - 1.0) * magnitude;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    /// Test vectors of the authors' Random123 (`kat_vectors`, philox4x32 with 10 rounds).
    #[test]
    fn the_generator_is_philox() {
        let first = |group: u32, row, stream, key| draws(group as usize, row, stream, key).map(|lanes| lanes[0]);
        assert_eq!(first(0, [0, 0], 0, [0, 0]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        let ones = u32::MAX;
        assert_eq!(first(ones, [ones, ones], ones, [ones, ones]), [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]);
        assert_eq!(
            first(0x243f_6a88, [0x1319_8a2e, 0x85a3_08d3], 0x0370_7344, [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn as_many_are_dropped_as_asked_and_the_mean_stays() {
        let ids = (0..64).map(|row| [row % 3, row]).collect();
        let x = Tensor::ones((64, 1001), DType::F32, &Device::Cpu).unwrap();
        let rows = Rows::new(ids, &x).unwrap();
        let dropout = Dropout::new(0.25, Key::new(7, 1), rows.clone(), vec![3, 4]);
        let values = |pair| dropout.kept(&x, pair).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let kept = values(0);
        // Six deviations of 64,064 draws.
        let share = kept.iter().filter(|value| **value == 0.0).count() as f64 / kept.len() as f64;
        assert!((share - 0.25).abs() < 0.0103, "{share}");
        assert!(kept.iter().all(|value| *value == 0.0 || *value == 1.0 / 0.75));
        // Another module, another step and another seed draw independently: 3/8 of the values differ.
        let differing = |other: &[f32]| kept.iter().zip(other).filter(|(a, b)| a != b).count() as f64 / 64064.0;
        assert!((differing(&values(1)) - 0.375).abs() < 0.012);
        for key in [Key::new(7, 2), Key::new(8, 1), Key::new(1, 7)] {
            let other = Dropout::new(0.25, key, rows.clone(), vec![3]).kept(&x, 0).unwrap();
            assert!((differing(&other.flatten_all().unwrap().to_vec1::<f32>().unwrap()) - 0.375).abs() < 0.012);
        }
        assert!(dropout.kept(&x, 2).is_err() && dropout.kept(&x.narrow(0, 0, 9).unwrap(), 0).is_err());
    }
}
