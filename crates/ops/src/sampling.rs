//! Choosing the next token on a card, so that a step needs no logits on the host.
//!
//! The choice depends on the row's logits and [`Choice`] alone. What needs more than one row of logits to say (penalties,
//! biases, grammars, log-probabilities) is done on the host.

use candle_core::{DType, Result, Tensor, bail};

use crate::gpu::{Argument, Gpu, Grid};

/// The token of a row that has no finite logit.
pub const NO_TOKEN: u32 = u32::MAX;

/// Threads of a row.
const THREADS: usize = 512;

/// Tokens of a row at most.
pub const TOKENS_MAX: usize = 512 * THREADS;

/// Numbers of a row's settings (`kernels/sampling.cu`).
pub const CHOICE_WORDS: usize = 8;

/// How a row's token is chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// 0 takes the likeliest.
    pub temperature: f32,
    /// Only so many of the likeliest; `None` for all.
    pub top_k: Option<u32>,
    /// The shortest run of the likeliest that has this share of the mass; 1 for all.
    pub top_p: f32,
    /// Only what is at least so likely beside the likeliest; 0 for all.
    pub min_p: f32,
    /// A random number in `[0, 1)`, as a multiple of 2^-53: the row's place in the mass that is left.
    pub random: f64,
}

impl Choice {
    /// The likeliest token.
    pub const GREEDY: Self = Self { temperature: 0.0, top_k: None, top_p: 1.0, min_p: 0.0, random: 0.0 };

    /// As the kernel reads it.
    pub fn words(&self) -> [u32; CHOICE_WORDS] {
        let inverse = if self.temperature > 0.0 { 1.0 / self.temperature } else { 0.0 };
        let random = (self.random * (1u64 << 53) as f64) as u64;
        let (high, low) = ((random >> 32) as u32, random as u32);
        let top_k = self.top_k.unwrap_or(0);
        [inverse.to_bits(), top_k, self.top_p.to_bits(), self.min_p.to_bits(), high, low, 0, 0]
    }
}

/// Chooses a token for every row.
///
/// * `logits`: `(T, V)` f32. `choices`: `8 T` u32 or more, [`Choice::words`] row after row. `tokens`: `(T,)` u32, written;
///   [`NO_TOKEN`] where no logit is finite.
///
/// # Errors
/// When shapes or dtypes disagree.
pub fn choose(logits: &Tensor, choices: &Tensor, tokens: &Tensor) -> Result<()> {
    let (rows, count) = logits.dims2()?;
    let Some(gpu) = Gpu::of(logits) else {
        bail!("sampling of `ops` runs on a card");
    };
    let types = [logits.dtype(), choices.dtype(), tokens.dtype()];
    let fits = choices.elem_count() >= rows * CHOICE_WORDS && tokens.dims() == [rows];
    if types != [DType::F32, DType::U32, DType::U32] || !fits || count > TOKENS_MAX {
        bail!(
            "sampling: logits {:?}, choices {:?}, tokens {:?}, {types:?}; at most {TOKENS_MAX} tokens",
            logits.dims(),
            choices.dims(),
            tokens.dims()
        );
    }
    let arguments =
        [Argument::write(tokens)?, Argument::read(logits)?, Argument::read(choices)?, Argument::int(count)?];
    gpu.launch("sampling_choose", Grid::of(rows, THREADS), &arguments)
}
