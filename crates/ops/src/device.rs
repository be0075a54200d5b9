//! The GPU: what this build can do with one, which are there, and opening one.

#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;

use candle_core::{Device, Result};

/// Whether this build can compute on a GPU.
pub const BUILT_WITH_CUDA: bool = cfg!(feature = "cuda");

/// What the kernels were compiled for, such as `sm_80 sm_90a, PTX 90`; `none` without CUDA.
pub fn built_for() -> &'static str {
    #[cfg(feature = "cuda")]
    return compiled::ARCHITECTURES;
    #[cfg(not(feature = "cuda"))]
    "none"
}

/// What `build.rs` made of `kernels/`.
#[cfg(feature = "cuda")]
pub(crate) mod compiled {
    include!(concat!(env!("OUT_DIR"), "/fatbins.rs"));
}

/// The names of the kernel files in this build; none without CUDA.
pub fn kernels() -> Vec<&'static str> {
    #[cfg(feature = "cuda")]
    return compiled::FATBINS.iter().map(|(name, _)| *name).collect();
    #[cfg(not(feature = "cuda"))]
    Vec::new()
}

/// A GPU of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// Its place in the driver's list, from 0; `CUDA_VISIBLE_DEVICES` changes that list.
    pub ordinal: usize,
    /// As NVIDIA calls it.
    pub name: String,
    /// Compute capability, major and minor: (9, 0) is Hopper.
    pub capability: (i32, i32),
    /// Bytes of its memory.
    pub total_bytes: usize,
    /// Bytes that nobody uses now.
    pub free_bytes: usize,
    /// Newest CUDA that the driver supports, major and minor.
    pub driver_cuda: (i32, i32),
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GIB: f64 = (1u64 << 30) as f64;
        let (free, total) = (self.free_bytes as f64 / GIB, self.total_bytes as f64 / GIB);
        let ((major, minor), (driver_major, driver_minor)) = (self.capability, self.driver_cuda);
        write!(
            f,
            "{}, compute capability {major}.{minor}, {free:.1} GiB free of {total:.1} GiB, \
             driver for CUDA {driver_major}.{driver_minor}",
            self.name
        )
    }
}

/// The GPUs that the driver shows, those too old for us among them.
///
/// # Errors
///
/// When there is none, no driver, or no CUDA in this build; the message ends with a way out.
pub fn gpus() -> Result<Vec<Gpu>> {
    #[cfg(feature = "cuda")]
    return cuda::gpus();
    #[cfg(not(feature = "cuda"))]
    Err(no_cuda())
}

/// A GPU that can be computed on: there, and of compute capability 8.0 (Ampere) or newer.
///
/// # Errors
///
/// As for [`gpus`], and when this one is not there or older.
pub fn gpu(ordinal: usize) -> Result<Gpu> {
    #[cfg(feature = "cuda")]
    return cuda::usable(ordinal);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = ordinal;
        Err(no_cuda())
    }
}

/// Opens a GPU. All work on it is to come from one thread: its stream is its own and nothing waits for another.
///
/// # Errors
///
/// As for [`gpu`], and when the driver or a library refuses.
pub fn open(ordinal: usize) -> Result<Device> {
    gpu(ordinal)?;
    #[cfg(feature = "cuda")]
    return cuda::open(ordinal);
    #[cfg(not(feature = "cuda"))]
    Err(no_cuda())
}

/// What NVIDIA calls the GPU that a device is.
///
/// # Errors
///
/// When the device is no GPU.
pub fn name(device: &Device) -> Result<String> {
    #[cfg(feature = "cuda")]
    return cuda::name(device);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        Err(no_cuda())
    }
}

/// Bytes of a GPU that nobody uses now.
///
/// # Errors
///
/// When the device is no GPU.
pub fn free_bytes(device: &Device) -> Result<usize> {
    #[cfg(feature = "cuda")]
    return cuda::free_bytes(device);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        Err(no_cuda())
    }
}

/// Most bytes that this process held at once in a GPU's memory pool, which all tensors come from.
///
/// # Errors
///
/// When the device is no GPU.
pub fn peak_bytes(device: &Device) -> Result<usize> {
    #[cfg(feature = "cuda")]
    return cuda::peak_bytes(device);
    #[cfg(not(feature = "cuda"))]
    {
        let _ = device;
        Err(no_cuda())
    }
}

#[cfg(not(feature = "cuda"))]
fn no_cuda() -> candle_core::Error {
    candle_core::Error::Msg(
        "this build has no CUDA\nhint: build with `--features cuda`, or compute on the processor: `--device cpu`, or \
         `device = \"cpu\"` in the settings"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_said_in_one_line() {
        let gpu = Gpu {
            ordinal: 0,
            name: "NVIDIA H100 80GB HBM3".to_owned(),
            capability: (9, 0),
            total_bytes: 80 << 30,
            free_bytes: 79 << 30,
            driver_cuda: (13, 0),
        };
        let line = "NVIDIA H100 80GB HBM3, compute capability 9.0, 79.0 GiB free of 80.0 GiB, driver for CUDA 13.0";
        assert_eq!(gpu.to_string(), line);
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn without_cuda_the_error_names_the_way_out() {
        let message = open(0).unwrap_err().to_string();
        assert!(message.contains("--features cuda") && message.contains("--device cpu"), "{message}");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn every_kernel_file_was_compiled() {
        assert!(kernels().contains(&"rms_norm"));
        // The magic number that a fatbin begins with.
        assert!(compiled::FATBINS.iter().all(|(_, bytes)| bytes.starts_with(&0xba55_ed50_u32.to_le_bytes())));
        assert!(compiled::FATBINS.iter().all(|(_, bytes)| bytes.as_ptr().addr() % 16 == 0));
    }
}
