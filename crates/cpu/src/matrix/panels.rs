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
        let values = pack(rows, columns, read);
        Self { rows: rows.len(), columns, values }
    }

    /// Room for one panel, as soon as it is [`Panels::resized`].
    pub(super) fn room() -> Self {
        Self { rows: PANEL, columns: 0, values: Table::zeros(0) }
    }

    /// The only panel, for so many inputs. What it holds is left from before.
    pub(super) fn resized(&mut self, columns: usize) -> &mut [[E; PANEL]] {
        if self.values.len() < columns * PANEL {
            self.values = Table::zeros(columns * PANEL);
        }
        self.columns = columns;
        &mut self.values.as_chunks_mut().0[..columns]
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
        let values = pack(rows, columns.div_ceil(2), u32::from_le_bytes);
        Self { rows: rows.len(), columns, values }
    }

    /// As [`Panels::room`].
    pub(super) fn room() -> Self {
        Self { rows: PANEL, columns: 0, values: Table::zeros(0) }
    }

    /// As [`Panels::resized`].
    pub(super) fn resized(&mut self, columns: usize) -> &mut [[u32; PANEL]] {
        let pairs = columns.div_ceil(2);
        if self.values.len() < pairs * PANEL {
            self.values = Table::zeros(pairs * PANEL);
        }
        self.columns = columns;
        &mut self.values.as_chunks_mut().0[..pairs]
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

/// Lays rows out as panels, on all processors.
///
/// * `depth`: numbers of a row, `BYTES` for each; bytes that the last one lacks are zeros.
fn pack<T: Copy + Default + Send, const BYTES: usize>(
    rows: &[&[u8]],
    depth: usize,
    read: fn([u8; BYTES]) -> T,
) -> Table<T> {
    let panel_count = rows.len().div_ceil(PANEL);
    let mut values = Table::zeros(panel_count * PANEL * depth);
    if values.is_empty() {
        return values;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(panel_count);
    let panels_per_thread = panel_count.div_ceil(threads);
    std::thread::scope(|scope| {
        let parts = values.chunks_mut(panels_per_thread * PANEL * depth);
        for (part, rows) in parts.zip(rows.chunks(panels_per_thread * PANEL)) {
            scope.spawn(move || {
                for (panel, rows) in part.chunks_exact_mut(PANEL * depth).zip(rows.chunks(PANEL)) {
                    pack_panel(panel, rows, read);
                }
            });
        }
    });
    values
}

fn pack_panel<T, const BYTES: usize>(panel: &mut [T], rows: &[&[u8]], read: fn([u8; BYTES]) -> T) {
    /// Numbers of each row at a time: 64 x 32 f32 stay in the first-level cache while rows go by.
    const STEP: usize = 64;
    for (index, block) in panel.chunks_mut(STEP * PANEL).enumerate() {
        for (lane, row) in rows.iter().enumerate() {
            let first = index * STEP * BYTES;
            let (numbers, rest) = row[first..row.len().min(first + STEP * BYTES)].as_chunks();
            for (weights, number) in block.chunks_exact_mut(PANEL).zip(numbers) {
                weights[lane] = read(*number);
            }
            if !rest.is_empty() {
                let mut number = [0; BYTES];
                number[..rest.len()].copy_from_slice(rest);
                block[numbers.len() * PANEL + lane] = read(number);
            }
        }
    }
}
