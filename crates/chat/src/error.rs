//! Why a chat format cannot be loaded, or a conversation cannot be rendered with it.

use std::path::PathBuf;

use crate::conversation::Role;

/// Errors of [`ChatFormat`](crate::ChatFormat).
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`")]
    Io {
        /// `read`, `write` or `create`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A settings file of the model folder is not what it should be.
    #[error("`{path}`: {what}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// `tokenizer.json` cannot be used.
    #[error("`{path}` cannot be used as tokenizer: {what}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizer library said, or what is not supported.
        what: String,
    },
    /// The folder has no chat template.
    #[error(
        "`{path}` has no chat template: neither `chat_template.jinja` nor `chat_template` in `tokenizer_config.json`\n\
         hint: take an instruct model, or let training add ChatML to this base model"
    )]
    NoTemplate {
        /// The model folder.
        path: PathBuf,
    },
    /// The chat template is broken, or refused these messages.
    #[error("chat template: {what}")]
    Template {
        /// What the template engine or the template itself said.
        what: String,
    },
    /// The template changes, repeats, reorders or drops a message, so that its tokens cannot be told from the rest.
    #[error(
        "the chat template rewrites message {index} ({role}): {what}\n\
         hint: which tokens to learn cannot be decided then; use a template that inserts contents as they are"
    )]
    RewritesContent {
        /// Message counted from 0.
        index: usize,
        /// Its role.
        role: Role,
        /// How it differs.
        what: &'static str,
    },
    /// No control token follows the assistant's text.
    #[error(
        "the chat template puts no control token after assistant message {index}\n\
         hint: without an end-of-turn token the model never learns to stop"
    )]
    NoEndOfTurn {
        /// Message counted from 0.
        index: usize,
    },
    /// Encoding in pieces differs from encoding the whole text.
    #[error(
        "the tokenizer gives other ids for the text between control tokens than for the whole text, near token {index}\n\
         hint: its control tokens depend on the text around them, which is not supported"
    )]
    PiecesDisagree {
        /// First token that differs.
        index: usize,
    },
    /// The tokenizer library failed.
    #[error("cannot encode text: {what}")]
    Encode {
        /// What the library said.
        what: String,
    },
    /// Text of a message became a control token.
    #[error("text of a message became control token `{token}`; the tokenizer cannot keep the two apart")]
    ControlInContent {
        /// The token.
        token: String,
    },
    /// The sequence starts with two beginning-of-sequence tokens.
    #[error(
        "the sequence starts with two `{token}`\nhint: either the template or the tokenizer should write it, not both"
    )]
    BosDoubled {
        /// The token.
        token: String,
    },
    /// Nothing to learn.
    #[error("conversation `{id}` has no supervised token\nhint: it needs an assistant message")]
    NothingSupervised {
        /// The conversation.
        id: String,
    },
    /// A token of a system, user or observation message would be learned.
    #[error("token {token_index} of conversation `{id}` belongs to a {role} message and would be learned")]
    ForeignSupervised {
        /// The conversation.
        id: String,
        /// Position of the token.
        token_index: usize,
        /// Whose text it is.
        role: Role,
    },
    /// An end-of-turn token of the assistant would not be learned.
    #[error("the end-of-turn token of message {index} of conversation `{id}` would not be learned")]
    EndOfTurnUnsupervised {
        /// The conversation.
        id: String,
        /// Message counted from 0.
        index: usize,
    },
}
