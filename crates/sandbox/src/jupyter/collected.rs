//! From messages to a cell.

use crate::bundle::Bundle;
use crate::capture::Capture;
use crate::cell::{Cell, CellEnd, CellError, State};
use crate::{Kind, Limits, Stream};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jupyter_protocol::{
    ExecuteReply, ExecutionState, JupyterMessage, JupyterMessageContent, Media, Payload, ReplyError, Stdio,
};
use std::path::Path;
use std::time::{Duration, Instant};

/// Figures and other displays of one cell.
const DISPLAYS_MAX: usize = 256;
/// Once the kernel has said in one way that it is done, time for the other way.
const GRACE: Duration = Duration::from_secs(1);

/// What came out of a cell so far.
pub(super) struct Collected {
    /// Of the request.
    id: String,
    stdout: Capture,
    stderr: Capture,
    value: Bundle,
    displays: Vec<Bundle>,
    error: Option<CellError>,
    /// The answer has come; the kernel says that it does nothing more.
    is_answered: bool,
    is_idle: bool,
    /// The code asked the kernel to end.
    pub is_leaving: bool,
    heard_at: Instant,
}

impl Collected {
    pub fn new(id: String, limits: &Limits, folder: &Path) -> Collected {
        let capture = || Capture::new(limits.output_bytes_max).spooling(folder, limits.output_file_bytes_max);
        Collected {
            id,
            stdout: capture(),
            stderr: capture(),
            value: Bundle::default(),
            displays: Vec::new(),
            error: None,
            is_answered: false,
            is_idle: false,
            is_leaving: false,
            heard_at: Instant::now(),
        }
    }

    /// Whether `message` came of this cell.
    pub fn is_mine(&self, message: &JupyterMessage) -> bool {
        message.parent_header.as_ref().is_some_and(|parent| parent.msg_id == self.id)
    }

    /// Whether all of it has arrived. Output may overtake the answer, and be lost where there is too much of it.
    pub fn is_over(&self) -> bool {
        let is_quiet = (self.is_answered || self.is_idle) && self.heard_at.elapsed() > GRACE;
        is_quiet || (self.is_answered && self.is_idle)
    }

    /// Keep what `message` says; `emit` gets what it shows.
    pub fn take(&mut self, message: JupyterMessage, emit: &mut dyn FnMut(Kind<'_>)) {
        self.heard_at = Instant::now();
        match message.content {
            JupyterMessageContent::StreamContent(content) => {
                let (stream, capture) = match content.name {
                    Stdio::Stdout => (Stream::Stdout, &mut self.stdout),
                    Stdio::Stderr => (Stream::Stderr, &mut self.stderr),
                };
                if let Some(text) = capture.push(content.text.as_bytes()) {
                    emit(Kind::Output { stream, text: &text });
                }
            }
            JupyterMessageContent::DisplayData(content) => self.display(bundle(&content.data), emit),
            JupyterMessageContent::UpdateDisplayData(content) => self.display(bundle(&content.data), emit),
            JupyterMessageContent::ExecuteResult(content) => {
                // A shell can be set up to show every expression; the last one is the value.
                let earlier = std::mem::replace(&mut self.value, bundle(&content.data));
                self.display(earlier, emit);
            }
            JupyterMessageContent::ErrorOutput(content) => {
                self.error = Some(error(content.ename, content.evalue, &content.traceback));
            }
            JupyterMessageContent::Status(status) => self.is_idle |= status.execution_state == ExecutionState::Idle,
            JupyterMessageContent::ExecuteReply(reply) => self.answer(reply, emit),
            _ => {}
        }
    }

    fn answer(&mut self, reply: ExecuteReply, emit: &mut dyn FnMut(Kind<'_>)) {
        self.is_answered = true;
        if let Some(reply_error) = reply.error
            && self.error.is_none()
        {
            let ReplyError { ename, evalue, traceback } = *reply_error;
            self.error = Some(error(ename, evalue, &traceback));
        }
        for payload in reply.payload {
            match payload {
                // `name?` shows its text in this way.
                Payload::Page { data, .. } => self.display(bundle(&data), emit),
                Payload::AskExit { keepkernel } => self.is_leaving |= !keepkernel,
                Payload::SetNextInput { .. } | Payload::EditMagic { .. } => {}
            }
        }
    }

    fn display(&mut self, bundle: Bundle, emit: &mut dyn FnMut(Kind<'_>)) {
        if !bundle.is_empty() && self.displays.len() < DISPLAYS_MAX {
            emit(Kind::Display(&bundle));
            self.displays.push(bundle);
        }
    }

    /// The cell: `stopped` says why it was stopped, if it was, and `ended` how the kernel ended, if it did.
    pub fn finish(mut self, stopped: Option<CellEnd>, ended: Option<String>, state: State) -> Cell {
        let end = match (stopped, &self.error) {
            (Some(end), _) => end,
            (None, _) if ended.is_some() => CellEnd::Exited,
            (None, Some(_)) => CellEnd::Raised,
            (None, None) => CellEnd::Finished,
        };
        let ended = ended.filter(|_| end == CellEnd::Exited).map(|status| CellError::ended(&status));
        Cell {
            end,
            state,
            unrestored: None,
            stdout: self.stdout.text(),
            stderr: self.stderr.text(),
            value: self.value,
            displays: self.displays,
            error: self.error.or(ended),
            full_output: [&mut self.stdout, &mut self.stderr].into_iter().find_map(Capture::spooled),
        }
    }
}

impl Collected {
    /// The cell so far, and what waits for the rest.
    pub fn finish_early(self, stopped: Option<CellEnd>) -> (Cell, Collected) {
        let unkept = Limits { output_bytes_max: 0, output_file_bytes_max: 0, ..Limits::default() };
        let rest = Collected {
            is_answered: self.is_answered,
            is_idle: self.is_idle,
            ..Collected::new(self.id.clone(), &unkept, Path::new(""))
        };
        (self.finish(stopped, None, State::Kept), rest)
    }
}

fn error(name: String, message: String, traceback: &[String]) -> CellError {
    let traceback = without_colours(&traceback.join("\n"));
    let traceback = match traceback.trim().is_empty() {
        true => format!("{name}: {message}"),
        false => traceback.trim_end().to_string(),
    };
    CellError { name, message: without_colours(&message), traceback }
}

/// Its formats as bytes: base64 is taken off what is not text, and JSON stays JSON.
fn bundle(media: &Media) -> Bundle {
    let json = serde_json::to_value(media).unwrap_or_default();
    let pairs = json.as_object().into_iter().flatten().map(|(mime, value)| {
        let bytes = match value {
            serde_json::Value::String(text) if is_text(mime) => text.clone().into_bytes(),
            serde_json::Value::String(text) => {
                let packed: String = text.split_ascii_whitespace().collect();
                BASE64_STANDARD.decode(&packed).unwrap_or_else(|_| text.clone().into_bytes())
            }
            other => other.to_string().into_bytes(),
        };
        (mime.as_str(), bytes)
    });
    let pairs: Vec<(&str, Vec<u8>)> = pairs.collect();
    Bundle::collect(pairs.iter().map(|(mime, bytes)| (*mime, bytes.as_slice())), "")
}

fn is_text(mime: &str) -> bool {
    let is_binary = ["image/", "audio/", "video/", "font/"].iter().any(|kind| mime.starts_with(kind));
    let is_binary = is_binary || ["application/pdf", "application/octet-stream"].contains(&mime);
    !is_binary || mime.ends_with("+xml")
}

/// `text` without the escape sequences of terminals.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
        } else if characters.next_if_eq(&'[').is_some() {
            // Parameters, up to a letter that says what they are for.
            while characters.next_if(|next| (' '..='?').contains(next)).is_some() {}
            characters.next_if(|next| ('@'..='~').contains(next));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn colours_go_and_text_stays() {
        assert_eq!(without_colours("\u{1b}[0;31mZero\u{1b}[0m[1]\u{1b}[38;5;28;01mé\u{1b}"), "Zero[1]é");
        assert_eq!(without_colours("\u{1b}[12"), "");
    }

    #[test]
    fn pictures_become_bytes_and_json_stays_json() {
        let data = json!({
            "text/plain": "x", "image/png": "iVBO\nRw==", "image/svg+xml": "<svg/>",
            "application/json": {"a": [1]}, "<b>/x": "no",
        });
        let bundle = bundle(&serde_json::from_value(data).unwrap());
        assert_eq!(bundle.get("image/png"), Some(&b"\x89PNG"[..]));
        assert_eq!(bundle.get("image/svg+xml"), Some(&b"<svg/>"[..]));
        assert_eq!(bundle.get("application/json"), Some(&br#"{"a":[1]}"#[..]));
        assert_eq!((bundle.text().as_deref(), bundle.iter().count()), (Some("x"), 4));
    }
}
