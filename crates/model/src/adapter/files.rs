//! The PEFT folder of an adapter: `adapter_config.json` and `adapter_model.safetensors`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value, json};

use super::layout::{Slot, slots};
use super::{Adapter, LoraConfig, NewTokens, Target};
use crate::ModelError;
use crate::config::ModelConfig;
use crate::small_file::{CONFIG_BYTES_MAX, read_text, require_plain};

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// The largest rank and alpha that are believed.
const RANK_MAX: u64 = 4096;
const ALPHA_MAX: f64 = 1e6;

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
        let config_path = folder.join(CONFIG_FILE);
        let map = load_map(&config_path)?;
        let unsupported = |what| ModelError::Unsupported { path: config_path.clone(), what };
        let config = read_config(&map).map_err(unsupported)?;
        let new_token_count = new_token_count(&map, model).map_err(unsupported)?;
        let path = folder.join(WEIGHTS_FILE);
        let bytes = require_plain(&path).and_then(|()| std::fs::read(&path));
        let bytes = bytes.map_err(|source| ModelError::io(&path, source))?;
        let file = SafeTensors::deserialize(&bytes)
            .map_err(|error| ModelError::weights(&path, format!("cannot read: {error}")))?;
        let mut tensors = Tensors { path: &path, views: file.tensors().into_iter().collect() };

        let (slots, count) = slots(model, &config);
        let new_tokens = NewTokens::new(model, new_token_count, count);
        let new_rows = new_tokens.named_rows();
        // The shapes come first: a config of a few bytes may ask for terabytes, but a file that has them is as large.
        for slot in &slots {
            for (name, _, shape) in slot.named_matrices(config.rank) {
                tensors.require(&name, &shape)?;
            }
        }
        for name in &new_rows {
            tensors.require(name, &[new_token_count, model.hidden_size])?;
        }
        let mut values = vec![0.0; count];
        for slot in &slots {
            for (name, start, shape) in slot.named_matrices(config.rank) {
                let matrix = tensors.take(&name)?;
                // `B` lies transposed in the flat vector.
                let matrix = if start == slot.b_start { matrix.t()?.contiguous()? } else { matrix };
                let matrix = matrix.flatten_all()?.to_vec1::<f32>()?;
                values[start..start + shape.iter().product::<usize>()].copy_from_slice(&matrix);
            }
        }
        for name in &new_rows {
            values.extend(tensors.take(name)?.flatten_all()?.to_vec1::<f32>()?);
        }
        tensors.require_empty(new_token_count)?;
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
fn new_token_count(map: &Map<String, Value>, model: &ModelConfig) -> Result<usize, String> {
    let value = map.get("trainable_token_indices").unwrap_or(&Value::Null);
    let lists: Vec<&Value> = match value {
        Value::Null => return Ok(0),
        // One list for each table.
        Value::Object(lists) if lists.keys().all(|table| ["embed_tokens", "lm_head"].contains(&table.as_str())) => {
            lists.values().collect()
        }
        list => vec![list],
    };
    let count = lists.first().and_then(|list| list.as_array()).map_or(0, Vec::len);
    let appended = |list: &Value| {
        let indices = list.as_array()?.iter().enumerate();
        let is_appended = |(at, index): (usize, &Value)| index.as_u64() == Some((model.vocab_size + at) as u64);
        Some(list.as_array()?.len() == count && indices.into_iter().all(is_appended))
    };
    if count == 0 || !lists.into_iter().all(|list| appended(list) == Some(true)) {
        return Err(format!("`trainable_token_indices` = {} on a vocabulary of {}", shown(value), model.vocab_size));
    }
    Ok(count)
}

fn load_map(path: &Path) -> Result<Map<String, Value>, ModelError> {
    let text = read_text(path, CONFIG_BYTES_MAX)?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_owned(), source })
}

/// The tensors of a file that have no place yet.
struct Tensors<'a> {
    path: &'a Path,
    views: HashMap<String, TensorView<'a>>,
}

impl Tensors<'_> {
    /// Refuses a tensor that is missing, of another shape, or does not hold weights.
    fn require(&self, name: &str, shape: &[usize]) -> Result<(), ModelError> {
        let what = match self.views.get(name) {
            None => format!("tensor `{name}` is missing"),
            Some(view) if view.shape() != shape => {
                format!("tensor `{name}` is {:?}, expected {shape:?}", view.shape())
            }
            Some(view) if !matches!(view.dtype(), Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16) => {
                format!("tensor `{name}` holds {:?} values, not weights", view.dtype())
            }
            Some(_) => return Ok(()),
        };
        Err(ModelError::weights(self.path, what))
    }

    /// A tensor that [`Tensors::require`] has seen, in f32.
    fn take(&mut self, name: &str) -> Result<Tensor, ModelError> {
        let view = self.views.remove(name);
        let view = view.ok_or_else(|| ModelError::weights(self.path, format!("tensor `{name}` is missing")))?;
        let tensor = view.load(&Device::Cpu)?.to_dtype(DType::F32)?;
        // NaN and infinity are the only values whose product with 0 is not 0.
        let sum = (&tensor * 0.0)?.sum_all()?.to_scalar::<f32>()?;
        match sum == 0.0 {
            true => Ok(tensor),
            false => {
                let what = format!("tensor `{name}` holds a value that is not finite: the adapter is damaged");
                Err(ModelError::weights(self.path, what))
            }
        }
    }

    /// Refuses what was not taken.
    fn require_empty(&self, new_token_count: usize) -> Result<(), ModelError> {
        // PEFT may put whole resized tables beside the rows; the base model's own are used.
        let is_known = |name: &str| {
            name.contains(".base_layer.") || (new_token_count == 0 || name == NEW_ROWS[1]) && NEW_ROWS.contains(&name)
        };
        match self.views.keys().filter(|name| !is_known(name)).min() {
            Some(name) => Err(ModelError::weights(self.path, format!("tensor `{name}` has no place in this model"))),
            None => Ok(()),
        }
    }
}

impl Slot {
    /// Key, start in the flat vector, and shape in the file of `A` and `B`.
    fn named_matrices(&self, rank: usize) -> [(String, usize, [usize; 2]); 2] {
        [
            (key(self.layer, self.target, "lora_A"), self.a_start, [rank, self.c_in]),
            (key(self.layer, self.target, "lora_B"), self.b_start, [self.c_out, rank]),
        ]
    }
}

impl NewTokens {
    /// Keys of the rows that the file must have.
    fn named_rows(&self) -> Vec<&'static str> {
        match (self.count, self.tied) {
            (0, _) => Vec::new(),
            (_, true) => vec![NEW_ROWS[0]],
            (_, false) => NEW_ROWS.to_vec(),
        }
    }
}

/// A value in a message, cut where it is long.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}...", &text[..cut]),
        None => text,
    }
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
        return Err(format!("`peft_type` = {} (LORA is supported)", shown(get("peft_type"))));
    }
    if !get("bias").is_null() && get("bias") != "none" {
        return Err(format!("`bias` = {}", shown(get("bias"))));
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
        return Err(format!("`{key}` = {}", shown(get(key))));
    }
    refuse_changed_base(get("init_lora_weights"))?;
    let rank = get("r").as_u64().filter(|rank| (1..=RANK_MAX).contains(rank));
    let rank = rank.ok_or_else(|| format!("`r` = {} (1 to {RANK_MAX} is supported)", shown(get("r"))))? as usize;
    let alpha = get("lora_alpha").as_f64().filter(|alpha| *alpha > 0.0 && *alpha <= ALPHA_MAX);
    let alpha = alpha.ok_or_else(|| {
        format!("`lora_alpha` = {} (a number above 0 and up to {ALPHA_MAX} is supported)", shown(get("lora_alpha")))
    })?;
    let rslora = match get("use_rslora") {
        Value::Null => false,
        value => value.as_bool().ok_or_else(|| format!("`use_rslora` = {} (true or false)", shown(value)))?,
    };
    Ok(LoraConfig { rank, alpha, rslora, targets: read_targets(get("target_modules"))? })
}

/// Refuses initialisations that change the weights of the base: what was trained then belongs to a base that the folder
/// does not have. PEFT converts such an adapter with `path_initial_model_for_weight_conversion`.
fn refuse_changed_base(init: &Value) -> Result<(), String> {
    match init {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::String(name) if ["gaussian", "eva", "orthogonal"].contains(&name.as_str()) => Ok(()),
        other => Err(format!("`init_lora_weights` = {} (a base that stays as it is is supported)", shown(other))),
    }
}

fn read_targets(value: &Value) -> Result<Vec<Target>, String> {
    if value == "all-linear" {
        return Ok(Target::ALL.to_vec());
    }
    let names = value.as_array().ok_or_else(|| format!("`target_modules` = {}", shown(value)))?;
    let known = |name: &Value| Target::ALL.into_iter().find(|target| name == target.name());
    let mut targets = names
        .iter()
        .map(|name| known(name).ok_or_else(|| format!("target module {}", shown(name))))
        .collect::<Result<Vec<_>, _>>()?;
    targets.sort_by_key(|target| Target::ALL.iter().position(|other| other == target));
    targets.dedup();
    Ok(targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_of_a_changed_base_is_refused() {
        let read = |init: Value| {
            let config = json!({
                "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "init_lora_weights": init,
            });
            read_config(config.as_object().unwrap())
        };
        for init in [json!(null), json!(true), json!(false), json!("gaussian"), json!("eva"), json!("orthogonal")] {
            assert!(read(init.clone()).is_ok(), "{init}");
        }
        for init in ["pissa", "pissa_niter_16", "olora", "corda", "loftq", "lora_ga", ""] {
            let error = read(json!(init)).unwrap_err();
            assert!(error.contains(&format!("`init_lora_weights` = \"{init}\"")), "{error}");
        }
        assert!(read(json!(7)).is_err());
    }
}
