//! The options about running a model, which all programs share.

use std::num::{NonZeroU32, NonZeroUsize};

use codeact_engine::EngineLimits;
use codeact_model::serving::{Compute, Facts, ServedWeights, ServingOptions, ServingPlace};

use crate::EvalError;

/// Options of every program that runs a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Model")]
pub struct ServingArgs {
    /// Where to compute; without it, on the processor
    #[arg(long, value_enum)]
    pub device: Option<OnDevice>,
    /// Precision of the weights; without it, as the files have them
    #[arg(long, value_enum)]
    pub dtype: Option<Dtype>,
    /// Quantise the weights while they load
    #[arg(long, value_enum, conflicts_with = "dtype")]
    pub quant: Option<Quant>,
    /// Threads that compute, on the processor; without it, all that this machine gives
    #[arg(long, value_name = "NUMBER")]
    pub threads: Option<NonZeroUsize>,
    /// Memory for keys and values of all sequences [default: 1024, taken as it is used; on a GPU what it has left]
    #[arg(long, value_name = "MIB")]
    pub kv_memory: Option<NonZeroU32>,
}

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDevice {
    /// The threads of this process
    Cpu,
    /// The first NVIDIA GPU that the driver shows, in a build with CUDA
    Cuda,
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
    /// Where another process runs the model, none of this counts.
    ///
    /// # Errors
    /// When something of it is given.
    pub fn check_unused(&self) -> Result<(), EvalError> {
        match *self == ServingArgs::default() {
            true => Ok(()),
            false => Err(EvalError::Options(
                "--device, --dtype, --quant, --threads and --kv-memory are for a model in this process\nhint: leave \
                 them out, or --endpoint"
                    .to_owned(),
            )),
        }
    }

    /// What the model is loaded with.
    pub fn options(&self) -> ServingOptions {
        let weights = match (self.dtype, self.quant) {
            (_, Some(Quant::Q8_0)) => ServedWeights::Q8_0,
            (_, Some(Quant::Q4K)) => ServedWeights::Q4K,
            (Some(Dtype::F32), _) => ServedWeights::F32,
            (Some(Dtype::Bf16), _) => ServedWeights::Bf16,
            (None, None) => ServedWeights::Stored,
        };
        let place = match self.device {
            Some(OnDevice::Cuda) => ServingPlace::Card,
            Some(OnDevice::Cpu) | None => ServingPlace::Processor,
        };
        let kv_bytes = self.kv_memory.map(|mebibytes| (mebibytes.get() as usize) << 20);
        ServingOptions { weights, place, threads: self.threads, kv_bytes, ..ServingOptions::default() }
    }

    /// Whether the options go together; [`crate::Actor::load`] asks too.
    ///
    /// # Errors
    /// With the option that means nothing.
    pub fn check(&self) -> Result<(), EvalError> {
        check_options(&self.options())
    }

    /// What the engine of such a model does at once, unless told otherwise.
    pub fn limits(&self) -> EngineLimits {
        limits_on(self.options().place)
    }
}

/// What an engine does at once by default: a card reads many more tokens in the time of a pass.
pub fn limits_on(place: ServingPlace) -> EngineLimits {
    match place {
        ServingPlace::Processor => EngineLimits::default(),
        ServingPlace::Card => EngineLimits { prompt_tokens_per_pass: 2048, ..EngineLimits::default() },
    }
}

/// What a model's options say against each other.
///
/// # Errors
/// With the option that means nothing.
pub(crate) fn check_options(options: &ServingOptions) -> Result<(), EvalError> {
    match options {
        ServingOptions { place: ServingPlace::Card, threads: Some(threads), .. } => {
            Err(EvalError::Options(format!("{threads} threads for a model on a GPU\nhint: leave out `--threads`")))
        }
        _ => Ok(()),
    }
}

/// What a loaded model computes with, in a few words: formats, threads and instructions, or the GPU.
pub fn compute_line(facts: &Facts) -> String {
    let formats = facts.formats.join(" and ");
    match &facts.on {
        Compute::Processor { threads, isa } => {
            let plural = if *threads == 1 { "" } else { "s" };
            format!("{formats}, {threads} thread{plural}, {isa:?}")
        }
        Compute::Card(name) => format!("{formats}, {name}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        serving: ServingArgs,
    }

    fn typed(line: &str) -> ServingArgs {
        Program::try_parse_from(["program"].into_iter().chain(line.split_whitespace())).unwrap().serving
    }

    #[test]
    fn a_card_has_other_defaults_and_no_threads() {
        let card = typed("--device cuda --quant q4_k");
        let options = card.options();
        assert_eq!((options.place, options.weights), (ServingPlace::Card, ServedWeights::Q4K));
        // What its memory has left is not known here.
        assert_eq!((options.kv_bytes, card.limits().prompt_tokens_per_pass), (None, 2048));
        assert!(card.check().is_ok());
        let error = typed("--device cuda --threads 3").check().unwrap_err();
        assert!(error.to_string().contains("3 threads") && error.is_bad_input(), "{error}");
        for line in ["", "--device cpu --threads 3"] {
            let processor = typed(line);
            assert!(processor.check().is_ok());
            assert_eq!(processor.options().place, ServingPlace::Processor);
            assert_eq!(processor.limits(), EngineLimits::default());
        }
        assert_eq!(typed("--kv-memory 3").options().kv_bytes, Some(3 << 20));
    }

    #[test]
    fn what_computes_is_said_in_a_few_words() {
        let facts = |on| Facts {
            weight_bytes: 1,
            token_bytes: 1,
            weight_count: 1,
            formats: vec!["Q4_K", "Q8_0"],
            page_bytes: 1,
            kv_bytes_per_token: 1,
            on,
        };
        let threads = Compute::Processor { threads: 2, isa: codeact_cpu::Isa::Avx2 };
        assert_eq!(compute_line(&facts(threads)), "Q4_K and Q8_0, 2 threads, Avx2");
        assert_eq!(compute_line(&facts(Compute::Card("NVIDIA H200".into()))), "Q4_K and Q8_0, NVIDIA H200");
    }
}
