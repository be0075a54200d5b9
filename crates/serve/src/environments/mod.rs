//! Tasks as environments over HTTP: for learners in other languages, many at once.
//!
//! `POST /env/reset` opens one, `/env/step` and `/env/submit` act in it, `DELETE /env/{id}` closes it, and `GET /env/tasks`
//! lists what there is to act in. `docs/evaluation.md` has the fields.

mod store; // the open ones

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use codeact_eval::{Environment, Step, TaskRow};
use codeact_sandbox::Policy;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::ApiError;
use crate::agent::{Caller, blocking};
use crate::edge::{self, Behind, Connections, Edge, EdgeSettings, JsonBody, PathName, Record, serve_behind};
use crate::error::ErrorKind;
use store::Store;

/// What an environment server is set up with.
pub struct EnvironmentSettings {
    /// The tasks.
    pub row: TaskRow,
    /// What actions run under.
    pub policy: Policy,
    /// Environments that are open at once; one more is refused with 429.
    pub count_max: usize,
    /// Time after which one that nobody uses is closed.
    pub idle_max: Duration,
    /// How requests come in.
    pub edge: EdgeSettings,
}

/// What handlers share.
#[derive(Clone)]
struct Shared {
    edge: Arc<Edge>,
    row: TaskRow,
    store: Arc<Store>,
}

impl Behind for Shared {
    fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }
}

/// Serves environments until `stop` is ready. Returns whether all requests finished.
pub async fn serve_environments(
    listener: TcpListener,
    settings: EnvironmentSettings,
    stop: impl Future<Output = ()>,
) -> bool {
    let EnvironmentSettings { row, policy, count_max, idle_max, edge } = settings;
    let edge = Arc::new(Edge::new(edge));
    let store = Store::new(row.clone(), policy, count_max, idle_max);
    let shared = Shared { edge: Arc::clone(&edge), row, store };
    serve_behind(listener, routes(shared), edge, Connections::default(), stop, |_| {}).await
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/env/tasks", get(tasks))
        .route("/env/reset", post(reset))
        .route("/env/step", post(step))
        .route("/env/submit", post(submit))
        .route("/env/{id}", delete(close))
        .fallback(|| async { ApiError::not_found("there is no such path") })
        .method_not_allowed_fallback(|| async { ApiError::new(ErrorKind::BadMethod, "this path has another method") })
        .layer(from_fn_with_state(shared.clone(), edge::guard::<Shared>))
        .with_state(shared)
}

async fn tasks(State(shared): State<Shared>) -> Json<Value> {
    let tasks: Vec<_> = (0..shared.row.len()).filter_map(|index| shared.row.facts(index)).collect();
    Json(json!({"tasks": tasks}))
}

async fn reset(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let count = shared.row.len();
    let (id, index) = body.read(&record, |mut body, ignored| {
        let id = body.text("env")?;
        let (task, index) = (body.text("task")?, body.count("index", 0, count.saturating_sub(1))?);
        let seed = body.integer("seed", 0, u64::MAX)?;
        body.finish(ignored)?;
        match (task, index, seed) {
            (Some(name), None, None) => match shared.row.named(&name) {
                Some(index) => Ok((id, index)),
                None => {
                    let message = "there is no such task, or several suites have it\nhint: GET /env/tasks lists them; `SUITE/ID` names one";
                    Err(ApiError::not_found(message).of("task"))
                }
            },
            (None, Some(index), None) => Ok((id, index)),
            (None, None, Some(seed)) => Ok((id, shared.row.drawn(seed))),
            _ => Err(ApiError::bad_request("exactly one of `task`, `index` and `seed` must be given")),
        }
    })?;
    blocking(move || {
        let (id, begun) = shared.store.reset(&caller, id.as_deref(), index)?;
        let mut answer = json!({"env": id});
        merge(&mut answer, json!(begun));
        Ok(Json(answer))
    })
    .await
}

async fn step(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Json<Step>, ApiError> {
    let (id, action) = taken(body, &record, "action")?;
    blocking(move || shared.store.act(&caller, &id, |environment| environment.step(&action)).map(Json)).await
}

async fn submit(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    Extension(record): Extension<Arc<Record>>,
    body: JsonBody,
) -> Result<Json<Step>, ApiError> {
    let (id, solution) = taken(body, &record, "solution")?;
    blocking(move || shared.store.act(&caller, &id, |environment| environment.submit(&solution)).map(Json)).await
}

async fn close(
    State(shared): State<Shared>,
    Extension(caller): Extension<Caller>,
    PathName(id): PathName,
) -> Result<Json<Value>, ApiError> {
    blocking(move || {
        shared.store.close(&caller, &id)?;
        Ok(Json(json!({"env": id, "closed": true})))
    })
    .await
}

/// The environment, and a text for it.
fn taken(body: JsonBody, record: &Record, field: &'static str) -> Result<(String, String), ApiError> {
    body.read(record, |mut body, ignored| {
        let taken = (body.required_text("env")?, body.required_text(field)?);
        body.finish(ignored)?;
        Ok(taken)
    })
}

/// Puts the fields of an object behind those of another.
fn merge(answer: &mut Value, more: Value) {
    if let (Value::Object(answer), Value::Object(more)) = (answer, more) {
        answer.extend(more);
    }
}
