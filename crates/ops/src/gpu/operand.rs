//! Addresses and layouts of tensors, as kernels and products take them, and memory for their results.

use std::cell::Cell;
use std::fmt;

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, DType, InplaceOp1, Layout, Result, Shape, Storage, Tensor, bail};
#[cfg(feature = "cuda")]
use candle_core::{
    backend::BackendStorage,
    cuda_backend::{CudaStorageSlice, cudarc::driver::DevicePtr},
};
use half::bf16;

use super::recorder;

/// A matrix in memory: rows of `stride` elements, of which the first `cols` count; or the transpose of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand {
    pub(crate) address: u64,
    pub(crate) dtype: DType,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Elements from a row (of a transposed matrix: from a column) to the next.
    pub(crate) stride: usize,
    pub(crate) is_transposed: bool,
}

impl Operand {
    pub(crate) fn read(tensor: &Tensor) -> Result<Self> {
        Self::new(tensor, address(tensor, false)?)
    }

    pub(crate) fn write(tensor: &Tensor) -> Result<Self> {
        Self::new(tensor, address_to_write(tensor, false)?)
    }

    fn new(tensor: &Tensor, address: u64) -> Result<Self> {
        let (rows, cols) = tensor.dims2()?;
        let (stride, is_transposed) = match *tensor.stride() {
            [stride, 1] => (stride, false),
            [1, stride] => (stride, true),
            _ => bail!("a matrix of {rows} x {cols} with strides {:?}", tensor.stride()),
        };
        if !matches!(tensor.dtype(), DType::F32 | DType::BF16) {
            bail!("a matrix of {:?}", tensor.dtype());
        }
        // Lines of a matrix, and the elements of each: with a single line its stride says nothing.
        let (lines, length) = if is_transposed { (cols, rows) } else { (rows, cols) };
        if lines > 1 && stride < length {
            bail!("a matrix of {rows} x {cols} with strides {:?}, whose lines overlap", tensor.stride());
        }
        let stride = stride.max(length).max(1);
        Ok(Self { address, dtype: tensor.dtype(), rows, cols, stride, is_transposed })
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transposed = if self.is_transposed { " transposed" } else { "" };
        write!(f, "{} x {} {}{transposed}", self.rows, self.cols, self.dtype.as_str())
    }
}

fn offset_bytes(layout: &Layout, dtype: DType, must_be_contiguous: bool) -> Result<u64> {
    if must_be_contiguous && !layout.is_contiguous() {
        bail!("a kernel wants a contiguous tensor, got strides {:?}", layout.stride());
    }
    Ok((layout.start_offset() * dtype.size_in_bytes()) as u64)
}

/// Address of the tensor's first element.
pub(super) fn address(tensor: &Tensor, must_be_contiguous: bool) -> Result<u64> {
    recorder::hold(tensor);
    let (storage, layout) = tensor.storage_and_layout();
    let start = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => values.as_ptr() as u64,
        Storage::Cpu(CpuStorage::BF16(values)) => values.as_ptr() as u64,
        Storage::Cpu(CpuStorage::U32(values)) => values.as_ptr() as u64,
        Storage::Cpu(CpuStorage::U8(values)) => values.as_ptr() as u64,
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => on_card(storage)?,
        _ => bail!("a kernel takes f32, bf16, u32 and u8, got {:?}", tensor.dtype()),
    };
    Ok(start + offset_bytes(layout, tensor.dtype(), must_be_contiguous)?)
}

/// As [`address`], for a kernel that writes there.
pub(super) fn address_to_write(tensor: &Tensor, must_be_contiguous: bool) -> Result<u64> {
    recorder::hold(tensor);
    let taken = TakeAddress(Cell::new(0));
    tensor.inplace_op1(&taken)?;
    Ok(taken.0.get() + offset_bytes(tensor.layout(), tensor.dtype(), must_be_contiguous)?)
}

#[cfg(feature = "cuda")]
fn on_card(storage: &CudaStorage) -> Result<u64> {
    let stream = storage.device().cuda_stream();
    Ok(match &storage.slice {
        CudaStorageSlice::F32(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::BF16(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::U32(values) => values.device_ptr(&stream).0,
        CudaStorageSlice::U8(values) => values.device_ptr(&stream).0,
        _ => bail!("a kernel takes f32, bf16, u32 and u8"),
    })
}

/// candle lends a storage to be written only to an in-place op.
struct TakeAddress(Cell<u64>);

impl InplaceOp1 for TakeAddress {
    fn name(&self) -> &'static str {
        "take_address"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _: &Layout) -> Result<()> {
        self.0.set(match storage {
            CpuStorage::F32(values) => values.as_mut_ptr() as u64,
            CpuStorage::BF16(values) => values.as_mut_ptr() as u64,
            CpuStorage::U32(values) => values.as_mut_ptr() as u64,
            CpuStorage::U8(values) => values.as_mut_ptr() as u64,
            _ => bail!("a kernel writes f32, bf16, u32 and u8"),
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut CudaStorage, _: &Layout) -> Result<()> {
        self.0.set(on_card(storage)?);
        Ok(())
    }
}

/// candle takes a storage that it did not make only from an op.
pub(super) struct Empty {
    pub(super) shape: Shape,
    pub(super) dtype: DType,
}

impl CustomOp1 for Empty {
    fn name(&self) -> &'static str {
        "empty"
    }

    /// Only the emulation comes here: NaN shows what a kernel forgot to write.
    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let count = self.shape.elem_count();
        let storage = match self.dtype {
            DType::F32 => CpuStorage::F32(vec![f32::NAN; count]),
            DType::BF16 => CpuStorage::BF16(vec![bf16::NAN; count]),
            DType::U32 => CpuStorage::U32(vec![u32::MAX; count]),
            DType::U8 => CpuStorage::U8(vec![u8::MAX; count]),
            other => bail!("no kernel writes {other:?}"),
        };
        Ok((storage, self.shape.clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, like: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((super::card::allocate(like.device(), self.shape.elem_count(), self.dtype)?, self.shape.clone()))
    }
}
