//! The language-model head and its loss, on supervised rows only and in chunks: the logits of a batch never exist at
//! once.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::{Values, blocked_sum, exp, row_max, tensor, uninit, vectorized, view};
use crate::gemm::{Matrix, Precision, Threads, gemm};

/// Rows whose logits exist at once: 128 x 49,152 f32 are 24 MiB.
pub const CHUNK_ROWS: usize = 128;

/// The head: a frozen matrix, and trainable rows appended to it.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// `(V, C)`, f32 or bf16, frozen; its dtype is the precision of the products.
    pub frozen: &'a Tensor,
    /// `(N, C)` f32: the tokens `V..V + N`.
    pub extra: Option<&'a Tensor>,
}

/// The loss and its gradients.
pub struct Output {
    /// Sum over the rows of `-log softmax(hidden headᵀ)[label]`, in nats.
    pub loss: f64,
    /// Gradient of `scale * loss` for the hidden rows, `(N, C)`.
    pub dhidden: Tensor,
    /// Gradient of `scale * loss` for the head's extra rows.
    pub dextra: Option<Tensor>,
}

/// Sum over the rows of `-log softmax(hidden headᵀ)[label]`, in nats.
///
/// * `hidden`: `(N, C)` f32, already normed; `labels`: N ids of the head.
///
/// # Errors
/// When the counts disagree or a label is outside the vocabulary.
pub fn forward(hidden: &Tensor, head: Head<'_>, labels: &[u32]) -> Result<f64> {
    let mut run = Run::new(hidden, head, labels, None)?;
    run.all()?;
    Ok(run.loss)
}

/// The loss of [`forward`] together with the gradients of `scale * loss`.
///
/// `dlogits = scale (softmax - onehot)` takes the place of the logits, chunk by chunk; the frozen head gets none.
///
/// # Errors
/// As [`forward`].
pub fn forward_backward(hidden: &Tensor, head: Head<'_>, labels: &[u32], scale: f32) -> Result<Output> {
    let mut run = Run::new(hidden, head, labels, Some(scale))?;
    run.all()?;
    let dextra = match head.extra {
        Some(extra) => Some(tensor(run.dextra, extra.dims())?),
        None => None,
    };
    Ok(Output { loss: run.loss, dhidden: tensor(run.dhidden, hidden.dims())?, dextra })
}

struct Run<'a> {
    hidden: &'a Tensor,
    head: Head<'a>,
    labels: &'a [u32],
    scale: Option<f32>,
    precision: Precision,
    loss: f64,
    dhidden: Vec<f32>,
    dextra: Vec<f32>,
}

impl<'a> Run<'a> {
    fn new(hidden: &'a Tensor, head: Head<'a>, labels: &'a [u32], scale: Option<f32>) -> Result<Self> {
        let ((n, c), (v, head_c)) = (hidden.dims2()?, head.frozen.dims2()?);
        let extra = head.extra.map_or(Ok((0, c)), Tensor::dims2)?;
        if n != labels.len() || c != head_c || c != extra.1 {
            bail!("cross entropy: hidden is {n} x {c}, the head {v} x {head_c}, {} labels", labels.len());
        }
        if let Some(label) = labels.iter().find(|label| **label as usize >= v + extra.0) {
            bail!("label {label} outside a vocabulary of {}", v + extra.0);
        }
        let kept = if scale.is_some() { n * c } else { 0 };
        let precision = Precision::of(head.frozen.dtype());
        let (dhidden, dextra) = (uninit(kept), vec![0.0; extra.0 * c]);
        Ok(Self { hidden, head, labels, scale, precision, loss: 0.0, dhidden, dextra })
    }

    fn all(&mut self) -> Result<()> {
        let (hidden_view, head_view) = (view("cross_entropy", self.hidden)?, view("cross_entropy", self.head.frozen)?);
        let extra_view = self.head.extra.map(|extra| view("cross_entropy", extra)).transpose()?;
        let extra = extra_view.as_ref().map_or(Ok(&[][..]), |extra| extra.f32())?;
        let (v, c) = self.head.frozen.dims2()?;
        let rows = hidden_view.f32()?;
        let frozen = Matrix::dense(head_view.values()?, v, c);
        let extra = Matrix::dense(Values::F32(extra), extra.len() / c, c);
        let mut logits = uninit(CHUNK_ROWS.min(self.labels.len()) * (v + extra.rows));
        for (chunk, labels) in self.labels.chunks(CHUNK_ROWS).enumerate() {
            let start = chunk * CHUNK_ROWS * c;
            let x = Matrix::dense(Values::F32(&rows[start..start + labels.len() * c]), labels.len(), c);
            self.chunk(start, x, labels, [frozen, extra], &mut logits);
        }
        Ok(())
    }

    /// One chunk: logits, loss, and with a scale the gradients.
    fn chunk(&mut self, start: usize, x: Matrix<'_>, labels: &[u32], head: [Matrix<'_>; 2], logits: &mut [f32]) {
        let [frozen, extra] = head;
        let (v, c, width) = (frozen.rows, frozen.cols, frozen.rows + extra.rows);
        let (precision, pool) = (self.precision, Threads::Pool);
        let logits = &mut logits[..labels.len() * width];
        gemm(precision, pool, 1.0, x, frozen.t(), 0.0, (logits, width));
        if extra.rows > 0 {
            gemm(precision, pool, 1.0, x, extra.t(), 0.0, (&mut logits[v..], width));
        }
        self.loss += rows_loss(logits, labels, width, self.scale);
        if self.scale.is_none() {
            return;
        }
        let dhidden = &mut self.dhidden[start..start + labels.len() * c];
        let dfrozen = Matrix::rows(Values::F32(logits), labels.len(), v, width);
        gemm(precision, pool, 1.0, dfrozen, frozen, 0.0, (dhidden, c));
        if extra.rows > 0 {
            let dextra = Matrix::rows(Values::F32(&logits[v..]), labels.len(), extra.rows, width);
            gemm(precision, pool, 1.0, dextra, extra, 1.0, (dhidden, c));
            gemm(precision, pool, 1.0, dextra.t(), x, 1.0, (&mut self.dextra, c));
        }
    }
}

/// Losses of a chunk, summed in row order; with a scale the logits become their own gradient.
fn rows_loss(logits: &mut [f32], labels: &[u32], width: usize, scale: Option<f32>) -> f64 {
    let losses: Vec<f64> =
        logits.par_chunks_mut(width).zip(labels).map(|(row, label)| row_loss(row, *label as usize, scale)).collect();
    losses.iter().sum()
}

vectorized! {
    fn row_loss(row: &mut [f32], label: usize, scale: Option<f32>) -> f64 {
        let max = row_max(row);
        let target = row[label];
        let sum = blocked_sum(row.len(), |i| exp(row[i] - max));
        if let Some(scale) = scale {
            let factor = scale / sum;
            for value in row.iter_mut() {
                *value = exp(*value - max) * factor;
            }
            row[label] -= scale;
        }
        (sum as f64).ln() + max as f64 - target as f64
    }
}
