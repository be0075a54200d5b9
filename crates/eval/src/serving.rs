//! The options about running a model, which all programs share.

use std::num::{NonZeroU32, NonZeroUsize};

use codeact_model::serving::{Facts, ServedWeights, ServingOptions};

/// Options of every program that runs a model.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ServingArgs {
    /// Precision of the weights; without it, as the files have them
    #[arg(long, value_enum)]
    pub dtype: Option<Dtype>,
    /// Quantise the weights while they load
    #[arg(long, value_enum, conflicts_with = "dtype")]
    pub quant: Option<Quant>,
    /// Threads that compute; without it, all that this machine gives
    #[arg(long, value_name = "NUMBER")]
    pub threads: Option<NonZeroUsize>,
    /// Memory for keys and values of all sequences; it is taken as it is used [default: 1024]
    #[arg(long, value_name = "MIB")]
    pub kv_memory: Option<NonZeroU32>,
}

/// Precision of the weights and of the products with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 4 bytes a weight, and products of unrounded factors
    F32,
    /// 2 bytes a weight
    Bf16,
}

/// Formats of few bits, as llama.cpp has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
pub enum Quant {
    /// 8.5 bits a weight
    #[value(name = "q8_0")]
    #[serde(rename = "q8_0")]
    Q8_0,
    /// 4.5 bits a weight; embedding and head have 8.5
    #[value(name = "q4_k")]
    #[serde(rename = "q4_k")]
    Q4K,
}

impl ServingArgs {
    /// What the model is loaded with.
    pub fn options(&self) -> ServingOptions {
        let weights = match (self.dtype, self.quant) {
            (_, Some(Quant::Q8_0)) => ServedWeights::Q8_0,
            (_, Some(Quant::Q4K)) => ServedWeights::Q4K,
            (Some(Dtype::F32), _) => ServedWeights::F32,
            (Some(Dtype::Bf16), _) => ServedWeights::Bf16,
            (None, None) => ServedWeights::Stored,
        };
        let default = ServingOptions::default();
        let kv_bytes = self.kv_memory.map_or(default.kv_bytes, |mebibytes| (mebibytes.get() as usize) << 20);
        ServingOptions { weights, threads: self.threads, kv_bytes }
    }
}

/// What a loaded model computes with, in a few words: formats, threads, instructions.
pub fn compute_line(facts: &Facts) -> String {
    let plural = if facts.threads == 1 { "" } else { "s" };
    format!("{}, {} thread{plural}, {:?}", facts.formats.join(" and "), facts.threads, facts.isa)
}
