//! Writing safetensors and merged models.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use safetensors::{Dtype, View};
use serde_json::json;

use crate::ModelError;
use crate::adapter::{Adapter, Target};
use crate::config::ModelConfig;
use crate::full::FullWeights;
use crate::small_file::{CONFIG_BYTES_MAX, read_text};
use crate::weights::{WeightFiles, Weights};

/// Bytes of one file of a sharded model, as transformers cuts them.
pub const SHARD_BYTES: u64 = 5_000_000_000;

/// Writes tensors with the metadata that transformers looks for.
pub(crate) fn write_safetensors(path: &Path, tensors: HashMap<String, Tensor>) -> Result<(), ModelError> {
    write_views(path, tensors)
}

fn write_views<S, V>(path: &Path, views: impl IntoIterator<Item = (S, V)>) -> Result<(), ModelError>
where
    S: AsRef<str> + Ord + std::fmt::Display,
    V: View,
{
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize_to_file(views, Some(metadata), path).map_err(|error| match error {
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
    merge_into_shards(base, adapter, SHARD_BYTES, out)
}

/// As [`merge_and_save`], with weights of more than `shard_bytes` split into files of at most so many; a tensor that is
/// larger has a file of its own. One tensor is in memory at a time.
///
/// # Errors
/// As [`merge_and_save`].
pub fn merge_into_shards(base: &Path, adapter: &Adapter, shard_bytes: u64, out: &Path) -> Result<(), ModelError> {
    write_shards(&MergedWeights::open(base, Some(adapter))?, base, shard_bytes, out)
}

/// Writes trained weights as a Hugging Face folder, each tensor in the dtype that the base has it in, rounded once.
///
/// * `base`, `out`: as [`merge_and_save`] takes them.
///
/// # Errors
/// When a file cannot be read or written, or a value is beyond what its type can hold.
pub fn save_trained(base: &Path, weights: &FullWeights, out: &Path) -> Result<(), ModelError> {
    write_shards(&MergedWeights::trained(base, weights)?, base, SHARD_BYTES, out)
}

/// Whether [`save_trained`] rounds nothing that a decoder with these weights reads.
///
/// # Errors
/// When the base cannot be read.
pub fn saves_exactly(base: &Path, weights: Weights) -> Result<bool, ModelError> {
    let files = WeightFiles::open(base)?;
    let is_exact = |dtype| match dtype {
        Dtype::F32 | Dtype::F64 => true,
        Dtype::BF16 => weights == Weights::Bf16,
        _ => false,
    };
    let dtypes = files.names().into_iter().map(|name| Ok(files.describe(&name)?.0));
    Ok(dtypes.collect::<Result<Vec<_>, ModelError>>()?.into_iter().all(is_exact))
}

fn write_shards(weights: &MergedWeights<'_>, base: &Path, shard_bytes: u64, out: &Path) -> Result<(), ModelError> {
    write_config(base, weights.config.vocab_size, out)?;
    let shards = shards(weights, shard_bytes);
    let (mut index, mut total) = (BTreeMap::new(), 0);
    for (number, names) in shards.iter().enumerate() {
        let file = match shards.len() {
            1 => "model.safetensors".to_owned(),
            count => format!("model-{:05}-of-{count:05}.safetensors", number + 1),
        };
        let fault = RefCell::new(None);
        let views = names.iter().map(|name| Ok((name.as_str(), Pending::new(weights, name, &fault)?)));
        let views = views.collect::<Result<Vec<_>, ModelError>>()?;
        total += views.iter().map(|(_, view)| view.data_len()).sum::<usize>();
        write_views(&out.join(&file), views)?;
        if let Some(fault) = fault.take() {
            return Err(fault);
        }
        index.extend(names.iter().map(|name| (name.clone(), file.clone())));
    }
    match shards.len() {
        1 => Ok(()),
        _ => write_index(total, &index, out),
    }
}

/// The weights of a base model with an adapter merged in, trained, or as they are, one at a time.
pub(crate) struct MergedWeights<'a> {
    /// Shape of the merged model.
    pub(crate) config: ModelConfig,
    files: WeightFiles,
    adapter: Option<&'a Adapter>,
    deltas: HashMap<String, (usize, Target)>,
    trained: Option<&'a FullWeights>,
}

impl<'a> MergedWeights<'a> {
    /// Opens a Hugging Face folder.
    ///
    /// # Errors
    /// When it cannot be read, or lacks a weight that the adapter changes, or has it in another shape.
    pub(crate) fn open(base: &Path, adapter: Option<&'a Adapter>) -> Result<Self, ModelError> {
        let mut config = ModelConfig::load(base)?;
        let files = WeightFiles::open(base)?;
        files.refuse_biases()?;
        let deltas = adapter.map(|adapter| deltas(&config, adapter)).unwrap_or_default();
        for (name, (_, target)) in &deltas {
            let (c_in, c_out) = target.widths(&config);
            files.raw(name, &[c_out, c_in])?;
        }
        config.vocab_size += adapter.map_or(0, Adapter::new_token_count);
        Ok(Self { config, files, adapter, deltas, trained: None })
    }

    /// As [`MergedWeights::open`], with all weights from elsewhere: of the base only their dtypes count.
    fn trained(base: &Path, weights: &'a FullWeights) -> Result<Self, ModelError> {
        let opened = Self::open(base, None)?;
        Ok(Self { config: weights.model().clone(), trained: Some(weights), ..opened })
    }

    /// Names of all tensors, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        // A tied model's files may have a head that nobody reads, which is not trained.
        let mut names = match self.trained {
            Some(weights) => weights.names().map(str::to_owned).collect(),
            None => self.files.names(),
        };
        names.sort();
        names
    }

    /// Dtype and shape of a tensor as it is after merging.
    fn describe(&self, name: &str) -> Result<(Dtype, Vec<usize>), ModelError> {
        let (dtype, mut shape) = self.files.describe(name)?;
        if TABLES.contains(&name) && !shape.is_empty() {
            shape[0] = self.config.vocab_size.max(shape[0]);
        }
        Ok((dtype, shape))
    }

    /// A tensor after merging, on the CPU and in the dtype of the base.
    ///
    /// # Errors
    /// When it cannot be read, or holds a value that its type cannot hold after merging.
    pub(crate) fn get(&self, name: &str) -> Result<Tensor, ModelError> {
        if let Some(trained) = self.trained.map_or(Ok(None), |weights| weights.get(name))? {
            let (dtype, _) = self.files.describe(name)?;
            let dtype = DType::try_from(dtype).map_err(ModelError::Op)?;
            return self.checked(trained.to_device(&Device::Cpu)?.to_dtype(dtype)?, name);
        }
        let weight = self.files.load(name)?;
        let Some(adapter) = self.adapter else {
            return Ok(weight);
        };
        let Some((layer, target)) = self.deltas.get(name) else {
            return extended(weight, adapter, name);
        };
        self.checked(merged(&weight, adapter, *layer, *target)?, name)
    }

    /// Refuses a value that is no number.
    fn checked(&self, merged: Tensor, name: &str) -> Result<Tensor, ModelError> {
        // NaN and infinity are the only values whose product with 0 is not 0.
        let zero = (merged.to_dtype(DType::F32)? * 0.0)?.sum_all()?.to_scalar::<f32>()?;
        match zero == 0.0 {
            true => Ok(merged),
            false => {
                let dtype = merged.dtype().as_str();
                Err(self.files.fault(format!(
                    "`{name}` has a value beyond {dtype} after merging or training: base, adapter or run is damaged"
                )))
            }
        }
    }
}

/// Tensors that get the rows of new tokens.
pub(crate) const TABLES: [&str; 2] = ["model.embed_tokens.weight", "lm_head.weight"];

/// A tensor that is computed when it is written.
struct Pending<'a> {
    weights: &'a MergedWeights<'a>,
    name: &'a str,
    dtype: Dtype,
    shape: Vec<usize>,
    /// The first failure: a writer cannot be told of one.
    fault: &'a RefCell<Option<ModelError>>,
}

impl<'a> Pending<'a> {
    fn new(
        weights: &'a MergedWeights<'a>,
        name: &'a str,
        fault: &'a RefCell<Option<ModelError>>,
    ) -> Result<Self, ModelError> {
        let (dtype, shape) = weights.describe(name)?;
        Ok(Self { weights, name, dtype, shape, fault })
    }
}

impl View for Pending<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let bytes = self.weights.get(self.name).map(|tensor| View::data(&tensor).into_owned());
        Cow::Owned(bytes.unwrap_or_else(|error| {
            self.fault.borrow_mut().get_or_insert(error);
            vec![0; self.data_len()]
        }))
    }

    fn data_len(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.bitsize() / 8
    }
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
    let mut sum = (weight.to_dtype(DType::F32)? + update)?;
    if let Some(magnitude) = adapter.magnitude(adapter.parameters(), layer, target)? {
        // As in training, a row of zeros has a length.
        let norms = sum.sqr()?.sum_keepdim(1)?.sqrt()?.maximum(f64::from(f32::MIN_POSITIVE))?;
        let magnitude = magnitude.to_device(&Device::Cpu)?.reshape(norms.shape())?;
        sum = sum.broadcast_mul(&(magnitude / norms)?)?;
    }
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
pub(crate) fn write_config(base: &Path, vocab_size: usize, out: &Path) -> Result<(), ModelError> {
    let (from, to) = (base.join("config.json"), out.join("config.json"));
    let text = read_text(&from, CONFIG_BYTES_MAX)?;
    let mut config: serde_json::Value =
        serde_json::from_str(&text).map_err(|source| ModelError::Json { path: from, source })?;
    config["vocab_size"] = vocab_size.into();
    let text = serde_json::to_string_pretty(&config).expect("a JSON value serialises");
    std::fs::write(&to, text + "\n").map_err(|source| ModelError::io(&to, source))
}

/// Tensor names in order, cut into files of at most `shard_bytes`.
fn shards(weights: &MergedWeights<'_>, shard_bytes: u64) -> Vec<Vec<String>> {
    let (mut shards, mut filled) = (vec![Vec::new()], 0);
    for name in weights.names() {
        let bytes = weights
            .describe(&name)
            .map_or(0, |(dtype, shape)| (shape.iter().product::<usize>() * dtype.bitsize() / 8) as u64);
        let current = shards.last_mut().expect("starts with one");
        if filled + bytes > shard_bytes && !current.is_empty() {
            shards.push(vec![name]);
            filled = bytes;
        } else {
            current.push(name);
            filled += bytes;
        }
    }
    shards
}

fn write_index(total: usize, index: &BTreeMap<String, String>, out: &Path) -> Result<(), ModelError> {
    let path = out.join("model.safetensors.index.json");
    let text = serde_json::to_string_pretty(&json!({"metadata": {"total_size": total}, "weight_map": index}))
        .expect("a JSON value serialises");
    std::fs::write(&path, text + "\n").map_err(|source| ModelError::io(&path, source))
}
