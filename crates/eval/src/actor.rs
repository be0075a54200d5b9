//! A model folder, ready to act: engine, chat format and wording.

use std::path::Path;
use std::sync::Arc;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use codeact_agent::{ActionFormat, AgentOptions, LocalModel, Profile, Wording};
use codeact_chat::ChatFormat;
use codeact_engine::{Engine, EngineLimits, Sampling};
use codeact_model::serving::card::CardModel;
use codeact_model::serving::{Facts, ServedAdapter, ServedModel, ServingOptions, ServingPlace};
use codeact_model::source::ModelFiles;
use codeact_model::{ModelConfig, ModelError};

use crate::EvalError;
use crate::serving::check_options;

/// Takes the name of a [`Profile`] on the command line.
pub fn profile_parser() -> impl TypedValueParser<Value = Profile> {
    let names = PossibleValuesParser::new(Profile::NAMES);
    names.map(|name| Profile::named(&name).expect("only names that are known pass the parser"))
}

/// Takes the name of an [`ActionFormat`] on the command line.
pub fn action_format_parser() -> impl TypedValueParser<Value = ActionFormat> {
    let names = PossibleValuesParser::new(ActionFormat::NAMES);
    names.map(|name| ActionFormat::named(&name).expect("only names that are known pass the parser"))
}

/// A loaded model with everything that acting needs. Clones share it, and so do actors with other adapters.
#[derive(Clone)]
pub struct Actor {
    /// Runs the model.
    pub engine: Engine,
    /// The adapter on top of the model.
    pub adapter: Option<Arc<ServedAdapter>>,
    /// Turns messages into token ids and back.
    pub format: Arc<ChatFormat>,
    /// The wording the model was trained with.
    pub profile: Profile,
    /// How the model writes its actions.
    pub action_format: ActionFormat,
    /// Shape of the model.
    pub config: Arc<ModelConfig>,
    /// What the model takes and computes with.
    pub facts: Arc<Facts>,
}

impl Actor {
    /// Loads a model, and on top of it a PEFT adapter folder, if there is one.
    ///
    /// # Errors
    /// When a file is missing or broken, or model and adapter do not fit.
    pub fn load(
        files: &ModelFiles,
        adapter: Option<&Path>,
        options: &ServingOptions,
        limits: EngineLimits,
    ) -> Result<Actor, EvalError> {
        check_options(options)?;
        // The small files first: what is wrong with them should not wait for gigabytes of weights.
        let (format, wording) = wording(files.folder(), adapter)?;
        let config = ModelConfig::load(files.folder())?;
        let adapter = adapter.map(|adapter| ServedAdapter::load(adapter, &config)).transpose()?;
        let (engine, facts) = match options.place {
            ServingPlace::Processor => {
                let model = ServedModel::load(files, options)?;
                let facts = model.facts().clone();
                (Engine::start(model, limits)?, facts)
            }
            ServingPlace::Card => {
                // Whether there is one, and it is not too old, before the weights are read too.
                let device = codeact_ops::device::open(0).map_err(ModelError::from)?;
                adapter.as_ref().map_or(Ok(()), CardModel::check_adapter)?;
                let model = CardModel::load(files, options, &device)?;
                let facts = model.facts().clone();
                (Engine::start(model, limits)?, facts)
            }
        };
        let (adapter, config, facts) = (adapter.map(Arc::new), Arc::new(config), Arc::new(facts));
        let Wording { profile, format: action_format } = wording;
        Ok(Actor { engine, adapter, format, profile, action_format, config, facts })
    }

    /// The same model with another adapter; both can act at the same time.
    ///
    /// * `base`: the folder of the model's small files, for those that the adapter does not bring.
    ///
    /// # Errors
    /// As [`Actor::load`].
    pub fn with_adapter(&self, base: &Path, adapter: &Path) -> Result<Actor, EvalError> {
        let (format, Wording { profile, format: action_format }) = wording(base, Some(adapter))?;
        let adapter = ServedAdapter::load(adapter, &self.config)?;
        self.engine.check_adapter(&adapter)?;
        let adapter = Some(Arc::new(adapter));
        Ok(Actor { adapter, format, profile, action_format, ..self.clone() })
    }

    /// The same model without an adapter.
    ///
    /// * `base`: the folder of the model's small files.
    ///
    /// # Errors
    /// When one of them is missing or broken.
    pub fn without_adapter(&self, base: &Path) -> Result<Actor, EvalError> {
        let (format, Wording { profile, format: action_format }) = wording(base, None)?;
        Ok(Actor { adapter: None, format, profile, action_format, ..self.clone() })
    }

    /// A conversation in the wording and the form of actions that the model was trained with.
    pub fn options(&self) -> AgentOptions {
        AgentOptions { format: self.action_format, ..AgentOptions::new(self.profile.clone()) }
    }

    /// A model for one conversation.
    pub fn model(&self, sampling: Sampling) -> LocalModel {
        LocalModel::new(self.engine.clone(), self.adapter.clone(), Arc::clone(&self.format), sampling)
    }
}

/// Tokenizer and `codeact.json` of the adapter's folder count before those of the model: they belong to what was trained
/// last.
fn wording(model: &Path, adapter: Option<&Path>) -> Result<(Arc<ChatFormat>, Wording), EvalError> {
    let format = ChatFormat::load(folder_with("tokenizer.json", model, adapter))?;
    Ok((Arc::new(format), wording_of(model, adapter)?))
}

/// What model and adapter were trained with.
///
/// # Errors
/// When a `codeact.json` is broken.
pub(crate) fn wording_of(model: &Path, adapter: Option<&Path>) -> Result<Wording, EvalError> {
    Wording::load(folder_with("codeact.json", model, adapter)).map_err(EvalError::Profile)
}

fn folder_with<'a>(file: &str, model: &'a Path, adapter: Option<&'a Path>) -> &'a Path {
    adapter.filter(|adapter| adapter.join(file).exists()).unwrap_or(model)
}
