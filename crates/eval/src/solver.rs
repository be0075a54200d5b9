//! What is to solve tasks: a model in this process, or one behind an address.

use codeact_agent::{ActionFormat, AgentOptions, EndpointModel, EndpointOptions, Model, Profile};
use codeact_engine::Sampling;

use crate::{Actor, EvalError, compute_line};

/// How replies are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// Sampling temperature; 0 takes the most likely token every time.
    pub temperature: f64,
    /// The same seed and prompt give the same reply; a server may not hold to it.
    pub seed: u64,
    /// Most tokens of one reply.
    pub reply_tokens_max: usize,
}

/// Seeds that every server takes: below 2 to the power of 31.
const SERVER_SEED_BITS: u32 = 31;

/// Gives a model for each task.
#[derive(Clone)]
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
    /// The model at an address, and its name there.
    ///
    /// # Errors
    /// When nobody answers there, or there is no such model.
    pub fn at(url: &str, model: Option<String>) -> Result<(Solver, String), EvalError> {
        let options = EndpointOptions { model, ..EndpointOptions::new(url.to_owned()) };
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
    pub fn model(&self, draw: &Draw) -> Result<Box<dyn Model>, EvalError> {
        let Draw { temperature, seed, reply_tokens_max } = *draw;
        Ok(match self {
            Solver::Local(actor) => {
                let max_new_tokens = reply_tokens_max;
                Box::new(actor.model(Sampling { temperature, seed, max_new_tokens, ..Sampling::default() }))
            }
            Solver::Endpoint { options, model, .. } => {
                let options = EndpointOptions {
                    temperature: Some(temperature),
                    seed: Some(seed >> (u64::BITS - SERVER_SEED_BITS)),
                    reply_tokens_max: Some(reply_tokens_max),
                    ..options.clone()
                };
                Box::new(EndpointModel::named(options, model.clone()).map_err(EvalError::Endpoint)?)
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
}
