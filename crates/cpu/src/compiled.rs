//! Plain Rust, compiled for each instruction set.

use crate::Isa;

/// Work without vectors of its own. `run` and all that should use the instructions are `#[inline(always)]`.
///
/// The compiler joins no products and sums, so results do not depend on the instructions.
pub(crate) trait Work {
    fn run(self);
}

/// Runs `work` with the instructions of `isa`, as far as this processor has them.
pub(crate) fn run(isa: Isa, work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        fn with_avx512(work: impl Work) {
            work.run();
        }
        #[target_feature(enable = "avx2,fma,f16c")]
        fn with_avx2(work: impl Work) {
            work.run();
        }
        match isa.min(Isa::best()) {
            // SAFETY: the processor has what `Isa::best` says.
            Isa::Avx512 | Isa::Avx512Bf16 => unsafe { with_avx512(work) },
            // SAFETY: the same.
            Isa::Avx2 => unsafe { with_avx2(work) },
            Isa::Portable => work.run(),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = isa;
        work.run();
    }
}
