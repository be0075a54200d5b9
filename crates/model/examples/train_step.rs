//! Throughput and peak memory of a whole LoRA training step, for `bench/train_step.py`.
//!
//! usage: train_step MODEL_DIR TOKENS STEPS [bf16|f32] [none|mlp|block]
//!
//! One step is forward, backward, clipping and AdamW on one sequence of random ids in which every token but the first
//! is supervised; two warm-up steps are not counted. Prints one JSON line.

use std::time::Instant;

use candle_core::{DType, Device};
use codeact_model::{Adapter, Batch, Decoder, LoraConfig, Recompute, Target};
use codeact_ops::optimizer::{self, AdamW};

#[global_allocator]
static ALLOCATOR: codeact_ops::allocator::Allocator = codeact_ops::allocator::Allocator;

const WARM_UP: usize = 2;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    codeact_ops::allocator::keep_freed_pages();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, tokens, steps, rest @ ..] = &args[..] else {
        return Err("usage: train_step MODEL_DIR TOKENS STEPS [bf16|f32] [none|mlp|block]".into());
    };
    let (tokens, steps): (usize, usize) = (tokens.parse()?, steps.parse()?);
    let dtype = if rest.iter().any(|arg| arg == "f32") { DType::F32 } else { DType::BF16 };
    let recompute = match rest.get(1).map(String::as_str) {
        Some("mlp") => Recompute::Mlp,
        Some("block") => Recompute::Block,
        _ => Recompute::None,
    };
    let decoder = Decoder::load(folder.as_ref(), dtype, &Device::Cpu)?;
    let lora = LoraConfig { rank: 16, alpha: 32.0, rslora: false, targets: Target::ALL.to_vec() };
    let adapter = Adapter::new(decoder.config(), &lora, 0, &Device::Cpu)?;
    let parameters = adapter.parameters();
    let (m, v) = (parameters.zeros_like()?, parameters.zeros_like()?);
    let gradients = parameters.zeros_like()?;
    let batch = random_batch(tokens, decoder.config().vocab_size as u32)?;
    let scale = 1.0 / batch.labels.len() as f64;
    let (mut seconds, mut loss) = (Vec::new(), 0.0);
    for step in 0..WARM_UP + steps {
        let start = Instant::now();
        optimizer::zero(&gradients)?;
        loss = decoder.loss_and_gradients(&adapter, &batch, scale, recompute, &gradients)? * scale;
        let settings = AdamW {
            learning_rate: 2e-4,
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: 0.01,
            gradient_scale: (1.0 / (optimizer::norm(&gradients)? + 1e-6)).min(1.0),
        };
        optimizer::adamw_step(parameters, &gradients, &m, &v, &settings, step as u64 + 1)?;
        if step >= WARM_UP {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let rate = |seconds: f64| tokens as f64 / seconds;
    println!(
        "{{\"dtype\": \"{dtype:?}\", \"recompute\": \"{recompute:?}\", \"seq\": {tokens}, \"steps\": {steps}, \
         \"tok_s\": {:.1}, \"tok_s_best\": {:.1}, \"tok_s_worst\": {:.1}, \"peak_rss_mib\": {}, \"last_loss\": {loss:.4}}}",
        rate(seconds[steps / 2]),
        rate(seconds[0]),
        rate(seconds[steps - 1]),
        peak_rss_mib()?
    );
    Ok(())
}

fn random_batch(tokens: usize, vocab: u32) -> Result<Batch, codeact_model::ModelError> {
    let mut state = 1u32;
    let ids: Vec<u32> = (0..tokens)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            20 + (state >> 8) % (vocab - 20)
        })
        .collect();
    let targets: Vec<bool> = (0..tokens).map(|index| index > 0).collect();
    Batch::new([(&ids[..], &targets[..])])
}

/// The kernel's own high-water mark of this process.
fn peak_rss_mib() -> Result<u64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
}
