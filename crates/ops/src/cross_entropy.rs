//! The language-model head and its loss, on supervised rows only and in chunks: the logits of a batch never exist at
//! once.

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use crate::cpu::{Values, blocked_sum, exp, row_max, tensor, uninit, vectorized, view};
use crate::gemm::{Matrix, Precision, Threads, gemm};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};
use crate::linear::add_product;

/// Rows whose logits exist at once on the CPU: 128 x 49,152 f32 are 24 MiB.
pub const CHUNK_ROWS: usize = 128;

/// The same on a card, where a product wants more rows: 2,048 x 32,000 f32 are 250 MiB.
pub const CHUNK_ROWS_ON_CARD: usize = 2048;

/// Threads that share a row of logits on a card.
const ROW_THREADS: usize = 512;

/// The head: a matrix, and trainable rows appended to it where it is frozen itself.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// `(V, C)`, f32 or bf16; its dtype is the precision of the products.
    pub frozen: &'a Tensor,
    /// `(N, C)` f32: the tokens `V..V + N`.
    pub extra: Option<&'a Tensor>,
}

/// What the losses of the rows are multiplied by before they are added up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scale<'a> {
    /// All by the same.
    Same(f32),
    /// Each by its own, which may be negative: one for each row.
    OfRows(&'a [f32]),
}

impl Scale<'_> {
    fn of(self, row: usize) -> f32 {
        match self {
            Self::Same(scale) => scale,
            Self::OfRows(scales) => scales[row],
        }
    }
}

/// The losses and their gradients.
pub struct Output {
    /// `-log softmax(hidden headᵀ)[label]` of each row, in nats.
    pub losses: Losses,
    /// Gradient of the scaled loss for the hidden rows, `(N, C)`.
    pub dhidden: Tensor,
    /// Gradient of the scaled loss for the head's extra rows.
    pub dextra: Option<Tensor>,
}

/// Losses that a card may still be computing.
pub enum Losses {
    /// Of each row.
    Known(Vec<f64>),
    /// The same on a card, `(N,)` f32.
    OnCard(Tensor),
}

impl Losses {
    /// Those of the rows, `(N,)` nats; waits for the card.
    ///
    /// # Errors
    /// When the card fails.
    pub fn of_rows(self) -> Result<Vec<f64>> {
        match self {
            Self::Known(losses) => Ok(losses),
            Self::OnCard(losses) => Ok(losses.to_vec1::<f32>()?.into_iter().map(f64::from).collect()),
        }
    }
}

/// Sum over the rows of `-log softmax(hidden headᵀ)[label]`, in nats.
///
/// * `hidden`: `(N, C)`, already normed; `labels`: N ids of the head.
///
/// # Errors
/// When the counts disagree or a label is outside the vocabulary.
pub fn forward(hidden: &Tensor, head: Head<'_>, labels: &[u32]) -> Result<f64> {
    Ok(of_rows(hidden, head, labels)?.iter().sum())
}

/// The losses of [`forward`] one by one, `(N,)` nats.
///
/// # Errors
/// As [`forward`].
pub fn of_rows(hidden: &Tensor, head: Head<'_>, labels: &[u32]) -> Result<Vec<f64>> {
    if let Some(gpu) = Gpu::of(hidden) {
        return on_card(&gpu, hidden, head, labels, None, None)?.losses.of_rows();
    }
    let mut run = Run::new(hidden, head, labels, None)?;
    run.all()?;
    Ok(run.losses)
}

/// The loss of [`forward`] together with the gradients of `scale * loss`.
///
/// `dlogits = scale (softmax - onehot)` takes the place of the logits, chunk by chunk; the head itself gets none.
///
/// # Errors
/// As [`forward`].
pub fn forward_backward(hidden: &Tensor, head: Head<'_>, labels: &[u32], scale: f32) -> Result<Output> {
    forward_backward_into(hidden, head, labels, Scale::Same(scale), None)
}

/// As [`forward_backward`], where rows may have scales of their own: the gradients are those of `sum(scale * loss)`, and
/// the losses are those without any. With a head that is trained itself: adds its gradient to `dhead`, `(V, C)` f32, a
/// view of the flat gradient.
///
/// # Errors
/// As [`forward`], and when `dhead` has another shape, or there are not as many scales as rows.
pub fn forward_backward_into(
    hidden: &Tensor,
    head: Head<'_>,
    labels: &[u32],
    scale: Scale<'_>,
    dhead: Option<&Tensor>,
) -> Result<Output> {
    if let Scale::OfRows(scales) = scale
        && scales.len() != labels.len()
    {
        bail!("cross entropy: {} scales for {} labels", scales.len(), labels.len());
    }
    if let Some(dhead) = dhead.filter(|dhead| dhead.dims() != head.frozen.dims()) {
        bail!("cross entropy: the head is {:?}, its gradient {:?}", head.frozen.dims(), dhead.dims());
    }
    if let Some(gpu) = Gpu::of(hidden) {
        return on_card(&gpu, hidden, head, labels, Some(scale), dhead);
    }
    let mut run = Run::new(hidden, head, labels, Some(scale))?;
    run.dhead = dhead;
    run.all()?;
    let dextra = match head.extra {
        Some(extra) => Some(tensor(run.dextra, extra.dims())?),
        None => None,
    };
    Ok(Output { losses: Losses::Known(run.losses), dhidden: tensor(run.dhidden, hidden.dims())?, dextra })
}

/// Elements from a row of logits to the next on a card: products want rows that begin at 128 bytes.
pub fn logit_stride(vocab_size: usize) -> usize {
    vocab_size.next_multiple_of(64)
}

/// Frozen and extra rows of the head.
fn check(hidden: &Tensor, head: Head<'_>, labels: &[u32]) -> Result<(usize, usize)> {
    let ((n, c), (v, head_c)) = (hidden.dims2()?, head.frozen.dims2()?);
    let extra = head.extra.map_or(Ok((0, c)), Tensor::dims2)?;
    if n != labels.len() || c != head_c || c != extra.1 {
        bail!("cross entropy: hidden is {n} x {c}, the head {v} x {head_c}, {} labels", labels.len());
    }
    if let Some(label) = labels.iter().find(|label| **label as usize >= v + extra.0) {
        bail!("label {label} outside a vocabulary of {}", v + extra.0);
    }
    Ok((v, extra.0))
}

/// Loss and gradients with the products of a card: logits in f32, their gradient in the dtype of `hidden`.
fn on_card(
    gpu: &Gpu,
    hidden: &Tensor,
    head: Head<'_>,
    labels: &[u32],
    scale: Option<Scale<'_>>,
    dhead: Option<&Tensor>,
) -> Result<Output> {
    let (v, new) = check(hidden, head, labels)?;
    let ((n, c), dtype, width) = (hidden.dims2()?, hidden.dtype(), v + new);
    let (rows_max, stride) = (CHUNK_ROWS_ON_CARD.min(n), logit_stride(width));
    let logits = gpu.empty(hidden, (rows_max, stride), DType::F32)?;
    let dlogits = scale.map(|_| gpu.empty(hidden, (rows_max, stride), dtype)).transpose()?;
    let extra = head.extra.map(|extra| extra.to_dtype(dtype)).transpose()?;
    let losses = gpu.empty(hidden, n, DType::F32)?;
    let dhidden = gpu.empty(hidden, (if scale.is_some() { n } else { 0 }, c), dtype)?;
    let dextra = head.extra.map(|extra| extra.zeros_like()).transpose()?;
    let labels = gpu.list(labels, hidden)?;
    let (same, scales) = match scale {
        None => (0.0, None),
        Some(Scale::Same(scale)) => (scale, None),
        Some(Scale::OfRows(scales)) => (0.0, Some(gpu.list(scales, hidden)?)),
    };
    for start in (0..n).step_by(CHUNK_ROWS_ON_CARD) {
        let rows = CHUNK_ROWS_ON_CARD.min(n - start);
        let x = hidden.narrow(0, start, rows)?;
        let logits = logits.narrow(0, 0, rows)?;
        gpu.gemm(1.0, &x, &head.frozen.t()?, 0.0, &logits.narrow(1, 0, v)?)?;
        if let Some(extra) = &extra {
            gpu.gemm(1.0, &x, &extra.t()?, 0.0, &logits.narrow(1, v, new)?)?;
        }
        let dlogits = dlogits.as_ref().map(|dlogits| dlogits.narrow(0, 0, rows)).transpose()?;
        let scales = scales.as_ref().map(|scales| scales.narrow(0, start, rows)).transpose()?;
        let arguments = [
            dlogits.as_ref().map_or(Ok(Argument::NULL), Argument::write)?,
            Argument::write(&losses.narrow(0, start, rows)?)?,
            Argument::read(&logits)?,
            Argument::read(&labels.narrow(0, start, rows)?)?,
            Argument::read_optional(scales.as_ref())?,
            Argument::int(width)?,
            Argument::int(stride)?,
            same.into(),
        ];
        gpu.launch(&kernel_name("cross_entropy", dtype), Grid::of(rows, ROW_THREADS), &arguments)?;
        let Some(dlogits) = dlogits else {
            continue;
        };
        let dx = dhidden.narrow(0, start, rows)?;
        gpu.gemm(1.0, &dlogits.narrow(1, 0, v)?, head.frozen, 0.0, &dx)?;
        if let Some(dhead) = dhead {
            gpu.gemm(1.0, &dlogits.narrow(1, 0, v)?.t()?, &x, 1.0, dhead)?;
        }
        if let (Some(extra), Some(dextra)) = (&extra, &dextra) {
            let dnew = dlogits.narrow(1, v, new)?;
            gpu.gemm(1.0, &dnew, extra, 1.0, &dx)?;
            gpu.gemm(1.0, &dnew.t()?, &x, 1.0, dextra)?;
        }
    }
    Ok(Output { losses: Losses::OnCard(losses), dhidden, dextra })
}

struct Run<'a> {
    hidden: &'a Tensor,
    head: Head<'a>,
    labels: &'a [u32],
    scale: Option<Scale<'a>>,
    precision: Precision,
    /// Of each row.
    losses: Vec<f64>,
    dhidden: Vec<f32>,
    dextra: Vec<f32>,
    /// Where the gradient of the head itself is added.
    dhead: Option<&'a Tensor>,
}

impl<'a> Run<'a> {
    fn new(hidden: &'a Tensor, head: Head<'a>, labels: &'a [u32], scale: Option<Scale<'a>>) -> Result<Self> {
        let (_, new) = check(hidden, head, labels)?;
        let (n, c) = hidden.dims2()?;
        let kept = if scale.is_some() { n * c } else { 0 };
        let precision = Precision::of(head.frozen.dtype());
        let (dhidden, dextra, losses) = (uninit(kept), vec![0.0; new * c], Vec::with_capacity(n));
        Ok(Self { hidden, head, labels, scale, precision, losses, dhidden, dextra, dhead: None })
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
            self.chunk(start, x, labels, [frozen, extra], &mut logits)?;
        }
        Ok(())
    }

    /// One chunk: logits, loss, and with a scale the gradients.
    fn chunk(
        &mut self,
        start: usize,
        x: Matrix<'_>,
        labels: &[u32],
        head: [Matrix<'_>; 2],
        logits: &mut [f32],
    ) -> Result<()> {
        let [frozen, extra] = head;
        let (v, c, width) = (frozen.rows, frozen.cols, frozen.rows + extra.rows);
        let (precision, pool) = (self.precision, Threads::Pool);
        let logits = &mut logits[..labels.len() * width];
        gemm(precision, pool, 1.0, x, frozen.t(), 0.0, (logits, width));
        if extra.rows > 0 {
            gemm(precision, pool, 1.0, x, extra.t(), 0.0, (&mut logits[v..], width));
        }
        let (scale, first) = (self.scale, start / c);
        self.losses.extend(rows_losses(logits, labels, width, &|row| scale.map(|scale| scale.of(first + row))));
        if scale.is_none() {
            return Ok(());
        }
        let dhidden = &mut self.dhidden[start..start + labels.len() * c];
        let dfrozen = Matrix::rows(Values::F32(logits), labels.len(), v, width);
        gemm(precision, pool, 1.0, dfrozen, frozen, 0.0, (dhidden, c));
        if extra.rows > 0 {
            let dextra = Matrix::rows(Values::F32(&logits[v..]), labels.len(), extra.rows, width);
            gemm(precision, pool, 1.0, dextra, extra, 1.0, (dhidden, c));
            gemm(precision, pool, 1.0, dextra.t(), x, 1.0, (&mut self.dextra, c));
        }
        self.dhead.map_or(Ok(()), |dhead| add_product(dhead, (1.0, precision), dfrozen.t(), x))
    }
}

/// Losses of a chunk, in row order; with a scale for each row the logits become their own gradient.
fn rows_losses(
    logits: &mut [f32],
    labels: &[u32],
    width: usize,
    scale: &(dyn Fn(usize) -> Option<f32> + Sync),
) -> Vec<f64> {
    let rows = logits.par_chunks_mut(width).zip(labels).enumerate();
    rows.map(|(index, (row, label))| row_loss(row, *label as usize, scale(index))).collect()
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
