//! Plain Rust, compiled for an instruction set.

use crate::Isa;

/// Runs `work` with the instructions of `isa`, as far as this processor has them.
///
/// Only what is inlined into `work` uses them: mark it `#[inline(always)]`. Products and sums are never joined, so
/// results do not depend on the instructions.
pub(crate) fn run<T>(isa: Isa, work: impl FnOnce() -> T) -> T {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        fn with_avx512<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_avx2<T>(work: impl FnOnce() -> T) -> T {
            work()
        }
        match isa.min(Isa::best()) {
            // SAFETY: the processor has what `Isa::best` says.
            Isa::Avx512 | Isa::Avx512Bf16 => unsafe { with_avx512(work) },
            // SAFETY: the same.
            Isa::Avx2 => unsafe { with_avx2(work) },
            Isa::Portable => work(),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = isa;
        work()
    }
}
