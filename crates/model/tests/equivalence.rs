//! One result by several ways: packed and alone, accumulated and at once, recomputed and saved; and the gradient of a
//! whole model by candle's tape.
#![allow(clippy::unwrap_used)] // a test that cannot go on should stop

mod place;
#[path = "equivalence/weighed.rs"]
mod weighed;

use std::path::{Path, PathBuf};

use candle_core::{D, DType, Device, Result, Tensor, Var};
use codeact_model::{
    Adapter, Batch, Decoder, FullWeights, LoraConfig, ModelConfig, NewRows, Noise, Recompute, Target, Weights,
};

use place::{Place, in_each_place, repository};

const CPU: &Device = &Device::Cpu;

fn golden(name: &str) -> PathBuf {
    repository().join("tests/golden/models").join(name)
}

fn models() -> [PathBuf; 3] {
    ["llama-tiny", "llama-tiny-tied", "mistral-tiny-sw"].map(golden)
}

fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761);
    (0..count)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Tokens that the adapter adds to the vocabulary.
const NEW_TOKENS: usize = 2;

/// An adapter whose B is not zero, so that every matrix has a gradient.
fn adapter(decoder: &Decoder) -> Adapter {
    adapter_of(decoder, &LoraConfig::all_linear(4, 8.0))
}

fn adapter_of(decoder: &Decoder, lora: &LoraConfig) -> Adapter {
    let vocab_size = decoder.config().vocab_size + NEW_TOKENS;
    let adapter = decoder.new_adapter(lora, vocab_size, 7).unwrap();
    let count = adapter.parameter_count();
    let values: Vec<f32> = numbers(count, 5).iter().map(|x| x * 0.1).collect();
    let values = Tensor::from_vec(values, count, adapter.parameters().device()).unwrap();
    adapter.parameters().slice_set(&values, 0, 0).unwrap();
    adapter
}

type Document = (Vec<u32>, Vec<bool>);

fn documents(decoder: &Decoder, lengths: &[usize]) -> Vec<Document> {
    let vocab = (decoder.config().vocab_size + NEW_TOKENS) as f32;
    let document = |(index, length): (usize, &usize)| {
        let ids = numbers(*length, 100 + index as u32);
        let ids = ids.iter().map(|x| ((x + 1.0) / 2.0 * (vocab - 1.0)) as u32).collect();
        (ids, (0..*length).map(|at| at > 0 && (at % 3 != 1 || at + 1 == *length)).collect())
    };
    lengths.iter().enumerate().map(document).collect()
}

fn batch(documents: &[Document]) -> Batch {
    Batch::new(documents.iter().map(|(ids, targets)| (&ids[..], &targets[..]))).unwrap()
}

fn gradients(decoder: &Decoder, adapter: &Adapter, batches: &[Batch], recompute: Recompute) -> (f64, Vec<f32>) {
    let flat = adapter.parameters().zeros_like().unwrap();
    let targets: usize = batches.iter().map(|batch| batch.labels.len()).sum();
    let scale = 1.0 / targets as f64;
    let losses = batches.iter().map(|batch| decoder.losses_and_gradients(adapter, batch, scale, recompute, &flat));
    let loss = losses.flat_map(|losses| losses.unwrap()).sum::<f64>() * scale;
    (loss, flat.to_vec1().unwrap())
}

fn assert_close(got: &[f32], want: &[f32], relative: f32, what: &str) {
    let largest = want.iter().fold(0f32, |a, b| a.max(b.abs()));
    let off = got.iter().zip(want).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
    assert!(largest > 0.0 && off <= relative * largest, "{what}: off by {off} of {largest}");
}

#[test]
fn packed_equals_unpacked_and_accumulated_equals_at_once() {
    in_each_place(packed_equals_unpacked);
}

fn packed_equals_unpacked(place: &Place) {
    for model in models() {
        for dtype in [DType::F32, DType::BF16] {
            // Sums over tokens are cut differently; bf16 factors of those sums are the same on both sides. cuBLAS takes
            // other kernels for other shapes: there the last bits of activations may differ too.
            let (loss, gradient) = match (place.name, dtype) {
                ("card", DType::BF16) => (2e-3, 2e-2),
                ("card", _) => (1e-5, 1e-5),
                _ => (1e-6, 2e-6),
            };
            let decoder = Decoder::load(&model, dtype, &place.device).unwrap();
            let adapter = adapter(&decoder);
            let documents = documents(&decoder, &[13, 2, 40, 25]);
            let together = gradients(&decoder, &adapter, &[batch(&documents)], Recompute::None);
            let apart: Vec<Batch> = documents.iter().map(|one| batch(std::slice::from_ref(one))).collect();
            let apart = gradients(&decoder, &adapter, &apart, Recompute::None);
            assert!((together.0 - apart.0).abs() < loss * together.0, "{} {}", together.0, apart.0);
            assert_close(&apart.1, &together.1, gradient, &format!("{} {dtype:?} {}", model.display(), place.name));
        }
    }
}

#[test]
fn dropout_and_noise_are_the_same_however_a_step_is_cut() {
    for dora in [false, true] {
        in_each_place(|place| noise_is_the_same(place, &LoraConfig { dora, ..LoraConfig::all_linear(4, 8.0) }));
    }
}

fn noise_is_the_same(place: &Place, lora: &LoraConfig) {
    let decoder = Decoder::load(&models()[0], DType::F32, &place.device).unwrap();
    let (plain, dropped) = (adapter_of(&decoder, lora), adapter_of(&decoder, lora).with_dropout(0.3));
    let documents = documents(&decoder, &[13, 2, 40, 25]);
    let noisy = |names: &[u32], step: u64| {
        let own: Vec<Document> = names.iter().map(|name| documents[*name as usize].clone()).collect();
        Batch { noise: Some(Noise { seed: 3, step, documents: names.to_vec(), neftune_alpha: 5.0 }), ..batch(&own) }
    };
    let run = |batches: &[Batch], recompute| gradients(&decoder, &dropped, batches, recompute);
    let together = run(&[noisy(&[0, 1, 2, 3], 1)], Recompute::None);
    let apart: Vec<Batch> = [2, 0, 3, 1].map(|name| noisy(&[name], 1)).to_vec();
    let tolerance = if place.name == "card" { 1e-5 } else { 2e-6 };
    let apart = run(&apart, Recompute::None);
    assert!((together.0 - apart.0).abs() < 1e-5 * together.0, "{} {}", together.0, apart.0);
    assert_close(&apart.1, &together.1, tolerance, place.name);
    for recompute in [Recompute::Mlp, Recompute::Block] {
        assert_eq!(run(&[noisy(&[0, 1, 2, 3], 1)], recompute), together, "{recompute:?} {}", place.name);
    }
    // Another step draws other numbers; without noise, and in evaluation, none are drawn.
    assert_ne!(run(&[noisy(&[0, 1, 2, 3], 2)], Recompute::None).0, together.0);
    let quiet = Batch { noise: None, ..noisy(&[0, 1, 2, 3], 1) };
    let want = gradients(&decoder, &plain, std::slice::from_ref(&quiet), Recompute::None);
    assert_eq!(run(std::slice::from_ref(&quiet), Recompute::None), want);
    let loss = decoder.loss(Some(&dropped), &noisy(&[0, 1, 2, 3], 1)).unwrap();
    assert_eq!(loss, decoder.loss(Some(&plain), &quiet).unwrap());
    let unnamed = Batch { noise: Some(Noise { seed: 3, step: 1, documents: vec![0], neftune_alpha: 0.0 }), ..quiet };
    let error = decoder.losses_and_gradients(&dropped, &unnamed, 1.0, Recompute::None, plain.parameters()).unwrap_err();
    assert!(error.to_string().contains("random numbers for 1 documents in a batch of 4"), "{error}");
}

#[test]
fn recompute_levels_give_the_same_bits() {
    in_each_place(|place| {
        for model in models() {
            recompute_levels_agree(place, &model);
        }
    });
}

fn recompute_levels_agree(place: &Place, model: &Path) {
    for dtype in [DType::F32, DType::BF16] {
        let decoder = Decoder::load(model, dtype, &place.device).unwrap();
        let batches = [batch(&documents(&decoder, &[30, 17]))];
        for dora in [false, true] {
            let adapter = adapter_of(&decoder, &LoraConfig { dora, ..LoraConfig::all_linear(4, 8.0) });
            let kept = gradients(&decoder, &adapter, &batches, Recompute::None);
            for recompute in [Recompute::Mlp, Recompute::Block] {
                let again = gradients(&decoder, &adapter, &batches, recompute);
                assert_eq!(kept.0.to_bits(), again.0.to_bits(), "{recompute:?}");
                assert!(kept.1.iter().zip(&again.1).all(|(a, b)| a.to_bits() == b.to_bits()), "{recompute:?}");
            }
        }
    }
}

#[test]
fn two_runs_give_the_same_bits() {
    in_each_place(|place| {
        let decoder = Decoder::load(&models()[0], DType::BF16, &place.device).unwrap();
        let adapter = adapter(&decoder);
        let batches = [batch(&documents(&decoder, &[50, 9, 31]))];
        let first = gradients(&decoder, &adapter, &batches, Recompute::None);
        assert_eq!(first, gradients(&decoder, &adapter, &batches, Recompute::None));
    });
}

fn weight_gradients(
    decoder: &Decoder,
    weights: &FullWeights,
    batches: &[Batch],
    recompute: Recompute,
) -> (f64, Vec<f32>) {
    let flat = weights.parameters().zeros_like().unwrap();
    let targets: usize = batches.iter().map(|batch| batch.labels.len()).sum();
    let scale = 1.0 / targets as f64;
    let losses =
        batches.iter().map(|batch| decoder.losses_and_weight_gradients(batch, scale, recompute, &flat).unwrap());
    (losses.flatten().sum::<f64>() * scale, flat.to_vec1().unwrap())
}

#[test]
fn all_weights_have_the_same_gradient_however_a_step_is_cut_and_recomputed() {
    in_each_place(|place| {
        for (model, weights) in models().iter().zip([Weights::F32, Weights::Bf16, Weights::F32]) {
            let size = ModelConfig::load(model).unwrap().vocab_size + NEW_TOKENS;
            let rows = (size, NewRows::CopyOfLast);
            let (decoder, full) = Decoder::load_to_train(model, weights, rows, &place.device, &mut |_| {}).unwrap();
            assert_eq!(decoder.config().vocab_size, size);
            let frozen = Decoder::load(model, weights, &place.device).unwrap();
            let documents: Vec<Document> = documents(&frozen, &[13, 2, 40, 25]);
            let together = weight_gradients(&decoder, &full, &[batch(&documents)], Recompute::None);
            let apart: Vec<Batch> = documents.iter().map(|one| batch(std::slice::from_ref(one))).collect();
            let apart = weight_gradients(&decoder, &full, &apart, Recompute::None);
            let (loss, gradient) = match (place.name, weights) {
                ("card", Weights::Bf16) => (2e-3, 2e-2),
                ("card", _) => (1e-5, 1e-5),
                _ => (1e-6, 4e-6),
            };
            assert!((together.0 - apart.0).abs() < loss * together.0, "{} {}", together.0, apart.0);
            assert_close(&apart.1, &together.1, gradient, &format!("{} {}", model.display(), place.name));
            for recompute in [Recompute::Mlp, Recompute::Block] {
                let again = weight_gradients(&decoder, &full, &[batch(&documents)], recompute);
                assert!(again == together, "{recompute:?} {} {}", model.display(), place.name);
            }
            // Known tokens have the model's own logits; the new rows start as the last one.
            let known = batch(&[((0..20).collect(), [vec![false], vec![true; 19]].concat())]);
            let logits = |decoder: &Decoder| decoder.logits(None, &known).unwrap().to_dtype(DType::F32).unwrap();
            let (ours, theirs) = (logits(&decoder), logits(&frozen));
            let flat = |tensor: Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let width = size - NEW_TOKENS;
            assert_eq!(flat(ours.narrow(1, 0, width).unwrap()), flat(theirs));
            assert_eq!(flat(ours.narrow(1, width, 1).unwrap()), flat(ours.narrow(1, width - 1, 1).unwrap()));
        }
    });
}

#[test]
fn gradients_of_all_weights_agree_with_finite_differences() {
    for model in models() {
        let rows = (0, NewRows::Mean);
        let (decoder, full) = Decoder::load_to_train(&model, Weights::F32, rows, CPU, &mut |_| {}).unwrap();
        let batch = batch(&[((1..30).collect(), [vec![false], vec![true; 28]].concat())]);
        let (_, gradient) = weight_gradients(&decoder, &full, std::slice::from_ref(&batch), Recompute::Mlp);
        let flat = Tensor::from_vec(gradient, full.parameter_count(), CPU).unwrap();
        for (name, tensor) in full.named(&flat).unwrap() {
            // The entry whose slope is steepest, where f32 shows it best.
            let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
            let (at, want) = values.iter().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
            let parameters = full.named(full.parameters()).unwrap();
            let parameter = parameters.iter().find(|(named, _)| *named == name).unwrap().1.flatten_all().unwrap();
            let start = parameter.get(at).unwrap().to_scalar::<f32>().unwrap();
            let step = 2e-3f32;
            let loss_at = |value: f32| {
                parameter.slice_set(&Tensor::new(&[value], CPU).unwrap(), 0, at).unwrap();
                decoder.loss(None, &batch).unwrap() / batch.labels.len() as f64
            };
            let slope = (loss_at(start + step) - loss_at(start - step)) / f64::from(2.0 * step);
            loss_at(start);
            let off = (slope - f64::from(*want)).abs();
            assert!(off < 0.01 * f64::from(want.abs()) + 1e-3, "{} {name}: {slope}, {want}", model.display());
        }
    }
}

#[test]
fn gradients_of_a_whole_model_agree_with_the_tape() {
    for model in models() {
        let decoder = Decoder::load(&model, DType::F32, CPU).unwrap();
        let adapter = adapter(&decoder);
        let documents = documents(&decoder, &[19]);
        let batch = batch(&documents);
        let (loss, got) = gradients(&decoder, &adapter, std::slice::from_ref(&batch), Recompute::None);
        let flat = Var::from_tensor(&adapter.parameters().copy().unwrap()).unwrap();
        let slow = SlowModel::load(&model, &decoder, &adapter, &flat);
        let want = slow.loss(&batch).unwrap();
        let want_loss = want.to_scalar::<f32>().unwrap() as f64;
        assert!((loss - want_loss).abs() < 1e-5 * want_loss, "{loss} {want_loss}");
        let store = want.backward().unwrap();
        let want = store.get(&flat).unwrap().to_vec1::<f32>().unwrap();
        assert_close(&got, &want, 2e-5, &model.display().to_string());
    }
}

/// The same decoder in candle's differentiable operations on whole matrices, for one document.
struct SlowModel<'a> {
    weights: std::collections::HashMap<String, Tensor>,
    decoder: &'a Decoder,
    adapter: &'a Adapter,
    flat: &'a Var,
}

impl<'a> SlowModel<'a> {
    fn load(folder: &Path, decoder: &'a Decoder, adapter: &'a Adapter, flat: &'a Var) -> Self {
        let weights = candle_core::safetensors::load(folder.join("model.safetensors"), CPU).unwrap();
        Self { weights, decoder, adapter, flat }
    }

    fn loss(&self, batch: &Batch) -> Result<Tensor> {
        let config = self.decoder.config();
        let ids = Tensor::new(&batch.token_ids[..], CPU)?;
        let frozen = &self.weights["model.embed_tokens.weight"];
        let new_rows = self.adapter.new_embedding(self.flat)?.expect("new tokens");
        let table = Tensor::cat(&[frozen, &new_rows], 0)?;
        let mut x = table.index_select(&ids, 0)?;
        for layer in 0..config.layer_count {
            let normed = self.norm(&x, &format!("model.layers.{layer}.input_layernorm.weight"))?;
            x = (&x + self.attention(&normed, layer)?)?;
            let normed = self.norm(&x, &format!("model.layers.{layer}.post_attention_layernorm.weight"))?;
            let gate = self.project(&normed, layer, Target::Gate)?.silu()?;
            let hidden = (gate * self.project(&normed, layer, Target::Up)?)?;
            x = (&x + self.project(&hidden, layer, Target::Down)?)?;
        }
        let rows = self.norm(&x, "model.norm.weight")?.index_select(&Tensor::new(&batch.target_rows[..], CPU)?, 0)?;
        let frozen = self.weights.get("lm_head.weight").unwrap_or(frozen);
        let head = Tensor::cat(&[frozen, &self.adapter.new_head(self.flat)?.expect("new tokens")], 0)?;
        let logits = rows.matmul(&head.t()?)?;
        let labels = Tensor::new(&batch.labels[..], CPU)?.unsqueeze(1)?;
        let picked = logits.gather(&labels, 1)?.squeeze(1)?;
        (logits.exp()?.sum(1)?.log()? - picked)?.mean_all()
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let eps = self.decoder.config().rms_norm_eps as f64;
        let variance = (x.sqr()?.mean_keepdim(D::Minus1)? + eps)?;
        x.broadcast_div(&variance.sqrt()?)?.broadcast_mul(&self.weights[name])
    }

    fn project(&self, x: &Tensor, layer: usize, target: Target) -> Result<Tensor> {
        let weight = &self.weights[&format!("model.layers.{layer}.{}.weight", target.module())];
        // The pair in any flat vector: here in the variable itself.
        let (a, b) = self.adapter.pair(self.flat.as_tensor(), layer, target)?.expect("all seven targets");
        let scale = self.adapter.scaling(layer, target);
        x.matmul(&weight.t()?)? + (x.matmul(&a.t()?)?.matmul(&b)? * scale)?
    }

    fn attention(&self, x: &Tensor, layer: usize) -> Result<Tensor> {
        let config = self.decoder.config();
        let (t, d) = (x.dim(0)?, config.head_width);
        let q = self.rotated(&self.project(x, layer, Target::Q)?)?;
        let k = self.rotated(&self.project(x, layer, Target::K)?)?;
        let v = self.project(x, layer, Target::V)?;
        let sees = |i: usize, j: usize| j <= i && config.sliding_window.is_none_or(|window| i - j < window);
        let mask: Vec<f32> = (0..t * t).map(|at| if sees(at / t, at % t) { 0.0 } else { -1e9 }).collect();
        let mask = Tensor::from_vec(mask, (t, t), CPU)?;
        let group = config.head_count / config.kv_head_count;
        let heads = (0..config.head_count).map(|head| {
            let q = q.narrow(1, head * d, d)?;
            let (k, v) = (k.narrow(1, head / group * d, d)?, v.narrow(1, head / group * d, d)?);
            let scores = ((q.matmul(&k.t()?)? / (d as f64).sqrt())? + &mask)?;
            let p = scores.broadcast_sub(&scores.max_keepdim(1)?.detach())?.exp()?;
            p.broadcast_div(&p.sum_keepdim(1)?)?.matmul(&v.contiguous()?)
        });
        self.project(&Tensor::cat(&heads.collect::<Result<Vec<_>>>()?, 1)?, layer, Target::O)
    }

    fn rotated(&self, x: &Tensor) -> Result<Tensor> {
        let frequencies = &self.decoder.config().rotary.inverse_frequencies;
        let (t, width) = x.dims2()?;
        let half = frequencies.len();
        let x = x.reshape((t, width / (2 * half), 2, half))?;
        let angles: Vec<f32> = (0..t).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f)).collect();
        let angles = Tensor::from_vec(angles, (t, 1, half), CPU)?;
        let (cos, sin) = (angles.cos()?, angles.sin()?);
        let (a, b) = (x.narrow(2, 0, 1)?.squeeze(2)?, x.narrow(2, 1, 1)?.squeeze(2)?);
        let first = (a.broadcast_mul(&cos)? - b.broadcast_mul(&sin)?)?;
        let second = (b.broadcast_mul(&cos)? + a.broadcast_mul(&sin)?)?;
        Tensor::stack(&[first, second], 2)?.reshape((t, width))
    }
}

#[test]
fn new_tokens_survive_saving_and_merging() {
    for model in models() {
        let decoder = Decoder::load(&model, DType::F32, CPU).unwrap();
        let adapter = adapter(&decoder);
        let batch = batch(&documents(&decoder, &[15]));
        let want = decoder.logits(Some(&adapter), &batch).unwrap();
        assert_eq!(want.dim(1).unwrap(), decoder.config().vocab_size + NEW_TOKENS);
        let want = want.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (saved, merged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        adapter.save(saved.path(), "base").unwrap();
        let again = Adapter::load(saved.path(), decoder.config(), CPU).unwrap();
        let got = decoder.logits(Some(&again), &batch).unwrap().flatten_all().unwrap();
        assert_eq!(got.to_vec1::<f32>().unwrap(), want);
        codeact_model::merge_and_save(&model, &adapter, merged.path()).unwrap();
        let merged = Decoder::load(merged.path(), DType::F32, CPU).unwrap();
        let got = merged.logits(None, &batch).unwrap().flatten_all().unwrap();
        assert_close(&got.to_vec1::<f32>().unwrap(), &want, 1e-5, "merged");
    }
}
