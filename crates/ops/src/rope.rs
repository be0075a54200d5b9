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
            let angles = Self::empty(shape.0, shape.1, like)?;
            angles.compute(&gpu.list(positions, like)?, &gpu.list(inverse_frequencies, like)?)?;
            return Ok(angles);
        }
        let angles =
            positions.iter().flat_map(|position| inverse_frequencies.iter().map(move |f| *position as f32 * f));
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Ok(Self {
            cos: Tensor::from_vec(cos, shape, like.device())?,
            sin: Tensor::from_vec(sin, shape, like.device())?,
        })
    }

    /// Room for the angles of `tokens` tokens on a card, `half` the width of a head, for [`Angles::compute`].
    ///
    /// # Errors
    /// When the device cannot hold them, or is none with kernels.
    pub fn empty(tokens: usize, half: usize, like: &Tensor) -> Result<Self> {
        let Some(gpu) = Gpu::of(like) else {
            bail!("rope: room for angles is made on a card");
        };
        let shape = (tokens, half);
        Ok(Self { cos: gpu.empty(like, shape, DType::F32)?, sin: gpu.empty(like, shape, DType::F32)? })
    }

    /// Writes the angles of these positions, in place.
    ///
    /// * `positions`: `(T,)` u32, `T` the tokens of [`Angles::empty`] or fewer. `inverse_frequencies`: `(D / 2,)` f32.
    ///
    /// # Errors
    /// When shapes disagree.
    pub fn compute(&self, positions: &Tensor, inverse_frequencies: &Tensor) -> Result<()> {
        let ((tokens, half), count) = (self.dims()?, positions.elem_count() * inverse_frequencies.elem_count());
        let Some(gpu) = Gpu::of(&self.cos) else {
            bail!("rope: angles are computed in place on a card");
        };
        if inverse_frequencies.elem_count() != half.max(1) || count > tokens.max(1) * half.max(1) {
            bail!(
                "rope: {:?} positions and {:?} frequencies into {tokens} x {half}",
                positions.dims(),
                inverse_frequencies.dims()
            );
        }
        let arguments = [
            Argument::write(&self.cos)?,
            Argument::write(&self.sin)?,
            Argument::read(positions)?,
            Argument::read(inverse_frequencies)?,
            Argument::int(half)?,
            Argument::int(count.min(tokens * half))?,
        ];
        gpu.launch("rope_angles", Grid::covering(count.min(tokens * half), TOKEN_THREADS), &arguments)
    }

    /// The first `tokens` tokens' angles.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn narrow(&self, tokens: usize) -> Result<Self> {
        Ok(Self { cos: self.cos.narrow(0, 0, tokens)?, sin: self.sin.narrow(0, 0, tokens)? })
    }

    /// `(T, D / 2)`.
    pub(crate) fn dims(&self) -> Result<(usize, usize)> {
        self.cos.dims2()
    }

    /// Cosines and sines, for a kernel.
    pub(crate) fn arguments(&self) -> Result<[Argument; 2]> {
        Ok([Argument::read(&self.cos)?, Argument::read(&self.sin)?])
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
