//! What all handlers share.

use std::sync::Arc;

use codeact_agent::Model;
use codeact_engine::Sampling;
use codeact_eval::{Actor, Sandbox};
use codeact_sandbox::{Interpreter, SandboxError, Session};

use crate::edge::{Edge, EdgeSettings};
use crate::sessions::Sessions;
use crate::ApiError;

/// Makes the model of a new session.
pub type MakeModel = Arc<dyn Fn(Sampling) -> Box<dyn Model> + Send + Sync>;

/// Starts what runs the code of a new session.
pub type MakeInterpreter = Arc<dyn Fn() -> Result<Box<dyn Interpreter>, SandboxError> + Send + Sync>;

/// Bounds on what the server does at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Agent sessions, each with its own Python process. One more is refused with 429.
    pub sessions_max: usize,
    /// Tokens of a reply at most, unless the request says less.
    pub reply_tokens_max: usize,
}

impl Default for ServeLimits {
    fn default() -> Self {
        ServeLimits { sessions_max: 16, reply_tokens_max: 1024 }
    }
}

/// What all handlers share; clones are cheap and share it too.
#[derive(Clone)]
pub struct AppState {
    pub(crate) actor: Actor,
    pub(crate) model_name: Arc<str>,
    pub(crate) limits: ServeLimits,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) make_model: MakeModel,
    pub(crate) make_interpreter: MakeInterpreter,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) edge: Arc<Edge>,
    /// Unix time in seconds at which the server started.
    pub(crate) created: u64,
}

impl AppState {
    /// Serves `actor` under the name `model_name`; sessions run Python in `sandbox`.
    pub fn new(actor: Actor, model_name: String, sandbox: Sandbox, limits: ServeLimits) -> AppState {
        let model = actor.clone();
        let make_model: MakeModel = Arc::new(move |sampling| Box::new(model.model(sampling)));
        AppState::with_models(actor, model_name, sandbox, limits, make_model)
    }

    /// As [`AppState::new`], but what acts in sessions comes from `make_model`, for example a remote model.
    pub fn with_models(
        actor: Actor,
        model_name: String,
        sandbox: Sandbox,
        limits: ServeLimits,
        make_model: MakeModel,
    ) -> AppState {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let policy = sandbox.policy.clone();
        AppState {
            sessions: Arc::new(Sessions::new(limits.sessions_max)),
            edge: Arc::new(Edge::new(EdgeSettings::default())),
            actor,
            model_name: model_name.into(),
            limits,
            sandbox: Arc::new(sandbox),
            make_model,
            make_interpreter: Arc::new(move || Ok(Box::new(Session::start(&policy)?))),
            created: now.map_or(0, |elapsed| elapsed.as_secs()),
        }
    }

    /// The same, but the code of sessions runs in what `make_interpreter` starts, which the sandbox it was made with must
    /// describe.
    pub fn with_interpreters(self, make_interpreter: MakeInterpreter) -> AppState {
        AppState { make_interpreter, ..self }
    }

    /// The same, but requests come in as `settings` say.
    pub fn with_edge(self, settings: EdgeSettings) -> AppState {
        AppState { edge: Arc::new(Edge::new(settings)), ..self }
    }
}

/// How a request wants tokens chosen; what is `None` stays as it is by default.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted {
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<usize>,
    pub seed: Option<u64>,
    pub max_tokens: Option<usize>,
    pub stop_token_ids: Vec<u32>,
}

impl Wanted {
    /// # Errors
    /// When more tokens are wanted than the server gives. The engine checks the rest.
    pub fn sampling(self, temperature_default: f64, limits: &ServeLimits) -> Result<Sampling, ApiError> {
        let max_new_tokens = self.max_tokens.unwrap_or(limits.reply_tokens_max);
        if max_new_tokens > limits.reply_tokens_max {
            let most = limits.reply_tokens_max;
            return Err(ApiError::bad_request(format!("`max_tokens` is {max_new_tokens}; it must be at most {most}")));
        }
        Ok(Sampling {
            temperature: self.temperature.unwrap_or(temperature_default),
            top_k: self.top_k,
            top_p: self.top_p.unwrap_or(1.0),
            seed: self.seed.unwrap_or_else(fresh_seed),
            max_new_tokens,
            stop_ids: self.stop_token_ids,
            ..Sampling::default()
        })
    }
}

/// Another number every time.
pub(crate) fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library keys each of these with fresh randomness of the operating system.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
