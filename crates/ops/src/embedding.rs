//! Rows picked out of a table: token embeddings, and the supervised rows of a hidden state.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor, bail};

use crate::cpu::{Values, for_each_row, slice, slice_mut, tensor, uninit, view};
use crate::gpu::{Argument, Gpu, Grid, kernel_name};

/// Threads that share a row on a card.
const ROW_THREADS: usize = 128;

/// Row `indices[t]` of the table for every `t`; indices from `V` on pick rows of `extra`.
///
/// * `table`: `(V, C)`, f32 or bf16. `extra`: `(N, C)` f32, rows appended to it. Returns `(T, C)`, f32 on the CPU, on a
///   card in the dtype of the table.
///
/// # Errors
/// When an index is outside both; the message gives it.
pub fn forward(table: &Tensor, extra: Option<&Tensor>, indices: &[u32]) -> Result<Tensor> {
    let (v, c) = table.dims2()?;
    let (new_rows, new_c) = extra.map_or(Ok((0, c)), Tensor::dims2)?;
    if new_c != c {
        bail!("embedding: rows of {new_c} behind a table of {c}");
    }
    let rows = v + new_rows;
    if let Some(index) = indices.iter().find(|index| **index as usize >= rows) {
        bail!("row {index} of a table with {rows} rows");
    }
    if let Some(gpu) = Gpu::of(table) {
        let y = gpu.empty(table, (indices.len(), c), table.dtype())?;
        let indices = gpu.list(indices, table)?;
        let arguments = [
            Argument::write(&y)?,
            Argument::read(table)?,
            Argument::read_optional(extra)?,
            Argument::read(&indices)?,
            Argument::int(v)?,
            Argument::int(c)?,
        ];
        gpu.launch(&kernel_name("embedding_forward", table.dtype()), Grid::of(y.dim(0)?, ROW_THREADS), &arguments)?;
        return Ok(y);
    }
    let table_view = view("embedding", table)?;
    let extra_view = extra.map(|extra| view("embedding", extra)).transpose()?;
    let values = table_view.values()?;
    let extra = extra_view.as_ref().map_or(Ok(&[][..]), |extra| extra.f32())?;
    let mut y = uninit(indices.len() * c);
    for_each_row(&mut y, c, |row, y| {
        let index = indices[row] as usize;
        match values {
            _ if index >= v => y.copy_from_slice(&extra[(index - v) * c..][..c]),
            Values::F32(values) => y.copy_from_slice(&values[index * c..][..c]),
            Values::Bf16(values) => {
                for (y, value) in y.iter_mut().zip(&values[index * c..][..c]) {
                    *y = value.to_f32();
                }
            }
        }
    });
    tensor(y, (indices.len(), c))
}

/// Adds the gradients of rows picked from `extra` in [`forward`]: `gradient[indices[t] - v] += dy[t]`. With `v` of 0 those of
/// a table that is trained itself.
///
/// * `dy`: `(T, C)` f32, on a card of any dtype; `v`: rows of the frozen table, whose picks are passed over; `gradient`:
///   `(N, C)` f32.
///
/// # Errors
/// When the shapes disagree.
pub fn backward_extra(dy: &Tensor, indices: &[u32], v: usize, gradient: &Tensor) -> Result<()> {
    let ((rows, c), (new_rows, new_c)) = (dy.dims2()?, gradient.dims2()?);
    if rows != indices.len() || c != new_c || indices.iter().any(|index| *index as usize >= v + new_rows) {
        bail!("embedding backward: {rows} x {c} for {} indices into {new_rows} x {new_c}", indices.len());
    }
    let Some(gpu) = Gpu::of(dy) else {
        return gradient.inplace_op2(dy, &AddPicked { indices, v });
    };
    // For each new row its tokens in order, so that the sum has one order.
    let picks =
        || indices.iter().zip(0u32..).filter_map(|(index, token)| Some(((*index as usize).checked_sub(v)?, token)));
    let mut starts = vec![0u32; new_rows + 1];
    picks().for_each(|(row, _)| starts[row + 1] += 1);
    (0..new_rows).for_each(|row| starts[row + 1] += starts[row]);
    let (mut next, mut tokens) = (starts.clone(), vec![0u32; starts[new_rows] as usize]);
    for (row, token) in picks() {
        tokens[next[row] as usize] = token;
        next[row] += 1;
    }
    let (tokens, starts) = (gpu.list(&tokens, dy)?, gpu.list(&starts, dy)?);
    let arguments = [
        Argument::write(gradient)?,
        Argument::read(dy)?,
        Argument::read(&tokens)?,
        Argument::read(&starts)?,
        Argument::int(c)?,
    ];
    gpu.launch(&kernel_name("embedding_backward_extra", dy.dtype()), Grid::of(new_rows, ROW_THREADS), &arguments)
}

struct AddPicked<'a> {
    indices: &'a [u32],
    v: usize,
}

impl InplaceOp2 for AddPicked<'_> {
    fn name(&self) -> &'static str {
        "embedding_gradient"
    }

    fn cpu_fwd(&self, gradient: &mut CpuStorage, g_l: &Layout, dy: &CpuStorage, dy_l: &Layout) -> Result<()> {
        let c = dy_l.dims()[1];
        let (gradient, dy) = (slice_mut(gradient, g_l)?, slice(dy, dy_l)?);
        for (dy, index) in dy.chunks(c).zip(self.indices) {
            let Some(row) = (*index as usize).checked_sub(self.v) else {
                continue;
            };
            for (sum, dy) in gradient[row * c..][..c].iter_mut().zip(dy) {
                *sum += dy;
            }
        }
        Ok(())
    }
}

/// Gradient of the picked rows, put back to where they came from: the other rows get zeros.
///
/// * `dy`: `(R, C)` f32, `indices`: R rows of a `(row_count, C)` table, ascending. Returns `(row_count, C)`.
///
/// # Errors
/// When the indices do not ascend or do not fit.
pub fn backward(dy: &Tensor, indices: &[u32], row_count: usize) -> Result<Tensor> {
    let (rows, c) = dy.dims2()?;
    let ascending = indices.windows(2).all(|pair| pair[0] < pair[1]);
    if rows != indices.len() || !ascending || indices.last().is_some_and(|i| *i as usize >= row_count) {
        bail!("embedding backward: {rows} rows for {} indices below {row_count}", indices.len());
    }
    if let Some(gpu) = Gpu::of(dy) {
        let dx = gpu.empty(dy, (row_count, c), dy.dtype())?;
        // Row of `dy` that goes to each row, counted from 1; 0 where there is none.
        let mut sources = vec![0u32; row_count];
        for (row, index) in indices.iter().enumerate() {
            sources[*index as usize] = row as u32 + 1;
        }
        let sources = gpu.list(&sources, dy)?;
        let arguments = [Argument::write(&dx)?, Argument::read(dy)?, Argument::read(&sources)?, Argument::int(c)?];
        gpu.launch(&kernel_name("embedding_backward", dy.dtype()), Grid::of(row_count, ROW_THREADS), &arguments)?;
        return Ok(dx);
    }
    let dy_view = view("embedding", dy)?;
    let mut dx = vec![0.0; row_count * c];
    for (row, index) in dy_view.f32()?.chunks(c).zip(indices) {
        dx[*index as usize * c..][..c].copy_from_slice(row);
    }
    tensor(dx, (row_count, c))
}
