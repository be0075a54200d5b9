//! Kernels for AVX2.
#![cfg(target_arch = "x86_64")]

use super::kernels::Kernel;
use super::portable;
use crate::format::Format;

/// Runs `work`, compiled for these instructions where it is inlined.
///
/// # Safety
/// The processor has them.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn with_avx2<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// The kernels of a format for tiles of 1, 2, 4 and 8 rows.
pub(super) fn kernels(format: Format) -> [Kernel; 4] {
    portable::kernels(format)
}
