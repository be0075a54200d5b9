//! One request, from the connection to the last byte. Whoever waits is asked several times a second whether to go on.

use super::EndpointOptions;
use super::error::{EndpointError, shown};
use super::reply::{Reply, error_message};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, Url};
use serde_json::Value;
use std::pin::pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// How often the one who waits is asked.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes of an error, or of a list of models.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How a reply ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Complete,
    /// The listener had enough; the connection is closed.
    Cancelled,
}

/// A request that failed, and how long the server says to wait.
#[derive(Debug)]
pub(super) struct Failed {
    pub error: EndpointError,
    pub wait: Option<Duration>,
}

impl From<EndpointError> for Failed {
    fn from(error: EndpointError) -> Failed {
        Failed { error, wait: None }
    }
}

/// Why a wait ended before there was something.
enum Over {
    Cancelled,
    Silent,
}

/// What drives connections, also after a call has ended: one that is given up must be closed.
static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();

/// The connection to a server.
pub(super) struct Exchange {
    runtime: &'static Runtime,
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
    silence_max: Duration,
}

impl Exchange {
    pub fn new(base: Url, options: &EndpointOptions) -> Result<Exchange, EndpointError> {
        let failed = |reason: String| EndpointError::Client { reason };
        let start = || Builder::new_multi_thread().worker_threads(1).thread_name("endpoint").enable_all().build();
        let runtime = RUNTIME.get_or_init(start).as_ref().map_err(|error| failed(error.to_string()))?;
        let client = Client::builder().connect_timeout(options.connect_time_max).redirect(Policy::none());
        let is_near = base.host_str().is_some_and(|host| ["localhost", "127.0.0.1", "[::1]"].contains(&host));
        let client = if is_near { client.no_proxy() } else { client };
        let authorization = options.key.as_ref().map(|key| HeaderValue::from_str(&format!("Bearer {key}")));
        let mut authorization =
            authorization.transpose().map_err(|_| failed("the key has characters that no header takes".to_owned()))?;
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        Ok(Exchange {
            runtime,
            client: client.build().map_err(|error| failed(causes(&error)))?,
            base,
            authorization,
            silence_max: options.silence_max,
        })
    }

    /// The address, for messages.
    pub fn url(&self) -> &str {
        self.base.as_str()
    }

    /// Names of the models that the server has.
    pub fn models(&self) -> Result<Vec<String>, EndpointError> {
        self.runtime.block_on(async {
            let request = self.authorized(self.client.get(self.at("models")));
            let on_text = &mut |_: &str| true;
            let response = self.watched(request.send(), on_text).await.map_err(|_| self.silent())?;
            let response = response.map_err(|error| self.unreachable(&error))?;
            if !response.status().is_success() {
                return Err(self.refused(response, on_text).await.error);
            }
            let body = self.whole(response, on_text).await?;
            let list: Value = serde_json::from_slice(&body).map_err(|error| self.malformed(&error.to_string()))?;
            let names = list.get("data").and_then(Value::as_array).into_iter().flatten();
            Ok(names.filter_map(|model| Some(model.get("id")?.as_str()?.to_owned())).collect())
        })
    }

    /// Send a chat completion and read its stream into `reply`.
    pub fn chat(
        &self,
        body: &Value,
        reply: &mut Reply,
        on_text: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Outcome, Failed> {
        self.runtime.block_on(async {
            let request = self.client.post(self.at("chat/completions")).header(CONTENT_TYPE, "application/json");
            let request = self.authorized(request.body(body.to_string()));
            let response = match self.watched(request.send(), on_text).await {
                Ok(response) => response.map_err(|error| self.unreachable(&error))?,
                Err(Over::Cancelled) => return Ok(Outcome::Cancelled),
                Err(Over::Silent) => return Err(self.silent().into()),
            };
            if !response.status().is_success() {
                return Err(self.refused(response, on_text).await);
            }
            let mime = response.headers().get(CONTENT_TYPE).and_then(|mime| mime.to_str().ok()).unwrap_or_default();
            if mime.starts_with("application/json") {
                let body = self.whole(response, on_text).await?;
                let goes_on = on_text(&reply.read_whole(&body)?);
                return Ok(if goes_on { Outcome::Complete } else { Outcome::Cancelled });
            }
            self.stream(response, reply, on_text).await
        })
    }

    /// Wait, if the one who waits goes on waiting.
    pub fn wait(&self, time: Duration, on_text: &mut dyn FnMut(&str) -> bool) -> bool {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if !on_text("") {
                return false;
            }
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
        true
    }

    async fn stream(
        &self,
        mut response: Response,
        reply: &mut Reply,
        on_text: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Outcome, Failed> {
        while !reply.is_done {
            let chunk = match self.watched(response.chunk(), on_text).await {
                Ok(chunk) => chunk.map_err(|error| self.broken(&causes(&error)))?,
                Err(Over::Cancelled) => return Ok(Outcome::Cancelled),
                Err(Over::Silent) => return Err(self.silent().into()),
            };
            let text = match &chunk {
                Some(bytes) => reply.read(bytes)?,
                None => reply.end()?,
            };
            if !text.is_empty() && !on_text(&text) {
                return Ok(Outcome::Cancelled);
            }
            if chunk.is_none() {
                break;
            }
        }
        match reply.is_done || reply.finish.is_some() {
            true => Ok(Outcome::Complete),
            false => Err(self.broken("its stream has no end").into()),
        }
    }

    /// The result of `future`, unless nothing comes for too long or the listener has enough.
    async fn watched<F: Future>(&self, future: F, on_text: &mut dyn FnMut(&str) -> bool) -> Result<F::Output, Over> {
        let mut future = pin!(future);
        let end = Instant::now() + self.silence_max;
        loop {
            match tokio::time::timeout(LOOK, &mut future).await {
                Ok(result) => return Ok(result),
                Err(_) if !on_text("") => return Err(Over::Cancelled),
                Err(_) if Instant::now() >= end => return Err(Over::Silent),
                Err(_) => {}
            }
        }
    }

    async fn whole(
        &self,
        mut response: Response,
        on_text: &mut dyn FnMut(&str) -> bool,
    ) -> Result<Vec<u8>, EndpointError> {
        let mut body = Vec::new();
        loop {
            let chunk = self.watched(response.chunk(), on_text).await.map_err(|_| self.silent())?;
            let Some(chunk) = chunk.map_err(|error| self.broken(&causes(&error)))? else { return Ok(body) };
            body.extend_from_slice(&chunk);
            if body.len() > BODY_BYTES_MAX {
                let url = self.url().to_owned();
                return Err(EndpointError::TooLarge { url, what: "an answer", bytes_max: BODY_BYTES_MAX });
            }
        }
    }

    async fn refused(&self, response: Response, on_text: &mut dyn FnMut(&str) -> bool) -> Failed {
        let status = response.status().as_u16();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let body = self.whole(response, on_text).await.unwrap_or_default();
        let (message, code) = match serde_json::from_slice::<Value>(&body) {
            Ok(error) => error_message(&error),
            Err(_) => (shown(&String::from_utf8_lossy(&body)), None),
        };
        let error = EndpointError::Refused { url: self.url().to_owned(), status, message, code };
        Failed { error, wait: seconds.map(Duration::from_secs) }
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    fn at(&self, path: &str) -> Url {
        self.base.join(path).expect("a fixed path fits behind every base")
    }

    fn unreachable(&self, error: &reqwest::Error) -> EndpointError {
        EndpointError::Unreachable { url: self.url().to_owned(), reason: causes(error) }
    }

    fn broken(&self, reason: &str) -> EndpointError {
        EndpointError::Broken { url: self.url().to_owned(), reason: reason.to_owned() }
    }

    fn malformed(&self, reason: &str) -> EndpointError {
        EndpointError::Malformed { url: self.url().to_owned(), reason: reason.to_owned() }
    }

    fn silent(&self) -> EndpointError {
        EndpointError::Silent { url: self.url().to_owned(), seconds: self.silence_max.as_secs() }
    }
}

/// The last cause of an error, which is what went wrong; the first ones name the address.
fn causes(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    shown(&last.to_string())
}
