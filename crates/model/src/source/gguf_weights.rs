//! GGUF tensors to one bf16 safetensors file, a tensor at a time.
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use candle_core::Device;
use half::bf16;
use serde_json::{Map, Value, json};

use super::error::SourceError;
use super::gguf::Gguf;
use super::gguf_config::LlamaConfig;
use super::gguf_rope;
use crate::config::ModelConfig;

/// One tensor of a Llama model, as a GGUF file and as a Hugging Face folder have it.
pub(crate) struct Plan {
    pub(crate) gguf_name: String,
    pub(crate) name: String,
    /// `[rows, columns]`, or `[columns]` for a norm.
    pub(crate) shape: Vec<usize>,
    /// Heads whose rows are interleaved in the GGUF file: q and k only.
    interleaved_heads: Option<usize>,
}

impl Plan {
    /// The GGUF row that is row `row` in Hugging Face's order.
    pub(crate) fn gguf_row(&self, row: usize) -> usize {
        match self.interleaved_heads {
            Some(heads) => interleaved_row(row, self.shape[0] / heads),
            None => row,
        }
    }

    /// Whether rows lie in another order than Hugging Face's.
    pub(crate) fn is_interleaved(&self) -> bool {
        self.interleaved_heads.is_some()
    }
}

/// Writes all tensors of `gguf` to the new file `path`.
///
/// Peak memory is one tensor in f32 and in bf16, whatever the size of the model.
///
/// # Errors
/// When a tensor is missing, has another shape than the metadata says, is not part of the architecture, or holds a
/// value that is not finite.
pub(super) fn write(gguf: &mut Gguf, config: &LlamaConfig, path: &Path) -> Result<(), SourceError> {
    let mut plans = checked_plan(gguf, config)?;
    // By name, as the safetensors library writes tensors of one type.
    plans.sort_by(|left, right| left.name.cmp(&right.name));
    let file = File::create(path).map_err(SourceError::io("create", path))?;
    let mut writer = BufWriter::with_capacity(1 << 20, file);
    let header = header(&plans);
    writer.write_all(&(header.len() as u64).to_le_bytes()).map_err(SourceError::io("write", path))?;
    writer.write_all(header.as_bytes()).map_err(SourceError::io("write", path))?;
    for plan in &plans {
        let bytes = read_bf16(gguf, plan)?;
        writer.write_all(&bytes).map_err(SourceError::io("write", path))?;
    }
    writer.flush().map_err(SourceError::io("write", path))
}

/// Every tensor of the model, all of which are there with the shape that the metadata says.
///
/// # Errors
/// When one is missing, has another shape, or is not part of the architecture.
pub(super) fn checked_plan(gguf: &Gguf, config: &LlamaConfig) -> Result<Vec<Plan>, SourceError> {
    let plans = plan(&config.into());
    check(gguf, &plans)?;
    Ok(plans)
}

/// The sizes that decide which tensors a model has.
pub(crate) struct Sizes {
    pub(crate) hidden: usize,
    pub(crate) inner: usize,
    pub(crate) vocab: usize,
    pub(crate) layers: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_width: usize,
    pub(crate) is_tied: bool,
}

impl From<&LlamaConfig> for Sizes {
    fn from(config: &LlamaConfig) -> Self {
        Self {
            hidden: config.hidden_size as usize,
            inner: config.intermediate_size as usize,
            vocab: config.vocab_size as usize,
            layers: config.layer_count as usize,
            heads: config.head_count as usize,
            kv_heads: config.kv_head_count as usize,
            head_width: config.head_width as usize,
            is_tied: config.is_tied,
        }
    }
}

impl From<&ModelConfig> for Sizes {
    fn from(config: &ModelConfig) -> Self {
        Self {
            hidden: config.hidden_size,
            inner: config.intermediate_size,
            vocab: config.vocab_size,
            layers: config.layer_count,
            heads: config.head_count,
            kv_heads: config.kv_head_count,
            head_width: config.head_width,
            is_tied: config.tie_word_embeddings,
        }
    }
}

/// Every tensor of a model of these sizes.
pub(crate) fn plan(sizes: &Sizes) -> Vec<Plan> {
    let Sizes { hidden, inner, vocab, heads, kv_heads, .. } = *sizes;
    let (queries, keys) = (heads * sizes.head_width, kv_heads * sizes.head_width);
    let plan = |gguf_name: &str, name: &str, shape: &[usize], interleaved_heads| Plan {
        gguf_name: format!("{gguf_name}.weight"),
        name: format!("{name}.weight"),
        shape: shape.to_vec(),
        interleaved_heads,
    };
    let mut plans = vec![
        plan("token_embd", "model.embed_tokens", &[vocab, hidden], None),
        plan("output_norm", "model.norm", &[hidden], None),
    ];
    if !sizes.is_tied {
        plans.push(plan("output", "lm_head", &[vocab, hidden], None));
    }
    for layer in 0..sizes.layers {
        let mut add = |from: &str, to: &str, shape: &[usize], interleaved_heads| {
            let (from, to) = (format!("blk.{layer}.{from}"), format!("model.layers.{layer}.{to}"));
            plans.push(plan(&from, &to, shape, interleaved_heads));
        };
        add("attn_norm", "input_layernorm", &[hidden], None);
        add("ffn_norm", "post_attention_layernorm", &[hidden], None);
        add("attn_q", "self_attn.q_proj", &[queries, hidden], Some(heads));
        add("attn_k", "self_attn.k_proj", &[keys, hidden], Some(kv_heads));
        add("attn_v", "self_attn.v_proj", &[keys, hidden], None);
        add("attn_output", "self_attn.o_proj", &[hidden, queries], None);
        add("ffn_gate", "mlp.gate_proj", &[inner, hidden], None);
        add("ffn_up", "mlp.up_proj", &[inner, hidden], None);
        add("ffn_down", "mlp.down_proj", &[hidden, inner], None);
    }
    plans
}

fn check(gguf: &Gguf, plans: &[Plan]) -> Result<(), SourceError> {
    for plan in plans {
        let Some(info) = gguf.content.tensor_infos.get(&plan.gguf_name) else {
            return Err(gguf.fault(format!("tensor `{}` is missing", plan.gguf_name)));
        };
        if info.shape.dims() != plan.shape {
            return Err(gguf.fault(format!(
                "tensor `{}` has shape {:?}, the metadata says {:?}",
                plan.gguf_name,
                info.shape.dims(),
                plan.shape
            )));
        }
    }
    let is_scaled = gguf.content.tensor_infos.contains_key(gguf_rope::FACTORS);
    if gguf.content.tensor_infos.len() != plans.len() + usize::from(is_scaled) {
        let mut known: std::collections::HashSet<&str> = plans.iter().map(|plan| plan.gguf_name.as_str()).collect();
        known.insert(gguf_rope::FACTORS);
        let mut others: Vec<&String> =
            gguf.content.tensor_infos.keys().filter(|name| !known.contains(name.as_str())).collect();
        others.sort();
        return Err(gguf.unsupported(format!("tensor `{}` is not part of a supported Llama model", others[0])));
    }
    Ok(())
}

fn header(plans: &[Plan]) -> String {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut begin = 0usize;
    for plan in plans {
        let end = begin + plan.shape.iter().product::<usize>() * size_of::<bf16>();
        header.insert(plan.name.clone(), json!({"dtype": "BF16", "shape": plan.shape, "data_offsets": [begin, end]}));
        begin = end;
    }
    let mut text = Value::Object(header).to_string();
    // The data begins at a multiple of eight bytes.
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    text
}

fn read_bf16(gguf: &mut Gguf, plan: &Plan) -> Result<Vec<u8>, SourceError> {
    let name = &plan.gguf_name;
    let values = gguf
        .content
        .tensor(&mut gguf.file, name, &Device::Cpu)
        .and_then(|tensor| tensor.dequantize(&Device::Cpu))
        .and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>())
        .map_err(|error| gguf.fault(format!("tensor `{name}`: {error}")))?;
    let columns = *plan.shape.last().expect("every planned shape has a dimension");
    let mut bytes = Vec::with_capacity(values.len() * size_of::<bf16>());
    for row in 0..values.len() / columns {
        let from = plan.gguf_row(row);
        for &value in &values[from * columns..(from + 1) * columns] {
            let value = bf16::from_f32(value);
            if !value.is_finite() {
                return Err(gguf.fault(format!(
                    "tensor `{name}` holds a value that is not a finite bf16 number: the file is damaged"
                )));
            }
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    Ok(bytes)
}

/// The GGUF row that holds row `row` of a q or k matrix with heads `width` rows high.
///
/// llama.cpp rotates neighbouring pairs, so its files interleave the two halves of every head:
/// `(half, pair)` of the Hugging Face order is `(pair, half)` there.
fn interleaved_row(row: usize, width: usize) -> usize {
    let (head, within) = (row / width, row % width);
    let (half, pair) = (within / (width / 2), within % (width / 2));
    head * width + 2 * pair + half
}
