//! Rows picked out of a table: token embeddings, and the supervised rows of a hidden state.

use candle_core::{Result, Tensor, bail};

use crate::cpu::{Values, for_each_row, tensor, uninit, view};

/// Row `indices[t]` of the table for every `t`.
///
/// * `table`: `(V, C)`, f32 or bf16. Returns `(T, C)` f32.
///
/// # Errors
/// When an index is outside the table; the message gives it.
pub fn forward(table: &Tensor, indices: &[u32]) -> Result<Tensor> {
    let (v, c) = table.dims2()?;
    if let Some(index) = indices.iter().find(|index| **index as usize >= v) {
        bail!("row {index} of a table with {v} rows");
    }
    let table_view = view("embedding", table)?;
    let values = table_view.values()?;
    let mut y = uninit(indices.len() * c);
    for_each_row(&mut y, c, |row, y| {
        let start = indices[row] as usize * c;
        match values {
            Values::F32(values) => y.copy_from_slice(&values[start..start + c]),
            Values::Bf16(values) => {
                for (y, value) in y.iter_mut().zip(&values[start..start + c]) {
                    *y = value.to_f32();
                }
            }
        }
    });
    tensor(y, (indices.len(), c))
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
    if rows != indices.len()
        || !ascending
        || indices.last().is_some_and(|i| *i as usize >= row_count)
    {
        bail!(
            "embedding backward: {rows} rows for {} indices below {row_count}",
            indices.len()
        );
    }
    let dy_view = view("embedding", dy)?;
    let mut dx = vec![0.0; row_count * c];
    for (row, index) in dy_view.f32()?.chunks(c).zip(indices) {
        dx[*index as usize * c..][..c].copy_from_slice(row);
    }
    tensor(dx, (row_count, c))
}
