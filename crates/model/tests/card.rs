//! A whole model with a card's kernels and bf16 activations beside the CPU's f32: heads of 64 on tensor cores, shared key
//! heads, a window, quantised weights, trained rows for new tokens. And the memory plan against bytes that were counted.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

mod counting;
mod place;

use std::sync::LazyLock;

use candle_core::Tensor;
use codeact_model::{
    Adapter, Batch, Decoder, LoraConfig, ModelConfig, ModulePattern, Noise, Pass, Recompute, Rotary, Target, Weights,
    Workload,
};
use codeact_ops::emulation::Emulation;
use place::{Place, emulated, in_each_place, on_cpu};

const NEW_TOKENS: usize = 2;

fn config(layer_count: usize, head_width: usize) -> ModelConfig {
    let inverse_frequencies = (0..head_width / 2).map(|i| 0.9f32.powi(i as i32)).collect();
    ModelConfig {
        hidden_size: 128,
        intermediate_size: 192,
        layer_count,
        head_count: 2,
        kv_head_count: 1,
        head_width,
        vocab_size: 94,
        context_tokens_max: 512,
        rms_norm_eps: 1e-5,
        rotary: Rotary { inverse_frequencies },
        sliding_window: Some(50),
        tie_word_embeddings: false,
    }
}

/// Compiled once: what counts allocations does not count patterns.
static LORA: LazyLock<LoraConfig> = LazyLock::new(|| {
    // Keys have no pair, so that the pairs of a fused weight do not lie side by side.
    let targets = Target::ALL.into_iter().filter(|target| *target != Target::K).collect();
    let pattern = |key: &str| ModulePattern::new(key).unwrap();
    let lora = LoraConfig {
        targets,
        rank_pattern: vec![(pattern("q_proj"), 5), (pattern(r"layers\.1\..*"), 12)],
        alpha_pattern: vec![(pattern("(q|up)_proj"), 7.0)],
        ..LoraConfig::all_linear(8, 16.0)
    };
    assert!(lora.idle_patterns(3).is_empty());
    lora
});

fn lora() -> LoraConfig {
    LORA.clone()
}

fn adapter(decoder: &Decoder) -> Adapter {
    adapter_of(decoder, &lora())
}

fn adapter_of(decoder: &Decoder, lora: &LoraConfig) -> Adapter {
    let adapter = decoder.new_adapter(lora, decoder.config().vocab_size + NEW_TOKENS, 7).unwrap();
    let count = adapter.parameter_count();
    let wave = (0..count).map(|i| (i as f32 * 0.7).sin() * 0.05).collect();
    let device = adapter.parameters().device();
    adapter.parameters().slice_set(&Tensor::from_vec::<_, f32>(wave, count, device).unwrap(), 0, 0).unwrap();
    adapter
}

/// Documents of these lengths; every fourth token and the end are supervised.
fn batch(lengths: &[usize]) -> Batch {
    let documents: Vec<(Vec<u32>, Vec<bool>)> = lengths
        .iter()
        .map(|length| {
            let ids = (0..*length as u32).map(|at| (at * 37 + *length as u32) % 96).collect();
            (ids, (0..*length).map(|at| at > 0 && (at % 4 == 0 || at + 1 == *length)).collect())
        })
        .collect();
    Batch::new(documents.iter().map(|(ids, targets)| (&ids[..], &targets[..]))).unwrap()
}

/// The mean loss and the flat gradient.
fn step(decoder: &Decoder, adapter: &Adapter, batch: &Batch, recompute: Recompute) -> (f64, Vec<f32>) {
    let gradients = adapter.parameters().zeros_like().unwrap();
    let scale = 1.0 / batch.labels.len() as f64;
    let losses = decoder.losses_and_gradients(adapter, batch, scale, recompute, &gradients).unwrap();
    (losses.iter().sum::<f64>() * scale, on_cpu(&gradients).to_vec1().unwrap())
}

/// Relative to the norm of `want`.
fn distance(got: &[f32], want: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let off = norm(&mut got.iter().zip(want).map(|(a, b)| f64::from(a - b)));
    off / norm(&mut want.iter().map(|x| f64::from(*x)))
}

/// A Hugging Face folder of a model of this shape with reproducible weights.
fn folder(config: &ModelConfig) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (c, v, d) = (config.hidden_size, config.vocab_size, config.head_width);
    let text = serde_json::json!({
        "model_type": "mistral", "hidden_size": c, "intermediate_size": config.intermediate_size, "vocab_size": v,
        "num_hidden_layers": config.layer_count, "num_attention_heads": config.head_count, "head_dim": d,
        "num_key_value_heads": config.kv_head_count, "max_position_embeddings": config.context_tokens_max,
        "rms_norm_eps": config.rms_norm_eps, "sliding_window": config.sliding_window,
        "tie_word_embeddings": config.tie_word_embeddings,
    });
    std::fs::write(folder.path().join("config.json"), text.to_string()).unwrap();
    let mut shapes = vec![
        ("model.embed_tokens.weight".to_owned(), vec![v, c]),
        ("lm_head.weight".to_owned(), vec![v, c]),
        ("model.norm.weight".to_owned(), vec![c]),
    ];
    for layer in 0..config.layer_count {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        shapes.extend(["input_layernorm", "post_attention_layernorm"].map(|part| (name(part), vec![c])));
        shapes.extend(Target::ALL.map(|target| {
            let (c_in, c_out) = target.widths(config);
            (name(target.module()), vec![c_out, c_in])
        }));
    }
    let tensors = shapes.into_iter().zip(1..).map(|((name, shape), seed)| {
        let count: usize = shape.iter().product();
        let mut state = seed * 7919u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        });
        let values: Vec<f32> = match shape.len() {
            1 => noise.take(count).map(|x| 1.0 + 0.1 * x).collect(),
            _ => noise.take(count).map(|x| 0.08 * x).collect(),
        };
        (name, Tensor::from_vec(values, shape, &candle_core::Device::Cpu).unwrap())
    });
    let tensors: std::collections::HashMap<String, Tensor> = tensors.collect();
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    folder
}

#[test]
fn bf16_on_a_card_agrees_with_the_cpu() {
    let batch = batch(&[1, 70, 2, 40]);
    for head_width in [64, 128] {
        let folder = folder(&config(2, head_width));
        let run = |weights: Weights, device: &candle_core::Device| {
            let decoder = Decoder::load(folder.path(), weights, device).unwrap();
            step(&decoder, &adapter(&decoder), &batch, Recompute::None)
        };
        let wants = [Weights::Bf16, Weights::Nf4].map(|weights| (weights, run(weights, &candle_core::Device::Cpu)));
        in_each_place(|place| {
            for (weights, (want_loss, want)) in &wants {
                let (loss, gradient) = run(*weights, &place.device);
                let what = format!("{weights:?}, heads of {head_width}, {}", place.name);
                assert!((loss - want_loss).abs() < 2e-3 * want_loss, "{what}: {loss}, expected {want_loss}");
                let off = distance(&gradient, want);
                assert!(off < 2e-2, "{what}: gradient off by {off:.4} of its norm");
            }
        });
    }
}

#[test]
fn recompute_levels_and_runs_give_the_same_bits() {
    in_each_place(|place: &Place| {
        for (weights, head_width) in [(Weights::Bf16, 64), (Weights::Nf4, 64), (Weights::Bf16, 16)] {
            let decoder = Decoder::random(config(2, head_width), weights, &place.device, 3).unwrap();
            let (adapter, batch) = (adapter(&decoder), batch(&[70, 3]));
            let first = step(&decoder, &adapter, &batch, Recompute::None);
            assert!(first.0.is_finite() && first.1.iter().all(|value| value.is_finite()));
            for recompute in [Recompute::None, Recompute::Mlp, Recompute::Block] {
                let again = step(&decoder, &adapter, &batch, recompute);
                assert_eq!(first.0.to_bits(), again.0.to_bits(), "{weights:?} {recompute:?} {}", place.name);
                let same = first.1.iter().zip(&again.1).all(|(a, b)| a.to_bits() == b.to_bits());
                assert!(same, "{weights:?} {recompute:?} {}", place.name);
            }
        }
    });
}

#[test]
fn the_order_of_threads_changes_no_bit() {
    let device = candle_core::Device::Cpu;
    let results = [0, 1, 9].map(|seed| {
        let _emulation = Emulation::begin(seed);
        let decoder = Decoder::random(config(1, 64), Weights::Bf16, &device, 3).unwrap();
        step(&decoder, &adapter(&decoder), &batch(&[66, 5]), Recompute::Block)
    });
    assert_eq!(results[0], results[1]);
    assert_eq!(results[0], results[2]);
}

/// Of the plan's total, how far the counted bytes may be.
const PLAN_TOLERANCE: f64 = 0.02;
/// The widest projection of a fused weight is taken for all of them.
const PLAN_TOLERANCE_DORA_DROPOUT: f64 = 0.06;

#[test]
fn the_memory_plan_is_what_a_step_holds() {
    plan_is_what_a_step_holds(lora(), PLAN_TOLERANCE);
}

#[test]
fn the_memory_plan_is_what_a_step_with_dropout_holds() {
    plan_is_what_a_step_holds(LoraConfig { dropout: 0.1, ..lora() }, PLAN_TOLERANCE);
}

#[test]
fn the_memory_plan_is_what_a_step_with_dora_holds() {
    plan_is_what_a_step_holds(LoraConfig { dora: true, ..lora() }, PLAN_TOLERANCE);
    plan_is_what_a_step_holds(LoraConfig { dora: true, dropout: 0.1, ..lora() }, PLAN_TOLERANCE_DORA_DROPOUT);
}

#[test]
fn the_memory_plan_is_what_a_step_of_all_weights_holds() {
    emulated(|place| {
        for (weights, recompute) in [
            (Weights::Bf16, Recompute::None),
            (Weights::Bf16, Recompute::Block),
            (Weights::F32, Recompute::Mlp),
            (Weights::F32, Recompute::Block),
        ] {
            let start = counting::live();
            let model = ModelConfig { vocab_size: 94 + NEW_TOKENS, ..config(3, 64) };
            let (decoder, full) = Decoder::random_to_train(model, weights, &place.device, 3).unwrap();
            let batch = batch(&[150, 60]);
            let moments = [0, 1].map(|_| full.parameters().zeros_like().unwrap());
            counting::reset_peak();
            let gradients = full.parameters().zeros_like().unwrap();
            let scale = 1.0 / batch.labels.len() as f64;
            decoder.losses_and_weight_gradients(&batch, scale, recompute, &gradients).unwrap();
            let counted = counting::peak() - start;
            drop((moments, gradients));
            let model = decoder.config().clone();
            let workload = Workload { model, lora: None, new_token_count: 0, weights, is_on_card: true };
            let pass = Pass { token_count: batch.token_ids.len(), target_count: batch.labels.len() };
            let plan = workload.plan(pass, recompute);
            let off = (plan.total() as f64 - counted as f64) / counted as f64;
            println!("{weights:?} {recompute:?}: planned {}, counted {counted}: {off:+.4}", plan.total());
            assert!(off.abs() < PLAN_TOLERANCE, "{weights:?} {recompute:?}: {plan:?}, counted {counted}");
        }
    });
}

fn plan_is_what_a_step_holds(lora: LoraConfig, tolerance: f64) {
    emulated(|place| {
        for weights in [Weights::Bf16, Weights::Nf4, Weights::F32] {
            for (recompute, lengths) in [
                (Recompute::None, vec![150, 60]),
                (Recompute::Mlp, vec![150, 60]),
                (Recompute::Block, vec![150, 60]),
                (Recompute::None, vec![20]),
            ] {
                let start = counting::live();
                let decoder = Decoder::random(config(3, 64), weights, &place.device, 3).unwrap();
                let (adapter, mut batch) = (adapter_of(&decoder, &lora), batch(&lengths));
                let documents = (0..lengths.len() as u32).collect();
                batch.noise = Some(Noise { seed: 1, step: 1, documents, neftune_alpha: 5.0 });
                let moments = [0, 1].map(|_| adapter.parameters().zeros_like().unwrap());
                counting::reset_peak();
                step(&decoder, &adapter, &batch, recompute);
                let counted = counting::peak() - start;
                drop(moments);
                let workload = Workload {
                    model: decoder.config().clone(),
                    lora: Some(lora.clone()),
                    new_token_count: NEW_TOKENS,
                    weights,
                    is_on_card: true,
                };
                let pass = Pass { token_count: batch.token_ids.len(), target_count: batch.labels.len() };
                let plan = workload.plan(pass, recompute);
                let off = (plan.total() as f64 - counted as f64) / counted as f64;
                println!(
                    "{weights:?} {recompute:?} {lengths:?}: planned {}, counted {counted}: {off:+.4}",
                    plan.total()
                );
                assert!(off.abs() < tolerance, "{weights:?} {recompute:?} {lengths:?}: {plan:?}, counted {counted}");
            }
        }
    });
}
