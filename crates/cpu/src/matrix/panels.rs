//! Plain numbers in panels of 32 outputs.

use crate::memory::Table;
use crate::simd::Element;

/// Outputs of a panel: two vectors.
pub(super) const PANEL: usize = 32;

/// `(N / 32, K, 32)`: the panels' inputs one after the other, each with the weights of 32 outputs; zeros beyond the last.
pub(super) struct Panels<E> {
    rows: usize,
    columns: usize,
    values: Table<E>,
}

impl<E: Element> Panels<E> {
    /// * `rows`: bytes of each row, `BYTES` for a number.
    pub(super) fn pack<const BYTES: usize>(rows: &[&[u8]], columns: usize, read: fn([u8; BYTES]) -> E) -> Self {
        let mut values = Table::zeros(rows.len().div_ceil(PANEL) * PANEL * columns);
        let panels = values.chunks_exact_mut((PANEL * columns).max(1));
        for (panel, rows) in panels.zip(rows.chunks(PANEL)) {
            for (lane, row) in rows.iter().enumerate() {
                let column = panel.iter_mut().skip(lane).step_by(PANEL);
                for (value, bytes) in column.zip(row.as_chunks().0) {
                    *value = read(*bytes);
                }
            }
        }
        Self { rows: rows.len(), columns, values }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn byte_count(&self) -> usize {
        size_of_val(&*self.values)
    }

    /// All inputs of a panel.
    #[inline(always)]
    pub(super) fn panel(&self, index: usize) -> &[[E; PANEL]] {
        &self.values.as_chunks().0[index * self.columns..][..self.columns]
    }

    pub(super) fn decode_row(&self, row: usize, out: &mut [f32]) {
        for (value, weights) in out.iter_mut().zip(self.panel(row / PANEL)) {
            *value = weights[row % PANEL].widened();
        }
    }
}

/// `(N / 32, K / 2, 32)` pairs of bf16, the first input of each in the low half; zeros beyond the last.
pub(super) struct PairPanels {
    rows: usize,
    columns: usize,
    values: Table<u32>,
}

impl PairPanels {
    /// * `rows`: bytes of each row.
    pub(super) fn pack(rows: &[&[u8]], columns: usize) -> Self {
        let pairs = columns.div_ceil(2);
        let mut values = Table::zeros(rows.len().div_ceil(PANEL) * PANEL * pairs);
        let panels = values.chunks_exact_mut((PANEL * pairs).max(1));
        for (panel, rows) in panels.zip(rows.chunks(PANEL)) {
            for (lane, row) in rows.iter().enumerate() {
                let column = panel.iter_mut().skip(lane).step_by(PANEL);
                for (value, bytes) in column.zip(row.chunks(4)) {
                    let mut pair = [0; 4];
                    pair[..bytes.len()].copy_from_slice(bytes);
                    *value = u32::from_le_bytes(pair);
                }
            }
        }
        Self { rows: rows.len(), columns, values }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn byte_count(&self) -> usize {
        size_of_val(&*self.values)
    }

    /// All pairs of inputs of a panel.
    #[inline(always)]
    pub(super) fn panel(&self, index: usize) -> &[[u32; PANEL]] {
        let pairs = self.columns.div_ceil(2);
        &self.values.as_chunks().0[index * pairs..][..pairs]
    }

    pub(super) fn decode_row(&self, row: usize, out: &mut [f32]) {
        for (values, weights) in out.chunks_mut(2).zip(self.panel(row / PANEL)) {
            let pair = weights[row % PANEL];
            let wide = [f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000)];
            values.copy_from_slice(&wide[..values.len()]);
        }
    }
}
