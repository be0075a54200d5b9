//! GGUF metadata to config.json and generation_config.json.
use serde_json::{Value, json};

use super::error::SourceError;
use super::gguf::Gguf;
use super::gguf_rope;
use crate::config::ModelConfig;

/// Tensors of one layer.
const LAYER_TENSORS: u64 = 9;

/// The sizes and constants of a Llama-architecture model.
pub(super) struct LlamaConfig {
    pub(super) hidden_size: u64,
    pub(super) intermediate_size: u64,
    pub(super) layer_count: u64,
    pub(super) head_count: u64,
    pub(super) kv_head_count: u64,
    pub(super) head_width: u64,
    pub(super) vocab_size: u64,
    pub(super) context_length: u64,
    rms_norm_eps: f64,
    rope_theta: f64,
    /// `Null`, or linear scaling or Llama 3's as the published config.json files write it.
    rope_scaling: Value,
    pub(super) is_tied: bool,
}

/// Token ids with a role; `eos` holds every id that ends a turn, the first one first.
pub(super) struct SpecialIds {
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
    pub(super) unknown: Option<u32>,
    pub(super) padding: Option<u32>,
}

/// Reads and cross-checks the sizes.
pub(super) fn read(gguf: &Gguf) -> Result<LlamaConfig, SourceError> {
    refuse_extensions(gguf)?;
    let hidden_size = size(gguf, "llama.embedding_length")?;
    let head_count = size(gguf, "llama.attention.head_count")?;
    let kv_head_count = match gguf.number_option("llama.attention.head_count_kv")? {
        Some(0) => return Err(gguf.fault("`llama.attention.head_count_kv` is 0")),
        Some(count) => count,
        None => head_count,
    };
    if !head_count.is_multiple_of(kv_head_count) {
        return Err(gguf.fault(format!("{head_count} heads cannot share {kv_head_count} key/value heads")));
    }
    let head_width = head_width(gguf, hidden_size, head_count)?;
    let token_count =
        gguf.array_option("tokenizer.ggml.tokens")?.ok_or_else(|| gguf.absent("tokenizer.ggml.tokens"))?.len() as u64;
    let vocab_size = gguf.number_option("llama.vocab_size")?.unwrap_or(token_count);
    if vocab_size != token_count {
        return Err(gguf.fault(format!("`llama.vocab_size` is {vocab_size}, but there are {token_count} tokens")));
    }
    let rope_theta = gguf.float_option("llama.rope.freq_base")?.unwrap_or(10000.0);
    let layer_count = size(gguf, "llama.block_count")?;
    let tensor_count = gguf.content.tensor_infos.len() as u64;
    if layer_count > tensor_count / LAYER_TENSORS {
        return Err(gguf.fault(format!("{layer_count} layers are declared, but only {tensor_count} tensors are there")));
    }
    let config = LlamaConfig {
        hidden_size,
        intermediate_size: size(gguf, "llama.feed_forward_length")?,
        layer_count,
        head_count,
        kv_head_count,
        head_width,
        vocab_size,
        context_length: context_length(gguf)?,
        rms_norm_eps: gguf
            .float_option("llama.attention.layer_norm_rms_epsilon")?
            .ok_or_else(|| gguf.absent("llama.attention.layer_norm_rms_epsilon"))?,
        rope_theta,
        rope_scaling: rope_scaling(gguf, head_width, rope_theta)?,
        is_tied: !gguf.content.tensor_infos.contains_key("output.weight"),
    };
    // Whoever reads the folder will refuse what is refused here.
    let no_ids = SpecialIds { bos: None, eos: Vec::new(), unknown: None, padding: None };
    match ModelConfig::from_json(config.to_json(&no_ids)) {
        Ok(_) => Ok(config),
        Err(what) => Err(gguf.fault(format!("its metadata ask for {what}"))),
    }
}

fn head_width(gguf: &Gguf, hidden_size: u64, head_count: u64) -> Result<u64, SourceError> {
    let key_width = gguf.number_option("llama.attention.key_length")?;
    let head_width = key_width.unwrap_or(hidden_size / head_count);
    let value_width = gguf.number_option("llama.attention.value_length")?.unwrap_or(head_width);
    let rope_width = gguf.number_option("llama.rope.dimension_count")?.unwrap_or(head_width);
    if !(2..=1 << 12).contains(&head_width)
        || !head_width.is_multiple_of(2)
        || (key_width.is_none() && !hidden_size.is_multiple_of(head_count))
    {
        return Err(
            gguf.fault(format!("hidden size {hidden_size} does not divide into {head_count} heads of even width"))
        );
    }
    if rope_width != head_width || value_width != head_width {
        return Err(gguf.unsupported(format!(
            "heads are {head_width} wide, values {value_width} and rotary positions {rope_width}; only equal widths are supported"
        )));
    }
    Ok(head_width)
}

fn context_length(gguf: &Gguf) -> Result<u64, SourceError> {
    match gguf.number("llama.context_length")? {
        number @ 1..=0xfff_ffff => Ok(number),
        number => Err(gguf.fault(format!("`llama.context_length` is {number}, which cannot be right"))),
    }
}

fn size(gguf: &Gguf, key: &str) -> Result<u64, SourceError> {
    match gguf.number(key)? {
        // Far above every real model, and small enough that products of three sizes cannot overflow.
        number @ 1..=0x10_0000 => Ok(number),
        number => Err(gguf.fault(format!("`{key}` is {number}, which cannot be right"))),
    }
}

/// Things that other converters put under the same architecture name and that change what the model computes.
fn refuse_extensions(gguf: &Gguf) -> Result<(), SourceError> {
    for key in ["llama.expert_count", "llama.attention.sliding_window"] {
        if gguf.number_option(key)?.is_some_and(|number| number != 0) {
            return Err(gguf.unsupported(format!("`{key}` is set, which is not supported in GGUF files")));
        }
    }
    for key in ["llama.attention.scale", "llama.logit_scale", "llama.residual_scale", "llama.embedding_scale"] {
        if gguf.content.metadata.contains_key(key) {
            return Err(gguf.unsupported(format!("`{key}` is set, which is not supported")));
        }
    }
    let is_unknown = |name: &&String| name.starts_with("rope_f") && *name != gguf_rope::FACTORS;
    match gguf.content.tensor_infos.keys().find(is_unknown) {
        Some(name) => Err(gguf.unsupported(format!("rotary scaling by a tensor `{name}` is not supported"))),
        None => Ok(()),
    }
}

fn rope_scaling(gguf: &Gguf, head_width: u64, rope_theta: f64) -> Result<Value, SourceError> {
    let by_factors = gguf_rope::read(gguf, head_width, rope_theta)?;
    let kind = gguf.text_option("llama.rope.scaling.type")?.unwrap_or("none");
    // Old converters wrote only the factor.
    let old_factor = gguf.float_option("llama.rope.scale_linear")?.filter(|&factor| factor != 1.0);
    match (kind, old_factor) {
        ("none", None) => Ok(by_factors.unwrap_or(Value::Null)),
        _ if by_factors.is_some() => {
            Err(gguf.unsupported(format!("rotary scaling `{kind}` beside a tensor `{}`", gguf_rope::FACTORS)))
        }
        ("none", Some(factor)) => Ok(json!({"type": "linear", "factor": factor})),
        ("linear", _) => {
            let factor = gguf.float_option("llama.rope.scaling.factor")?.or(old_factor);
            let factor = factor.ok_or_else(|| gguf.absent("llama.rope.scaling.factor"))?;
            Ok(json!({"type": "linear", "factor": factor}))
        }
        (other, _) => {
            Err(gguf.unsupported(format!("rotary scaling `{other}` is not supported, only `none` and `linear`")))
        }
    }
}

impl LlamaConfig {
    /// config.json with the keys that published Llama repositories use.
    pub(super) fn to_json(&self, ids: &SpecialIds) -> Value {
        let mut config = json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": ids.bos,
            "eos_token_id": eos_json(ids),
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.context_length,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.head_count,
            "num_hidden_layers": self.layer_count,
            "num_key_value_heads": self.kv_head_count,
            "pad_token_id": ids.padding,
            "pretraining_tp": 1,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": self.rope_scaling,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.is_tied,
            "torch_dtype": "bfloat16",
            "use_cache": true,
            "vocab_size": self.vocab_size,
        });
        if self.head_width * self.head_count != self.hidden_size {
            config["head_dim"] = json!(self.head_width);
        }
        config
    }
}

/// generation_config.json: which ids begin, end and pad.
pub(super) fn generation_json(ids: &SpecialIds) -> Value {
    let mut config = json!({"_from_model_config": true, "bos_token_id": ids.bos, "eos_token_id": eos_json(ids)});
    if let Some(padding) = ids.padding {
        config["pad_token_id"] = json!(padding);
    }
    config
}

fn eos_json(ids: &SpecialIds) -> Value {
    match ids.eos.as_slice() {
        [] => Value::Null,
        [one] => json!(one),
        many => json!(many),
    }
}
