//! Writing safetensors and merged models.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{DType, Device, Tensor};
use serde_json::json;

use crate::ModelError;
use crate::adapter::{Adapter, Target};
use crate::config::ModelConfig;
use crate::weights::safetensors_files;

/// Bytes of one file of a sharded model, as transformers cuts them.
const SHARD_BYTES: usize = 5_000_000_000;

/// Writes tensors with the metadata that transformers looks for.
pub(crate) fn write_safetensors(path: &Path, tensors: HashMap<String, Tensor>) -> Result<(), ModelError> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => ModelError::io(path, source),
        other => ModelError::weights(path, other.to_string()),
    })
}

/// Writes the base model with the adapter merged in: `W + s B A`, in the base's own dtype, as a Hugging Face folder.
///
/// * `base`: the folder the adapter was trained on; `config.json` comes from it. Tokenizer and generation config are
///   the caller's to write.
/// * `out`: an existing folder. Weights of more than 5 GB are split into shards with an index.
///
/// The sum is f32 and rounded once. New tokens of the adapter become the last rows of embedding and head.
///
/// # Errors
/// When a file cannot be read or written, or the adapter does not fit.
pub fn merge_and_save(base: &Path, adapter: &Adapter, out: &Path) -> Result<(), ModelError> {
    let config = ModelConfig::load(base)?;
    write_config(base, config.vocab_size + adapter.new_token_count(), out)?;
    // SAFETY: the base folder is only read and not rewritten while in use.
    let files = unsafe { MmapedSafetensors::multi(&safetensors_files(base)?)? };
    let deltas = deltas(&config, adapter);
    let shards = shards(&files);
    let mut index = BTreeMap::new();
    for (number, names) in shards.iter().enumerate() {
        let file = match shards.len() {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let mut tensors = HashMap::new();
        for name in names {
            let weight = files.load(name, &Device::Cpu)?;
            let weight = match deltas.get(name) {
                Some((layer, target)) => merged(&weight, adapter, *layer, *target)?,
                None => extended(weight, adapter, name)?,
            };
            tensors.insert(name.clone(), weight);
            index.insert(name.clone(), file.clone());
        }
        write_safetensors(&out.join(&file), tensors)?;
    }
    if shards.len() > 1 {
        write_index(&files, &index, out)?;
    }
    Ok(())
}

/// Names of the weights that carry a pair.
fn deltas(config: &ModelConfig, adapter: &Adapter) -> HashMap<String, (usize, Target)> {
    let layers = 0..config.layer_count;
    layers
        .flat_map(|layer| adapter.config().targets.iter().map(move |target| (layer, *target)))
        .map(|(layer, target)| (format!("model.layers.{layer}.{}.weight", target.module()), (layer, target)))
        .collect()
}

fn merged(weight: &Tensor, adapter: &Adapter, layer: usize, target: Target) -> Result<Tensor, ModelError> {
    let Some((a, b)) = adapter.pair(adapter.parameters(), layer, target)? else {
        return Ok(weight.clone());
    };
    let (a, b) = (a.to_device(&Device::Cpu)?, b.to_device(&Device::Cpu)?);
    let update = (b.t()?.contiguous()?.matmul(&a)? * adapter.scaling(layer, target))?;
    let sum = (weight.to_dtype(DType::F32)? + update)?;
    Ok(sum.to_dtype(weight.dtype())?)
}

/// The embedding and the head with the adapter's new tokens behind the others.
fn extended(weight: Tensor, adapter: &Adapter, name: &str) -> Result<Tensor, ModelError> {
    let rows = match name {
        "model.embed_tokens.weight" => adapter.new_embedding(adapter.parameters())?,
        "lm_head.weight" => adapter.new_head(adapter.parameters())?,
        _ => None,
    };
    let Some(rows) = rows else {
        return Ok(weight);
    };
    let rows = rows.to_device(&Device::Cpu)?.to_dtype(weight.dtype())?;
    Ok(Tensor::cat(&[weight, rows], 0)?)
}

/// `config.json` of the base, with the vocabulary as it is after merging.
fn write_config(base: &Path, vocab_size: usize, out: &Path) -> Result<(), ModelError> {
    let (from, to) = (base.join("config.json"), out.join("config.json"));
    let text = std::fs::read_to_string(&from).map_err(|source| ModelError::io(&from, source))?;
    let mut config: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| ModelError::Json { path: from, source })?;
    config["vocab_size"] = vocab_size.into();
    let text = serde_json::to_string_pretty(&config).expect("a JSON value serialises");
    std::fs::write(&to, text + "\n").map_err(|source| ModelError::io(&to, source))
}

/// Tensor names in order, cut into files of at most [`SHARD_BYTES`].
fn shards(files: &MmapedSafetensors) -> Vec<Vec<String>> {
    let mut sizes: Vec<(String, usize)> =
        files.tensors().into_iter().map(|(name, view)| (name, view.data().len())).collect();
    sizes.sort();
    let mut shards = vec![Vec::new()];
    let mut filled = 0;
    for (name, bytes) in sizes {
        let current = shards.last_mut().expect("starts with one");
        if filled + bytes > SHARD_BYTES && !current.is_empty() {
            shards.push(vec![name]);
            filled = bytes;
        } else {
            current.push(name);
            filled += bytes;
        }
    }
    shards
}

fn write_index(files: &MmapedSafetensors, index: &BTreeMap<String, String>, out: &Path) -> Result<(), ModelError> {
    let total: usize = files.tensors().iter().map(|(_, view)| view.data().len()).sum();
    let path = out.join("model.safetensors.index.json");
    let text = serde_json::to_string_pretty(&json!({"metadata": {"total_size": total}, "weight_map": index}))
        .expect("a JSON value serialises");
    std::fs::write(&path, text + "\n").map_err(|source| ModelError::io(&path, source))
}
