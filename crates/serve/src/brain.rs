//! What acts in a session: a model of this process or one elsewhere, with its wording.

use std::sync::Arc;

use codeact_agent::{ActionFormat, EndpointModel, EndpointOptions, Model, Profile};
use codeact_engine::Sampling;

use crate::agent::Caller;
use crate::error::ErrorKind;
use crate::{ApiError, AppState};

/// The name of the agent among models.
pub(crate) const AGENT: &str = "codeact-agent";

/// A model elsewhere, in the place of one in this process.
#[derive(Debug, Clone)]
pub struct EndpointSettings {
    /// Where it is.
    pub options: EndpointOptions,
    /// The wording for it.
    pub profile: Profile,
    /// How it writes its actions.
    pub format: ActionFormat,
}

type Make = dyn Fn(Sampling, u128) -> Result<Box<dyn Model>, ApiError> + Send + Sync;

/// What acts.
pub(crate) struct Brain {
    /// The model, as sessions remember it.
    pub name: String,
    /// The same as a model that acts: `codeact-agent:sql`.
    pub agent_name: String,
    pub profile: Profile,
    pub format: ActionFormat,
    /// Tokens that it can draw; `None`: that is not known here.
    pub vocab_size: Option<usize>,
    make: Arc<Make>,
}

impl Brain {
    /// For one conversation of `owner`, whose prompts share nothing with those of others.
    ///
    /// # Errors
    /// When a model elsewhere does not answer.
    pub fn model(&self, sampling: Sampling, owner: &Caller) -> Result<Box<dyn Model>, ApiError> {
        (self.make)(sampling, owner.salt())
    }
}

impl AppState {
    /// What a request's `model` names: nothing, the agent, the agent with an adapter, or a model of this server.
    ///
    /// # Errors
    /// When there is no such model: 404.
    pub(crate) fn brain(&self, name: Option<&str>) -> Result<Brain, ApiError> {
        let name = name.filter(|name| *name != AGENT);
        let name = name.map(|name| name.strip_prefix(AGENT).and_then(|rest| rest.strip_prefix(':')).unwrap_or(name));
        match &self.endpoint {
            Some(endpoint) => elsewhere(Arc::clone(endpoint), name),
            None => self.here(name),
        }
    }

    fn here(&self, name: Option<&str>) -> Result<Brain, ApiError> {
        let target = self.models()?.find(name)?;
        let make_model = Arc::clone(&self.make_model);
        let (vocab_size, actor) = (target.vocab_size, target.actor);
        let adapter = target.name.split_once(':').filter(|_| actor.adapter.is_some());
        let agent_name = adapter.map_or_else(|| AGENT.to_owned(), |(_, adapter)| format!("{AGENT}:{adapter}"));
        Ok(Brain {
            name: target.name.to_string(),
            agent_name,
            profile: actor.profile.clone(),
            format: actor.action_format,
            vocab_size: Some(vocab_size),
            make: Arc::new(move |sampling, salt| Ok(make_model(&actor, sampling, salt))),
        })
    }
}

fn elsewhere(endpoint: Arc<EndpointSettings>, name: Option<&str>) -> Result<Brain, ApiError> {
    let own = endpoint.options.model.clone().unwrap_or_else(|| "endpoint".to_owned());
    if let Some(name) = name.filter(|name| *name != own) {
        let shown = crate::fields::shown(&serde_json::Value::from(name));
        let message = format!("there is no model {shown}; this server has `{AGENT}` and `{own}`");
        return Err(ApiError::new(ErrorKind::ModelNotFound, message).of("model"));
    }
    let EndpointSettings { profile, format, .. } = (*endpoint).clone();
    let make = move |sampling: Sampling, _| -> Result<Box<dyn Model>, ApiError> {
        let options = EndpointOptions {
            temperature: Some(sampling.temperature),
            top_p: (sampling.top_p < 1.0).then_some(sampling.top_p),
            top_k: sampling.top_k,
            seed: Some(sampling.seed >> 1),
            reply_tokens_max: Some(sampling.max_new_tokens),
            ..endpoint.options.clone()
        };
        let connected = EndpointModel::connect(options);
        Ok(Box::new(connected.map_err(|error| ApiError::new(ErrorKind::Endpoint, error.to_string()))?))
    };
    Ok(Brain { name: own, agent_name: AGENT.to_owned(), profile, format, vocab_size: None, make: Arc::new(make) })
}
