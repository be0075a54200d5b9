//! A CUDA card: kernels out of the images in this binary, products through cuBLAS.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use candle_core::cuda_backend::cudarc::cublas::{result as blas, sys as blas_sys};
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaGraph, CudaModule, CudaSlice, CudaStream, DevicePtr, result as driver, sys as driver_sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;
use candle_core::{CudaDevice, CudaStorage, DType, Result, Tensor, WithDType, bail};
use half::bf16;

use super::{Argument, Grid, Operand, recorder};
use crate::device::compiled::FATBINS;

/// Dynamic shared memory that a kernel has without asking.
const SHARED_BYTES_UNASKED: usize = 48 * 1024;

/// What cuBLAS may use while it is recorded, as NVIDIA advises for Hopper. Left to itself it asks for memory in the
/// middle of a recording.
const WORKSPACE_BYTES: usize = 32 << 20;

/// What was loaded, for all cards.
static LOADED: OnceLock<Mutex<Loaded>> = OnceLock::new();

/// Images and the kernels out of them, by ordinal of the card and name.
#[derive(Default)]
struct Loaded {
    modules: HashMap<(usize, &'static str), Arc<CudaModule>>,
    functions: HashMap<(usize, String), CudaFunction>,
    /// Of each card the memory that its cuBLAS was given.
    workspaces: HashMap<usize, CudaSlice<u8>>,
}

/// Work of a stream that can be launched as one.
pub(crate) struct Graph {
    graph: CudaGraph,
    stream: Arc<CudaStream>,
    /// What its kernels read and write.
    _held: Vec<Tensor>,
}

/// A card and its one stream.
#[derive(Clone)]
pub(crate) struct Card {
    device: CudaDevice,
}

impl Card {
    pub(super) fn new(device: CudaDevice) -> Self {
        Self { device }
    }

    pub(super) fn launch(&self, kernel: &str, grid: Grid, arguments: &[Argument]) -> Result<()> {
        let function = self.function(kernel, grid.shared_bytes)?;
        let stream = self.device.cuda_stream();
        let mut values: Vec<u64> = arguments.iter().map(|argument| bits(*argument)).collect();
        let mut pointers: Vec<*mut c_void> = values.iter_mut().map(|value| (value as *mut u64).cast()).collect();
        let [x, y, z] = grid.blocks.map(|count| count as u32);
        let threads = (grid.threads as u32, 1, 1);
        let shared_bytes = grid.shared_bytes as u32;
        stream.context().bind_to_thread().map_err(candle_core::Error::wrap)?;
        // SAFETY: the function comes from a module that is never unloaded. Each argument is a value of the width that
        // the kernel's signature has there (little-endian, so the low bytes of 8), or the address of a tensor that the
        // caller holds; tensors are freed in the order of the same stream, so after the kernel.
        let launched = unsafe {
            driver::launch_kernel(function, (x, y, z), threads, shared_bytes, stream.cu_stream(), &mut pointers)
        };
        launched.map_err(|error| candle_core::Error::Msg(format!("kernel `{kernel}` {grid:?}: {error}")))
    }

    /// The kernel's function, allowed as much dynamic shared memory as it asks for.
    fn function(&self, kernel: &str, shared_bytes: usize) -> Result<driver_sys::CUfunction> {
        let context = self.device.cuda_stream().context().clone();
        let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let key = (context.ordinal(), kernel.to_owned());
        if let Some(function) = loaded.functions.get(&key) {
            return Ok(function.cu_function());
        }
        let images = FATBINS.iter().filter(|(name, _)| kernel.starts_with(name));
        let Some((name, image)) = images.max_by_key(|(name, _)| name.len()) else {
            bail!("no kernel `{kernel}` in this build");
        };
        let module = match loaded.modules.entry((context.ordinal(), name)) {
            Entry::Occupied(entry) => entry.get().clone(),
            Entry::Vacant(entry) => {
                let module = context.load_module(Ptx::from_binary(image.to_vec())).map_err(candle_core::Error::wrap)?;
                entry.insert(module).clone()
            }
        };
        let function = module.load_function(kernel).map_err(candle_core::Error::wrap)?;
        if shared_bytes > SHARED_BYTES_UNASKED {
            let attribute = driver_sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, shared_bytes as i32).map_err(candle_core::Error::wrap)?;
        }
        let handle = function.cu_function();
        loaded.functions.insert(key, function);
        Ok(handle)
    }

    /// Records what `work` queues on the stream.
    pub(super) fn record(&self, work: impl FnOnce() -> Result<()>) -> Result<Graph> {
        self.give_workspace()?;
        let stream = self.device.cuda_stream();
        // Others of this process may go on using the driver as they like; this thread is held to what can be repeated.
        let mode = driver_sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        recorder::begin()?;
        let begun = stream.begin_capture(mode).map_err(candle_core::Error::wrap);
        let worked = begun.and_then(|()| work());
        // Also after an error: the stream is to work again.
        let captured = stream.end_capture(driver_sys::CUgraphInstantiate_flags(0));
        let held = recorder::end().held;
        worked?;
        let Some(graph) = captured.map_err(candle_core::Error::wrap)? else {
            bail!("a recording without work");
        };
        graph.upload().map_err(candle_core::Error::wrap)?;
        Ok(Graph { graph, stream, _held: held })
    }

    /// Gives this card's cuBLAS memory of its own, once.
    fn give_workspace(&self) -> Result<()> {
        let stream = self.device.cuda_stream();
        let mut loaded = LOADED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Vacant(entry) = loaded.workspaces.entry(stream.context().ordinal()) {
            let memory = self.device.alloc_zeros::<u8>(WORKSPACE_BYTES)?;
            let address = memory.device_ptr(&stream).0;
            let handle = self.device.cublas_handle();
            // SAFETY: the memory is as long as said and is never freed: it is kept in a static, as long as the handle.
            let done =
                unsafe { blas_sys::cublasSetWorkspace_v2(*handle.handle(), address as *mut c_void, WORKSPACE_BYTES) };
            done.result().map_err(|error| candle_core::Error::Msg(format!("cuBLAS takes no workspace: {error:?}")))?;
            entry.insert(memory);
        }
        Ok(())
    }

    pub(super) fn upload<T: WithDType>(&self, address: u64, values: &[T]) -> Result<()> {
        let stream = self.device.cuda_stream();
        stream.context().bind_to_thread().map_err(candle_core::Error::wrap)?;
        // SAFETY: the caller's tensor is at the address, of this type and at least as long. The driver has read ordinary
        // memory of the host when it returns.
        unsafe { driver::memcpy_htod_async(address, values, stream.cu_stream()) }.map_err(candle_core::Error::wrap)
    }

    pub(super) fn download<T: WithDType>(&self, address: u64, values: &mut [T]) -> Result<()> {
        let stream = self.device.cuda_stream();
        stream.context().bind_to_thread().map_err(candle_core::Error::wrap)?;
        // SAFETY: as for `upload`; the values are there once the stream is waited for.
        unsafe { driver::memcpy_dtoh_async(values, address, stream.cu_stream()) }.map_err(candle_core::Error::wrap)?;
        stream.synchronize().map_err(candle_core::Error::wrap)
    }

    /// cuBLAS counts columns first: `Cᵀ = Bᵀ Aᵀ` is our product with the factors changed over.
    pub(super) fn gemm(&self, alpha: f32, a: Operand, b: Operand, beta: f32, c: Operand) -> Result<()> {
        let operation = |operand: Operand| match operand.is_transposed {
            true => blas_sys::cublasOperation_t::CUBLAS_OP_T,
            false => blas_sys::cublasOperation_t::CUBLAS_OP_N,
        };
        let int = |count: usize| i32::try_from(count).map_err(candle_core::Error::wrap);
        let handle = self.device.cublas_handle();
        // cuBLAS works in the context that the calling thread is bound to.
        self.device.cuda_stream().context().bind_to_thread().map_err(candle_core::Error::wrap)?;
        // SAFETY: the operands' addresses, shapes and strides come from live tensors and were checked to fit each
        // other; cuBLAS runs on the same stream as everything else.
        let done = unsafe {
            blas::gemm_ex(
                *handle.handle(),
                operation(b),
                operation(a),
                int(c.cols)?,
                int(c.rows)?,
                int(a.cols)?,
                (&raw const alpha).cast(),
                b.address as *const c_void,
                data_type(b.dtype),
                int(b.stride)?,
                a.address as *const c_void,
                data_type(a.dtype),
                int(a.stride)?,
                (&raw const beta).cast(),
                c.address as *mut c_void,
                data_type(c.dtype),
                int(c.stride)?,
                blas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        };
        done.map_err(|error| candle_core::Error::Msg(format!("product of {a} and {b} into {c}: {error:?}")))
    }
}

// SAFETY: the driver wants calls on a graph to come one after the other, from whichever thread. It is not `Sync`, so that
// one thread has it at a time, and each call binds the context to its thread.
unsafe impl Send for Graph {}

impl Graph {
    pub(super) fn launch(&self) -> Result<()> {
        self.graph.launch().map_err(|error| candle_core::Error::Msg(format!("a recording: {error}")))
    }
}

impl Drop for Graph {
    /// Waits: what the graph uses must not be freed while it runs.
    fn drop(&mut self) {
        // A card that fails here has failed before; there is nobody to tell.
        let _ = self.stream.synchronize();
    }
}

fn bits(argument: Argument) -> u64 {
    match argument {
        Argument::Address(address) => address,
        Argument::Int(value) => u64::from(value as u32),
        Argument::Long(value) => value as u64,
        Argument::Float(value) => u64::from(value.to_bits()),
    }
}

fn data_type(dtype: DType) -> blas_sys::cudaDataType {
    match dtype {
        DType::BF16 => blas_sys::cudaDataType::CUDA_R_16BF,
        _ => blas_sys::cudaDataType::CUDA_R_32F,
    }
}

/// Memory that nothing was written to yet.
pub(super) fn allocate(device: &CudaDevice, count: usize, dtype: DType) -> Result<CudaStorage> {
    // What the driver makes of 0 bytes is nowhere said; freeing it can fail, and then a later call reports that.
    let count = count.max(1);
    // SAFETY: `Gpu::empty`'s callers hand the memory to a kernel that writes all of it before anything reads it, which
    // the tests show in the emulation, where it holds NaN.
    unsafe {
        Ok(match dtype {
            DType::F32 => CudaStorage::wrap_cuda_slice(device.alloc::<f32>(count)?, device.clone()),
            DType::BF16 => CudaStorage::wrap_cuda_slice(device.alloc::<bf16>(count)?, device.clone()),
            DType::U32 => CudaStorage::wrap_cuda_slice(device.alloc::<u32>(count)?, device.clone()),
            DType::U8 => CudaStorage::wrap_cuda_slice(device.alloc::<u8>(count)?, device.clone()),
            other => bail!("no kernel writes {other:?}"),
        })
    }
}
