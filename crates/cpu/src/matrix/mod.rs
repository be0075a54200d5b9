//! Weights packed once for products with rows of activations.
//!
//! Outputs lie in panels of 32, inputs one after the other within a panel, so a single row reads memory from one end to
//! the other, and many rows reuse each panel from the caches. Every output is one chain of sums over the inputs from
//! first to last, in the same instructions whatever the number of rows: a row's results do not depend on its company.

mod activations; // what is multiplied, in the shapes that kernels want
mod lent; // plain numbers, elsewhere
mod panels; // plain numbers, packed
mod product; // their kernels
#[cfg(target_arch = "x86_64")]
mod product_bf16; // the kernel on pairs of bf16

#[cfg(test)]
mod tests;

use std::sync::Arc;

use half::{bf16, f16};

use crate::disjoint::Disjoint;
use crate::quant::{PackError, QuantPanels};
use crate::{CpuError, Format, Isa, Team};
pub use activations::{Activations, Wants};
use lent::Lent;
pub use lent::{Lender, LentRows};
use panels::{PANEL, PairPanels, Panels};
use product::Job;

/// Rows of a matrix as they lie in a file.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// How numbers are written.
    pub format: Format,
    /// `rows` rows one after the other.
    pub bytes: &'a [u8],
    /// Rows in `bytes`.
    pub rows: usize,
    /// Numbers in a row.
    pub columns: usize,
    /// Which rows to take and in what order; all as they come when none.
    pub row_order: Option<&'a [u32]>,
}

impl<'a> Part<'a> {
    /// Rows it contributes.
    pub(crate) fn row_count(&self) -> usize {
        self.row_order.map_or(self.rows, <[u32]>::len)
    }

    /// The bytes of the row that becomes row `index`.
    pub(crate) fn row(&self, index: usize) -> &'a [u8] {
        let row = self.row_order.map_or(index, |order| order[index] as usize);
        let len = self.bytes.len() / self.rows;
        &self.bytes[row * len..][..len]
    }

    fn check(&self, expected: usize) -> Result<(), CpuError> {
        let Self { format, rows, columns, .. } = *self;
        if columns != expected {
            return Err(CpuError::ColumnsDiffer { columns, expected });
        }
        let row_bytes = format.row_bytes(columns).ok_or(PackError::Columns { columns, format })?;
        let expected = row_bytes.saturating_mul(rows);
        if expected != self.bytes.len() {
            return Err(PackError::Bytes { rows, columns, format, found: self.bytes.len(), expected }.into());
        }
        match self.row_order.and_then(|order| order.iter().find(|row| **row as usize >= rows)) {
            Some(&row) => Err(PackError::RowOrder { row, rows }.into()),
            None => Ok(()),
        }
    }

    fn quantised(&self, isa: Isa) -> Result<QuantPanels, CpuError> {
        let Self { format, bytes, rows, columns, row_order } = *self;
        Ok(QuantPanels::pack(format, bytes, rows, columns, row_order, isa)?)
    }
}

/// Packed weights, `(N, K)`: N outputs of K inputs each.
pub struct Matrix {
    isa: Isa,
    rows: usize,
    columns: usize,
    sections: Vec<Section>,
}

/// Neighbouring rows of one format.
struct Section {
    first_row: usize,
    rows: usize,
    values: Values,
}

/// Weights of one format.
enum Values {
    F32(Panels<f32>),
    /// Half the bytes to read; widened in the kernel, which is exact.
    F16(Panels<f16>),
    /// Widened in the kernel, where there are no instructions for bf16.
    Bf16(Panels<bf16>),
    /// For the dot products of AVX512-BF16, which round activations to bf16.
    Bf16Pairs(PairPanels),
    Quantised(QuantPanels),
    /// Not packed: all of a matrix or none.
    Lent(Lent),
}

impl Matrix {
    /// Weights that stay where they are: results have the bits of packed ones, and each product takes longer.
    ///
    /// * `shape`: `(N, K)`.
    /// * `format`: [`Format::F32`] or [`Format::Bf16`], as the lender has them.
    ///
    /// # Panics
    /// When this processor does not have the instructions, or the format is another one.
    pub fn lent(lender: Arc<dyn Lender>, shape: (usize, usize), format: Format, isa: Isa) -> Self {
        assert!(isa <= Isa::best(), "{isa:?} on a processor that has {:?}", Isa::best());
        let mut matrix = Self { isa, rows: 0, columns: shape.1, sections: Vec::new() };
        matrix.push(Values::Lent(Lent::new(lender, shape, format, isa)));
        matrix
    }

    /// Packs parts that lie under each other for the kernels of an instruction set.
    ///
    /// # Errors
    /// When the parts contradict themselves or each other.
    pub fn pack(parts: &[Part<'_>], isa: Isa) -> Result<Self, CpuError> {
        let columns = parts.first().ok_or(CpuError::NoParts)?.columns;
        for part in parts {
            part.check(columns)?;
        }
        if isa > Isa::best() {
            return Err(PackError::Isa { isa }.into());
        }
        let mut matrix = Self { isa, rows: 0, columns, sections: Vec::new() };
        for parts in parts.chunk_by(|a, b| a.format == b.format) {
            let rows =
                || parts.iter().flat_map(|part| (0..part.row_count()).map(|row| part.row(row))).collect::<Vec<_>>();
            match parts[0].format {
                Format::F32 => matrix.push(Values::F32(Panels::pack(&rows(), columns, f32::from_le_bytes))),
                Format::F16 => matrix.push(Values::F16(Panels::pack(&rows(), columns, f16::from_le_bytes))),
                Format::Bf16 if isa == Isa::Avx512Bf16 => {
                    matrix.push(Values::Bf16Pairs(PairPanels::pack(&rows(), columns)));
                }
                Format::Bf16 => matrix.push(Values::Bf16(Panels::pack(&rows(), columns, bf16::from_le_bytes))),
                _ => {
                    for part in parts {
                        matrix.push(Values::Quantised(part.quantised(isa)?));
                    }
                }
            }
        }
        Ok(matrix)
    }

    fn push(&mut self, values: Values) {
        let section = Section { first_row: self.rows, rows: values.rows(), values };
        self.rows += section.rows;
        self.sections.push(section);
    }

    /// Outputs, N.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs, K.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Bytes of memory that a product reads.
    pub fn byte_count(&self) -> usize {
        self.sections.iter().map(|section| section.values.byte_count()).sum()
    }

    /// The shapes of activations that its kernels take.
    pub fn wants(&self) -> Wants {
        let none = Wants::nothing(self.isa);
        self.sections.iter().fold(none, |wants, section| match section.values {
            Values::F32(_) | Values::F16(_) | Values::Bf16(_) => Wants { f32: true, ..wants },
            Values::Bf16Pairs(_) => Wants { bf16: true, ..wants },
            Values::Lent(ref lent) if lent.is_paired() => Wants { bf16: true, ..wants },
            Values::Lent(_) => Wants { f32: true, ..wants },
            Values::Quantised(_) => Wants { int8: true, ..wants },
        })
    }

    /// One row as f32, for looking up embeddings in a packed matrix.
    ///
    /// * `out`: `(K,)`.
    ///
    /// # Panics
    /// When there is no such row or `out` has another length.
    pub fn decode_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        assert_eq!(out.len(), self.columns, "a row's length");
        let section = self.sections.partition_point(|section| section.first_row <= row) - 1;
        let section = &self.sections[section];
        let row = row - section.first_row;
        match &section.values {
            Values::F32(panels) => panels.decode_row(row, out),
            Values::F16(panels) => panels.decode_row(row, out),
            Values::Bf16(panels) => panels.decode_row(row, out),
            Values::Bf16Pairs(panels) => panels.decode_row(row, out),
            Values::Quantised(panels) => panels.decode_row(row, out),
            Values::Lent(lent) => lent.decode_row(row, out),
        }
    }

    /// `y = x W^T`: every output of every row.
    ///
    /// * `x`: `(T, K)`, set with what this matrix wants.
    /// * `y`: `(T, N)`, overwritten.
    ///
    /// # Panics
    /// When shapes disagree, or `x` was not set with what this matrix wants.
    pub fn multiply(&self, team: &Team, x: &Activations, y: &mut [f32]) {
        assert_eq!(x.columns(), self.columns, "columns of the activations");
        assert_eq!(y.len(), x.rows() * self.rows, "results of {} x {}", x.rows(), self.rows);
        assert!(x.has().covers(self.wants()), "activations were not set with what the matrix wants");
        let jobs = self.jobs(team.thread_count(), x);
        let out = Disjoint::new(y);
        if let [Section { values: Values::Lent(lent), .. }] = &self.sections[..] {
            return lent.lend(|rows| team.each(jobs.len(), &|index| lent.multiply(rows, x, &jobs[index].1, &out)));
        }
        team.each(jobs.len(), &|index| {
            let (section, job) = &jobs[index];
            section.values.multiply(self.isa, x, job, &out);
        });
    }

    /// The product cut into pieces that threads take one after the other.
    fn jobs(&self, threads: usize, x: &Activations) -> Vec<(&Section, Job)> {
        let panels: usize = self.sections.iter().map(|section| section.values.panel_count()).sum();
        let row_blocks = x.row_blocks();
        let tiles = x.int8_tiles(&(0..x.rows())).len();
        let panel_step = product::panels_per_job(panels, self.byte_count(), tiles, row_blocks.len(), threads);
        let mut jobs = Vec::new();
        for rows in row_blocks {
            for section in &self.sections {
                let count = section.values.panel_count();
                for first in (0..count).step_by(panel_step) {
                    let job = Job {
                        rows: rows.clone(),
                        panels: first..(first + panel_step).min(count),
                        first_column: section.first_row,
                        columns: section.rows,
                        stride: self.rows,
                    };
                    jobs.push((section, job));
                }
            }
        }
        jobs
    }
}

impl Values {
    fn rows(&self) -> usize {
        match self {
            Self::F32(panels) => panels.rows(),
            Self::F16(panels) => panels.rows(),
            Self::Bf16(panels) => panels.rows(),
            Self::Bf16Pairs(panels) => panels.rows(),
            Self::Quantised(panels) => panels.rows(),
            Self::Lent(lent) => lent.rows,
        }
    }

    fn panel_count(&self) -> usize {
        match self {
            Self::Quantised(panels) => panels.panel_count(),
            _ => self.rows().div_ceil(PANEL),
        }
    }

    fn byte_count(&self) -> usize {
        match self {
            Self::F32(panels) => panels.byte_count(),
            Self::F16(panels) => panels.byte_count(),
            Self::Bf16(panels) => panels.byte_count(),
            Self::Bf16Pairs(panels) => panels.byte_count(),
            Self::Quantised(panels) => panels.byte_count(),
            Self::Lent(lent) => lent.byte_count(),
        }
    }

    fn multiply(&self, isa: Isa, x: &Activations, job: &Job, out: &Disjoint<'_, f32>) {
        match self {
            Self::F32(panels) => product::multiply(isa, panels, x, job, out),
            Self::F16(panels) => product::multiply(isa, panels, x, job, out),
            Self::Bf16(panels) => product::multiply(isa, panels, x, job, out),
            #[cfg(target_arch = "x86_64")]
            Self::Bf16Pairs(panels) => product_bf16::multiply(panels, x, job, out),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Bf16Pairs(_) => unreachable!("packed only where the processor has the instructions"),
            Self::Lent(_) => unreachable!("lent weights are all of their matrix"),
            Self::Quantised(panels) => {
                let (tiles, panel_range) = (x.int8_tiles(&job.rows), job.panels.clone());
                // SAFETY: no two jobs have the same rows and panels.
                unsafe { panels.multiply_part(x.int8(), tiles, panel_range, out, job.stride, job.first_column) };
            }
        }
    }
}
