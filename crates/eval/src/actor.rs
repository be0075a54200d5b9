//! A model folder, ready to act: engine, chat format and wording.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use codeact_agent::{LocalModel, Profile};
use codeact_chat::ChatFormat;
use codeact_engine::{Engine, EngineLimits, Sampling};
use codeact_model::{Adapter, Decoder};

use crate::EvalError;

/// Precision of the weights and of the products with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Dtype {
    /// 4 bytes a weight, and products of unrounded factors.
    F32,
    /// 2 bytes a weight, as training has by default: half the memory, and faster where memory is what limits.
    #[default]
    Bf16,
}

impl Dtype {
    /// `f32` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
        }
    }
}

/// Takes the name of a [`Profile`] on the command line.
pub fn profile_parser() -> impl TypedValueParser<Value = Profile> {
    let names = PossibleValuesParser::new(Profile::NAMES);
    names.map(|name| Profile::named(&name).expect("only names that are known pass the parser"))
}

/// A loaded model with everything that acting needs. Clones share it.
#[derive(Clone)]
pub struct Actor {
    /// Runs the model.
    pub engine: Engine,
    /// Turns messages into token ids and back.
    pub format: Arc<ChatFormat>,
    /// The wording the model was trained with.
    pub profile: Profile,
}

impl Actor {
    /// Loads a Hugging Face folder, and on top of it a PEFT adapter folder, if there is one.
    ///
    /// Tokenizer and `codeact.json` of the adapter folder count before those of the model: they belong to what was
    /// trained last.
    ///
    /// # Errors
    /// When a file is missing or broken, or model and adapter do not fit.
    pub fn load(model: &Path, adapter: Option<&Path>, dtype: Dtype, limits: EngineLimits) -> Result<Actor, EvalError> {
        let folder_with = |file: &str| adapter.filter(|adapter| adapter.join(file).exists()).unwrap_or(model);
        // The small files first: what is wrong with them should not wait for gigabytes of weights.
        let format = ChatFormat::load(folder_with("tokenizer.json"))?;
        let profile = Profile::load(folder_with("codeact.json")).map_err(EvalError::Profile)?;
        let weights = match dtype {
            Dtype::F32 => DType::F32,
            Dtype::Bf16 => DType::BF16,
        };
        let decoder = Decoder::load(model, weights, &Device::Cpu)?;
        let adapter = adapter.map(|adapter| Adapter::load(adapter, decoder.config(), &Device::Cpu)).transpose()?;
        Ok(Actor { engine: Engine::start(decoder, adapter, limits), format: Arc::new(format), profile })
    }

    /// A model for one conversation.
    pub fn model(&self, sampling: Sampling) -> LocalModel {
        LocalModel::new(self.engine.clone(), Arc::clone(&self.format), sampling)
    }
}
