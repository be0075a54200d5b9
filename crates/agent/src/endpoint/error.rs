//! Why a model elsewhere gave no reply, and what helps.

/// Errors of [`crate::EndpointModel`]. Texts of the server are cut, and cannot steer a terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The address is none.
    #[error("`{url}` is not the address of an endpoint: {reason}\nhint: give its base, as in http://127.0.0.1:8000/v1")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody answers there.
    #[error("cannot reach `{url}`: {reason}\nhint: is the server running, and is this its address?")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The server refused.
    #[error("`{url}` answered with status {status}: {message}{}", hint_of(*status))]
    Refused {
        /// The address.
        url: String,
        /// The status of HTTP.
        status: u16,
        /// What the server says.
        message: String,
        /// Its error as a word, if it gave one.
        code: Option<String>,
    },
    /// The server sent an error in the middle of a reply.
    #[error("`{url}` failed while it replied: {message}")]
    Failed {
        /// The address.
        url: String,
        /// What the server says.
        message: String,
    },
    /// What the server sent is no reply.
    #[error("`{url}` sent what is no reply: {reason}\nhint: it must be an endpoint of OpenAI's chat completions")]
    Malformed {
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The reply is larger than any honest one.
    #[error("`{url}` sent more than {bytes_max} bytes of {what}")]
    TooLarge {
        /// The address.
        url: String,
        /// `one line` or `a reply`.
        what: &'static str,
        /// The bound.
        bytes_max: usize,
    },
    /// The connection ended in the middle of a reply.
    #[error("`{url}` ended the connection before its reply was complete: {reason}")]
    Broken {
        /// The address.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// Nothing came for too long.
    #[error(
        "`{url}` sent nothing for {seconds} seconds\nhint: it may be overloaded; allow more time, or try again later"
    )]
    Silent {
        /// The address.
        url: String,
        /// The bound.
        seconds: u64,
    },
    /// There is no model.
    #[error("`{url}` lists no models\nhint: name one that it serves")]
    NoModel {
        /// The address.
        url: String,
    },
    /// This process cannot make connections.
    #[error("cannot set up connections: {reason}")]
    Client {
        /// What went wrong.
        reason: String,
    },
}

/// Statuses that a server which is busy or restarting answers with.
const AGAIN: [u16; 7] = [408, 429, 500, 502, 503, 504, 529];
/// How servers say that a prompt is too long. OpenAI and ours have a code, vLLM and llama.cpp a sentence.
const CONTEXT_WORDS: [&str; 5] = [
    "context_length_exceeded",
    "maximum context length",
    "exceed_context_size",
    "exceeds the available context size",
    "longer than the maximum model length",
];
/// Characters of a server's message that are kept.
const MESSAGE_CHARS_MAX: usize = 1000;

impl EndpointError {
    /// Whether the conversation is too long for the model.
    pub fn is_context(&self) -> bool {
        let EndpointError::Refused { status: 400 | 413 | 422 | 500, message, code, .. } = self else { return false };
        let said = format!("{} {}", code.as_deref().unwrap_or_default(), message.to_lowercase());
        CONTEXT_WORDS.iter().any(|word| said.contains(word))
    }

    /// Whether it is about this one request, so that another one may well be answered: a filter of contents, or a reply
    /// that is none. Not an address, a key or a name that is wrong, nor a server that is gone or has too much to do.
    pub fn is_of_request(&self) -> bool {
        match self {
            EndpointError::Refused { status, .. } => matches!(status, 400 | 413 | 422 | 451 | 500),
            EndpointError::Failed { .. }
            | EndpointError::Malformed { .. }
            | EndpointError::TooLarge { .. }
            | EndpointError::Broken { .. }
            | EndpointError::Silent { .. } => true,
            EndpointError::BadUrl { .. }
            | EndpointError::Unreachable { .. }
            | EndpointError::NoModel { .. }
            | EndpointError::Client { .. } => false,
        }
    }

    /// Whether the same request may do better a little later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            EndpointError::Unreachable { .. } | EndpointError::Broken { .. } => true,
            EndpointError::Refused { status, .. } => AGAIN.contains(status) && !self.is_context(),
            _ => false,
        }
    }
}

/// What a server said, as it can be shown.
pub(super) fn shown(text: &str) -> String {
    let text: String = text.trim().chars().take(MESSAGE_CHARS_MAX).collect();
    text.replace(codeact_chat::disguises_text, "\u{fffd}")
}

fn hint_of(status: u16) -> &'static str {
    match status {
        401 | 403 => "\nhint: put the key into the environment variable CODEACT_ENDPOINT_KEY",
        404 => "\nhint: is the address right, with its /v1, and does the server have this model?",
        429 => "\nhint: the server has too much to do; try again later",
        300..=399 => "\nhint: give the address that it points to",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_request_is_told_from_what_is_about_all() {
        let refused = |status| EndpointError::Refused { url: "u".into(), status, message: "m".into(), code: None };
        assert!([400, 422, 451, 500].into_iter().all(|status| refused(status).is_of_request()));
        let about_all = [301, 401, 403, 404, 405, 429, 502, 503, 504];
        assert!(!about_all.into_iter().any(|status| refused(status).is_of_request()));
        assert!(EndpointError::Silent { url: "u".into(), seconds: 300 }.is_of_request());
        assert!(!EndpointError::Unreachable { url: "u".into(), reason: "r".into() }.is_of_request());
    }
}
