//! The PEFT folder of an adapter: its files, and the tensors of `adapter_model.safetensors`.

use std::collections::HashMap;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Map, Value};

use super::layout::{Slot, slots};
use super::peft::{new_token_count, read_config};
use super::{Adapter, NewTokens, Target};
use crate::ModelError;
use crate::config::ModelConfig;
use crate::small_file::{CONFIG_BYTES_MAX, read_text, require_plain};

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
    /// Names the key of a variant that is not supported (biases, saved modules), or the tensor that is missing, left over,
    /// or has another shape.
    pub fn load(folder: &Path, model: &ModelConfig, device: &Device) -> Result<Self, ModelError> {
        let config_path = folder.join(CONFIG_FILE);
        let map = load_map(&config_path)?;
        let unsupported = |what| ModelError::Unsupported { path: config_path.clone(), what };
        let config = read_config(&map, model.layer_count).map_err(unsupported)?;
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
            for (name, _, shape) in slot.named_matrices() {
                tensors.require(&name, &shape)?;
            }
            if slot.m_start.is_some() {
                tensors.require(&slot.magnitude_key(), &[slot.c_out])?;
            }
        }
        for name in &new_rows {
            tensors.require(name, &[new_token_count, model.hidden_size])?;
        }
        let mut values = vec![0.0; count];
        for slot in &slots {
            for (name, start, shape) in slot.named_matrices() {
                let matrix = tensors.take(&name)?;
                // `B` lies transposed in the flat vector.
                let matrix = if start == slot.b_start { matrix.t()?.contiguous()? } else { matrix };
                let matrix = matrix.flatten_all()?.to_vec1::<f32>()?;
                values[start..start + shape.iter().product::<usize>()].copy_from_slice(&matrix);
            }
            if let Some(start) = slot.m_start {
                let magnitude = tensors.take(&slot.magnitude_key())?.to_vec1::<f32>()?;
                values[start..start + slot.c_out].copy_from_slice(&magnitude);
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
            let (a, b) = slot.views(&self.parameters)?;
            tensors.insert(key(slot.layer, slot.target, "lora_A"), a.contiguous()?);
            tensors.insert(key(slot.layer, slot.target, "lora_B"), b.t()?.contiguous()?);
            if let Some(magnitude) = slot.magnitude(&self.parameters)? {
                tensors.insert(slot.magnitude_key(), magnitude);
            }
        }
        let rows = [self.new_embedding(&self.parameters)?, self.new_head(&self.parameters)?];
        for (name, rows) in NEW_ROWS.into_iter().zip(rows) {
            if let Some(rows) = rows {
                tensors.insert(name.to_owned(), rows.copy()?);
            }
        }
        crate::save::write_safetensors(&folder.join(WEIGHTS_FILE), tensors)
    }
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
    /// Key of the magnitudes, a parameter of its own where the matrices are modules.
    fn magnitude_key(&self) -> String {
        format!("base_model.model.model.layers.{}.{}.lora_magnitude_vector", self.layer, self.target.module())
    }

    /// Key, start in the flat vector, and shape in the file of `A` and `B`.
    fn named_matrices(&self) -> [(String, usize, [usize; 2]); 2] {
        [
            (key(self.layer, self.target, "lora_A"), self.a_start, [self.rank, self.c_in]),
            (key(self.layer, self.target, "lora_B"), self.b_start, [self.c_out, self.rank]),
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
