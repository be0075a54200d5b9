//! What is to solve tasks: a model in this process, or one behind an address.

use codeact_agent::{ActionFormat, AgentOptions, EndpointModel, EndpointOptions, Model, Profile};
use codeact_engine::Sampling;

use crate::{Actor, EvalError, compute_line};

/// Gives a model for each task.
pub enum Solver {
    /// In this process.
    Local(Actor),
    /// Any server of OpenAI's chat completions. Its replies may differ from run to run.
    Endpoint {
        /// Where it is.
        options: EndpointOptions,
        /// The model's name there: the first of its list now is the one for all tasks.
        model: String,
        /// The wording it is asked in.
        profile: Profile,
        /// The form of its actions.
        action_format: ActionFormat,
    },
}

impl Solver {
    /// The model at an address, and its name there. Replies are as greedy as it can.
    ///
    /// # Errors
    /// When nobody answers there, or there is no such model.
    pub fn at(url: &str, model: Option<String>) -> Result<(Solver, String), EvalError> {
        let options =
            EndpointOptions { model, temperature: Some(0.0), seed: Some(0), ..EndpointOptions::new(url.to_owned()) };
        let connected = EndpointModel::connect(options.clone()).map_err(EvalError::Endpoint)?;
        let (name, model) = (connected.name().to_owned(), connected.name().to_owned());
        let (profile, action_format) = (Profile::codeactinstruct(), ActionFormat::default());
        Ok((Solver::Endpoint { options, model, profile, action_format }, name))
    }

    /// Another wording, or another form of actions, than what it was trained with.
    pub fn worded(&mut self, profile: Option<Profile>, action_format: Option<ActionFormat>) {
        let (own_profile, own_format) = match self {
            Solver::Local(actor) => (&mut actor.profile, &mut actor.action_format),
            Solver::Endpoint { profile, action_format, .. } => (profile, action_format),
        };
        *own_profile = profile.unwrap_or_else(|| own_profile.clone());
        *own_format = action_format.unwrap_or(*own_format);
    }

    /// A conversation in its wording and its form of actions.
    pub fn options(&self) -> AgentOptions {
        match self {
            Solver::Local(actor) => actor.options(),
            Solver::Endpoint { profile, action_format, .. } => {
                AgentOptions { format: *action_format, ..AgentOptions::new(profile.clone()) }
            }
        }
    }

    /// A model for one task.
    ///
    /// # Errors
    /// When the address is none.
    pub fn model(&self) -> Result<Box<dyn Model>, EvalError> {
        Ok(match self {
            Solver::Local(actor) => Box::new(actor.model(Sampling::default())),
            Solver::Endpoint { options, model, .. } => {
                Box::new(EndpointModel::named(options.clone(), model.clone()).map_err(EvalError::Endpoint)?)
            }
        })
    }

    /// How it computes, in a line.
    pub fn line(&self) -> String {
        match self {
            Solver::Local(actor) => compute_line(&actor.facts),
            Solver::Endpoint { options, .. } => format!("at {}", options.url),
        }
    }

    /// Precision of its weights, where that is known.
    pub fn dtype(&self) -> String {
        match self {
            Solver::Local(actor) => actor.facts.formats.join("+"),
            Solver::Endpoint { .. } => "unknown".to_owned(),
        }
    }
}
