//! Fitting a run into the memory that is free, before the first step.

use candle_core::Device;
use codeact_model::{MemoryPlan, Recompute, Workload};

use crate::allowance;
use crate::config::RecomputeChoice;
use crate::describe::bytes;

/// All levels, the fastest first.
pub const LEVELS: [Recompute; 3] = [Recompute::None, Recompute::Mlp, Recompute::Block];

/// Part of the free memory that a run may plan with on the CPU; the rest is for the allocator and the tokenizer.
const USABLE_ON_CPU: f64 = 0.85;

/// The same on a card, where all tensors come from one pool; and what the libraries take beside it.
const USABLE_ON_CARD: f64 = 0.97;
const LIBRARY_BYTES: usize = 256 << 20;

/// A pass of so many tokens keeps a card as busy as a larger one: smaller ones are for where nothing else fits.
const WORTHWHILE_TOKENS: usize = 4096;

/// How a run will use its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    /// What backward computes again.
    pub recompute: Recompute,
    /// Tokens of a forward and backward pass at most. A pack with more is taken in several passes, whose gradients add
    /// up to the same.
    pub pass_tokens: usize,
    /// What that needs.
    pub plan: MemoryPlan,
}

/// The bytes that a run may plan with, or `None` where the system does not say how much is free.
///
/// # Errors
/// When a card does not answer.
pub fn budget(device: &Device) -> candle_core::Result<Option<usize>> {
    if device.is_cpu() {
        return Ok(allowance::free_bytes().map(|free| (free as f64 * USABLE_ON_CPU) as usize));
    }
    let free = codeact_ops::device::free_bytes(device)?;
    Ok(Some(((free as f64 * USABLE_ON_CARD) as usize).saturating_sub(LIBRARY_BYTES)))
}

/// The fastest way that fits: whole packs before parts of them, and little to compute again before small passes.
///
/// * `pack_tokens`, `longest`: tokens of the largest pack and the longest conversation.
/// * `plan`: what passes of at most so many tokens need at a level.
///
/// # Errors
/// When nothing fits: the way that needs least.
pub fn choose(
    choice: RecomputeChoice,
    budget: Option<usize>,
    (pack_tokens, longest): (usize, usize),
    plan: impl Fn(usize, Recompute) -> MemoryPlan,
) -> Result<Fit, Fit> {
    let (levels, leanest) = (levels(choice), leanest(choice));
    let fit = |pass_tokens: usize, recompute| Fit { recompute, pass_tokens, plan: plan(pass_tokens, recompute) };
    let Some(budget) = budget else {
        return Ok(fit(pack_tokens, leanest));
    };
    let mut sizes: Vec<usize> =
        std::iter::successors(Some(pack_tokens), |size| Some(size / 2)).take_while(|size| *size > longest).collect();
    sizes.push(longest);
    let is_worthwhile = |size: &&usize| **size >= WORTHWHILE_TOKENS.min(pack_tokens);
    let large = levels.iter().flat_map(|level| sizes.iter().filter(is_worthwhile).map(|size| fit(*size, *level)));
    let small = sizes.iter().map(|size| fit(*size, leanest));
    let fitting = large.chain(small).find(|fit| fit.plan.total() <= budget);
    fitting.ok_or_else(|| fit(longest, leanest))
}

/// The levels that the settings allow, the fastest first.
fn levels(choice: RecomputeChoice) -> &'static [Recompute] {
    match choice {
        RecomputeChoice::None => &[Recompute::None],
        RecomputeChoice::Mlp => &[Recompute::Mlp],
        RecomputeChoice::Block => &[Recompute::Block],
        RecomputeChoice::Auto => &LEVELS,
    }
}

/// The level that needs least memory of those that the settings allow.
pub fn leanest(choice: RecomputeChoice) -> Recompute {
    let levels = levels(choice);
    levels[levels.len() - 1]
}

/// What a pass of so many tokens needs at a level, with room for what goes on between passes. Everything supervised is the
/// worst case.
///
/// * `reserved`: a plan with that room.
fn need(
    workload: &Workload,
    token_count: usize,
    level: Recompute,
    reserved: &dyn Fn(MemoryPlan, &Workload) -> MemoryPlan,
) -> usize {
    let pass = codeact_model::Pass { token_count, target_count: token_count };
    reserved(workload.plan(pass, level), workload).total()
}

/// To compute more again, where the settings do not allow what would make a run fit: it changes no result.
///
/// * `reserved`: a plan with room for what goes on between passes.
pub fn leaner(
    choice: RecomputeChoice,
    workload: &Workload,
    longest: usize,
    budget: usize,
    reserved: &dyn Fn(MemoryPlan, &Workload) -> MemoryPlan,
) -> Option<String> {
    let need = need(workload, longest, Recompute::Block, reserved);
    let is_way = leanest(choice) != Recompute::Block && need <= budget;
    is_way.then(|| format!("train.recompute = \"auto\" (about {})", bytes(need)))
}

/// Ways to make a run fit that are told at most.
pub const WAYS_MAX: usize = 3;

/// What else would make a run fit that needs more than `budget`, at most [`WAYS_MAX`] ways, the one that changes least first.
///
/// * `level`: the leanest that the settings allow.
/// * `reserved`: a plan with room for what goes on between passes.
pub fn remedies(
    workload: &Workload,
    longest: usize,
    level: Recompute,
    budget: usize,
    reserved: &dyn Fn(MemoryPlan, &Workload) -> MemoryPlan,
) -> Vec<String> {
    let need = |workload: &Workload, tokens: usize| need(workload, tokens, level, reserved);
    let mut quantised = workload.clone();
    quantised.weights = codeact_model::Weights::Nf4;
    let mut ways = Vec::new();
    let mut offer = |setting: String, need: usize| {
        if need <= budget {
            ways.push(format!("{setting} (about {})", bytes(need)));
        }
    };
    // Weights of 4 bits are trained beside, not themselves.
    let is_dense = workload.weights != codeact_model::Weights::Nf4 && workload.lora.is_some();
    if workload.lora.is_none() {
        offer_less_than_full(workload, &mut |way, other| offer(way, need(other, longest)));
    }
    if is_dense {
        offer("train.dtype = \"nf4\"".to_owned(), need(&quantised, longest));
    }
    let shorter = |workload: &Workload| {
        let lengths = std::iter::successors(Some(longest / 2), |length| Some(length / 2));
        lengths.take_while(|length| *length >= 256).find(|length| need(workload, *length) <= budget)
    };
    if let Some(length) = shorter(workload) {
        offer(format!("train.sequence_tokens_max = {length}"), need(workload, length));
    }
    let rank = |workload: &Workload| workload.lora.as_ref().map_or(1, |lora| lora.rank);
    let mut smaller = workload.clone();
    while rank(&smaller) > 1 && need(&smaller, longest) > budget {
        smaller.lora.iter_mut().for_each(|lora| lora.rank /= 2);
    }
    if rank(&smaller) < rank(workload) {
        offer(format!("lora.rank = {}", rank(&smaller)), need(&smaller, longest));
    }
    if let Some(length) = shorter(&quantised).filter(|_| is_dense) {
        let setting = format!("train.dtype = \"nf4\" with train.sequence_tokens_max = {length}");
        offer(setting, need(&quantised, length));
    }
    ways.truncate(WAYS_MAX);
    ways
}

/// Ways that train fewer values than all weights, or keep them once.
fn offer_less_than_full(workload: &Workload, offer: &mut dyn FnMut(String, &Workload)) {
    if !workload.is_on_card && workload.weights == codeact_model::Weights::Bf16 {
        let once = Workload { weights: codeact_model::Weights::F32, ..workload.clone() };
        offer("train.dtype = \"f32\", which keeps each weight once".to_owned(), &once);
    }
    let lora = Some(codeact_model::LoraConfig::all_linear(16, 32.0));
    let beside = Workload { lora, ..workload.clone() };
    offer("train.method = \"lora\" with lora.rank = 16 and lora.alpha = 32".to_owned(), &beside);
    let quantised = Workload { weights: codeact_model::Weights::Nf4, ..beside };
    offer("the same with train.dtype = \"nf4\"".to_owned(), &quantised);
}

/// The level as the settings spell it.
pub fn level_name(level: Recompute) -> &'static str {
    match level {
        Recompute::None => "none",
        Recompute::Mlp => "mlp",
        Recompute::Block => "block",
    }
}

/// Most memory this run has held at once, in bytes: of the card's pool, or of the process where the system says so
/// (`VmHWM`).
pub fn peak_bytes(device: &Device) -> Option<usize> {
    if !device.is_cpu() {
        return codeact_ops::device::peak_bytes(device).ok();
    }
    process_bytes("VmHWM:")
}

/// Memory in use now, in bytes: of the process where the system says so (`VmRSS`), or the most of a card's pool so far.
pub fn used_bytes(device: &Device) -> Option<usize> {
    if device.is_cpu() { process_bytes("VmRSS:") } else { peak_bytes(device) }
}

/// A line of `/proc/self/status`.
fn process_bytes(name: &str) -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use codeact_model::{LoraConfig, ModelConfig, Rotary, Weights};

    use super::*;

    const GIB: usize = 1 << 30;

    /// 1 GiB of weights; saved and working memory grow with the tokens of a pass, less so at the leaner levels.
    fn plan(pass_tokens: usize, level: Recompute) -> MemoryPlan {
        let saved = match level {
            Recompute::None => 8,
            Recompute::Mlp => 4,
            Recompute::Block => 1,
        };
        MemoryPlan { weights: GIB, adapter: 0, optimizer: 0, saved: saved * pass_tokens * (GIB / 16384), working: 0 }
    }

    fn chosen(choice: RecomputeChoice, gibibytes: f64) -> Result<(Recompute, usize), (Recompute, usize)> {
        let budget = Some((gibibytes * GIB as f64) as usize);
        let short = |fit: Fit| (fit.recompute, fit.pass_tokens);
        choose(choice, budget, (16384, 1000), plan).map(short).map_err(short)
    }

    #[test]
    fn the_fastest_way_that_fits_is_chosen() {
        let auto = |gibibytes| chosen(RecomputeChoice::Auto, gibibytes);
        assert_eq!(auto(16.0), Ok((Recompute::None, 16384)));
        assert_eq!(auto(5.0), Ok((Recompute::None, 8192)));
        assert_eq!(auto(3.0), Ok((Recompute::None, 4096)));
        assert_eq!(auto(2.5), Ok((Recompute::Mlp, 4096)));
        // Too little for passes worth their while.
        assert_eq!(auto(1.2), Ok((Recompute::Block, 2048)));
        assert_eq!(auto(1.07), Ok((Recompute::Block, 1024)));
        assert_eq!(auto(1.0), Err((Recompute::Block, 1000)));
        assert_eq!(chosen(RecomputeChoice::None, 2.0), Ok((Recompute::None, 2048)));
        assert_eq!(chosen(RecomputeChoice::None, 1.2), Err((Recompute::None, 1000)));
        let unknown = choose(RecomputeChoice::Auto, None, (16384, 1000), plan).map(|fit| fit.recompute);
        assert_eq!(unknown.ok(), Some(Recompute::Block));
    }

    /// Mistral-7B.
    fn workload(weights: Weights) -> Workload {
        let model = ModelConfig {
            hidden_size: 4096,
            intermediate_size: 14336,
            layer_count: 32,
            head_count: 32,
            kv_head_count: 8,
            head_width: 128,
            vocab_size: 32000,
            context_tokens_max: 32768,
            rms_norm_eps: 1e-5,
            rotary: Rotary { inverse_frequencies: vec![1.0; 64] },
            sliding_window: None,
            tie_word_embeddings: false,
        };
        let lora = Some(LoraConfig::all_linear(16, 32.0));
        Workload { model, lora, new_token_count: 2, weights, is_on_card: true }
    }

    #[test]
    fn mistral_fits_where_its_arithmetic_says() {
        let total = |weights, tokens: usize, level| {
            let pass = codeact_model::Pass { token_count: tokens, target_count: tokens / 4 };
            workload(weights).plan(pass, level).total() as f64 / 1e9
        };
        // 14.48 GB of weights, 94.6 KB for each token and layer, and what one block works with.
        assert!((64.0..68.0).contains(&total(Weights::Bf16, 16384, Recompute::None)));
        // 4.12 GB of weights.
        assert!((6.5..8.0).contains(&total(Weights::Nf4, 4096, Recompute::Block)));
    }

    #[test]
    fn remedies_fit_and_say_how_much_they_need() {
        let dense = workload(Weights::Bf16);
        let remedies = |workload: &Workload, longest, budget| {
            remedies(workload, longest, Recompute::Block, budget, &|plan, _| plan)
        };
        let ways = remedies(&dense, 8192, 12_000_000_000);
        assert!(ways[0].starts_with("train.dtype = \"nf4\" (about"), "{ways:?}");
        assert!(ways.len() <= 3);
        assert!(remedies(&dense, 8192, 1_000_000_000).is_empty());
        let ways = remedies(&workload(Weights::Nf4), 16384, 9_000_000_000);
        assert!(ways[0].starts_with("train.sequence_tokens_max = "), "{ways:?}");
        let full = |weights, is_on_card| Workload { lora: None, is_on_card, ..workload(weights) };
        let ways = remedies(&full(Weights::Bf16, true), 1024, 40_000_000_000);
        assert!(ways[0].starts_with("train.method = \"lora\" with lora.rank = 16"), "{ways:?}");
        assert!(ways[1].starts_with("the same with train.dtype = \"nf4\""), "{ways:?}");
        let ways = remedies(&full(Weights::Bf16, false), 1024, 128_000_000_000);
        assert!(ways[0].starts_with("train.dtype = \"f32\""), "{ways:?}");
    }

    #[test]
    fn remedies_are_of_the_levels_that_the_settings_allow() {
        let dense = workload(Weights::Bf16);
        let as_it_is = |plan: MemoryPlan, _: &Workload| plan;
        let total = |tokens, level| need(&dense, tokens, level, &as_it_is);
        // Enough to compute blocks again, and not for any other level.
        let budget = total(4096, Recompute::Block);
        assert!(budget < total(4096, Recompute::Mlp));
        let leaner = |choice, budget| leaner(choice, &dense, 4096, budget, &as_it_is);
        for choice in [RecomputeChoice::None, RecomputeChoice::Mlp] {
            let way = leaner(choice, budget).expect("blocks fit");
            assert!(way.starts_with("train.recompute = \"auto\" (about "), "{way}");
            assert_eq!(leaner(choice, budget - 1), None, "blocks do not fit");
            // Half as long would fit where blocks are computed again, and only there.
            let ways = remedies(&dense, 4096, leanest(choice), total(2048, Recompute::Block), &as_it_is);
            assert!(!ways.iter().any(|way| way.starts_with("train.sequence_tokens_max = 2048")), "{ways:?}");
        }
        for choice in [RecomputeChoice::Block, RecomputeChoice::Auto] {
            assert_eq!((leaner(choice, budget), leanest(choice)), (None, Recompute::Block));
            let ways = remedies(&dense, 4096, leanest(choice), total(2048, Recompute::Block), &as_it_is);
            assert!(ways.iter().any(|way| way.starts_with("train.sequence_tokens_max = 2048")), "{ways:?}");
        }
    }

    #[test]
    fn remedies_leave_room_for_what_goes_on_between_passes() {
        let quantised = workload(Weights::Nf4);
        let ways = |bytes: usize| {
            let reserved = move |plan: MemoryPlan, _: &Workload| {
                let working = plan.working.max(bytes.saturating_sub(plan.saved));
                MemoryPlan { working, ..plan }
            };
            remedies(&quantised, 16384, Recompute::Block, 9_000_000_000, &reserved)
        };
        assert_eq!(ways(1_000_000_000), ways(0), "less than training needs changes nothing");
        assert!(!ways(0).is_empty() && ways(8_000_000_000).is_empty());
    }

    #[test]
    fn all_weights_take_16_bytes_each_and_18_beside_16_bits() {
        let pass = codeact_model::Pass { token_count: 1, target_count: 1 };
        for (weights, of_each) in [(Weights::F32, 16), (Weights::Bf16, 18)] {
            let workload = Workload { lora: None, ..workload(weights) };
            let plan = workload.plan(pass, Recompute::Block);
            // Mistral-7B, and a row of embedding and head for each new token.
            assert_eq!(workload.parameter_count(), 7_241_732_096 + 2 * 2 * 4096);
            assert_eq!(plan.weights + plan.adapter + plan.optimizer, of_each * workload.parameter_count());
        }
    }
}
