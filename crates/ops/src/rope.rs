//! Rotary position embedding in the "rotate half" layout.

use candle_core::{Result, Tensor, bail};

use crate::cpu::{for_each_row, tensor, uninit, vectorized, view};

/// Cosines and sines of every token's angles.
pub struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Angles {
    /// Angles `position * inverse_frequency` for every token, `(T, D / 2)`.
    ///
    /// Computed in f32 as the models were trained: position and frequency are f32, so is their product.
    pub fn new(positions: &[u32], inverse_frequencies: &[f32]) -> Self {
        let angles =
            positions.iter().flat_map(|position| inverse_frequencies.iter().map(move |f| *position as f32 * f));
        let (cos, sin) = angles.map(|angle| (angle.cos(), angle.sin())).unzip();
        Self { cos, sin, half: inverse_frequencies.len() }
    }
}

/// Rotates every head of every token: `(a, b) -> (a cos - b sin, b cos + a sin)` for the halves of a head.
///
/// * `x`: `(T, H * D)` f32. Returns the same shape.
///
/// # Errors
/// When the width is no multiple of `D` or the token counts differ.
///
/// Source: Su et al. 2021, eq. 34, with the halves of a head in place of neighbouring pairs.
pub fn forward(x: &Tensor, angles: &Angles) -> Result<Tensor> {
    rotate(x, angles, 1.0)
}

/// Gradient of [`forward`]: the rotation is orthogonal, so it turns back by the same angle.
///
/// # Errors
/// As [`forward`].
pub fn backward(dy: &Tensor, angles: &Angles) -> Result<Tensor> {
    rotate(dy, angles, -1.0)
}

fn rotate(x: &Tensor, angles: &Angles, direction: f32) -> Result<Tensor> {
    let (t, width) = x.dims2()?;
    let half = angles.half;
    if width % (2 * half) != 0 || angles.cos.len() != t * half {
        bail!("rope: x is {t} x {width}, the angles {} x {half}", angles.cos.len() / half.max(1));
    }
    let x_view = view("rope", x)?;
    let x_values = x_view.f32()?;
    let mut y = uninit(x_values.len());
    for_each_row(&mut y, width, |row, y| {
        let (cos, sin) = (&angles.cos[row * half..][..half], &angles.sin[row * half..][..half]);
        rotate_row(&x_values[row * width..][..width], cos, sin, direction, y);
    });
    tensor(y, (t, width))
}

vectorized! {
    fn rotate_row(x: &[f32], cos: &[f32], sin: &[f32], direction: f32, y: &mut [f32]) {
        let half = cos.len();
        for (x, y) in x.chunks_exact(2 * half).zip(y.chunks_exact_mut(2 * half)) {
            let ((a, b), (y_a, y_b)) = (x.split_at(half), y.split_at_mut(half));
            let (sin, b, y_b) = (&sin[..half], &b[..half], &mut y_b[..half]);
            for i in 0..half {
                let turn = direction * sin[i];
                y_a[i] = a[i] * cos[i] - b[i] * turn;
                y_b[i] = b[i] * cos[i] + a[i] * turn;
            }
        }
    }
}
