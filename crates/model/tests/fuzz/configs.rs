//! `config.json` with every value changed to what it cannot be.

use std::fs;
use std::path::Path;

use codeact_model::{LoraConfig, MemoryPlan, ModelConfig, ModelError, Pass, Recompute, Weights, Workload};
use serde_json::{Value, json};

use crate::folder::config;
use crate::harness::{Bounds, alone, campaign, damage};
use crate::json::mutate;
use crate::scratch;

/// What is not read is kept as JSON values for a moment; rotary frequencies are for heads of 4096 at most.
const BOUNDS: Bounds = Bounds { factor: 160, constant: 1 << 20 };

fn load(folder: &Path, config: &Value) -> Result<ModelConfig, ModelError> {
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    ModelConfig::load(folder)
}

/// What training computes from a config before it sees weights.
fn plan(model: ModelConfig) -> MemoryPlan {
    let lora = LoraConfig::all_linear(4096, 16.0);
    let workload = Workload { model, lora: Some(lora), new_token_count: 2, weights: Weights::Nf4, is_on_card: false };
    workload.plan(Pass { token_count: 1 << 20, target_count: 1 << 20 }, Recompute::Block)
}

#[test]
fn damaged_configs() {
    let root = scratch();
    load(root.path(), &config()).unwrap();
    let (mut loaded, mut refused) = (0, 0);
    campaign("config.json", 20_000, BOUNDS, |case| {
        let mut value = config();
        (0..1 + case.random.below(3)).for_each(|_| mutate(&mut case.random, &mut value));
        let mut bytes = value.to_string().into_bytes();
        if case.random.once_in(4) {
            damage(&mut case.random, &mut bytes);
        }
        fs::write(root.path().join("config.json"), &bytes).unwrap();
        match case.measure(bytes.len(), || ModelConfig::load(root.path())) {
            Ok(config) => {
                assert!(config.rotary.inverse_frequencies.iter().all(|frequency| frequency.is_finite()));
                assert!(config.weight_bytes(candle_core::DType::F32) < 1 << 60);
                assert!(plan(config).total() < 1 << 62);
                loaded += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("config.json"), "no place in: {error}");
                refused += 1;
            }
        }
    });
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (loaded > 1000 && refused > 1000), "{loaded} loaded, {refused} refused");
}

#[test]
fn absurd_sizes_are_refused_by_name() {
    let _alone = alone();
    let root = scratch();
    let refusal = |key: &str, value: Value| {
        let mut config = config();
        config[key] = value;
        load(root.path(), &config).unwrap_err().to_string()
    };
    for (key, value) in [
        ("num_hidden_layers", json!(1_000_000_000)),
        ("num_hidden_layers", json!(0)),
        ("head_dim", json!(1 << 24)),
        ("hidden_size", json!(1 << 24)),
        ("vocab_size", json!(u64::MAX)),
        ("max_position_embeddings", json!(1u64 << 60)),
        ("max_position_embeddings", json!(0)),
        ("sliding_window", json!(u64::MAX)),
        ("rms_norm_eps", json!(-1.0)),
        ("rms_norm_eps", json!(1e-300)),
        ("rms_norm_eps", json!(1e300)),
    ] {
        let error = refusal(key, value);
        assert!(error.contains(&format!("`{key}` = ")) && error.contains("config.json"), "{error}");
    }
    // Negative numbers do not even parse.
    load(root.path(), &{
        let mut config = config();
        config["vocab_size"] = json!(-1);
        config
    })
    .unwrap_err();
    assert!(refusal("rope_theta", json!(1e-300)).contains("frequency"), "an infinite angle is no angle");
}

#[test]
fn a_config_that_is_no_plain_file_or_has_no_end_is_not_read() {
    let _alone = alone();
    let root = scratch();
    std::os::unix::fs::symlink("/dev/zero", root.path().join("config.json")).unwrap();
    let error = ModelConfig::load(root.path()).unwrap_err();
    assert!(format!("{:?}", error).contains("not a plain file"), "{error:?}");
    fs::remove_file(root.path().join("config.json")).unwrap();
    fs::write(root.path().join("config.json"), " ".repeat(1 << 20)).unwrap();
    let error = ModelConfig::load(root.path()).unwrap_err();
    assert!(format!("{:?}", error).contains("longer than"), "{error:?}");
}
