//! What all handlers share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use codeact_agent::Model;
use codeact_engine::Sampling;
use codeact_eval::{Actor, Sandbox};
use codeact_sandbox::{Policy, SandboxError};

use crate::ApiError;
use crate::agent::{AgentSettings, Agents, Recording, Started, StateError, start_session};
use crate::brain::EndpointSettings;
use crate::edge::{Edge, EdgeSettings};
use crate::health::Health;
use crate::mcp::McpTools;
use crate::models::Models;

/// Makes the model of a new session, with the salt of whose it is.
pub type MakeModel = Arc<dyn Fn(&Actor, Sampling, u128) -> Box<dyn Model> + Send + Sync>;

/// Starts what runs code under a policy, or brings it back.
pub type MakeInterpreter = Arc<dyn Fn(&Policy, Recording<'_>) -> Result<Started, SandboxError> + Send + Sync>;

/// Bounds on what requests may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Python processes of sessions, of `/execute` and of the agent as a model, together. One more is refused with 429.
    pub sessions_max: usize,
    /// Tokens of one reply in a session, unless it asks for fewer.
    pub session_reply_tokens_max: usize,
    /// Tokens of a completion; `None`: as many as fit in the context.
    pub reply_tokens_max: Option<usize>,
}

impl Default for ServeLimits {
    fn default() -> Self {
        ServeLimits { sessions_max: 16, session_reply_tokens_max: 1024, reply_tokens_max: None }
    }
}

/// What is served.
pub enum Source {
    /// Models of this process.
    Local(Box<Models>),
    /// The agent only, with a model elsewhere.
    Endpoint(EndpointSettings),
}

/// What all handlers share; clones are cheap and share it too.
#[derive(Clone)]
pub struct AppState {
    /// `None`: the model is elsewhere.
    pub(crate) models: Option<Arc<Models>>,
    pub(crate) endpoint: Option<Arc<EndpointSettings>>,
    pub(crate) limits: ServeLimits,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) make_model: MakeModel,
    pub(crate) make_interpreter: MakeInterpreter,
    pub(crate) mcp: Option<Arc<McpTools>>,
    pub(crate) agents: Arc<Agents>,
    pub(crate) edge: Arc<Edge>,
    pub(crate) health: Arc<Health>,
    /// Unix time in seconds.
    pub(crate) started: u64,
}

impl AppState {
    /// Serves `source`; sessions run Python in `sandbox`, and are kept as `settings` say. In words, what could not be read
    /// of them.
    ///
    /// # Errors
    /// When the folder of the sessions cannot be used.
    pub fn new(
        source: Source,
        sandbox: Sandbox,
        limits: ServeLimits,
        settings: AgentSettings,
    ) -> Result<(AppState, Vec<String>), StateError> {
        let (agents, problems) = Agents::open(settings, limits.sessions_max)?;
        let (models, endpoint) = match source {
            Source::Local(models) => (Some(Arc::new(*models)), None),
            Source::Endpoint(endpoint) => (None, Some(Arc::new(endpoint))),
        };
        let state = AppState {
            models,
            endpoint,
            limits,
            sandbox: Arc::new(sandbox),
            make_model: Arc::new(|actor, sampling, salt| Box::new(actor.model(sampling).salted(salt))),
            make_interpreter: Arc::new(start_session),
            mcp: None,
            agents,
            edge: Arc::new(Edge::new(EdgeSettings::default())),
            health: Arc::default(),
            started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs()),
        };
        Ok((state, problems))
    }

    /// The same, but what acts in sessions comes from `make_model`.
    pub fn with_models(self, make_model: MakeModel) -> AppState {
        AppState { make_model, ..self }
    }

    /// The same, but the code of sessions runs in what `make_interpreter` starts, which the sandbox it was made with must
    /// describe.
    pub fn with_interpreters(self, make_interpreter: MakeInterpreter) -> AppState {
        AppState { make_interpreter, ..self }
    }

    /// The same, but sessions can have these tools.
    pub fn with_tools(self, tools: Arc<McpTools>) -> AppState {
        AppState { mcp: Some(tools), ..self }
    }

    /// The same, but requests come in as `settings` say.
    pub fn with_edge(self, settings: EdgeSettings) -> AppState {
        AppState { edge: Arc::new(Edge::new(settings)), ..self }
    }

    /// The models of this process.
    ///
    /// # Errors
    /// When the model is elsewhere: 404.
    pub(crate) fn models(&self) -> Result<&Arc<Models>, ApiError> {
        self.models.as_ref().ok_or_else(|| {
            let message = "this server has no model of its own: it serves the agent, with a model elsewhere\nhint: ask for model `codeact-agent`, or the endpoint itself";
            ApiError::not_found(message)
        })
    }
}

/// How a session wants tokens chosen; what is `None` stays as it is by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<usize>,
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
}

impl Wanted {
    /// * `vocab_size`: of the model; `None`: nobody knows.
    ///
    /// # Errors
    /// When a value is out of its range, or more tokens are wanted than the server gives.
    pub fn sampling(self, vocab_size: Option<usize>, limits: &ServeLimits) -> Result<Sampling, ApiError> {
        let most = limits.session_reply_tokens_max;
        let max_new_tokens = self.max_tokens.unwrap_or(most);
        if max_new_tokens > most {
            let message = format!("`max_tokens` is {max_new_tokens}; it must be at most {most}");
            return Err(ApiError::invalid("max_tokens", message));
        }
        let sampling = Sampling {
            temperature: self.temperature.unwrap_or(0.0),
            top_k: self.top_k,
            top_p: self.top_p.unwrap_or(1.0),
            seed: self.seed.unwrap_or_else(fresh_seed),
            max_new_tokens,
            ..Sampling::default()
        };
        let vocab_size = vocab_size.unwrap_or(u32::MAX as usize);
        sampling.check(vocab_size).map_err(|error| ApiError::bad_request(error.to_string()))?;
        Ok(sampling)
    }
}

/// Another number every time.
pub(crate) fn fresh_seed() -> u64 {
    let mut bytes = [0; 8];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert!(got == Ok(bytes.len()), "the system gives randomness, and so few bytes at once");
    u64::from_ne_bytes(bytes)
}
