//! Loss curves on the real base model of the quickstart: bf16 by a card's kernels, in the emulation, beside f32 on the
//! CPU.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use codeact_model::{Batch, Decoder, Recompute, Weights};
use codeact_ops::emulation::Emulation;
use codeact_train::Trained;
use codeact_train::config::Config;
use codeact_train::optimizer::Optimizer;
use codeact_train::prepare::Prepared;

const STEPS: usize = 3;

/// Tokens of a step, about: enough for tiles that are not full and documents behind each other.
const TOKENS: usize = 150;

/// bf16 keeps 8 bits, and the learning rate is high: once the largest of four steps was 1.0% off.
const RELATIVE: f64 = 2e-2;

/// The losses of the first steps of the run, each on its first conversations.
fn losses(run: &Prepared, weights: Weights) -> Vec<f64> {
    let device = Device::Cpu;
    let decoder = Decoder::load(&run.base_dir, weights, &device).unwrap();
    let adapter = decoder.new_adapter(&run.config.lora_config().unwrap(), run.format.vocab_size(), 1).unwrap();
    let trained = Trained::Adapter(adapter);
    let count = trained.parameters().elem_count();
    let mut optimizer = Optimizer::new(count, &device).unwrap();
    let gradients = Tensor::zeros(count, DType::F32, &device).unwrap();
    let mut take_step = |step: usize| {
        let mut tokens = 0;
        let documents = run.plan.steps[step].packs.iter().flat_map(|pack| &pack.documents);
        let examples = documents.map(|index| run.data.train.example(*index).unwrap()).take_while(|example| {
            let goes_on = tokens < TOKENS;
            tokens += example.token_ids.len();
            goes_on
        });
        let examples: Vec<_> = examples.collect();
        let pairs = examples.iter().map(|example| (&example.token_ids[..], &example.is_target[..]));
        let batch = Batch::new(pairs).unwrap();
        let scale = 1.0 / batch.labels.len() as f64;
        let losses = trained.losses_and_gradients(&decoder, &batch, scale, Recompute::None, &gradients).unwrap();
        optimizer.apply(&trained, &gradients, &run.config.optimizer, 2e-3).unwrap();
        losses.iter().sum::<f64>() * scale
    };
    (0..STEPS).map(&mut take_step).collect()
}

#[test]
fn bf16_kernels_learn_as_f32_on_the_cpu_does() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let base = repository.join("checkpoints/base/HuggingFaceTB--SmolLM2-135M-Instruct");
    if !base.join("config.json").is_file() {
        println!("skipped: 1 comparison on the real model, which is not in `{}`", base.display());
        return;
    }
    // Paths in the settings are relative to the repository.
    std::env::set_current_dir(&repository).unwrap();
    let overrides = ["train.steps=3".to_owned(), "output.dir=target/never-written".to_owned()];
    let config = Config::load(Path::new("configs/quickstart.toml"), &overrides).unwrap();
    let run = Prepared::new(config, Some(Device::Cpu), &|_| {}, &()).unwrap();
    let want = losses(&run, Weights::F32);
    let emulation = Emulation::begin(0);
    let got = losses(&run, Weights::Bf16);
    drop(emulation);
    println!("f32 on the CPU: {want:.4?}; bf16 by kernels: {got:.4?}");
    assert!(want[STEPS - 1] < want[0] && want.iter().all(|loss| loss.is_finite()), "{want:?}");
    for (got, want) in got.iter().zip(&want) {
        assert!((got - want).abs() < RELATIVE * want, "{got} where f32 has {want}");
    }
}
