//! Connections: accepted within a bound, given up when nothing comes, and finished before the program ends.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::AppState;
use crate::edge::outgoing::{Outgoing, TakenBy};
use crate::edge::{Edge, log};

/// Bytes of a request's head, and of an answer that wait in a connection. Below this, hyper takes no more of either.
const BUFFER_BYTES_MAX: usize = 64 << 10;

/// How connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Open at once; more wait in the queue of the operating system.
    pub count_max: usize,
    /// Time for the head of a request to arrive, and for which a connection may lie idle.
    pub head_time_max: Duration,
    /// Time for which a reader may take no byte of an answer while some wait for it; then the connection ends.
    pub stall_time_max: Duration,
    /// Time that what is running gets to finish once the server is told to end.
    pub drain_time_max: Duration,
}

impl Default for Connections {
    fn default() -> Connections {
        let minute = Duration::from_secs(60);
        let drain_time_max = Duration::from_secs(30);
        Connections { count_max: 1024, head_time_max: minute, stall_time_max: minute, drain_time_max }
    }
}

/// Serves until `stop` is ready; then refuses new requests, gives those that run their time, and returns whether all
/// of them finished.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    state: AppState,
    connections: Connections,
    stop: impl Future<Output = ()>,
) -> bool {
    let (agents, edge) = (Arc::clone(&state.agents), Arc::clone(&state.edge));
    serve_behind(listener, app, edge, connections, stop, move |time_max| agents.end(time_max)).await
}

/// As [`serve`], with any `edge`. `end` gives what goes on without requests its time; it may block.
pub(crate) async fn serve_behind(
    listener: TcpListener,
    app: Router,
    edge: Arc<Edge>,
    connections: Connections,
    stop: impl Future<Output = ()>,
    end: impl FnOnce(Duration) + Send + 'static,
) -> bool {
    let places = Arc::new(Semaphore::new(connections.count_max));
    let (ended, has_ended) = watch::channel(());
    let draining = async {
        stop.await;
        let time_max = connections.drain_time_max;
        let turns = tokio::task::spawn_blocking(move || end(time_max));
        let is_drained = tokio::time::timeout(time_max, edge.drain()).await.is_ok();
        // Turns that nobody listens to have the same time; what is stopped then still writes down how it ended.
        let _ = turns.await;
        is_drained
    };
    let mut draining = pin!(draining);
    let is_finished = loop {
        let accepted = tokio::select! {
            is_finished = &mut draining => break is_finished,
            accepted = accept(&listener, &places) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        tokio::spawn(connection(stream, app.clone(), connections, has_ended.clone(), place));
    };
    drop((listener, has_ended));
    // Every connection hears of it, sends what it has begun to send, and closes.
    let _ = ended.send(());
    if is_finished {
        let _ = tokio::time::timeout(Duration::from_secs(1), ended.closed()).await;
    }
    let _ = tokio::task::spawn_blocking(|| log::close(Duration::from_secs(1))).await;
    is_finished
}

async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.expect("nobody closes it");
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            // The caller left while it waited, or this process has too many files open, which passes.
            log::log(&serde_json::json!({"error": format!("cannot accept a connection: {error}")}));
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(
    stream: TcpStream,
    app: Router,
    limits: Connections,
    mut has_ended: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
) {
    // Tokens are small and should not wait for each other.
    let _ = stream.set_nodelay(true);
    let taken_by = TakenBy::default();
    let stream = Outgoing::new(stream, limits.stall_time_max, taken_by.clone());
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(taken_by.clone());
        app.call(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head_time_max).max_buf_size(BUFFER_BYTES_MAX);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    // What goes wrong with a connection is the business of its other end.
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = has_ended.changed() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
