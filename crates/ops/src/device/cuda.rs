//! GPUs by way of the CUDA driver.

use candle_core::{Device, Error, Result};
use cudarc::cublas::CudaBlas;
use cudarc::cublas::sys::{cublasMath_t, cublasSetMathMode};
use cudarc::driver::sys::{self, CUmemPool_attribute};
use cudarc::driver::{CudaContext, DriverError, result};

use super::{Gpu, built_for};

const WAY_OUT: &str = "hint: look at what `nvidia-smi` says, or compute on the processor: `--device cpu`, or \
                       `device = \"cpu\"` in the settings";
/// Ampere: the first with bf16 and asynchronous copies.
const OLDEST_CAPABILITY: (i32, i32) = (8, 0);

/// An error in our words, with the driver's after them.
fn refused(what: &str) -> impl FnOnce(DriverError) -> Error {
    move |error| Error::Msg(format!("{what}: {}\n{WAY_OUT}", reason(error)))
}

fn reason(error: DriverError) -> String {
    match error.0 {
        sys::CUresult::CUDA_ERROR_STUB_LIBRARY => "the driver's library is a stub, there is no driver".to_owned(),
        sys::CUresult::CUDA_ERROR_NO_DEVICE => "the driver shows none".to_owned(),
        code => match error.error_string() {
            Ok(text) => format!("{} ({code:?})", text.to_string_lossy()),
            Err(_) => format!("{code:?}"),
        },
    }
}

pub(super) fn gpus() -> Result<Vec<Gpu>> {
    let count = count()?;
    (0..count).map(gpu).collect()
}

/// GPUs that the driver shows: at least one.
fn count() -> Result<usize> {
    result::init().map_err(refused("no GPU can be used"))?;
    let count = result::device::get_count().map_err(refused("cannot ask for GPUs"))?;
    if count == 0 {
        return Err(Error::Msg(format!("no GPU can be used: the driver shows none\n{WAY_OUT}")));
    }
    usize::try_from(count).map_err(Error::wrap)
}

fn gpu(ordinal: usize) -> Result<Gpu> {
    let say = |error| refused(&format!("GPU {ordinal} does not answer"))(error);
    let context = CudaContext::new(ordinal).map_err(say)?;
    let (free_bytes, total_bytes) = context.mem_get_info().map_err(say)?;
    Ok(Gpu {
        ordinal,
        name: context.name().map_err(say)?,
        capability: context.compute_capability().map_err(say)?,
        total_bytes,
        free_bytes,
        driver_cuda: driver_cuda().map_err(say)?,
    })
}

fn driver_cuda() -> std::result::Result<(i32, i32), DriverError> {
    let mut version = 0;
    // SAFETY: the driver writes one integer to where the pointer leads.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
    Ok((version / 1000, version % 1000 / 10))
}

pub(super) fn usable(ordinal: usize) -> Result<Gpu> {
    let count = count()?;
    if ordinal >= count {
        return Err(Error::Msg(format!(
            "there is no GPU {ordinal}: the driver shows {count}, counted from 0\n{WAY_OUT}"
        )));
    }
    let gpu = gpu(ordinal)?;
    if gpu.capability < OLDEST_CAPABILITY {
        let (major, minor) = gpu.capability;
        return Err(Error::Msg(format!(
            "GPU {ordinal} ({}) has compute capability {major}.{minor}, at least 8.0 (Ampere) is needed; the kernels \
             are for {}\nhint: choose another one with CUDA_VISIBLE_DEVICES, or compute on the processor: `--device \
             cpu`, or `device = \"cpu\"` in the settings",
            gpu.name,
            built_for()
        )));
    }
    Ok(gpu)
}

pub(super) fn open(ordinal: usize) -> Result<Device> {
    let device = Device::new_cuda_with_stream(ordinal)?;
    let cuda = device.as_cuda_device()?;
    // SAFETY: all work on this device is queued by one thread on one stream, so that a buffer is never in use on
    // another stream when it is written or freed.
    unsafe { cuda.disable_event_tracking() };
    keep_freed_memory(cuda.cuda_stream().context()).map_err(refused("the GPU's memory pool cannot be set"))?;
    sum_in_f32(&cuda.cublas_handle())?;
    Ok(device)
}

/// Has products keep their sums in f32 to the end. By default cuBLAS may add up the parts of a split sum in the format
/// of a bf16 result; f32 factors it takes as they are, not as TF32, unless told otherwise.
fn sum_in_f32(blas: &CudaBlas) -> Result<()> {
    let mode = cublasMath_t::CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION;
    // SAFETY: the handle lives as long as `blas`.
    let done = unsafe { cublasSetMathMode(*blas.handle(), mode) }.result();
    done.map_err(|error| Error::Msg(format!("cuBLAS cannot be set to sum in f32: {error:?}\n{WAY_OUT}")))
}

/// Lets the driver's pool keep what is freed. By default it gives memory back at every synchronisation, and each step
/// would ask for the same sizes anew.
fn keep_freed_memory(context: &CudaContext) -> std::result::Result<(), DriverError> {
    let mut threshold = u64::MAX;
    // SAFETY: the device is that of a living context.
    let pool = unsafe { result::device::get_mem_pool(context.cu_device()) }?;
    // SAFETY: the pool belongs to the device, and this attribute is a 64-bit number.
    unsafe {
        result::mem_pool::set_attribute(
            pool,
            CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
            (&raw mut threshold).cast(),
        )
    }
}

pub(super) fn name(device: &Device) -> Result<String> {
    let stream = device.as_cuda_device()?.cuda_stream();
    stream.context().name().map_err(refused("the GPU does not answer"))
}

pub(super) fn free_bytes(device: &Device) -> Result<usize> {
    let stream = device.as_cuda_device()?.cuda_stream();
    let (free, _) = stream.context().mem_get_info().map_err(refused("the GPU does not answer"))?;
    Ok(free)
}

pub(super) fn peak_bytes(device: &Device) -> Result<usize> {
    let stream = device.as_cuda_device()?.cuda_stream();
    let mut bytes = 0u64;
    let mut read = || -> std::result::Result<(), DriverError> {
        // SAFETY: the device is that of a living context.
        let pool = unsafe { result::device::get_mem_pool(stream.context().cu_device()) }?;
        let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        // SAFETY: the pool belongs to the device, and this attribute is a 64-bit number.
        unsafe { result::mem_pool::get_attribute(pool, attribute, (&raw mut bytes).cast()) }
    };
    read().map_err(refused("the GPU's memory pool does not answer"))?;
    usize::try_from(bytes).map_err(Error::wrap)
}
