//! A streamed reply, taken apart: server-sent events with bounds, and what is in them.

use super::error::{EndpointError, shown};
use serde::Deserialize;
use serde_json::Value;

/// Bytes of one line.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of everything that comes for one reply.
const STREAM_BYTES_MAX: usize = 64 << 20;
/// Bytes of the text of one reply.
const TEXT_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Choice {
    #[serde(default)]
    index: usize,
    delta: Option<Content>,
    /// In place of a delta where a server does not stream.
    message: Option<Content>,
    finish_reason: Option<String>,
    /// Of vLLM: the stop string that it found.
    stop_reason: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct Content {
    content: Option<String>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub prompt_tokens: usize,
    #[serde(default)]
    pub completion_tokens: usize,
    prompt_tokens_details: Option<Details>,
}

#[derive(Debug, Default, Clone, Copy, Deserialize)]
struct Details {
    cached_tokens: Option<usize>,
}

impl Usage {
    /// Tokens of the prompt that the server had in a cache, where it says so.
    pub fn cached_tokens(&self) -> usize {
        let cached = self.prompt_tokens_details.and_then(|details| details.cached_tokens);
        cached.unwrap_or(0).min(self.prompt_tokens)
    }
}

/// What has come of a reply.
#[derive(Debug)]
pub(super) struct Reply {
    url: String,
    /// The text of the whole reply.
    pub text: String,
    /// `stop` or `length`, as the server says it.
    pub finish: Option<String>,
    /// The stop string that ended it, where the server says which.
    pub stopped_at: Option<String>,
    /// The server has said that there is no more.
    pub is_done: bool,
    usage: Option<Usage>,
    /// Deltas with text, which are tokens where a server does not count.
    pieces: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    bytes: usize,
}

impl Reply {
    pub fn new(url: &str) -> Reply {
        Reply {
            url: url.to_owned(),
            text: String::new(),
            finish: None,
            stopped_at: None,
            is_done: false,
            usage: None,
            pieces: 0,
            line: Vec::new(),
            data: Vec::new(),
            bytes: 0,
        }
    }

    /// Tokens of prompt and reply; pieces of text where the server does not count.
    pub fn usage(&self) -> Usage {
        self.usage.unwrap_or(Usage { completion_tokens: self.pieces, ..Usage::default() })
    }

    /// Take the next bytes of the stream, and return the text that is in them.
    pub fn read(&mut self, bytes: &[u8]) -> Result<String, EndpointError> {
        self.bytes += bytes.len();
        if self.bytes > STREAM_BYTES_MAX {
            return Err(self.too_large("a reply", STREAM_BYTES_MAX));
        }
        let mut text = String::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if self.line.len() > LINE_BYTES_MAX {
                return Err(self.too_large("one line", LINE_BYTES_MAX));
            }
            if part.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.read_line(line.trim_ascii_end(), &mut text)?;
            }
        }
        Ok(text)
    }

    /// The connection has ended: what its last lines hold.
    pub fn end(&mut self) -> Result<String, EndpointError> {
        let mut text = String::new();
        let line = std::mem::take(&mut self.line);
        self.read_line(line.trim_ascii_end(), &mut text)?;
        self.read_line(b"", &mut text)?;
        Ok(text)
    }

    /// A reply that came as a whole.
    pub fn read_whole(&mut self, body: &[u8]) -> Result<String, EndpointError> {
        self.is_done = true;
        self.read_event(body)
    }

    fn read_line(&mut self, line: &[u8], text: &mut String) -> Result<(), EndpointError> {
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
            if self.data.len() > LINE_BYTES_MAX {
                return Err(self.too_large("one event", LINE_BYTES_MAX));
            }
        } else if line.is_empty() && !self.data.is_empty() {
            let data = std::mem::take(&mut self.data);
            match data.as_slice() {
                b"[DONE]" => self.is_done = true,
                data => text.push_str(&self.read_event(data)?),
            }
        }
        Ok(()) // comments keep the connection alive; names of events and ids say nothing here
    }

    fn read_event(&mut self, data: &[u8]) -> Result<String, EndpointError> {
        let chunk: Chunk = serde_json::from_slice(data).map_err(|error| {
            let start = shown(&String::from_utf8_lossy(&data[..data.len().min(200)]));
            EndpointError::Malformed { url: self.url.clone(), reason: format!("{error}, in `{start}`") }
        })?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(EndpointError::Failed { url: self.url.clone(), message: error_message(&error).0 });
        }
        self.usage = chunk.usage.or(self.usage);
        let mut text = String::new();
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            let content = choice.delta.or(choice.message).and_then(|content| content.content).unwrap_or_default();
            self.pieces += usize::from(!content.is_empty());
            text.push_str(&content);
            self.finish = choice.finish_reason.or(self.finish.take());
            self.stopped_at =
                choice.stop_reason.and_then(|at| Some(at.as_str()?.to_owned())).or(self.stopped_at.take());
        }
        self.text.push_str(&text);
        match self.text.len() > TEXT_BYTES_MAX {
            true => Err(self.too_large("a reply", TEXT_BYTES_MAX)),
            false => Ok(text),
        }
    }

    fn too_large(&self, what: &'static str, bytes_max: usize) -> EndpointError {
        EndpointError::TooLarge { url: self.url.clone(), what, bytes_max }
    }
}

/// Message and code of an error object, in the forms that servers have for it.
pub(super) fn error_message(error: &Value) -> (String, Option<String>) {
    let inner = error.get("error").filter(|inner| !inner.is_null()).unwrap_or(error);
    let text = |key: &str| inner.get(key).and_then(Value::as_str);
    let message = inner.as_str().or(text("message")).or(text("detail"));
    let message = message.map_or_else(|| shown(&inner.to_string()), shown);
    // llama.cpp has a number for its code, and the word in `type`.
    let code = text("code").or(text("type")).map(shown);
    (message, code)
}
