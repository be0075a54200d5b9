//! Tensor ops of a Llama decoder, each as a `forward` / `backward` pair, without a tape.
//!
//! Every op takes and returns [`candle_core::Tensor`]s; candle supplies storage, dtypes and devices, the arithmetic is
//! ours. Activations are f32 on the CPU; the frozen weights are f32 or bf16, and their dtype decides the precision of
//! the products: f32 weights multiply in f32, bf16 weights multiply in bf16 with f32 sums ([`gemm`]).
//!
//! All sequences of a batch lie end to end, `T` tokens in all, with [`SeqBounds`] saying where each begins: there is
//! no padding. Letters: T tokens, C channels, H heads, G key/value heads, D head width, V vocabulary, R rank.
//!
//! Sums run in a fixed order, without atomics: the same input gives the same bits.
pub mod allocator;
mod bounds;
mod cpu;
pub mod device;
pub mod gemm;
mod gpu;
#[cfg(feature = "emulation")]
pub use gpu::emulation;

pub mod attention;
pub mod cross_entropy;
pub mod dora;
pub mod embedding;
pub mod linear;
#[cfg(feature = "cuda")]
pub mod nccl; // sums over cards of several processes
pub mod nf4;
pub mod noise;
pub mod optimizer;
pub mod packed;
pub mod paged;
pub mod recording;
pub mod residual;
pub mod rms_norm;
pub mod rope;
pub mod row_lora;
pub mod sampling;
pub mod swiglu;
pub mod weight;

pub use bounds::SeqBounds;

/// Dtype of the activations beside these frozen values: f32 on the CPU, on a card that of the values.
pub fn activation_dtype(frozen: &candle_core::Tensor) -> candle_core::DType {
    match gpu::Gpu::of(frozen) {
        Some(_) => frozen.dtype(),
        None => candle_core::DType::F32,
    }
}
