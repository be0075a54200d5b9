//! Runs that train all weights: what they leave, and that they go on as they were.

use candle_core::{DType, Device};
use codeact_model::Decoder;
use serde_json::Value;

use crate::tiny::{Tiny, names};
use crate::with;
use crate::written::{GOOD, load, problems};

/// Settings of a run of all weights beside a model that was made for LoRA's learning rate.
fn tiny(tiny: Tiny) -> Tiny {
    let text = String::from_utf8(tiny.read("settings.toml")).unwrap();
    let text = text.replace("[lora]\nrank = 4\nalpha = 16\n", "").replace("[train]\n", "[train]\nmethod = \"full\"\n");
    tiny.write("settings.toml", &text.replace("learning_rate = 2e-2", "learning_rate = 3e-3"));
    tiny
}

fn results(tiny: &Tiny) -> [Vec<u8>; 3] {
    ["step-000006/model.safetensors", "step-000006/optimizer.safetensors", "model/model.safetensors"]
        .map(|name| tiny.read(&format!("run/{name}")))
}

fn losses(tiny: &Tiny) -> Vec<f64> {
    let text = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    text.lines().filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["loss"].as_f64()).collect()
}

#[test]
fn a_run_of_all_weights_learns_and_leaves_a_model() {
    let tiny = tiny(Tiny::new());
    let ended = tiny.run(&["--set", "optimizer.weight_decay=0.1"]).expect_code(0);
    let ended = ended.says("trained  all weights of the model").says("model 0 MiB");
    let model = tiny.path("run/model");
    assert!(ended.stdout.starts_with(&format!("model    {}\n", model.display())), "{}", ended.stdout);
    let losses = losses(&tiny);
    assert!(losses[5] < 0.8 * losses[0], "{losses:?}");
    assert!(!names(&tiny.path("run")).contains(&"adapter".to_owned()));
    let wanted = [
        "README.md",
        "codeact.json",
        "config.json",
        "manifest.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    let found = names(&model);
    assert!(wanted.iter().all(|name| found.iter().any(|found| found == name)), "{found:?}");
    let manifest: Value = serde_json::from_slice(&tiny.read("run/model/manifest.json")).unwrap();
    assert_eq!((manifest["kind"].as_str(), manifest["check"]["bound"].as_f64()), (Some("trained"), Some(0.0)));
    assert_eq!(manifest["check"]["relative"], 0.0);
    assert!(manifest["training"]["settings"].get("lora").is_none());
    let card = String::from_utf8(tiny.read("run/model/README.md")).unwrap();
    assert!(card.contains("of which all weights were trained") && card.contains("- full-fine-tuning\n"), "{card}");
    // Every tensor moved: the base's and the trained one's have no equal.
    let load = |name: &str| candle_core::safetensors::load(tiny.path(name), &Device::Cpu).unwrap();
    let (base, trained) = (load("model/model.safetensors"), load("run/model/model.safetensors"));
    assert_eq!(base.len(), trained.len());
    for (name, base) in &base {
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_ne!(values(base), values(&trained[name]), "{name}");
    }
    // Settings that the run wrote are settings, and a checkpoint is a model.
    let resolved = String::from_utf8(tiny.read("run/config.toml")).unwrap();
    assert!(resolved.contains("method = \"full\"") && !resolved.contains("[lora]"), "{resolved}");
    assert!(load_decoder(&tiny, "run/step-000006").is_ok());
}

fn load_decoder(tiny: &Tiny, name: &str) -> Result<Decoder, codeact_model::ModelError> {
    Decoder::load(&tiny.path(name), DType::F32, &Device::Cpu)
}

#[test]
fn a_resumed_run_of_all_weights_ends_in_the_same_bits() {
    for (dtype, from, rows) in [("f32", Tiny::new(), 0), ("bf16", Tiny::base(), 2)] {
        let tiny = tiny(from);
        let dtype = format!("train.dtype={dtype}");
        let mut settings = vec![dtype.as_str(), "evaluation.every=2", "train.neftune_alpha=5"];
        if rows > 0 {
            settings.push("model.chat_format=chatml");
        }
        tiny.run(&with(&settings, &[])).expect_code(0).says(&format!("{rows} new tokens"));
        let wanted = results(&tiny);
        let base = load_decoder(&tiny, "model").unwrap().config().vocab_size;
        assert_eq!(load_decoder(&tiny, "run/model").unwrap().config().vocab_size, base + rows);
        for name in ["step-000006", "model"] {
            std::fs::remove_dir_all(tiny.path("run").join(name)).unwrap();
        }
        tiny.run(&with(&settings, &["--resume"])).expect_code(0).says("continuing");
        assert!(results(&tiny) == wanted, "{dtype}");
        tiny.run(&with(&settings, &["--set", "output.overwrite=true", "--set", "train.recompute=block"]))
            .expect_code(0);
        assert!(results(&tiny) == wanted, "{dtype} recomputed");
        tiny.run(&with(&settings[1..], &["--resume", "--set", "train.dtype=f32", "--set", "train.seed=9"]))
            .expect_code(2);
    }
}

#[test]
fn the_best_step_of_all_weights_is_exported() {
    let tiny = tiny(Tiny::new());
    // The second half undoes what the first has learned.
    let wild =
        ["evaluation.every=1", "optimizer.learning_rate=0.5", "optimizer.warmup_steps=3", "optimizer.clip_norm=1e9"];
    tiny.run(&with(&wild, &["--set", "checkpoint.keep_last=9"])).expect_code(0).says("the results are of step ");
    let text = String::from_utf8(tiny.read("run/metrics.jsonl")).unwrap();
    let rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let measured = rows.iter().filter_map(|row| Some((row["held_out_loss"].as_f64()?, row["step"].as_u64()?)));
    let (_, best) = measured.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert!((1..6).contains(&best), "{text}");
    assert!(tiny.read(&format!("run/step-{best:06}/model.safetensors")) == tiny.read("run/model/model.safetensors"));
}

#[test]
fn what_has_no_meaning_beside_all_weights_is_refused() {
    let full = GOOD.replace("[lora]\nrank = 8\nalpha = 16\n", "").replace("[train]\n", "[train]\nmethod = \"full\"\n");
    let config = load(&full, &[]).unwrap();
    assert!(config.lora.is_none() && config.lora_config().is_none());
    assert_eq!(load(&config.resolved(), &[]).unwrap(), config);
    for (setting, key, what) in [
        ("train.dtype=nf4", "train.dtype", "weights of 4 bits cannot be trained"),
        ("lora.rank=4", "lora", "stands beside `train.method = \"full\"`"),
        ("model.adapter=a", "model.adapter", "does nothing"),
        ("optimizer.lora_plus_ratio=2", "optimizer.lora_plus_ratio", "does nothing"),
        ("train.method=ful", "train.method", "is \"ful\", expected one of \"lora\", \"full\""),
    ] {
        let found = problems(&full, &[setting]);
        assert!(found.iter().any(|problem| problem.key == key && problem.what.contains(what)), "{setting}: {found:?}");
    }
    assert_eq!(problems(&full, &["train.method=ful"])[0].hint.as_deref(), Some("did you mean `full`?"));
    // Without the method the table of LoRA is missed.
    assert!(problems(&full, &["train.method=lora"]).iter().any(|problem| problem.key == "lora.rank"));
}

#[test]
fn spare_rows_are_trained_where_all_are() {
    let tiny = tiny(Tiny::padded());
    tiny.run(&["--set", "model.chat_format=chatml", "--set", "train.steps=2"]).expect_code(0).says("0 new tokens");
}
