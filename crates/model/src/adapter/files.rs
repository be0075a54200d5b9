//! The PEFT folder of an adapter: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Map, Value, json};

use super::layout::slots;
use super::{Adapter, LoraConfig, NewTokens, Target};
use crate::ModelError;
use crate::config::ModelConfig;

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// Key of a matrix in PEFT's file; `matrix` is `lora_A` or `lora_B`.
fn key(layer: usize, target: Target, matrix: &str) -> String {
    format!("base_model.model.model.layers.{layer}.{}.{matrix}.weight", target.module())
}

/// Keys of the rows of new tokens, embedding and head.
const NEW_ROWS: [&str; 2] = [
    "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta",
    "base_model.model.lm_head.token_adapter.trainable_tokens_delta",
];

impl Adapter {
    /// Reads a PEFT folder for a model of this shape.
    ///
    /// # Errors
    /// Names the key of a variant that is not supported (DoRA, per-layer ranks, biases, saved modules), or the tensor
    /// that is missing, left over, or has another shape.
    pub fn load(folder: &Path, model: &ModelConfig, device: &Device) -> Result<Self, ModelError> {
        let config = load_config(&folder.join(CONFIG_FILE))?;
        let path = folder.join(WEIGHTS_FILE);
        let mut tensors = candle_core::safetensors::load(&path, &Device::Cpu)
            .map_err(|error| ModelError::weights(&path, format!("cannot read: {error}")))?;
        let (slots, count) = slots(model, &config);
        let mut values = vec![0.0; count];
        for slot in &slots {
            let a = ("lora_A", [config.rank, slot.c_in], slot.a_start);
            let b = ("lora_B", [slot.c_out, config.rank], slot.b_start);
            for (matrix, shape, start) in [a, b] {
                let name = key(slot.layer, slot.target, matrix);
                let Some(tensor) = tensors.remove(&name) else {
                    return Err(ModelError::weights(&path, format!("tensor `{name}` is missing")));
                };
                if tensor.dims() != shape {
                    let what = format!("tensor `{name}` is {:?}, expected {shape:?}", tensor.dims());
                    return Err(ModelError::weights(&path, what));
                }
                let rows = if matrix == "lora_B" { tensor.t()? } else { tensor };
                let rows = rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
                values[start..start + rows.len()].copy_from_slice(&rows);
            }
        }
        let new_tokens = NewTokens::new(model, new_token_count(&folder.join(CONFIG_FILE), model)?, count);
        let shape = [new_tokens.count, model.hidden_size];
        for (name, needed) in NEW_ROWS.into_iter().zip([true, !model.tie_word_embeddings]) {
            let rows = tensors.remove(name);
            if new_tokens.count == 0 || !needed {
                continue;
            }
            match rows {
                Some(rows) if rows.dims() == shape => {
                    values.extend(rows.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?);
                }
                _ => {
                    let what = format!("tensor `{name}` is missing or not {shape:?}");
                    return Err(ModelError::weights(&path, what));
                }
            }
        }
        // PEFT may put whole resized tables beside the rows; the base model's own are used.
        tensors.retain(|name, _| !name.contains(".base_layer."));
        if let Some(name) = tensors.keys().min() {
            return Err(ModelError::weights(&path, format!("tensor `{name}` has no place in this model")));
        }
        Ok(Self::from_values(slots, new_tokens, &config, values, device)?)
    }

    /// Writes a PEFT folder; the folder must exist.
    ///
    /// * `base_model`: what to put as `base_model_name_or_path`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path, base_model: &str) -> Result<(), ModelError> {
        let config_path = folder.join(CONFIG_FILE);
        let text = serde_json::to_string_pretty(&self.peft_config(base_model)).expect("a JSON value serialises");
        std::fs::write(&config_path, text + "\n").map_err(|source| ModelError::io(&config_path, source))?;
        let mut tensors: HashMap<String, Tensor> = HashMap::new();
        for slot in &self.slots {
            let (a, b) = slot.views(&self.parameters, self.config.rank)?;
            tensors.insert(key(slot.layer, slot.target, "lora_A"), a.contiguous()?);
            tensors.insert(key(slot.layer, slot.target, "lora_B"), b.t()?.contiguous()?);
        }
        let rows = [self.new_embedding(&self.parameters)?, self.new_head(&self.parameters)?];
        for (name, rows) in NEW_ROWS.into_iter().zip(rows) {
            if let Some(rows) = rows {
                tensors.insert(name.to_owned(), rows.copy()?);
            }
        }
        crate::save::write_safetensors(&folder.join(WEIGHTS_FILE), tensors)
    }

    fn peft_config(&self, base_model: &str) -> Value {
        let targets: Vec<&str> = self.config.targets.iter().map(|target| target.name()).collect();
        json!({
            "base_model_name_or_path": base_model,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": self.config.alpha,
            "lora_dropout": 0.0,
            "modules_to_save": null,
            "peft_type": "LORA",
            "r": self.config.rank,
            "target_modules": targets,
            "task_type": "CAUSAL_LM",
            "trainable_token_indices": self.token_indices(),
            "use_dora": false,
            "use_rslora": self.config.rslora,
        })
    }
}

impl Adapter {
    /// PEFT's `trainable_token_indices`: the new tokens, for each table that has rows of its own.
    fn token_indices(&self) -> Value {
        let NewTokens { count, first, tied, .. } = self.new_tokens;
        let indices: Vec<usize> = (first..first + count).collect();
        match (count, tied) {
            (0, _) => Value::Null,
            (_, true) => json!(indices),
            (_, false) => json!({"embed_tokens": indices, "lm_head": indices}),
        }
    }
}

/// How many tokens the adapter adds; they must be the ones that follow the base model's.
fn new_token_count(path: &Path, model: &ModelConfig) -> Result<usize, ModelError> {
    let map = load_map(path)?;
    let value = map.get("trainable_token_indices").unwrap_or(&Value::Null);
    let list = value.get("embed_tokens").unwrap_or(value);
    let indices: Vec<u64> = list.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let appended = indices.iter().enumerate().all(|(at, index)| *index == (model.vocab_size + at) as u64);
    if !appended || (value.is_null() != indices.is_empty()) {
        let what = format!("`trainable_token_indices` = {value} on a vocabulary of {}", model.vocab_size);
        return Err(ModelError::Unsupported { path: path.to_owned(), what });
    }
    Ok(indices.len())
}

fn load_map(path: &Path) -> Result<Map<String, Value>, ModelError> {
    let text = std::fs::read_to_string(path).map_err(|source| ModelError::io(path, source))?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_owned(), source })
}

fn load_config(path: &Path) -> Result<LoraConfig, ModelError> {
    read_config(&load_map(path)?).map_err(|what| ModelError::Unsupported { path: path.to_owned(), what })
}

fn read_config(map: &Map<String, Value>) -> Result<LoraConfig, String> {
    let get = |key: &str| map.get(key).unwrap_or(&Value::Null);
    let is_set = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(items) => !items.is_empty(),
        _ => true,
    };
    if get("peft_type") != "LORA" {
        return Err(format!("`peft_type` = {} (LORA is supported)", get("peft_type")));
    }
    if !matches!(get("bias").as_str(), None | Some("none")) {
        return Err(format!("`bias` = {}", get("bias")));
    }
    let unsupported = [
        "use_dora",
        "rank_pattern",
        "alpha_pattern",
        "modules_to_save",
        "layers_to_transform",
        "fan_in_fan_out",
        "target_parameters",
        "exclude_modules",
        "lora_bias",
        "alora_invocation_tokens",
    ];
    if let Some(key) = unsupported.iter().find(|key| is_set(get(key))) {
        return Err(format!("`{key}` = {}", get(key)));
    }
    let rank = get("r").as_u64().filter(|rank| (1..=4096).contains(rank));
    let rank = rank.ok_or_else(|| format!("`r` = {}", get("r")))? as usize;
    let alpha = get("lora_alpha").as_f64().ok_or_else(|| format!("`lora_alpha` = {}", get("lora_alpha")))?;
    Ok(LoraConfig {
        rank,
        alpha,
        rslora: get("use_rslora").as_bool().unwrap_or(false),
        targets: read_targets(get("target_modules"))?,
    })
}

fn read_targets(value: &Value) -> Result<Vec<Target>, String> {
    if value == "all-linear" {
        return Ok(Target::ALL.to_vec());
    }
    let names = value.as_array().ok_or_else(|| format!("`target_modules` = {value}"))?;
    let known = |name: &Value| Target::ALL.into_iter().find(|target| name == target.name());
    let mut targets = names
        .iter()
        .map(|name| known(name).ok_or_else(|| format!("target module {name}")))
        .collect::<Result<Vec<_>, _>>()?;
    targets.sort_by_key(|target| Target::ALL.iter().position(|other| other == target));
    targets.dedup();
    Ok(targets)
}
