//! Rotary position embedding in the "rotate half" layout, in place.

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::{slice_mut, vectorized, view};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Threads that share a token on a card.
const TOKEN_THREADS: usize = 128;

/// Cosines and sines of every token's angles, `(T, D / 2)` f32 each.
pub struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Angles {
    /// Angles `position * inverse_frequency` for every token, `(T, D / 2)`, beside `like`.
    ///
    /// Computed in f32 as the models were trained: position and frequency are f32, so is their product.
    ///
    /// # Errors
    /// When the device cannot hold them.
    pub fn new(positions: &[u32], inverse_frequencies: &[f32], like: &Tensor) -> Result<Self> {
        let shape = (positions.len(), inverse_frequencies.len());
        if let Some(gpu) = Gpu::of(like) {
            let (cos, sin) = (gpu.empty(like, shape, DType::F32)?, gpu.empty(like, shape, DType::F32)?);
            let positions = Tensor::from_slice(positions, positions.len(), like.device())?;
            let frequencies = Tensor::from_slice(inverse_frequencies, shape.1, like.device())?;
            let count = shape.0 * shape.1;
            let arguments = [
                Argument::write(&cos)?,
                Argument::write(&sin)?,
                Argument::read(&positions)?,
                Argument::read(&frequencies)?,
                Argument::int(shape.1)?,
                Argument::int(count)?,
            ];
            gpu.launch("rope_angles", Grid::covering(count, TOKEN_THREADS), &arguments)?;
            return Ok(Self { cos, sin });
        }
        let angles =
            positions.iter().flat_map(|position| inverse_frequencies.iter().map(move |f| *position as f32 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, like.device())?,
            sin: Tensor::from_vec(sin, shape, like.device())?,
        })
    }
}

/// Rotates the first heads of every token in place: `(a, b) -> (a cos - b sin, b cos + a sin)` for the halves of a head.
///
/// * `x`: `(T, W)`: `head_count` heads of width `D`, then columns that stay as they are.
///
/// # Errors
/// When the heads are wider than the rows or the token counts differ.
///
/// Source: Su et al. 2021, eq. 34, with the halves of a head in place of neighbouring pairs.
pub fn forward(x: &Tensor, head_count: usize, angles: &Angles) -> Result<()> {
    rotate(x, head_count, angles, 1.0)
}

/// Gradient of [`forward`], in place: the rotation is orthogonal, so it turns back by the same angle.
///
/// # Errors
/// As [`forward`].
pub fn backward(dx: &Tensor, head_count: usize, angles: &Angles) -> Result<()> {
    rotate(dx, head_count, angles, -1.0)
}

fn rotate(x: &Tensor, head_count: usize, angles: &Angles, direction: f32) -> Result<()> {
    let ((t, width), (tokens, half)) = (x.dims2()?, angles.cos.dims2()?);
    if width < head_count * 2 * half || tokens != t {
        bail!("rope: x is {t} x {width}, {head_count} heads, the angles {tokens} x {half}");
    }
    let Some(gpu) = Gpu::of(x) else {
        return x.inplace_op1(&Rotate { head_count, angles, direction });
    };
    let arguments = [
        Argument::write(x)?,
        Argument::read(&angles.cos)?,
        Argument::read(&angles.sin)?,
        Argument::int(width)?,
        Argument::int(head_count)?,
        Argument::int(half)?,
        direction.into(),
    ];
    gpu.launch(&kernel_name("rope", x.dtype()), Grid::of(t, TOKEN_THREADS), &arguments)
}

struct Rotate<'a> {
    head_count: usize,
    angles: &'a Angles,
    direction: f32,
}

impl InplaceOp1 for Rotate<'_> {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn cpu_fwd(&self, x: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (_, width) = layout.shape().dims2()?;
        let (_, half) = self.angles.cos.dims2()?;
        let (cos, sin) = (view("rope", &self.angles.cos)?, view("rope", &self.angles.sin)?);
        let (cos, sin) = (cos.f32()?, sin.f32()?);
        slice_mut(x, layout)?.par_chunks_mut(width).enumerate().for_each(|(token, row)| {
            let angles = token * half..(token + 1) * half;
            let heads = &mut row[..self.head_count * 2 * half];
            rotate_row(heads, &cos[angles.clone()], &sin[angles], self.direction);
        });
        Ok(())
    }
}

vectorized! {
    fn rotate_row(x: &mut [f32], cos: &[f32], sin: &[f32], direction: f32) {
        let half = cos.len();
        for head in x.chunks_exact_mut(2 * half) {
            let (a, b) = head.split_at_mut(half);
            let (sin, b) = (&sin[..half], &mut b[..half]);
            for i in 0..half {
                let turn = direction * sin[i];
                let (x, y) = (a[i], b[i]);
                a[i] = x * cos[i] - y * turn;
                b[i] = y * cos[i] + x * turn;
            }
        }
    }
}
