//! What a run needs in memory, by arithmetic, before the first step.

use candle_core::DType;
use codeact_model::{ModelConfig, Recompute};
use codeact_ops::cross_entropy::CHUNK_ROWS;

use crate::config::{Lora, RecomputeChoice};

/// All levels, the fastest first.
const LEVELS: [Recompute; 3] = [Recompute::None, Recompute::Mlp, Recompute::Block];

/// Bytes of an activation on the CPU.
const F32_BYTES: usize = 4;

/// Part of the free memory that a run may plan with; the rest is for the allocator and the tokenizer.
const USABLE: f64 = 0.85;

/// An estimate, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Frozen weights.
    pub weights: usize,
    /// Adapter, its gradients and the two moments.
    pub adapter: usize,
    /// What the forward pass keeps for the backward pass of the largest pack, and its working set.
    pub activations: usize,
}

impl Memory {
    /// The sum.
    pub fn total(&self) -> usize {
        self.weights + self.adapter + self.activations
    }
}

/// Trainable values: the LoRA pairs, and the embedding and head rows of new tokens.
pub fn parameter_count(model: &ModelConfig, lora: &Lora, new_token_count: usize) -> usize {
    let widths = lora.targets.iter().map(|target| target.widths(model));
    let per_layer: usize = widths.map(|(c_in, c_out)| lora.rank * (c_in + c_out)).sum();
    let tables = if model.tie_word_embeddings { 1 } else { 2 };
    model.layer_count * per_layer + new_token_count * tables * model.hidden_size
}

/// The estimate for packs of `pack_tokens` tokens.
pub fn estimate(
    model: &ModelConfig,
    lora: &Lora,
    new_token_count: usize,
    dtype: DType,
    pack_tokens: usize,
    recompute: Recompute,
) -> Memory {
    let c = model.hidden_size;
    let q = model.head_count * model.head_width;
    let kv = model.kv_head_count * model.head_width;
    let rank = |count: usize| count * lora.rank;
    let mlp = 2 * model.intermediate_size + rank(3);
    let attention = 2 * q + 2 * kv + model.head_count + rank(4);
    let kept = match recompute {
        Recompute::None => 2 * c + attention + mlp,
        Recompute::Mlp => 2 * c + attention,
        Recompute::Block => c,
    };
    // One block at a time holds all of its own, the gradients of the same, and the SwiGLU output.
    let working = 2 * (2 * c + attention + mlp) + 2 * model.intermediate_size;
    let logits = CHUNK_ROWS * model.vocab_size;
    Memory {
        weights: model.weight_bytes(dtype),
        adapter: 4 * F32_BYTES * parameter_count(model, lora, new_token_count),
        activations: F32_BYTES * (pack_tokens * (model.layer_count * kept + working) + logits),
    }
}

/// The level of the settings, or the fastest one whose estimate fits into `free_bytes`; without that number, or where
/// none fits, the leanest.
pub fn choose(choice: RecomputeChoice, free_bytes: Option<usize>, estimate: impl Fn(Recompute) -> Memory) -> Recompute {
    match choice {
        RecomputeChoice::None => Recompute::None,
        RecomputeChoice::Mlp => Recompute::Mlp,
        RecomputeChoice::Block => Recompute::Block,
        RecomputeChoice::Auto => {
            let budget = free_bytes.map_or(0, |bytes| (bytes as f64 * USABLE) as usize);
            let fits = |level: &Recompute| estimate(*level).total() <= budget;
            LEVELS.into_iter().find(fits).unwrap_or(Recompute::Block)
        }
    }
}

/// The level as the settings spell it.
pub fn level_name(level: Recompute) -> &'static str {
    match level {
        Recompute::None => "none",
        Recompute::Mlp => "mlp",
        Recompute::Block => "block",
    }
}

/// Memory that is free, in bytes, where the system says so (`MemAvailable`; the limit of a container counts too).
pub fn free_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let host = line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024;
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<usize>().ok();
    let version_2 = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current");
    let version_1 = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes");
    let container =
        [version_2, version_1].into_iter().find_map(|(limit, used)| Some(number(limit)?.saturating_sub(number(used)?)));
    Some(container.map_or(host, |free| free.min(host)))
}

/// Most memory this process has held at once, in bytes, where the system says so (`VmHWM`).
pub fn peak_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: usize = 1 << 30;

    fn of_level(level: Recompute) -> Memory {
        let activations = match level {
            Recompute::None => 8 * GIB,
            Recompute::Mlp => 4 * GIB,
            Recompute::Block => GIB,
        };
        Memory { weights: GIB, adapter: 0, activations }
    }

    #[test]
    fn the_fastest_level_that_fits_is_chosen() {
        let chosen = |gibibytes: usize| choose(RecomputeChoice::Auto, Some(gibibytes * GIB), of_level);
        assert_eq!(chosen(16), Recompute::None);
        assert_eq!(chosen(10), Recompute::Mlp);
        assert_eq!(chosen(4), Recompute::Block);
        // Too little for any: the leanest has the best chance.
        assert_eq!(chosen(1), Recompute::Block);
        assert_eq!(choose(RecomputeChoice::Auto, None, of_level), Recompute::Block);
        assert_eq!(choose(RecomputeChoice::None, Some(0), of_level), Recompute::None);
    }
}
