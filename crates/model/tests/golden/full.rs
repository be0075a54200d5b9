//! Training all weights against transformers: losses, gradients of every tensor, ten steps of AdamW.

use candle_core::{DType, Device, Tensor};
use codeact_model::{Decoder, FullWeights, NewRows, Recompute, Weights, read_f32, write_f32};
use codeact_ops::optimizer::{self, AdamW};
use serde_json::Value;

use super::{FINAL, GRADIENT, LOSS, STEP_LOSS, Tensors, batch, json, largest, on_cpu, tensors};
use crate::counting;
use crate::place::{Place, in_each_place, repository};

struct Run {
    name: String,
    io: Tensors,
    info: Value,
    decoder: Decoder,
    weights: FullWeights,
}

fn runs(device: &Device) -> Vec<Run> {
    let golden = repository().join("tests/golden");
    ["llama", "llama-tied", "mistral", "mistral-tied"]
        .map(|name| {
            let folder = golden.join("full").join(name);
            let info = json(&folder.join("train.json"));
            // Tied as the reference is; a head of its own in the file is then not read.
            let base = tempfile::tempdir().unwrap();
            let from = golden.join(info["base"].as_str().unwrap());
            let mut config = json(&from.join("config.json"));
            config["tie_word_embeddings"] = info["tied"].clone();
            std::fs::write(base.path().join("config.json"), config.to_string()).unwrap();
            std::fs::copy(from.join("model.safetensors"), base.path().join("model.safetensors")).unwrap();
            let rows = (0, NewRows::Mean);
            let (decoder, weights) =
                Decoder::load_to_train(base.path(), Weights::F32, rows, device, &mut |_| {}).unwrap();
            Run { name: name.to_owned(), io: tensors(&folder.join("io.safetensors")), info, decoder, weights }
        })
        .into()
}

/// Every tensor of a flat vector beside the entries that the reference keeps of it.
fn check(run: &Run, flat: &Tensor, prefix: &str, limit: impl Fn(&str, &Tensor) -> f32, at: &str) {
    let stride = run.info["stride"].as_u64().unwrap() as usize;
    let named = run.weights.named(flat).unwrap();
    for (name, tensor) in &named {
        let values: Vec<f32> = on_cpu(tensor).flatten_all().unwrap().to_vec1().unwrap();
        let got: Vec<f32> = values.into_iter().step_by(stride).collect();
        let want = &run.io[&format!("{prefix}{name}")];
        let got = Tensor::from_vec(got, want.dims(), &Device::Cpu).unwrap();
        let (off, limit) = (largest(&(got - want).unwrap()), limit(name, tensor));
        assert!(off <= limit, "{} ({at}): {prefix}{name} off by {off}, allowed {limit}", run.name);
    }
    let count = run.io.keys().filter(|key| key.starts_with(prefix)).count();
    assert_eq!(count, named.len(), "{} ({at}): every tensor of `{prefix}` compared", run.name);
}

#[test]
fn gradients_of_all_weights_agree_with_transformers() {
    in_each_place(|at: &Place| {
        for run in runs(&at.device) {
            let batch = batch(&run.io["input_ids"], &run.io["labels"], Some(&run.io["attention_mask"]));
            let gradients = run.weights.parameters().zeros_like().unwrap();
            let scale = 1.0 / batch.labels.len() as f64;
            let losses = run.decoder.losses_and_weight_gradients(&batch, scale, Recompute::None, &gradients).unwrap();
            let (loss, want) = (losses.iter().sum::<f64>() * scale, run.info["loss_start"].as_f64().unwrap());
            // The tied Mistral was not made to be tied: its loss is three times the others'.
            assert!((loss - want).abs() < LOSS * want.max(10.0) / 10.0, "{}: loss {loss}, expected {want}", run.name);
            check(&run, &gradients, "grad.", |_, tensor| GRADIENT * largest(&on_cpu(tensor)), at.name);
            for (name, gradient) in run.weights.named(&gradients).unwrap() {
                let norm = optimizer::norm(&gradient.flatten_all().unwrap()).unwrap();
                let want = run.info["grad_norms"][name].as_f64().unwrap();
                let relative = (norm - want).abs() / want;
                assert!(relative < f64::from(GRADIENT), "{} ({}): |{name}| {norm}, {want}", run.name, at.name);
            }
        }
    });
}

#[test]
fn ten_steps_of_all_weights_agree_with_transformers() {
    in_each_place(|at: &Place| runs(&at.device).iter().for_each(|run| ten_steps_agree(run, at)));
}

fn ten_steps_agree(run: &Run, at: &Place) {
    let list =
        |key: &str| -> Vec<f64> { run.info[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect() };
    let (losses, rates, norms) = (list("losses"), list("learning_rates"), list("grad_norms_before_clipping"));
    let parameters = run.weights.parameters();
    let (m, v) = (parameters.zeros_like().unwrap(), parameters.zeros_like().unwrap());
    for step in 0..losses.len() {
        let part = |name: &str| run.io[&format!("steps.{name}")].get(step).unwrap();
        let batch = batch(&part("input_ids"), &part("labels"), Some(&part("attention_mask")));
        let gradients = parameters.zeros_like().unwrap();
        let scale = 1.0 / batch.labels.len() as f64;
        let found = run.decoder.losses_and_weight_gradients(&batch, scale, Recompute::Block, &gradients).unwrap();
        let loss = found.iter().sum::<f64>() * scale;
        assert!((loss - losses[step]).abs() < STEP_LOSS, "{}: step {step}, {loss}, {}", run.name, losses[step]);
        let norm = optimizer::norm(&gradients).unwrap();
        assert!((norm - norms[step]).abs() < 1e-3 * norms[step], "{}: norm {norm}, {}", run.name, norms[step]);
        let decaying = AdamW {
            learning_rate: rates[step],
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
            weight_decay: run.info["weight_decay"].as_f64().unwrap(),
            gradient_scale: (1.0 / (norm + 1e-6)).min(1.0),
        };
        let update = |range: std::ops::Range<usize>, settings: &AdamW| {
            let part = |flat: &Tensor| flat.narrow(0, range.start, range.len()).unwrap();
            let (p, g, m, v) = (part(parameters), part(&gradients), part(&m), part(&v));
            optimizer::adamw_step(&p, &g, &m, &v, settings, step as u64 + 1).unwrap();
        };
        let mut end = 0;
        for norm in run.weights.norm_ranges() {
            update(end..norm.start, &decaying);
            end = norm.end;
            update(norm, &AdamW { weight_decay: 0.0, ..decaying });
        }
        if end < run.weights.parameter_count() {
            update(end..run.weights.parameter_count(), &decaying);
        }
        run.weights.refresh().unwrap();
    }
    check(run, parameters, "final.", |_, _| FINAL, at.name);
}

#[test]
fn trained_weights_survive_saving_and_loading_bit_for_bit() {
    for run in runs(&Device::Cpu) {
        let folder = tempfile::tempdir().unwrap();
        let base = repository().join("tests/golden").join(run.info["base"].as_str().unwrap());
        if run.info["tied"].as_bool() != json(&base.join("config.json"))["tie_word_embeddings"].as_bool() {
            continue;
        }
        let parameters = run.weights.parameters();
        let moved = (parameters * 1.25).unwrap();
        parameters.slice_set(&moved, 0, 0).unwrap();
        let batch = batch(&run.io["input_ids"], &run.io["labels"], Some(&run.io["attention_mask"]));
        let want = run.decoder.loss(None, &batch).unwrap();
        run.weights.save(&base, folder.path()).unwrap();
        assert_eq!(Decoder::load(folder.path(), DType::F32, &Device::Cpu).unwrap().loss(None, &batch).unwrap(), want);
        let out = tempfile::tempdir().unwrap();
        codeact_model::save_trained(&base, &run.weights, out.path()).unwrap();
        assert_eq!(Decoder::load(out.path(), DType::F32, &Device::Cpu).unwrap().loss(None, &batch).unwrap(), want);
        parameters.slice_set(&moved.zeros_like().unwrap(), 0, 0).unwrap();
        run.weights.restore(folder.path()).unwrap();
        assert_eq!(run.decoder.loss(None, &batch).unwrap(), want);
        let other = repository().join("tests/golden/models/llama3rope-tiny");
        assert!(run.weights.restore(&other).unwrap_err().to_string().contains("of another model"));
    }
}

#[test]
fn moments_are_written_and_read_without_a_copy_of_them() {
    const COUNT: usize = (4 << 20) + 3;
    /// Of a vector; a part of it exists twice, as values and as bytes.
    const SHARE_MAX: f64 = 0.3;
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("ours.safetensors"), folder.path().join("theirs.safetensors"));
    let values: Vec<f32> = (0..COUNT).map(|index| index as f32 * 0.37 - 1e5).collect();
    let m = Tensor::from_vec(values, COUNT, &Device::Cpu).unwrap();
    let v = Tensor::ones((3, 5), DType::F32, &Device::Cpu).unwrap();
    let beside = |act: &dyn Fn()| {
        counting::reset_peak();
        let before = counting::live();
        act();
        (counting::peak() - before) as f64 / (COUNT * size_of::<f32>()) as f64
    };
    let share = beside(&|| write_f32(&path, &[("v", &v), ("m", &m)], Some(("format", "pt"))).unwrap());
    assert!(share < SHARE_MAX, "writing took {share} of a vector");
    // Byte for byte what the library writes, which copies.
    let metadata = std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let share = beside(&|| {
        let tensors = [("v", &v), ("m", &m)];
        safetensors::serialize_to_file(tensors, Some(metadata.clone()), &other).unwrap();
    });
    assert!(share > 0.9, "a copy is not counted");
    assert!(std::fs::read(&path).unwrap() == std::fs::read(&other).unwrap());

    let into = Tensor::zeros(COUNT, DType::F32, &Device::Cpu).unwrap();
    let share = beside(&|| read_f32(&path, &[("m", &into)]).unwrap());
    assert!(share < SHARE_MAX, "reading took {share} of a vector");
    assert!(into.to_vec1::<f32>().unwrap() == m.to_vec1::<f32>().unwrap());

    let refused = |name: &str, into: &Tensor, what: &str| {
        let error = read_f32(&path, &[(name, into)]).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    };
    let short = Tensor::zeros(15, DType::F32, &Device::Cpu).unwrap();
    refused("m", &short, "`m` is F32 [4194307], expected F32 [15]");
    refused("v", &short, "`v` is F32 [3, 5], expected F32 [15]");
    refused("w", &short, "`w` is missing");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    refused("m", &into, "not valid safetensors");
    let half = v.to_dtype(DType::BF16).unwrap();
    assert!(write_f32(&path, &[("v", &half)], None).unwrap_err().to_string().contains("expected F32"));
}
