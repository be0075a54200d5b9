//! Replies of a model elsewhere: any server of OpenAI's chat completions, such as vLLM, llama.cpp, or `codeact-serve`.

mod error; // why there is no reply

mod reply; // a streamed reply, taken apart

mod exchange; // one request, from the connection to the last byte

pub use error::EndpointError;

use crate::{AgentError, Ask, Completion, FinishReason, Model};
use exchange::{Exchange, Outcome};
use reply::{Reply, Usage};
use reqwest::Url;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The environment variable with the key.
const KEY_VARIABLE: &str = "CODEACT_ENDPOINT_KEY";
/// Tries of one request.
const TRIES_MAX: u32 = 5;
/// Wait before the second try; each later one waits twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait that a server can ask for.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Where a model is, and how it is asked.
#[derive(Clone, PartialEq)]
pub struct EndpointOptions {
    /// Base of the address: `http://127.0.0.1:8000/v1`.
    pub url: String,
    /// The model's name there; `None`: the first one that the server lists.
    pub model: Option<String>,
    /// Sent as `Authorization: Bearer`, and shown to nobody.
    pub key: Option<String>,
    /// Sampling temperature; `None`: the server's default, as with the other settings.
    pub temperature: Option<f64>,
    /// Nucleus sampling.
    pub top_p: Option<f64>,
    /// How many tokens are drawn from; not every server knows it.
    pub top_k: Option<usize>,
    /// The same seed gives the same reply, where the server can.
    pub seed: Option<u64>,
    /// Most tokens of one reply.
    pub reply_tokens_max: Option<usize>,
    /// How long a connection may take.
    pub connect_time_max: Duration,
    /// How long nothing may come, before the first token too.
    pub silence_max: Duration,
}

impl EndpointOptions {
    /// The model at `url`, with the key that the environment variable `CODEACT_ENDPOINT_KEY` holds, if it does.
    pub fn new(url: impl Into<String>) -> EndpointOptions {
        EndpointOptions {
            url: url.into(),
            model: None,
            key: std::env::var(KEY_VARIABLE).ok().filter(|key| !key.is_empty()),
            temperature: None,
            top_p: None,
            top_k: None,
            seed: None,
            reply_tokens_max: None,
            connect_time_max: Duration::from_secs(10),
            silence_max: Duration::from_secs(300),
        }
    }
}

impl std::fmt::Debug for EndpointOptions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let EndpointOptions { url, model, .. } = self;
        formatter.debug_struct("EndpointOptions").field("url", url).field("model", model).finish_non_exhaustive()
    }
}

/// A model that another process or machine runs. Must not be used on a thread that drives asynchronous tasks.
pub struct EndpointModel {
    exchange: Exchange,
    options: EndpointOptions,
    model: String,
    /// Whether the server knows `stream_options`; those that do not say so with an error.
    counts: bool,
}

impl EndpointModel {
    /// A model whose name is known. Nothing is asked of the server before the first reply.
    ///
    /// # Errors
    /// When the address is none.
    pub fn named(options: EndpointOptions, model: String) -> Result<EndpointModel, EndpointError> {
        let exchange = Exchange::new(base_url(&options.url)?, &options)?;
        Ok(EndpointModel { exchange, options, model, counts: true })
    }

    /// Ask the server which models it has, so that a wrong address or key is known before the first turn.
    ///
    /// # Errors
    /// When the address is none, nobody answers, the server refuses, or there is no model.
    pub fn connect(options: EndpointOptions) -> Result<EndpointModel, EndpointError> {
        let url = base_url(&options.url)?;
        let exchange = Exchange::new(url, &options)?;
        let listed = match exchange.models() {
            // Not every server has a list; then the name must be right.
            Err(EndpointError::Refused { status: 404 | 405 | 501, .. }) if options.model.is_some() => Vec::new(),
            other => other?,
        };
        let model = options.model.clone().or_else(|| listed.into_iter().next());
        let model = model.ok_or_else(|| EndpointError::NoModel { url: options.url.clone() })?;
        Ok(EndpointModel { exchange, options, model, counts: true })
    }

    /// Its name at the server.
    pub fn name(&self) -> &str {
        &self.model
    }

    /// Where it is, and how it is asked.
    pub fn options(&self) -> &EndpointOptions {
        &self.options
    }

    fn body(&self, ask: &Ask<'_>) -> Value {
        let mut body = Map::new();
        body.insert("model".to_owned(), json!(self.model));
        body.insert("messages".to_owned(), json!(ask.messages));
        body.insert("stream".to_owned(), json!(true));
        if self.counts {
            body.insert("stream_options".to_owned(), json!({"include_usage": true}));
        }
        if !ask.stops.is_empty() {
            body.insert("stop".to_owned(), json!(ask.stops));
        }
        let options = &self.options;
        let tokens_max = options.reply_tokens_max.into_iter().chain(ask.tokens_max).min();
        let settings = [
            ("temperature", options.temperature.map(|value| json!(value))),
            ("top_p", options.top_p.map(|value| json!(value))),
            ("top_k", options.top_k.map(|value| json!(value))),
            ("seed", options.seed.map(|value| json!(value))),
            ("max_tokens", tokens_max.map(|value| json!(value))),
        ];
        body.extend(settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        Value::Object(body)
    }

    /// One reply, tried again while it may help and nothing of it has been shown.
    fn exchange(
        &mut self,
        ask: &Ask<'_>,
        on_text: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(Reply, Outcome), EndpointError> {
        let mut wait = FIRST_WAIT;
        for attempt in 1.. {
            let body = self.body(ask);
            let mut reply = Reply::new(self.exchange.url());
            let failed = match self.exchange.chat(&body, &mut reply, on_text) {
                Ok(outcome) => return Ok((reply, outcome)),
                Err(failed) => failed,
            };
            if self.counts && is_about_stream_options(&failed.error) {
                self.counts = false;
                continue;
            }
            if !failed.error.is_passing() || !reply.text.is_empty() || attempt >= TRIES_MAX {
                return Err(failed.error);
            }
            if !self.exchange.wait(failed.wait.unwrap_or(wait).min(WAIT_MAX), on_text) {
                return Ok((reply, Outcome::Cancelled));
            }
            wait *= 2;
        }
        unreachable!("the last try returns")
    }
}

impl Model for EndpointModel {
    fn complete(&mut self, ask: &Ask<'_>, on_text: &mut dyn FnMut(&str) -> bool) -> Result<Completion, AgentError> {
        let (mut reply, outcome) = self.exchange(ask, on_text)?;
        let mut finish = match (outcome, reply.finish.as_deref()) {
            (Outcome::Cancelled, _) => FinishReason::Cancelled,
            (Outcome::Complete, Some("length")) => FinishReason::Length,
            (Outcome::Complete, _) => FinishReason::Stop,
        };
        if finish == FinishReason::Stop
            && let Some(stop) = missing_stop(&reply.text, reply.stopped_at.as_deref(), ask.stops)
        {
            reply.text.push_str(&stop.text);
            on_text(&stop.text);
            if !stop.is_of_what_is_open {
                finish = FinishReason::Length;
            }
        }
        let Usage { prompt_tokens, completion_tokens, .. } = reply.usage();
        let cached_tokens = reply.usage().cached_tokens();
        Ok(Completion { text: reply.text, prompt_tokens, cached_tokens, completion_tokens, finish })
    }
}

/// What a server took off the end of a reply.
struct MissingStop {
    text: String,
    /// Whether it closes what is open. Where it does not, the reply was cut in the middle.
    is_of_what_is_open: bool,
}

/// The stop string at which a reply ended. Servers take it off; most do not say which one it was.
fn missing_stop(text: &str, stopped_at: Option<&str>, stops: &[&str]) -> Option<MissingStop> {
    let open_of = |stop: &&str| Some(stop.strip_prefix("</")?).map(|name| format!("<{name}"));
    let opens = stops.iter().filter_map(|stop| Some((text.find(&open_of(stop)?)?, *stop)));
    let open = opens.min_by_key(|(at, _)| *at).filter(|(at, stop)| !text[*at..].contains(stop)).map(|(_, stop)| stop);
    let told = stopped_at.filter(|told| stops.contains(told) && !text.ends_with(told));
    let text = told.or(open)?.to_owned();
    let is_of_what_is_open = open.is_none_or(|open| open == text);
    Some(MissingStop { text, is_of_what_is_open })
}

fn is_about_stream_options(error: &EndpointError) -> bool {
    matches!(error, EndpointError::Refused { status: 400 | 422, message, .. } if message.contains("stream_options"))
}

fn base_url(text: &str) -> Result<Url, EndpointError> {
    let bad = |reason: &str| EndpointError::BadUrl { url: text.to_owned(), reason: reason.to_owned() };
    let mut url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("it must begin with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let reason = "a name or password does not belong into an address; keys go into CODEACT_ENDPOINT_KEY";
        return Err(EndpointError::BadUrl { url: "http://...@...".to_owned(), reason: reason.to_owned() });
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it ends with the path"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{path}/"));
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stop_that_a_server_took_off_is_put_back() {
        let stops = ["</execute>", "</solution>"];
        let put = |text: &str, told: Option<&str>| {
            missing_stop(text, told, &stops).map(|it| (it.text, it.is_of_what_is_open))
        };
        let stop = |stop: &str, fits| Some((stop.to_owned(), fits));
        assert_eq!(put("<execute>\n1\n", None), stop("</execute>", true));
        assert_eq!(put("so <solution>1", None), stop("</solution>", true));
        assert_eq!(put("<execute>1</execute>", None), None);
        assert_eq!(put("plain", None), None);
        // The other tag stood in the code: the server stopped in the middle of it.
        assert_eq!(put("<execute>print('", Some("</solution>")), stop("</solution>", false));
        assert_eq!(put("<execute>print('<solution>", None), stop("</execute>", true));
        assert_eq!(put("Action: f, 1 ", Some("<|end|>")), None);
        assert_eq!(missing_stop("Action: f", Some("End Action"), &["End Action"]).unwrap().text, "End Action");
    }

    #[test]
    fn an_address_is_a_base_without_secrets() {
        assert_eq!(base_url("http://127.0.0.1:8000/v1").unwrap().join("models").unwrap().path(), "/v1/models");
        assert_eq!(base_url("https://host/a/v1//").unwrap().join("models").unwrap().path(), "/a/v1/models");
        for wrong in ["", "host:8000/v1", "ftp://host/v1", "http://host/v1?x=1", "file:///v1", "http://"] {
            let error = base_url(wrong).unwrap_err().to_string();
            assert!(error.contains("is not the address") && error.contains("hint:"), "{error}");
        }
        let error = base_url("http://user:secret@host/v1").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        let options = EndpointOptions { key: Some("secret".into()), ..EndpointOptions::new("http://host/v1") };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
