//! Writes a model as a GGUF file that llama.cpp and this project read: the architecture `llama`, which Mistral 7B has
//! too.
//!
//! The frame is written first, since all sizes are known; tensors follow one at a time, merged with an adapter where
//! there is one, so that no more than one is in memory. Blocks are those of [`codeact_cpu::Format::encode_row`], whose
//! squared error is at most that of ggml's own.

mod container; // the frame of the file
mod mix; // the type of each tensor
mod pre_tokenizer; // which of llama.cpp's ways to cut text a tokenizer has
mod scores; // scores of SentencePiece out of merges
mod vocabulary; // the tokenizer as metadata

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use codeact_cpu::Format;
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use crate::ModelError;
use crate::adapter::Adapter;
use crate::config::ModelConfig;
use crate::rotary::Rotary;
use crate::save::MergedWeights;
use crate::small_file::{CONFIG_BYTES_MAX, read_text};
use crate::source::{self, Plan};
use container::{ALIGNMENT, Entry, Value};
use vocabulary::Vocabulary;

/// Values that are converted at once.
const VALUES_AT_ONCE: usize = 4 << 20;

/// How the matrices of a file are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quant {
    /// 16 bits, IEEE half precision.
    F16,
    /// 16 bits, the upper half of an f32.
    Bf16,
    /// 8 bits and a scale for 32 weights.
    Q8_0,
    /// 4 bits and a scale for 32 weights.
    Q4_0,
    /// llama.cpp's mix `Q4_K_M`: 4 bits with scales and minima in 6 bits; some layers and the head in 6 bits.
    Q4KM,
}

/// What a file says of itself, beside its model.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// `general.name`.
    pub name: String,
    /// `general.license`, an SPDX name or what the hub calls it.
    pub license: Option<String>,
}

/// Writes the GGUF file of a model.
///
/// * `model`: a Hugging Face folder.
/// * `adapter`: merged in while writing.
/// * `format_dir`: the folder with tokenizer, chat template and stop tokens: that of the adapter where it has its own.
/// * `out`: a new file, or one to be overwritten.
///
/// # Errors
/// When something cannot be read or written, the adapter does not fit, the tokenizer is of a kind that llama.cpp or this
/// project would read differently, or a value is beyond 16 bits. What was written until then stays.
pub fn write(
    model: &Path,
    adapter: Option<&Adapter>,
    format_dir: &Path,
    (quant, facts): (Quant, &Facts),
    out: &Path,
) -> Result<(), ModelError> {
    let weights = MergedWeights::open(model, adapter)?;
    let config = &weights.config;
    let raw = raw_config(model)?;
    let vocabulary = Vocabulary::read(format_dir, &raw, config.vocab_size)?;
    let mut metadata = architecture(config, &raw, quant, facts);
    metadata.extend(vocabulary.metadata());
    let plans = source::plan(&config.into());
    let mut entries: Vec<Entry<'_>> = plans
        .iter()
        .map(|plan| Entry {
            name: &plan.gguf_name,
            shape: &plan.shape,
            format: quant.of_tensor(config, &plan.gguf_name, &plan.shape),
        })
        .collect();
    let factors = rope_factors(config, &raw)?;
    let factors_shape = [config.head_width / 2];
    if factors.is_some() {
        entries.push(Entry { name: source::FACTORS, shape: &factors_shape, format: Format::F32 });
    }
    let io = |source| ModelError::io(out, source);
    let mut file = BufWriter::with_capacity(1 << 20, File::create(out).map_err(io)?);
    file.write_all(&container::header(&metadata, &entries)).map_err(io)?;
    for (plan, entry) in plans.iter().zip(&entries) {
        let tensor = in_order(plan, weights.get(&plan.name)?)?;
        if tensor.dims() != plan.shape {
            let (found, name) = (tensor.dims(), &plan.name);
            return Err(ModelError::weights(
                model,
                format!("`{name}` is {found:?}, the config wants {:?}", plan.shape),
            ));
        }
        let beyond = |what: &str| ModelError::weights(model, format!("tensor `{}` {what}", plan.name));
        write_tensor(&mut file, &tensor, entry.format, &beyond, &io)?;
        pad(&mut file, entry.byte_count()).map_err(io)?;
    }
    if let Some(factors) = factors {
        let bytes: Vec<u8> = factors.iter().flat_map(|factor| factor.to_le_bytes()).collect();
        file.write_all(&bytes).map_err(io)?;
        pad(&mut file, bytes.len()).map_err(io)?;
    }
    file.flush().map_err(io)
}

/// `config.json` as it is, for what [`ModelConfig`] has only the result of.
fn raw_config(model: &Path) -> Result<Map<String, Json>, ModelError> {
    let path = model.join("config.json");
    let text = read_text(&path, CONFIG_BYTES_MAX)?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json { path, source })
}

fn architecture(config: &ModelConfig, raw: &Map<String, Json>, quant: Quant, facts: &Facts) -> Vec<(String, Value)> {
    let number = |value: usize| Value::U32(value as u32);
    // llama.cpp has no window in this architecture: up to its length attention is the same with and without.
    let context =
        config.sliding_window.map_or(config.context_tokens_max, |window| window.min(config.context_tokens_max));
    let rope = rope_settings(raw);
    let theta = raw.get("rope_theta").or_else(|| rope?.get("rope_theta")).and_then(Json::as_f64).unwrap_or(10_000.0);
    let mut metadata = vec![
        ("general.architecture", Value::Text("llama".into())),
        ("general.type", Value::Text("model".into())),
        ("general.name", Value::Text(facts.name.clone())),
        ("general.file_type", Value::U32(quant.file_type())),
        ("general.quantization_version", Value::U32(2)),
        ("llama.vocab_size", number(config.vocab_size)),
        ("llama.context_length", number(context)),
        ("llama.embedding_length", number(config.hidden_size)),
        ("llama.block_count", number(config.layer_count)),
        ("llama.feed_forward_length", number(config.intermediate_size)),
        ("llama.attention.head_count", number(config.head_count)),
        ("llama.attention.head_count_kv", number(config.kv_head_count)),
        ("llama.attention.key_length", number(config.head_width)),
        ("llama.attention.value_length", number(config.head_width)),
        ("llama.rope.dimension_count", number(config.head_width)),
        ("llama.rope.freq_base", Value::F32(theta as f32)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(config.rms_norm_eps)),
    ];
    if let Some(license) = &facts.license {
        metadata.push(("general.license", Value::Text(license.clone())));
    }
    if rope_kind(raw) == "linear" {
        let factor = rope.and_then(|rope| rope.get("factor")).and_then(Json::as_f64).unwrap_or(1.0);
        metadata.push(("llama.rope.scaling.type", Value::Text("linear".into())));
        metadata.push(("llama.rope.scaling.factor", Value::F32(factor as f32)));
    }
    metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// `rope_parameters`, as transformers 5 writes it, or `rope_scaling`.
fn rope_settings(raw: &Map<String, Json>) -> Option<&Map<String, Json>> {
    ["rope_parameters", "rope_scaling"].into_iter().find_map(|key| raw.get(key)?.as_object())
}

/// A kind that [`ModelConfig`] has accepted.
fn rope_kind(raw: &Map<String, Json>) -> &str {
    let get = |key| rope_settings(raw)?.get(key)?.as_str();
    get("rope_type").or_else(|| get("type")).unwrap_or("default")
}

/// What llama.cpp divides each rotary frequency by, for Llama 3's scaling.
fn rope_factors(config: &ModelConfig, raw: &Map<String, Json>) -> Result<Option<Vec<f32>>, ModelError> {
    if rope_kind(raw) != "llama3" {
        return Ok(None);
    }
    let rope = rope_settings(raw);
    let theta = raw.get("rope_theta").or_else(|| rope?.get("rope_theta")).and_then(Json::as_f64);
    let plain = Rotary::from_json(theta, None, config.head_width).map_err(ModelError::Batch)?;
    let scaled = &config.rotary.inverse_frequencies;
    Ok(Some(plain.inverse_frequencies.iter().zip(scaled).map(|(plain, scaled)| plain / scaled).collect()))
}

/// Rows as GGUF files have them: llama.cpp rotates neighbouring pairs, so the two halves of every head of queries and keys
/// are interleaved.
fn in_order(plan: &Plan, tensor: Tensor) -> Result<Tensor, ModelError> {
    if !plan.is_interleaved() || tensor.dims() != plan.shape {
        return Ok(tensor);
    }
    let mut order = vec![0u32; plan.shape[0]];
    (0..plan.shape[0]).for_each(|row| order[plan.gguf_row(row)] = row as u32);
    Ok(tensor.index_select(&Tensor::new(order, &Device::Cpu)?, 0)?)
}

/// Writes rows one after the other, some at a time on all processors.
fn write_tensor(
    file: &mut impl Write,
    tensor: &Tensor,
    format: Format,
    beyond: &dyn Fn(&str) -> ModelError,
    io: &dyn Fn(std::io::Error) -> ModelError,
) -> Result<(), ModelError> {
    let columns = tensor.dims().last().copied().unwrap_or(1);
    let tensor = tensor.reshape(((), columns))?;
    let rows_at_once = (VALUES_AT_ONCE / columns).max(1);
    let largest = if format == Format::F16 { half::f16::MAX.to_f32() } else { f32::MAX };
    let row_bytes = format.row_bytes(columns).ok_or_else(|| beyond("has rows that are no whole blocks"))?;
    for first in (0..tensor.dim(0)?).step_by(rows_at_once) {
        let count = rows_at_once.min(tensor.dim(0)? - first);
        let values = tensor.narrow(0, first, count)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        // Not a number compares as false too.
        if !values.iter().all(|value| value.abs() <= largest) {
            return Err(beyond(&format!("holds a value that {format} cannot hold\nhint: bf16 has the range of f32")));
        }
        let mut bytes = vec![0; count * row_bytes];
        bytes.par_chunks_mut(row_bytes).zip(values.par_chunks(columns)).for_each_init(
            Vec::new,
            |row, (out, values)| {
                row.clear();
                format.encode_row(values, row);
                out.copy_from_slice(row);
            },
        );
        file.write_all(&bytes).map_err(io)?;
    }
    Ok(())
}

fn pad(file: &mut impl Write, written: usize) -> std::io::Result<()> {
    file.write_all(&[0; ALIGNMENT][..written.next_multiple_of(ALIGNMENT) - written])
}
