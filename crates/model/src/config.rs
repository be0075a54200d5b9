//! `config.json` of a Llama or Mistral model: what we need of it, and a refusal by name of what we do not support.

use std::path::Path;

use candle_core::DType;
use codeact_ops::attention::Attention;
use codeact_ops::gemm::Precision;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ModelError;
use crate::rotary::Rotary;
use crate::small_file::{CONFIG_BYTES_MAX, read_text};

/// The largest values that are believed, all far above those of real models: what is computed from them, and put into
/// memory before any weight was seen, stays small.
const LAYERS_MAX: usize = 1 << 12;
const HEAD_WIDTH_MAX: usize = 1 << 12;
const WIDTH_MAX: usize = 1 << 20;
const VOCABULARY_MAX: usize = 1 << 24;
const TOKENS_MAX: usize = 1 << 28;

/// Shape and constants of a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// Width of the residual stream, `C`.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub layer_count: usize,
    /// Query heads, `H`.
    pub head_count: usize,
    /// Key/value heads, `G`.
    pub kv_head_count: usize,
    /// Width of a head, `D`.
    pub head_width: usize,
    /// Rows of the embedding, `V`.
    pub vocab_size: usize,
    /// Longest sequence the model was made for, in tokens.
    pub context_tokens_max: usize,
    /// Added under the root of the norms.
    pub rms_norm_eps: f32,
    /// Rotary frequencies.
    pub rotary: Rotary,
    /// Keys a query sees, itself included; `None` for all.
    pub sliding_window: Option<usize>,
    /// Whether the head is the embedding.
    pub tie_word_embeddings: bool,
}

/// The keys of `config.json` that matter here, in both styles: as published (`rope_theta`, `rope_scaling`) and as
/// transformers 5 writes them (`rope_parameters`).
#[derive(Deserialize)]
struct Raw {
    model_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    vocab_size: usize,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    hidden_act: Option<String>,
    rope_theta: Option<f64>,
    rope_scaling: Option<Map<String, Value>>,
    rope_parameters: Option<Map<String, Value>>,
    sliding_window: Option<usize>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    partial_rotary_factor: Option<f64>,
    quantization_config: Option<Value>,
}

impl ModelConfig {
    /// Reads `config.json` in a model folder.
    ///
    /// # Errors
    /// When the file cannot be read or parsed, or asks for something unsupported; the message names it.
    pub fn load(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join("config.json");
        let text = read_text(&path, CONFIG_BYTES_MAX)?;
        let raw: Raw = serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.clone(), source })?;
        raw.into_config().map_err(|what| ModelError::Unsupported { path, what })
    }

    /// Checks what would be written as `config.json`.
    ///
    /// # Errors
    /// Text that names what is not supported.
    pub(crate) fn from_json(config: Value) -> Result<Self, String> {
        serde_json::from_value::<Raw>(config).map_err(|error| error.to_string())?.into_config()
    }

    /// The attention of every layer, with products as the weights' dtype asks.
    pub fn attention(&self, weights: DType) -> Attention {
        Attention {
            head_count: self.head_count,
            kv_head_count: self.kv_head_count,
            head_width: self.head_width,
            window: self.sliding_window,
            precision: Precision::of(weights),
        }
    }

    /// Bytes that the weights take in this dtype.
    pub fn weight_bytes(&self, dtype: DType) -> usize {
        let c = self.hidden_size;
        let q = self.head_count * self.head_width;
        let kv = self.kv_head_count * self.head_width;
        let block = 2 * c * q + 2 * c * kv + 3 * c * self.intermediate_size + 2 * c;
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        (self.layer_count * block + tables * self.vocab_size * c + c) * dtype.size_in_bytes()
    }
}

impl Raw {
    fn into_config(self) -> Result<ModelConfig, String> {
        self.refuse_unsupported()?;
        let head_width = self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1));
        let kv_head_count = self.num_key_value_heads.unwrap_or(self.num_attention_heads);
        let queries = self.num_attention_heads.saturating_mul(head_width);
        let counts = [
            ("hidden_size", self.hidden_size, WIDTH_MAX),
            ("num_attention_heads", self.num_attention_heads, WIDTH_MAX),
            ("num_key_value_heads", kv_head_count, WIDTH_MAX),
            ("head_dim", head_width, HEAD_WIDTH_MAX),
            ("num_attention_heads` times `head_dim", queries, WIDTH_MAX),
            ("num_hidden_layers", self.num_hidden_layers, LAYERS_MAX),
            ("intermediate_size", self.intermediate_size, WIDTH_MAX),
            ("vocab_size", self.vocab_size, VOCABULARY_MAX),
            ("max_position_embeddings", self.max_position_embeddings, TOKENS_MAX),
            ("sliding_window", self.sliding_window.unwrap_or(1), TOKENS_MAX),
        ];
        if let Some((key, value, most)) = counts.iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return Err(format!("`{key}` = {value} (1 to {most} is supported)"));
        }
        let rms_norm_eps = self.rms_norm_eps as f32;
        if !(rms_norm_eps > 0.0 && rms_norm_eps < 1.0) {
            return Err(format!("`rms_norm_eps` = {} (a number between 0 and 1 is supported)", self.rms_norm_eps));
        }
        if !self.num_attention_heads.is_multiple_of(kv_head_count) {
            return Err(format!("{} heads over {kv_head_count} key/value heads", self.num_attention_heads));
        }
        if !head_width.is_multiple_of(2) {
            return Err(format!("odd `head_dim` = {head_width}"));
        }
        let parameters = match (&self.rope_parameters, &self.rope_scaling) {
            (Some(parameters), Some(scaling)) if parameters != scaling => {
                return Err("both `rope_parameters` and `rope_scaling`, and they differ".into());
            }
            (parameters, scaling) => parameters.as_ref().or(scaling.as_ref()),
        };
        let rotary = Rotary::from_json(self.rope_theta, parameters, head_width)?;
        Ok(ModelConfig {
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            layer_count: self.num_hidden_layers,
            head_count: self.num_attention_heads,
            kv_head_count,
            head_width,
            vocab_size: self.vocab_size,
            context_tokens_max: self.max_position_embeddings,
            rms_norm_eps,
            rotary,
            sliding_window: self.sliding_window.filter(|_| self.model_type == "mistral"),
            tie_word_embeddings: self.tie_word_embeddings,
        })
    }

    fn refuse_unsupported(&self) -> Result<(), String> {
        if !matches!(self.model_type.as_str(), "llama" | "mistral") {
            return Err(format!("`model_type` = \"{}\" (llama and mistral are supported)", self.model_type));
        }
        match self.hidden_act.as_deref() {
            None | Some("silu") => {}
            Some(other) => return Err(format!("`hidden_act` = \"{other}\" (silu is supported)")),
        }
        if self.attention_bias || self.mlp_bias {
            return Err("biases in projections (`attention_bias`, `mlp_bias`)".into());
        }
        if self.partial_rotary_factor.is_some_and(|factor| factor != 1.0) {
            return Err("`partial_rotary_factor` other than 1".into());
        }
        if self.quantization_config.is_some() {
            return Err("quantised weights (`quantization_config`); use the unquantised model".into());
        }
        Ok(())
    }
}
