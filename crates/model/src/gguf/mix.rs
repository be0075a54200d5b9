//! Which type each tensor of a file gets.
//!
//! Source: `llama_tensor_get_type_impl` and `tensor_type_fallback` in `src/llama-quant.cpp` of llama.cpp, for the
//! architecture `llama` without experts and without an importance matrix.

use codeact_cpu::Format;

use super::Quant;
use crate::config::ModelConfig;

impl Quant {
    /// What most matrices become.
    fn format(self) -> Format {
        match self {
            Self::F16 => Format::F16,
            Self::Bf16 => Format::Bf16,
            Self::Q8_0 => Format::Q8_0,
            Self::Q4_0 => Format::Q4_0,
            Self::Q4KM => Format::Q4K,
        }
    }

    /// ggml's `general.file_type`.
    pub(super) fn file_type(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 7,
            Self::Q4KM => 15,
            Self::Bf16 => 32,
        }
    }

    /// The type of a tensor.
    ///
    /// * `name`: as GGUF files have it.
    /// * `shape`: `[rows, columns]`, or `[columns]` for a norm.
    pub(super) fn of_tensor(self, config: &ModelConfig, name: &str, shape: &[usize]) -> Format {
        let [_, columns] = *shape else {
            return Format::F32;
        };
        let usual = self.format();
        if matches!(self, Self::F16 | Self::Bf16) {
            return usual;
        }
        let (layer, part) = match name.strip_prefix("blk.").and_then(|rest| rest.split_once('.')) {
            Some((layer, part)) => (layer.parse().unwrap_or(0), part),
            None => (0, name),
        };
        let is_head = name == "output.weight" || config.tie_word_embeddings && name == "token_embd.weight";
        let wanted = match (is_head, self, part) {
            (true, ..) if !columns.is_multiple_of(usual.block_len()) => Format::Q8_0,
            (true, Self::Q8_0, _) => usual,
            (true, ..) => Format::Q6K,
            (_, Self::Q4KM, "attn_v.weight" | "ffn_down.weight") if takes_more_bits(layer, config.layer_count) => {
                Format::Q6K
            }
            // Of the 70B model: eight heads share each row of values.
            (_, Self::Q4KM, "attn_v.weight")
                if config.layer_count == 80 && config.head_count != config.kv_head_count =>
            {
                Format::Q5K
            }
            _ => usual,
        };
        fitting(wanted, columns)
    }
}

/// The first and the last eighth of the layers, and every third between.
fn takes_more_bits(layer: usize, layer_count: usize) -> bool {
    let eighth = layer_count / 8;
    layer < eighth || layer >= 7 * layer_count / 8 || (layer - eighth) % 3 == 2
}

/// A type whose blocks divide rows of `columns`: of about as many bits with smaller blocks, or 16 bits.
fn fitting(wanted: Format, columns: usize) -> Format {
    if columns.is_multiple_of(wanted.block_len()) {
        return wanted;
    }
    let smaller = match wanted {
        Format::Q4K => Format::Q5_0,
        Format::Q5K => Format::Q5_1,
        Format::Q6K => Format::Q8_0,
        other => other,
    };
    match columns.is_multiple_of(smaller.block_len()) {
        true => smaller,
        false => Format::F16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(layers: usize, hidden: usize, heads: usize, kv_heads: usize, tied: bool) -> ModelConfig {
        let json = serde_json::json!({
            "model_type": "llama", "hidden_size": hidden, "intermediate_size": 1536, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": 100,
            "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "tie_word_embeddings": tied,
        });
        ModelConfig::from_json(json).unwrap()
    }

    /// As `llama-quantize` chose for SmolLM2-135M: rows of 576 are no whole blocks of 256.
    #[test]
    fn rows_that_are_no_whole_blocks_get_smaller_ones() {
        let config = config(30, 576, 9, 3, true);
        let of = |quant: Quant, name: &str, columns| quant.of_tensor(&config, name, &[64, columns]);
        assert_eq!(of(Quant::Q4KM, "blk.4.attn_q.weight", 576), Format::Q5_0);
        assert_eq!(of(Quant::Q4KM, "token_embd.weight", 576), Format::Q8_0);
        assert_eq!(of(Quant::Q4KM, "blk.0.attn_v.weight", 576), Format::Q8_0);
        assert_eq!(of(Quant::Q4KM, "blk.0.ffn_down.weight", 1536), Format::Q6K);
        assert_eq!(of(Quant::Q4KM, "blk.3.ffn_down.weight", 1536), Format::Q4K);
        assert_eq!(of(Quant::Q4_0, "token_embd.weight", 576), Format::Q8_0);
        assert_eq!(of(Quant::Q4_0, "blk.0.ffn_down.weight", 1536), Format::Q4_0);
        assert_eq!(of(Quant::Q8_0, "blk.0.attn_q.weight", 100), Format::F16);
        assert_eq!(Quant::Q4KM.of_tensor(&config, "blk.0.attn_norm.weight", &[576]), Format::F32);
    }

    #[test]
    fn some_layers_and_the_head_get_more_bits() {
        let config = config(32, 4096, 32, 8, false);
        let of = |name: &str| Quant::Q4KM.of_tensor(&config, name, &[64, 4096]);
        assert_eq!((of("output.weight"), of("token_embd.weight")), (Format::Q6K, Format::Q4K));
        let more = (0..32).filter(|layer| of(&format!("blk.{layer}.attn_v.weight")) == Format::Q6K);
        assert_eq!(more.collect::<Vec<_>>(), [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]);
        assert_eq!(of("blk.0.attn_k.weight"), Format::Q4K);
        let large = self::config(80, 8192, 64, 8, false);
        assert_eq!(Quant::Q4KM.of_tensor(&large, "blk.10.attn_v.weight", &[1024, 8192]), Format::Q5K);
    }
}
