//! Work that is queued once and repeated: a CUDA graph, and the buffers that it reads and writes.
//!
//! A recording repeats the same kernels on the same addresses. What changes from one time to the next is put into
//! buffers before, and read out of buffers afterwards. One launch then takes the place of hundreds, whose cost on the host
//! is more than a small step takes on a card.

use candle_core::{DType, Result, Shape, Tensor, bail};

use crate::gpu::{Gpu, Recorded};

/// Work that can be repeated.
pub struct Recording {
    gpu: Gpu,
    recorded: Recorded,
}

impl Recording {
    /// Records what `work` queues beside `like`. It is not done yet. Kernels are to have run before: the first launch
    /// loads them.
    ///
    /// # Errors
    /// What `work` returns; when it asks for memory or copies between host and card; when the driver refuses.
    pub fn new(like: &Tensor, work: impl FnOnce() -> Result<()>) -> Result<Self> {
        let gpu = gpu(like)?;
        let recorded = gpu.record(work)?;
        Ok(Self { gpu, recorded })
    }

    /// Does the work once more, after what was queued before.
    ///
    /// # Errors
    /// When the driver refuses.
    pub fn repeat(&self) -> Result<()> {
        self.gpu.repeat(&self.recorded)
    }
}

/// Memory beside `like` that kernels write and later ones read; it holds anything at first.
///
/// # Errors
/// When the device cannot hold it, or is none with kernels.
pub fn buffer(like: &Tensor, shape: impl Into<Shape>, dtype: DType) -> Result<Tensor> {
    gpu(like)?.empty(like, shape, dtype)
}

/// Writes numbers to the beginning of a u32 buffer, after what was queued before.
///
/// # Errors
/// When they do not fit.
pub fn upload(to: &Tensor, numbers: &[u32]) -> Result<()> {
    if to.dtype() != DType::U32 || to.elem_count() < numbers.len() {
        bail!("{} numbers into {:?} {:?}", numbers.len(), to.dims(), to.dtype());
    }
    gpu(to)?.upload(to, numbers)
}

/// Reads the beginning of a u32 or f32 buffer once all that was queued is done.
///
/// # Errors
/// When there are fewer or other values.
pub fn download<T: candle_core::WithDType>(from: &Tensor, values: &mut [T]) -> Result<()> {
    if from.dtype() != T::DTYPE || from.elem_count() < values.len() {
        bail!("{} values of {:?} out of {:?} {:?}", values.len(), T::DTYPE, from.dims(), from.dtype());
    }
    gpu(from)?.download(from, values)
}

fn gpu(tensor: &Tensor) -> Result<Gpu> {
    match Gpu::of(tensor) {
        Some(gpu) => Ok(gpu),
        None => bail!("buffers and recordings are of a card"),
    }
}
