//! Products of a few rows with a weight, for serving on a card: the weight in 8 or 4 bits, or bf16 as it is.
//!
//! Up to 64 rows are multiplied by our kernels, which read each weight once, in the bits it has, and expand it in
//! registers; they are bound by memory. What a row comes to does not depend on how many there are. More rows are bound by
//! arithmetic: the weight is expanded to bf16 first and cuBLAS multiplies, which sums in an order of its own; so it does
//! for weights in f32, and in bf16 with columns that are no multiple of 32, whatever the number of rows.
mod blocks;

use candle_core::{DType, Result, Tensor, bail};

pub use blocks::{BLOCK, Block, Format};

use crate::gpu::{Argument, Gpu, Grid, Operand};
use crate::nf4::Nf4;
use blocks::UNIT;

/// Rows that our kernels take in one product.
const ROWS_MAX: usize = 64;

/// Warps of a block at most.
const WARPS_MAX: usize = 16;

/// Threads of the expanding kernel.
const EXPAND_THREADS: usize = 256;

/// A frozen matrix `(N, K)` that rows are multiplied with.
pub enum Matrix {
    /// Values in f32 or bf16, row by row; products are in the same.
    Dense(Tensor),
    /// Blocks of 32 columns with a scale; products are in bf16 with f32 sums.
    Packed(Packed),
    /// Matrices under each other in NF4, as the model in training has them, expanded to bf16 for each product.
    Nf4(Vec<Nf4>),
}

/// A matrix in 8 or 4 bits.
pub struct Packed {
    format: Format,
    values: Tensor,
    scales: Tensor,
    rows: usize,
    columns: usize,
}

impl Packed {
    /// Packs a matrix beside `like`. `read(row, blocks)` fills in the `columns / 32` blocks of a row.
    ///
    /// # Errors
    /// When the columns are no multiple of 32 or the device cannot hold it.
    pub fn new(
        format: Format,
        (rows, columns): (usize, usize),
        read: &(dyn Fn(usize, &mut [Block]) + Sync),
        like: &Tensor,
    ) -> Result<Self> {
        if columns % BLOCK != 0 || rows == 0 || columns == 0 {
            bail!("packed: {rows} x {columns}; columns are to be a multiple of {BLOCK}");
        }
        let (values, scales) = blocks::pack(format, rows, columns, read);
        let (value_bytes, scale_bytes) = (values.len(), scales.len());
        Ok(Self {
            format,
            values: Tensor::from_vec(values, value_bytes, like.device())?,
            scales: Tensor::from_vec(scales, scale_bytes, like.device())?,
            rows,
            columns,
        })
    }

    /// Expands into `out`, `(N, K)` bf16.
    fn expand(&self, gpu: &Gpu, out: &Tensor) -> Result<()> {
        let arguments = [
            Argument::write(out)?,
            Argument::read(&self.values)?,
            Argument::read(&self.scales)?,
            Argument::int(self.rows)?,
            Argument::int(self.columns)?,
        ];
        let units = (self.columns / UNIT).div_ceil(EXPAND_THREADS / 32);
        let blocks = [self.rows.div_ceil(UNIT), units, 1];
        let grid = Grid { blocks, threads: EXPAND_THREADS, shared_bytes: 0 };
        gpu.launch(&format!("packed_expand_{}", self.format.name()), grid, &arguments)
    }
}

impl Matrix {
    /// `(N, K)`.
    ///
    /// # Errors
    /// When a dense one is no matrix.
    pub fn dims(&self) -> Result<(usize, usize)> {
        match self {
            Self::Dense(values) => values.dims2(),
            Self::Packed(packed) => Ok((packed.rows, packed.columns)),
            Self::Nf4(parts) => {
                let columns = parts.first().map_or(0, |part| part.dims().1);
                Ok((parts.iter().map(|part| part.dims().0).sum(), columns))
            }
        }
    }

    /// How it lies, for people: `F32`, `BF16`, `Q8`, `Q4`.
    pub fn format_name(&self) -> &'static str {
        match self {
            Self::Dense(values) if values.dtype() == DType::F32 => "F32",
            Self::Dense(_) => "BF16",
            Self::Nf4(_) => "NF4",
            Self::Packed(Packed { format: Format::Q8, .. }) => "Q8",
            Self::Packed(_) => "Q4",
        }
    }

    /// Bytes on the device.
    pub fn byte_count(&self) -> usize {
        match self {
            Self::Dense(values) => values.elem_count() * values.dtype().size_in_bytes(),
            Self::Packed(packed) => packed.values.elem_count() + packed.scales.elem_count(),
            Self::Nf4(parts) => parts.iter().map(Nf4::byte_count).sum(),
        }
    }

    /// Values that [`Matrix::multiply`] needs room for when it has many rows, in NF4 always: zero for dense ones.
    pub fn expanded_count(&self) -> usize {
        match self {
            Self::Dense(_) => 0,
            Self::Packed(packed) => packed.rows * packed.columns,
            Self::Nf4(parts) => parts.iter().map(|part| part.dims().0 * part.dims().1).sum(),
        }
    }

    /// `y = x Wᵀ`.
    ///
    /// * `x`: `(T, K)`, contiguous, bf16 (beside f32 weights f32). `y`: `(T, N)` in the same dtype or f32, written; may be
    ///   a range of the columns of something wider.
    /// * `expanded`: a flat bf16 tensor of [`Matrix::expanded_count`] values or more, for products of many rows.
    ///
    /// # Errors
    /// When shapes or dtypes disagree, or `expanded` is wanted and too short.
    pub fn multiply(&self, x: &Tensor, y: &Tensor, expanded: Option<&Tensor>) -> Result<()> {
        let ((t, c_in), (rows, columns), out) = (x.dims2()?, self.dims()?, Operand::write(y)?);
        let Some(gpu) = Gpu::of(x) else {
            bail!("packed products of `ops` run on a card; processors have crate `cpu`");
        };
        let dtypes_fit = y.dtype() == DType::F32 || y.dtype() == x.dtype();
        if c_in != columns || (out.rows, out.cols) != (t, rows) || out.is_transposed || !dtypes_fit {
            bail!("packed: x {:?} {:?}, weight {rows} x {columns}, y {out}", x.dims(), x.dtype());
        }
        if t == 0 {
            return Ok(());
        }
        match self {
            Self::Dense(weight) => {
                let few = t <= ROWS_MAX && x.dtype() == DType::BF16 && columns % UNIT == 0;
                if few && weight.dtype() == DType::BF16 && weight.is_contiguous() {
                    let arguments = [Argument::Address(out.address), Argument::read(weight)?];
                    return launch(&gpu, "dense", &arguments, x, out, (rows, columns));
                }
                gpu.gemm(1.0, x, &weight.t()?, 0.0, y)
            }
            Self::Packed(packed) if t <= ROWS_MAX => {
                if x.dtype() != DType::BF16 {
                    bail!("packed: x in {:?}, products are in bf16", x.dtype());
                }
                let [values, scales] = [Argument::read(&packed.values)?, Argument::read(&packed.scales)?];
                let arguments = [Argument::Address(out.address), values, scales];
                launch(&gpu, packed.format.name(), &arguments, x, out, (rows, columns))
            }
            Self::Packed(_) | Self::Nf4(_) => {
                let Some(room) = expanded.filter(|room| room.elem_count() >= rows * columns) else {
                    bail!("packed: no room to expand {rows} x {columns} for {t} rows");
                };
                let weight = room.narrow(0, 0, rows * columns)?.reshape((rows, columns))?;
                self.expand(&gpu, &weight)?;
                Self::Dense(weight).multiply(x, y, None)
            }
        }
    }
}

impl Matrix {
    /// Expands into `out`, `(N, K)` bf16.
    fn expand(&self, gpu: &Gpu, out: &Tensor) -> Result<()> {
        match self {
            Self::Dense(_) => Ok(()),
            Self::Packed(packed) => packed.expand(gpu, out),
            Self::Nf4(parts) => {
                let mut first = 0;
                for part in parts {
                    let rows = part.dims().0;
                    part.dequantise_into(&out.narrow(0, first, rows)?)?;
                    first += rows;
                }
                Ok(())
            }
        }
    }
}

/// Starts the kernel for as many rows as there are. The order of a row's sums depends on the weight's shape alone.
fn launch(gpu: &Gpu, format: &str, first: &[Argument], x: &Tensor, y: Operand, weight: (usize, usize)) -> Result<()> {
    let ((rows, columns), t) = (weight, y.rows);
    let mut arguments = first.to_vec();
    arguments.extend([
        Argument::read(x)?,
        Argument::int(rows)?,
        Argument::int(columns)?,
        Argument::int(t)?,
        Argument::int(y.stride)?,
    ]);
    let name = format!("packed_multiply_{format}_{}_x{}", y.dtype.as_str(), t.div_ceil(8).next_power_of_two());
    let warps = (columns / UNIT).next_power_of_two().clamp(1, WARPS_MAX);
    gpu.launch(&name, Grid::of(rows.div_ceil(UNIT), 32 * warps), &arguments)
}
