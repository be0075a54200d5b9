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
pub(crate) fn write_safetensors(
    path: &Path,
    tensors: HashMap<String, Tensor>,
) -> Result<(), ModelError> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|error| match error {
        safetensors::SafeTensorError::IoError(source) => ModelError::io(path, source),
        other => ModelError::weights(path, other.to_string()),
    })
}

/// Writes the base model with the adapter merged in: `W + s B A`, in the base's own dtype, as a Hugging Face folder.
///
/// * `base`: the folder the adapter was trained on; `config.json` and `generation_config.json` come from it. The
///   tokenizer is the caller's to write.
/// * `out`: an existing folder. Weights of more than 5 GB are split into shards with an index.
///
/// The sum is f32 and rounded once.
///
/// # Errors
/// When a file cannot be read or written, or the adapter does not fit.
pub fn merge_and_save(base: &Path, adapter: &Adapter, out: &Path) -> Result<(), ModelError> {
    let config = ModelConfig::load(base)?;
    for name in ["config.json", "generation_config.json"] {
        let from = base.join(name);
        if from.exists() {
            std::fs::copy(&from, out.join(name))
                .map_err(|source| ModelError::io(&out.join(name), source))?;
        }
    }
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
                None => weight,
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
        .flat_map(|layer| {
            adapter
                .config()
                .targets
                .iter()
                .map(move |target| (layer, *target))
        })
        .map(|(layer, target)| {
            (
                format!("model.layers.{layer}.{}.weight", target.module()),
                (layer, target),
            )
        })
        .collect()
}

fn merged(
    weight: &Tensor,
    adapter: &Adapter,
    layer: usize,
    target: Target,
) -> Result<Tensor, ModelError> {
    let Some(pair) = adapter.pair(layer, target) else {
        return Ok(weight.clone());
    };
    let update = (pair.b.t()?.contiguous()?.matmul(&pair.a)? * pair.scale as f64)?;
    let sum = (weight.to_dtype(DType::F32)? + update.to_device(&Device::Cpu)?)?;
    Ok(sum.to_dtype(weight.dtype())?)
}

/// Tensor names in order, cut into files of at most [`SHARD_BYTES`].
fn shards(files: &MmapedSafetensors) -> Vec<Vec<String>> {
    let mut sizes: Vec<(String, usize)> = files
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, view.data().len()))
        .collect();
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

fn write_index(
    files: &MmapedSafetensors,
    index: &BTreeMap<String, String>,
    out: &Path,
) -> Result<(), ModelError> {
    let total: usize = files
        .tensors()
        .iter()
        .map(|(_, view)| view.data().len())
        .sum();
    let path = out.join("model.safetensors.index.json");
    let text = serde_json::to_string_pretty(
        &json!({"metadata": {"total_size": total}, "weight_map": index}),
    )
    .expect("a JSON value serialises");
    std::fs::write(&path, text + "\n").map_err(|source| ModelError::io(&path, source))
}
