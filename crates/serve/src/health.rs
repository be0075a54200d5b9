//! Whether the server works (`/health`), takes requests (`/ready`), and what it has done (`/metrics`).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use codeact_engine::Metrics;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::edge::{head, histogram, line};
use crate::error::ErrorKind;
use crate::{ApiError, AppState};

/// Time for one token to go through the model.
const FORWARD_TIME_MAX: Duration = Duration::from_secs(10);
/// Everyone may ask, so asking often must cost nothing.
const FRESH: Duration = Duration::from_secs(1);

/// What a pass of the model said, and when; `None` while it runs.
type Said = watch::Receiver<Option<(Instant, Result<(), ApiError>)>>;

/// The last pass for `/health`. It belongs to nobody who asks: whoever leaves neither stops it nor starts another.
#[derive(Default)]
pub(crate) struct Health(Mutex<Option<Said>>);

impl Health {
    /// What `pass` says, or what one said that runs now or has just run. `pass` may block.
    async fn ask(&self, pass: impl FnOnce() -> Result<(), ApiError> + Send + 'static) -> Result<(), ApiError> {
        let mut said = {
            let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match last.as_ref().filter(|said| is_fresh(said)) {
                Some(said) => said.clone(),
                None => last.insert(begin(pass)).clone(),
            }
        };
        let crashed = || ApiError::new(ErrorKind::Unhealthy, "the check of the model crashed");
        let said = said.wait_for(Option::is_some).await.map_err(|_| crashed())?;
        said.as_ref().map_or_else(|| Err(crashed()), |(_, result)| result.clone())
    }
}

fn is_fresh(said: &Said) -> bool {
    match &*said.borrow() {
        Some((at, _)) => at.elapsed() < FRESH,
        // Its sender is gone when it crashed.
        None => said.has_changed().is_ok(),
    }
}

fn begin(pass: impl FnOnce() -> Result<(), ApiError> + Send + 'static) -> Said {
    let (sender, said) = watch::channel(None);
    // Nobody waits for the task itself: it runs to its end.
    drop(tokio::task::spawn_blocking(move || {
        let result = pass();
        sender.send_replace(Some((Instant::now(), result)));
    }));
    said
}

/// 200 when a token has just gone through the model.
pub(crate) async fn health(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    // A model elsewhere has a health of its own.
    let Some(models) = &state.models else { return Ok(Json(json!({"status": "ok"}))) };
    let engine = models.base().actor.engine.clone();
    let pass = move || {
        let result = engine.health(FORWARD_TIME_MAX);
        result.map_err(|error| ApiError::new(ErrorKind::Unhealthy, error.to_string()))
    };
    state.health.ask(pass).await.map(|()| Json(json!({"status": "ok"})))
}

/// 200 when requests are welcome.
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    if state.edge.is_draining() {
        return Err(ApiError::new(ErrorKind::Unavailable, "this server is about to end"));
    }
    if state.models.as_ref().is_some_and(|models| !models.base().actor.engine.is_running()) {
        return Err(ApiError::new(ErrorKind::Unhealthy, "the engine has ended\nhint: start the server again"));
    }
    Ok(Json(json!({"status": "ready"})))
}

/// As Prometheus reads it.
pub(crate) async fn metrics(State(state): State<AppState>) -> Response {
    let mut text = String::new();
    if let Some(models) = &state.models {
        let metrics = models.base().actor.engine.metrics();
        gauges(&mut text, &metrics);
        counters(&mut text, &metrics);
        times(&mut text, &metrics);
        head(&mut text, "codeact_models", "gauge", "Models that requests can name: the base and its adapters.");
        line(&mut text, "codeact_models", "", models.count() as f64);
    }
    head(&mut text, "codeact_agent_sessions", "gauge", "Sessions on the disk, those without a Python included.");
    line(&mut text, "codeact_agent_sessions", "", state.agents.count() as f64);
    head(&mut text, "codeact_pythons", "gauge", "Pythons of sessions and of those who run code without one.");
    line(&mut text, "codeact_pythons", "", state.agents.pythons.count() as f64);
    state.edge.counters.write(&mut text);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

fn gauges(text: &mut String, metrics: &Metrics) {
    let gauges = [
        ("requests_running", metrics.running, "Requests that hold pages."),
        ("requests_waiting", metrics.waiting, "Requests that wait for pages or a place."),
        ("kept_sessions", metrics.sessions, "Sessions whose last request stays in the cache."),
        ("kv_pages", metrics.pages_total, "Pages of the key-value cache."),
        ("kv_pages_used", metrics.pages_used, "Pages that running requests or open sessions hold."),
        ("kv_pages_cached", metrics.pages_cached, "Pages kept for prompts that begin with their tokens."),
        ("kv_pages_pinned", metrics.pages_pinned, "Pages that open sessions keep."),
    ];
    for (name, value, what) in gauges {
        let name = format!("codeact_{name}");
        head(text, &name, "gauge", what);
        line(text, &name, "", value as f64);
    }
}

fn counters(text: &mut String, metrics: &Metrics) {
    let name = "codeact_requests_finished_total";
    head(text, name, "counter", "Requests to the engine that ended, by how.");
    let finished = [
        ("stop", metrics.finished_stop),
        ("length", metrics.finished_length),
        ("context", metrics.finished_context),
        ("cancelled", metrics.cancelled),
        ("deadline", metrics.expired),
        ("failed", metrics.failed),
    ];
    for (how, count) in finished {
        line(text, name, &format!(r#"finish="{how}""#), count as f64);
    }
    let counters = [
        ("requests_accepted", metrics.accepted as f64, "Requests the engine took."),
        ("requests_refused", metrics.refused as f64, "Requests the engine refused because too many waited."),
        ("preemptions", metrics.preemptions as f64, "Requests that gave up their pages to older ones."),
        ("passes", metrics.passes as f64, "Passes of the model."),
        ("pass_seconds", metrics.pass_seconds, "Time spent in passes of the model."),
        ("prompt_tokens", metrics.prompt_tokens as f64, "Tokens of prompts."),
        ("prefix_hit_tokens", metrics.prefix_hit_tokens as f64, "Tokens of prompts that were in the cache."),
        ("generated_tokens", metrics.generated_tokens as f64, "Tokens given out."),
        ("drafted_tokens", metrics.drafted_tokens as f64, "Tokens guessed."),
        ("accepted_tokens", metrics.accepted_tokens as f64, "Guessed tokens that were right."),
    ];
    for (name, value, what) in counters {
        let name = format!("codeact_{name}_total");
        head(text, &name, "counter", what);
        line(text, &name, "", value);
    }
}

fn times(text: &mut String, metrics: &Metrics) {
    let times = [
        ("queue", &metrics.queue_seconds, "From a request to its first pass."),
        ("first_token", &metrics.first_token_seconds, "From a request to its first token."),
        ("inter_token", &metrics.inter_token_seconds, "Between two tokens of an answer."),
        ("request", &metrics.request_seconds, "From a request to its end."),
    ];
    for (name, times, what) in times {
        let name = format!("codeact_{name}_seconds");
        head(text, &name, "histogram", what);
        histogram(text, &name, "", times.cumulative(), times.count(), times.sum());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn whoever_leaves_starts_no_second_pass() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let (health, count) = (Health::default(), Arc::new(AtomicUsize::new(0)));
        let (open, gate) = mpsc::channel::<()>();
        let mut gate = Some(gate);
        let mut pass = || {
            let (gate, count) = (gate.take(), Arc::clone(&count));
            move || {
                count.fetch_add(1, Ordering::SeqCst);
                gate.map_or(Ok(()), |gate| gate.recv().map_err(|_| ApiError::internal("closed")))
            }
        };
        let _runtime = runtime.enter();
        for _ in 0..20 {
            let mut asking = std::pin::pin!(health.ask(pass()));
            assert_eq!(asking.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending);
        }
        open.send(()).unwrap();
        assert_eq!(runtime.block_on(health.ask(pass())), Ok(()));
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_pass_that_crashes_is_an_error_and_the_next_is_another() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let health = Health::default();
        let crashed = runtime.block_on(health.ask(|| panic!("of this test")));
        assert!(crashed.unwrap_err().message().contains("crashed"));
        assert_eq!(runtime.block_on(health.ask(|| Ok(()))), Ok(()));
    }
}
