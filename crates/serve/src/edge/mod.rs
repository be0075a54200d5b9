//! What every request passes before its handler: name and page it comes from, key, room, and its record.

mod body; // answers whose end is noticed
mod counters;
mod json; // bodies of requests
mod keys;
mod listen; // connections, and how they end
pub(crate) mod log; // lines on stderr
mod memory; // what requests take while they are read
mod origin;
mod raw; // bodies that are not called JSON
mod outgoing; // bytes of answers on their way
mod record;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, watch};

use crate::agent::{Caller, Counted, PerOwner};
use crate::error::ErrorKind;
use crate::state::fresh_seed;
use crate::{ApiError, AppState};

use body::Watched;
pub(crate) use counters::{Counters, head, histogram, line};
pub(crate) use json::{JsonBody, PathName};
pub use keys::{ApiKeys, KeysError};
pub(crate) use listen::serve_behind;
pub use listen::{Connections, serve};
pub(crate) use log::log;
pub(crate) use memory::{Memory, Taken};
pub use origin::{Hosts, Origins};
use outgoing::TakenBy;
pub(crate) use raw::{parse_json, read_body};
pub(crate) use record::Record;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Seconds after which the caller no longer wants an answer.
const REQUEST_TIMEOUT: HeaderName = HeaderName::from_static("x-request-timeout");
/// Fields that a lenient server passed over.
const IGNORED: HeaderName = HeaderName::from_static("x-codeact-ignored");
/// More of them stand in the log only.
const IGNORED_BYTES_MAX: usize = 1 << 10;
/// Characters of a caller's own request id.
const ID_CHARS_MAX: usize = 128;

/// Requests that are taken apart at once, each by a thread. More threads would only wait for each other, and each keeps
/// some megabytes; fewer would let slow grammars stop everybody.
const WORKING_MAX: usize = 32;
/// What the tokenizer keeps of a token, which may be a single byte.
const TOKEN_BYTES: usize = 100;
/// Texts that are tokenised in no time.
const SHORT_TEXT_BYTES: usize = 64 << 10;

/// Routes whose answers go on for as long as the agent does: whoever reads them has no time by which to be done.
const OPEN_ENDED: &str = "/v1/agent/";

/// Open to everyone, in any state of the server.
const OPEN: [&str; 4] = ["/health", "/ready", "/", "/openapi.json"];
/// Open too: the files of the page. What it then asks for needs a key.
const OPEN_BELOW: &str = "/ui/";
/// Answered however much is running.
const UNCOUNTED: [&str; 3] = ["/health", "/ready", "/metrics"];

/// How requests come in.
#[derive(Debug, Clone)]
pub struct EdgeSettings {
    /// By which names this server may be called.
    pub hosts: Hosts,
    /// Which pages may use it.
    pub origins: Origins,
    /// Without keys, everyone who reaches it may use it.
    pub keys: Option<ApiKeys>,
    /// Requests answered at once; one more is refused with 429.
    pub requests_max: usize,
    /// Requests of one key answered at once.
    pub requests_per_key_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Time after which an answer ends, unless the request says less.
    pub request_time_max: Duration,
    /// Time beyond that for a reader to take what is left of it; then the connection ends.
    pub reading_time_max: Duration,
    /// Bytes of one streamed answer that may wait to be read; more end it.
    pub unread_bytes_max: usize,
    /// Memory for the bodies of all requests while they are read.
    pub reading_bytes_max: usize,
    /// Unknown fields are ignored, and listed in a header and in the log.
    pub is_lenient: bool,
    /// What is logged.
    pub log: LogSettings,
}

/// What is logged, as JSON lines on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// One line for each request.
    pub requests: bool,
    /// Prompts and answers too.
    pub prompts: bool,
}

impl Default for EdgeSettings {
    /// Loopback, pages of this machine, no keys.
    fn default() -> EdgeSettings {
        EdgeSettings {
            hosts: Hosts::new(&[], true),
            origins: Origins::new(&["localhost".to_owned()]).expect("`localhost` is one of the words it takes"),
            keys: None,
            requests_max: 512,
            requests_per_key_max: 512,
            body_bytes_max: 4 << 20,
            request_time_max: Duration::from_secs(600),
            reading_time_max: Duration::from_secs(60),
            unread_bytes_max: 4 << 20,
            reading_bytes_max: 512 << 20,
            is_lenient: false,
            log: LogSettings { requests: true, prompts: false },
        }
    }
}

/// What handlers share has an edge before it.
pub(crate) trait Behind: Clone + Send + Sync + 'static {
    /// The one that requests come through.
    fn edge(&self) -> &Arc<Edge>;
}

impl Behind for AppState {
    fn edge(&self) -> &Arc<Edge> {
        &self.edge
    }
}

/// The settings at work.
pub(crate) struct Edge {
    pub settings: EdgeSettings,
    pub counters: Counters,
    pub memory: Memory,
    running: Arc<Semaphore>,
    running_of_key: Arc<PerOwner>,
    working: Arc<Semaphore>,
    is_draining: AtomicBool,
    /// Turns true with it: streams that would go on for ever end.
    ending: watch::Sender<bool>,
}

/// A request's places among all and among those of its key.
pub(crate) struct Places {
    _of_all: OwnedSemaphorePermit,
    _of_key: Counted,
}

impl Edge {
    pub fn new(settings: EdgeSettings) -> Edge {
        let running = Arc::new(Semaphore::new(settings.requests_max));
        let memory = Memory::new(settings.reading_bytes_max);
        let running_of_key = PerOwner::new(settings.requests_per_key_max, "requests being answered");
        let working = Arc::new(Semaphore::new(WORKING_MAX));
        let (is_draining, ending) = (AtomicBool::new(false), watch::Sender::new(false));
        let counters = Counters::default();
        Edge { settings, counters, memory, running, running_of_key, working, is_draining, ending }
    }

    /// Whether the server is about to end.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Tells when the server is about to end.
    pub fn ending(&self) -> watch::Receiver<bool> {
        self.ending.subscribe()
    }

    /// Takes no more requests, and waits for those that run.
    pub async fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
        self.ending.send_replace(true);
        let all = u32::try_from(self.settings.requests_max).expect("the settings bound it");
        let _all = self.running.acquire_many(all).await;
    }

    fn admit(&self, request: &mut Request, record: &Record) -> Result<Option<Places>, ApiError> {
        let path = request.uri().path();
        let is_open = OPEN.contains(&path) || path.starts_with(OPEN_BELOW);
        let mut caller = Caller::default();
        if let Some(keys) = self.settings.keys.as_ref().filter(|_| !is_open) {
            let number = keys.check(request.headers())?;
            record.facts().key = Some(number);
            caller = keys.caller(number);
        }
        request.extensions_mut().insert(caller.clone());
        let path = request.uri().path();
        if UNCOUNTED.contains(&path) {
            return Ok(None);
        }
        if self.is_draining() {
            return Err(ApiError::new(ErrorKind::Unavailable, "this server is about to end"));
        }
        match Arc::clone(&self.running).try_acquire_owned() {
            Ok(place) => Ok(Some(Places { _of_all: place, _of_key: self.running_of_key.take(&caller)? })),
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                let most = self.settings.requests_max;
                Err(ApiError::busy(format!("{most} requests are being answered already\nhint: try again later")))
            }
        }
    }

    /// Runs what computes for a while where it keeps no other request waiting, when it is its turn.
    ///
    /// # Errors
    /// When it panics: 500.
    pub async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
        let turn = Arc::clone(&self.working).acquire_owned().await.expect("nobody closes it");
        let working = move || {
            // Kept to the end, also when nobody waits for it any more.
            let _turn = turn;
            work()
        };
        tokio::task::spawn_blocking(working).await.map_err(crashed)
    }

    /// Memory for the tokens of a text while it is tokenised.
    ///
    /// # Errors
    /// As [`Memory::take`]. Short texts always have room.
    pub fn memory_for_tokens(&self, text_bytes: usize) -> Result<Taken, ApiError> {
        if text_bytes <= SHORT_TEXT_BYTES { Ok(Taken::default()) } else { self.memory.take(text_bytes * TOKEN_BYTES) }
    }

    /// When an answer that begins now must have been read: in its own time and a little more.
    fn end(&self, record: &Record, headers: &HeaderMap) -> Instant {
        let time_max = self.time_max(headers).unwrap_or(self.settings.request_time_max);
        Instant::now().max(record.start() + time_max) + self.settings.reading_time_max
    }

    /// How long an answer to these headers may take.
    ///
    /// # Errors
    /// When `x-request-timeout` is not a number of seconds: 400.
    pub fn time_max(&self, headers: &HeaderMap) -> Result<Duration, ApiError> {
        let most = self.settings.request_time_max;
        let Some(value) = headers.get(REQUEST_TIMEOUT) else { return Ok(most) };
        let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
        match seconds.filter(|seconds| *seconds > 0.0 && *seconds <= most.as_secs_f64()) {
            Some(seconds) => Ok(Duration::from_secs_f64(seconds)),
            None => {
                let message = format!("`x-request-timeout` must be seconds above 0, at most {}", most.as_secs_f64());
                Err(ApiError::invalid(REQUEST_TIMEOUT.as_str(), message))
            }
        }
    }
}

/// Around every handler.
pub(crate) async fn guard<Shared: Behind>(State(state): State<Shared>, mut request: Request, next: Next) -> Response {
    let edge = Arc::clone(state.edge());
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let is_open_ended = route.starts_with(OPEN_ENDED);
    let taken_by = request.extensions().get::<TakenBy>().cloned();
    let record = Arc::new(Record::new(Arc::clone(&edge), id, method_name(request.method()), route));

    let (headers, method) = (request.headers().clone(), request.method().clone());
    let EdgeSettings { hosts, origins, keys, .. } = &edge.settings;
    let page = hosts.check(&headers).and_then(|()| origins.check(&headers, hosts, keys.is_some()));
    let mut place = None;
    let mut response = match &page {
        Err(error) => error.clone().into_response(),
        Ok(_) if origin::is_preflight(&method, &headers) => origin::preflight(&headers),
        Ok(_) => match edge.admit(&mut request, &record) {
            Err(error) => error.into_response(),
            Ok(taken) => {
                place = taken;
                request.extensions_mut().insert(Arc::clone(&record));
                answer(request, next).await
            }
        },
    };
    origin::let_read(page.ok().flatten(), &mut response);
    let id = HeaderValue::from_str(&record.id).expect("an id has only visible ASCII");
    response.headers_mut().insert(REQUEST_ID, id);
    let mut facts = record.facts();
    facts.status = Some(response.status().as_u16());
    if let Some(names) = ignored_names(&facts.ignored) {
        response.headers_mut().insert(IGNORED, names);
    }
    drop(facts);
    let end = (!is_open_ended).then(|| edge.end(&record, &headers));
    if let Some(taken_by) = taken_by {
        taken_by.set(end);
    }
    response.map(|body| Body::new(Watched::new(body, record, place, end)))
}

/// Runs the handler; a panic in it becomes a 500, and its text has gone to stderr.
async fn answer(request: Request, next: Next) -> Response {
    let mut handler = pin!(next.run(request));
    let polled = std::future::poll_fn(|context| {
        // What a handler shares is either not written to there or behind locks that note the panic.
        match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
            Ok(poll) => poll.map(Some),
            Err(_) => std::task::Poll::Ready(None),
        }
    });
    polled.await.unwrap_or_else(|| ApiError::internal("the request crashed").into_response())
}

fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_plain = |id: &&str| {
        let is_short = !id.is_empty() && id.len() <= ID_CHARS_MAX;
        is_short && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
    };
    given.filter(is_plain).map_or_else(|| format!("req-{:016x}", fresh_seed()), str::to_owned)
}

/// Fields that were passed over, as far as a header can hold them.
fn ignored_names(names: &[String]) -> Option<HeaderValue> {
    let mut joined = String::new();
    for name in names.iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_graphic())) {
        let comma = if joined.is_empty() { "" } else { ", " };
        if joined.len() + comma.len() + name.len() > IGNORED_BYTES_MAX {
            break;
        }
        joined = joined + comma + name;
    }
    (!names.is_empty()).then(|| HeaderValue::from_str(&joined).expect("only visible ASCII was taken"))
}

/// A task that panicked; its text has gone to stderr.
pub(crate) fn crashed(error: tokio::task::JoinError) -> ApiError {
    ApiError::internal(format!("the request crashed: {error}"))
}

/// One of a few names: what labels a metric must not grow with what callers send.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::HEAD => "HEAD",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn many_requests_take_few_threads_and_all_have_their_turn() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let edge = Arc::new(Edge::new(EdgeSettings::default()));
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let works = (0..10 * WORKING_MAX).map(|index| {
            let (edge, now, most) = (Arc::clone(&edge), Arc::clone(&now), Arc::clone(&most));
            runtime.spawn(async move {
                let work = move || {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::yield_now();
                    now.fetch_sub(1, Ordering::SeqCst);
                    assert!(index % 7 > 0, "of this test");
                };
                edge.work(work).await.is_ok()
            })
        });
        let works: Vec<_> = works.collect();
        let ended = works.into_iter().map(|work| runtime.block_on(work).unwrap());
        // Those that panic give their turn back too.
        assert_eq!(ended.filter(|is_ok| *is_ok).count(), (0..10 * WORKING_MAX).filter(|index| index % 7 > 0).count());
        assert!(most.load(Ordering::SeqCst) <= WORKING_MAX);
        assert_eq!(edge.working.available_permits(), WORKING_MAX);
    }
}
