//! PEFT folders.

use std::fs;

use candle_core::{DType, Device};
use codeact_model::{Adapter, ModelConfig, ModelError, Target};
use serde_json::{Value, json};

use super::weights::bad_file;
use crate::folder::{adapter_config, adapter_tensors, config, file, header};
use crate::harness::{Bounds, alone, campaign, damage};
use crate::json::mutate;
use crate::scratch;

/// The file, its tensors in f32, and JSON: `[],` takes three bytes and becomes more than a hundred.
const BOUNDS: Bounds = Bounds { factor: 160, constant: 1 << 20 };

struct Scene {
    root: tempfile::TempDir,
    model: ModelConfig,
}

impl Scene {
    fn new() -> Scene {
        let root = scratch();
        fs::write(root.path().join("config.json"), config().to_string()).unwrap();
        let model = ModelConfig::load(root.path()).unwrap();
        let scene = Scene { root, model };
        scene.write_good();
        scene.load().unwrap();
        scene
    }

    fn write_good(&self) {
        let (header, data_bytes) = header(&adapter_tensors());
        self.write("adapter_config.json", adapter_config().to_string().as_bytes());
        self.write("adapter_model.safetensors", &file(&header.to_string(), data_bytes));
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.root.path().join(name), bytes).unwrap();
    }

    fn load(&self) -> Result<Adapter, ModelError> {
        Adapter::load(self.root.path(), &self.model, &Device::Cpu)
    }

    /// The error when one value of the config is another.
    fn refusal(&self, key: &str, value: Value) -> String {
        let mut config = adapter_config();
        config[key] = value;
        self.write("adapter_config.json", config.to_string().as_bytes());
        self.load().err().unwrap_or_else(|| panic!("`{key}` = {} was taken", config[key])).to_string()
    }
}

#[test]
fn damaged_adapters() {
    let (scene, mut loaded, mut refused) = (Scene::new(), 0, 0);
    campaign("adapters", 8000, BOUNDS, |case| {
        scene.write_good();
        let mut value = adapter_config();
        let mut config = value.to_string().into_bytes();
        let mut input_bytes = 8192;
        if case.random.once_in(2) {
            (0..1 + case.random.below(2)).for_each(|_| mutate(&mut case.random, &mut value));
            config = value.to_string().into_bytes();
            if case.random.once_in(4) {
                damage(&mut case.random, &mut config);
            }
            scene.write("adapter_config.json", &config);
        } else {
            let bytes = bad_file(&mut case.random, &adapter_tensors());
            input_bytes = bytes.len();
            scene.write("adapter_model.safetensors", &bytes);
        }
        match case.measure(input_bytes + config.len(), || scene.load()) {
            Ok(adapter) => {
                let sum = adapter.parameters().to_dtype(DType::F64).unwrap().sum_all().unwrap();
                assert!(sum.to_scalar::<f64>().unwrap().is_finite());
                let scalings = (0..scene.model.layer_count).map(|layer| adapter.scaling(layer, Target::Q));
                assert!(scalings.into_iter().all(f64::is_finite));
                loaded += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("adapter_"), "no place in: {error}");
                refused += 1;
            }
        }
    });
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (loaded > 100 && refused > 1000), "{loaded} loaded, {refused} refused");
}

#[test]
fn absurd_values_are_refused_by_name() {
    let _alone = alone();
    let scene = Scene::new();
    for (key, value) in [
        ("r", json!(1_000_000_000)),
        ("r", json!(0)),
        ("r", json!(-8)),
        ("lora_alpha", json!(1e300)),
        ("lora_alpha", json!(-16)),
        ("lora_alpha", json!(0)),
        ("use_rslora", json!("yes")),
        ("use_dora", json!(1)),
        ("bias", json!(7)),
        ("trainable_token_indices", json!([1u64 << 60])),
        ("trainable_token_indices", json!([40, "41"])),
        ("trainable_token_indices", json!({"embed_tokens": [40, 41], "lm_head": [40, 42]})),
        ("trainable_token_indices", json!({"embed_tokens": [40, 41], "other": [40, 41]})),
    ] {
        let error = scene.refusal(key, value);
        assert!(error.contains(&format!("`{key}` = ")) && error.contains("adapter_config.json"), "{error}");
    }
    let error = scene.refusal("use_dora", json!(true));
    assert!(error.contains("lora_magnitude_vector` is missing"), "{error}");
    let error = scene.refusal("trainable_token_indices", json!(vec![7; 100_000]));
    assert!(error.len() < 500, "a long value is not repeated in full: {} bytes", error.len());
}

#[test]
fn a_large_rank_takes_no_memory_before_the_file_has_it() {
    let _alone = alone();
    // Rank 4096 on a model of 4096 layers would be terabytes.
    let scene = Scene::new();
    let mut model = scene.model.clone();
    (model.layer_count, model.hidden_size, model.intermediate_size) = (4096, 1 << 20, 1 << 20);
    let mut config = adapter_config();
    config["r"] = json!(4096);
    scene.write("adapter_config.json", config.to_string().as_bytes());
    let error = Adapter::load(scene.root.path(), &model, &Device::Cpu).err().unwrap().to_string();
    assert!(error.contains("lora_A") && error.contains("expected [4096, 1048576]"), "{error}");
}

#[test]
fn values_that_are_no_numbers_are_refused() {
    let _alone = alone();
    let scene = Scene::new();
    let (header, data_bytes) = header(&adapter_tensors());
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut bytes = file(&header.to_string(), data_bytes);
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&bad.to_le_bytes());
        scene.write("adapter_model.safetensors", &bytes);
        let error = scene.load().err().unwrap().to_string();
        assert!(error.contains("not finite") && error.contains("lm_head"), "{error}");
    }
}
