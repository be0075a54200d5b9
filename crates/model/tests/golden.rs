//! Logits, losses, gradients and training runs against transformers and PEFT.
//!
//! The project's own goldens are in `tests/golden` (made by `tests/golden/make.py`); a second, larger set is used
//! where it lies beside the checkout, and counted as skipped where not.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

mod counting;
#[path = "golden/full.rs"]
mod full;
mod place;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use codeact_model::{Adapter, Batch, Decoder, LoraConfig, Noise, Recompute, Weights};
use codeact_ops::optimizer::{self, AdamW};
use serde_json::Value;

use place::{Place, in_each_place, on_cpu, repository};

/// Logits have a standard deviation of 2; two attention implementations of torch differ by 1.1e-5.
const LOGITS: f32 = 1e-4;
const LOSS: f64 = 1e-5;
/// Of the tensor's largest entry.
const GRADIENT: f32 = 1e-4;
/// After ten steps; two equally right runs of torch differ by 5e-7, by 1.6e-5 when B starts at zero.
const FINAL: f32 = 2e-5;
const FINAL_ZERO_INIT: f32 = 1e-4;
const STEP_LOSS: f64 = 1e-4;

type Tensors = HashMap<String, Tensor>;

/// Every folder `<root>/<kind>/*` of both sets.
fn cases(kind: &str) -> Vec<PathBuf> {
    let repository = repository();
    let beside = std::env::var_os("CODEACT_SHARED").map_or(repository.join("../shared"), PathBuf::from);
    let mut cases = Vec::new();
    for root in [repository.join("tests/golden"), beside.join("golden")] {
        match std::fs::read_dir(root.join(kind)) {
            Ok(entries) => cases.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir())),
            Err(_) => println!("skipped: 1 set of goldens, `{}` is not here", root.display()),
        }
    }
    cases.sort();
    assert!(!cases.is_empty(), "the project's own goldens are missing");
    cases
}

fn tensors(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Rows of a `(B, S)` integer tensor.
fn rows(tensor: &Tensor) -> Vec<Vec<i64>> {
    tensor.to_dtype(DType::I64).unwrap().to_vec2().unwrap()
}

/// A padded batch as ragged sequences: padding is dropped, labels of -100 are not targets.
fn batch(ids: &Tensor, labels: &Tensor, mask: Option<&Tensor>) -> Batch {
    let (ids, labels) = (rows(ids), rows(labels));
    let mask = mask.map_or_else(|| vec![vec![1; ids[0].len()]; ids.len()], rows);
    let kept: Vec<(Vec<u32>, Vec<bool>)> = (0..ids.len())
        .map(|row| {
            let length = mask[row].iter().filter(|one| **one == 1).count();
            let ids = ids[row][..length].iter().map(|id| *id as u32).collect();
            // Labels are shifted by the loss: the first token of a row is never predicted.
            let targets = (0..length).map(|at| at > 0 && labels[row][at] != -100).collect();
            (ids, targets)
        })
        .collect();
    Batch::new(kept.iter().map(|(ids, targets)| (&ids[..], &targets[..]))).unwrap()
}

fn largest(tensor: &Tensor) -> f32 {
    tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
}

fn difference(a: &Tensor, b: &Tensor) -> f32 {
    largest(&(on_cpu(a) - on_cpu(b)).unwrap())
}

/// The unpadded rows of `(B, S, V)` logits, as `(T, V)`.
fn unpadded(logits: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let (sequences, length, _) = logits.dims3().unwrap();
    let lengths = mask.map_or(vec![length; sequences], |mask| {
        rows(mask).iter().map(|row| row.iter().filter(|one| **one == 1).count()).collect()
    });
    let parts: Vec<Tensor> =
        (0..sequences).map(|row| logits.get(row).unwrap().narrow(0, 0, lengths[row]).unwrap()).collect();
    Tensor::cat(&parts, 0).unwrap()
}

#[test]
fn logits_and_loss_agree_with_transformers() {
    in_each_place(|place| logits_and_loss_agree(&place.device));
}

fn logits_and_loss_agree(device: &Device) {
    for folder in cases("models") {
        let io = tensors(&folder.join("io.safetensors"));
        let decoder = Decoder::load(&folder, DType::F32, device).unwrap();
        let batch = batch(&io["input_ids"], &io["labels"], None);
        let logits = decoder.logits(None, &batch).unwrap();
        let off = difference(&logits, &unpadded(&io["logits"], None));
        assert!(off < LOGITS, "{}: logits off by {off}", folder.display());
        let loss = decoder.loss(None, &batch).unwrap() / batch.labels.len() as f64;
        let want = json(&folder.join("io.json"))["loss"].as_f64().unwrap();
        assert!((loss - want).abs() < LOSS, "{}: loss {loss}, expected {want}", folder.display());
    }
}

#[test]
fn both_styles_of_config_mean_the_same_model() {
    for folder in cases("models") {
        let other = tempfile::tempdir().unwrap();
        std::fs::copy(folder.join("config_v5.json"), other.path().join("config.json")).unwrap();
        let published = codeact_model::ModelConfig::load(&folder).unwrap();
        assert_eq!(published, codeact_model::ModelConfig::load(other.path()).unwrap());
    }
}

struct Run {
    folder: PathBuf,
    io: Tensors,
    info: Value,
    decoder: Decoder,
    adapter: Adapter,
}

fn runs(device: &Device) -> Vec<Run> {
    cases("lora")
        .into_iter()
        .map(|folder| {
            let info = json(&folder.join("train.json"));
            let base = folder.join("../..").join(info["base"].as_str().unwrap());
            let decoder = Decoder::load(&base, DType::F32, device).unwrap();
            let adapter = Adapter::load(&folder.join("adapter"), decoder.config(), device).unwrap();
            let io = tensors(&folder.join("io.safetensors"));
            Run { folder, io, info, decoder, adapter }
        })
        .collect()
}

/// A flat vector in the file's names and shapes.
fn by_name(flat: &Tensor, run: &Run) -> Tensors {
    let folder = tempfile::tempdir().unwrap();
    let copy = Adapter::load(&run.folder.join("adapter"), run.decoder.config(), &Device::Cpu).unwrap();
    copy.parameters().slice_set(&on_cpu(flat), 0, 0).unwrap();
    copy.save(folder.path(), "base").unwrap();
    tensors(&folder.path().join("adapter_model.safetensors"))
}

fn check_by_name(got: &Tensors, io: &Tensors, prefix: &str, limit: impl Fn(&Tensor) -> f32, place: &str) {
    let wanted = io.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)));
    let mut count = 0;
    for (name, want) in wanted {
        let off = difference(&got[name], want);
        assert!(off <= limit(want), "{place}: {prefix}{name} off by {off}, allowed {}", limit(want));
        count += 1;
    }
    assert_eq!(count, got.len(), "{place}: every tensor of `{prefix}` compared");
}

/// The random numbers that a run draws in a step, if it draws any; rows are documents.
fn noise(info: &Value, step: u64, batch: &Batch) -> Option<Noise> {
    let noise = info.get("noise")?;
    let (seed, neftune_alpha) = (noise["seed"].as_u64().unwrap(), noise["neftune_alpha"].as_f64().unwrap());
    let documents = (0..batch.bounds.sequence_count() as u32).collect();
    Some(Noise { seed, step, documents, neftune_alpha })
}

/// The flat vector in parts: every `B`, and what lies between.
fn ranges(adapter: &Adapter) -> Vec<(std::ops::Range<usize>, bool)> {
    let (mut parts, mut end) = (Vec::new(), 0);
    for up in adapter.up_ranges() {
        parts.push((end..up.start, false));
        end = up.end;
        parts.push((up, true));
    }
    parts
}

#[test]
fn adapter_logits_and_gradients_agree_with_peft() {
    in_each_place(adapter_logits_and_gradients_agree);
}

fn adapter_logits_and_gradients_agree(at: &Place) {
    for run in runs(&at.device) {
        let place = format!("{} ({})", run.folder.display(), at.name);
        let mask = &run.io["attention_mask"];
        let batch = batch(&run.io["input_ids"], &run.io["labels"], Some(mask));
        let logits = run.decoder.logits(Some(&run.adapter), &batch).unwrap();
        let off = difference(&logits, &unpadded(&run.io["logits"], Some(mask)));
        assert!(off < LOGITS, "{place}: logits off by {off}");
        let gradients = run.adapter.parameters().zeros_like().unwrap();
        let scale = 1.0 / batch.labels.len() as f64;
        let batch = Batch { noise: noise(&run.info, 0, &batch), ..batch };
        let losses = run.decoder.losses_and_gradients(&run.adapter, &batch, scale, Recompute::None, &gradients);
        let want = run.info["loss_start"].as_f64().unwrap();
        let loss = losses.unwrap().iter().sum::<f64>() * scale;
        assert!((loss - want).abs() < LOSS, "{place}: loss {loss}, expected {want}");
        let got = by_name(&gradients, &run);
        check_by_name(&got, &run.io, "grad.", |want| GRADIENT * largest(want) + 1e-9, &place);
    }
}

#[test]
fn ten_steps_of_training_agree_with_peft() {
    in_each_place(ten_steps_of_training_agree);
}

fn ten_steps_of_training_agree(at: &Place) {
    for run in runs(&at.device) {
        let place = format!("{} ({})", run.folder.display(), at.name);
        let parameters = run.adapter.parameters();
        let (m, v) = (parameters.zeros_like().unwrap(), parameters.zeros_like().unwrap());
        let list =
            |key: &str| -> Vec<f64> { run.info[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
        let (losses, rates, norms) = (list("losses"), list("learning_rates"), list("grad_norms_before_clipping"));
        for step in 0..losses.len() {
            let part = |name: &str| run.io[&format!("steps.{name}")].get(step).unwrap();
            let batch = batch(&part("input_ids"), &part("labels"), Some(&part("attention_mask")));
            let batch = Batch { noise: noise(&run.info, step as u64 + 1, &batch), ..batch };
            let gradients = parameters.zeros_like().unwrap();
            let scale = 1.0 / batch.labels.len() as f64;
            let found = run.decoder.losses_and_gradients(&run.adapter, &batch, scale, Recompute::Block, &gradients);
            let loss = found.unwrap().iter().sum::<f64>() * scale;
            assert!((loss - losses[step]).abs() < STEP_LOSS, "{place}: step {step}, {loss}, {}", losses[step]);
            let norm = optimizer::norm(&gradients).unwrap();
            assert!((norm - norms[step]).abs() < 1e-3 * norms[step], "{place}: norm {norm}, {}", norms[step]);
            let settings = AdamW {
                learning_rate: rates[step],
                beta1: 0.9,
                beta2: 0.999,
                eps: 1e-8,
                weight_decay: 0.01,
                gradient_scale: (1.0 / (norm + 1e-6)).min(1.0),
            };
            let ratio = run.info["lora_plus_ratio"].as_f64();
            for (range, is_up) in ranges(&run.adapter) {
                let learning_rate = settings.learning_rate * ratio.filter(|_| is_up).unwrap_or(1.0);
                let part = |flat: &Tensor| flat.narrow(0, range.start, range.len()).unwrap();
                let (settings, count) = (AdamW { learning_rate, ..settings }, step as u64 + 1);
                optimizer::adamw_step(&part(parameters), &part(&gradients), &part(&m), &part(&v), &settings, count)
                    .unwrap();
            }
        }
        let limit = if run.folder.ends_with("zero-init") { FINAL_ZERO_INIT } else { FINAL };
        check_by_name(&by_name(parameters, &run), &run.io, "final.", |_| limit, &place);
    }
}

#[test]
fn merged_weights_agree_with_peft_and_give_the_same_logits() {
    for run in runs(&Device::Cpu) {
        let place = run.folder.display().to_string();
        let base = run.folder.join("../..").join(run.info["base"].as_str().unwrap());
        let out = tempfile::tempdir().unwrap();
        codeact_model::merge_and_save(&base, &run.adapter, out.path()).unwrap();
        let weights = tensors(&out.path().join("model.safetensors"));
        for (name, want) in run.io.iter().filter_map(|(name, want)| Some((name.strip_prefix("merged.")?, want))) {
            let off = difference(&weights[name], want);
            assert!(off < 1e-6, "{place}: {name} off by {off}");
        }
        let merged = Decoder::load(out.path(), DType::F32, &Device::Cpu).unwrap();
        let batch = batch(&run.io["input_ids"], &run.io["labels"], Some(&run.io["attention_mask"]));
        let with_adapter = run.decoder.logits(Some(&run.adapter), &batch).unwrap();
        let off = difference(&merged.logits(None, &batch).unwrap(), &with_adapter);
        assert!(off < LOGITS, "{place}: merged logits off by {off}");
    }
}

#[test]
fn an_adapter_survives_saving_and_loading_bit_for_bit() {
    for run in runs(&Device::Cpu) {
        let saved = by_name(run.adapter.parameters(), &run);
        for (name, want) in tensors(&run.folder.join("adapter/adapter_model.safetensors")) {
            assert_eq!(difference(&saved[&name], &want), 0.0, "{name}");
        }
    }
}

#[test]
fn a_new_adapter_of_dora_leaves_every_bit_of_the_model() {
    in_each_place(|at| {
        let folder = &cases("models")[0];
        let io = tensors(&folder.join("io.safetensors"));
        let batch = batch(&io["input_ids"], &io["labels"], None);
        for weights in [Weights::F32, Weights::Bf16, Weights::Nf4] {
            let decoder = Decoder::load(folder, weights, &at.device).unwrap();
            // As one of LoRA does, whose `B` is zero.
            let [plain, dora] = [false, true].map(|dora| {
                let lora = LoraConfig { dora, ..LoraConfig::all_linear(4, 8.0) };
                let adapter = decoder.new_adapter(&lora, decoder.config().vocab_size, 7).unwrap();
                decoder.loss(Some(&adapter), &batch).unwrap()
            });
            assert_eq!(plain, dora, "{weights:?} {}", at.name);
        }
    });
}

/// `check_lora_plus` in `tests/golden/peft_rules.py` shows the same of PEFT.
#[test]
fn lora_plus_is_for_b_and_magnitudes() {
    for run in runs(&Device::Cpu) {
        let mut flat = vec![0f32; run.adapter.parameter_count()];
        run.adapter.up_ranges().into_iter().for_each(|range| flat[range].fill(1.0));
        let flat = Tensor::from_vec(flat, run.adapter.parameter_count(), &Device::Cpu).unwrap();
        for (name, part) in by_name(&flat, &run) {
            let want = part.ones_like().unwrap();
            let want = if name.contains("lora_A") { want.zeros_like().unwrap() } else { want };
            assert_eq!(difference(&part, &want), 0.0, "{name}");
        }
    }
}

#[test]
fn inverse_frequencies_agree_with_transformers() {
    let cases = [
        ("llama2_7b", 128, r#"{"rope_type": "default", "rope_theta": 10000.0}"#),
        ("mistral_7b_v01", 128, r#"{"rope_type": "default", "rope_theta": 10000.0}"#),
        ("smollm2_135m", 64, r#"{"rope_type": "default", "rope_theta": 100000.0}"#),
        (
            "llama32_1b",
            64,
            r#"{"type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
                "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}"#,
        ),
        ("linear_factor4_theta10000_d128", 128, r#"{"type": "linear", "rope_theta": 10000.0, "factor": 4.0}"#),
    ];
    let all = tensors(&repository().join("tests/golden/rope_inv_freq.safetensors"));
    for (name, width, parameters) in cases {
        let parameters = serde_json::from_str(parameters).unwrap();
        let rotary = codeact_model::Rotary::from_json(None, Some(&parameters), width).unwrap();
        let got = Tensor::from_vec(rotary.inverse_frequencies, width / 2, &Device::Cpu).unwrap();
        let relative = ((&got / &all[name]).unwrap() - 1.0).unwrap();
        assert!(largest(&relative) < 1e-6, "{name}");
    }
}

#[test]
fn a_variant_that_is_not_supported_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let case = &runs(&Device::Cpu)[0];
    let mut config = json(&case.folder.join("adapter/adapter_config.json"));
    config["lora_bias"] = true.into();
    std::fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
    let error = Adapter::load(folder.path(), case.decoder.config(), &Device::Cpu).err().unwrap();
    assert!(error.to_string().contains("lora_bias"), "{error}");
}
