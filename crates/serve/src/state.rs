//! What all handlers share.

use std::sync::Arc;

use codeact_agent::Model;
use codeact_engine::Sampling;
use codeact_eval::{Actor, Sandbox};
use codeact_sandbox::{Interpreter, SandboxError, Session};

use crate::ApiError;
use crate::edge::{Edge, EdgeSettings};
use crate::health::Health;
use crate::models::Models;
use crate::sessions::Sessions;

/// Makes the model of a new session.
pub type MakeModel = Arc<dyn Fn(&Actor, Sampling) -> Box<dyn Model> + Send + Sync>;

/// Starts what runs the code of a new session.
pub type MakeInterpreter = Arc<dyn Fn() -> Result<Box<dyn Interpreter>, SandboxError> + Send + Sync>;

/// Bounds on what requests may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeLimits {
    /// Agent sessions, each with its own Python process. One more is refused with 429.
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

/// What all handlers share; clones are cheap and share it too.
#[derive(Clone)]
pub struct AppState {
    pub(crate) models: Arc<Models>,
    pub(crate) limits: ServeLimits,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) make_model: MakeModel,
    pub(crate) make_interpreter: MakeInterpreter,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) edge: Arc<Edge>,
    pub(crate) health: Arc<Health>,
}

impl AppState {
    /// Serves `models`; sessions run Python in `sandbox`.
    pub fn new(models: Models, sandbox: Sandbox, limits: ServeLimits) -> AppState {
        let make_model: MakeModel = Arc::new(|actor, sampling| Box::new(actor.model(sampling)));
        let policy = sandbox.policy.clone();
        AppState {
            models: Arc::new(models),
            sessions: Arc::new(Sessions::new(limits.sessions_max)),
            limits,
            sandbox: Arc::new(sandbox),
            make_model,
            make_interpreter: Arc::new(move || Ok(Box::new(Session::start(&policy)?))),
            edge: Arc::new(Edge::new(EdgeSettings::default())),
            health: Arc::default(),
        }
    }

    /// The same, but what acts in sessions comes from `make_model`, for example a remote model.
    pub fn with_models(self, make_model: MakeModel) -> AppState {
        AppState { make_model, ..self }
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
    /// # Errors
    /// When a value is out of its range, or more tokens are wanted than the server gives.
    pub fn sampling(self, vocab_size: usize, limits: &ServeLimits) -> Result<Sampling, ApiError> {
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
        sampling.check(vocab_size).map_err(|error| ApiError::bad_request(error.to_string()))?;
        Ok(sampling)
    }
}

/// Another number every time.
pub(crate) fn fresh_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library keys each of these with fresh randomness of the operating system.
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}
