//! Why data cannot be used.

use std::path::{Path, PathBuf};

use codeact_chat::{ConversationError, FormatError};

use crate::preview::harmless;

/// Errors of this crate.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A path leads to no data.
    #[error("data `{path}`: {what}")]
    Path {
        /// As the settings name it.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file cannot be opened or read.
    #[error("cannot read `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Encoded data cannot be written to its folder, or read back from there.
    #[error(
        "cannot keep encoded data in `{path}`\n\
         hint: free some space there, or name another folder with `train.cache`; \"off\" keeps it in memory"
    )]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is damaged as a whole: what its rows are cannot be told.
    #[error("`{path}`: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A file has no rows.
    #[error("`{path}` holds no conversations")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A row cannot be used, and the policy is to refuse the file.
    #[error("`{path}` line {line}: {}\nhint: {}`on_bad_row = \"skip\"` leaves such rows out and counts them", shown(.reason), hint(.reason))]
    Row {
        /// The file.
        path: PathBuf,
        /// Line of a text file, row of a table, counted from 1.
        line: u64,
        /// What is wrong with it.
        reason: Rejection,
    },
    /// A row would break a promise about the mask; no policy allows that.
    #[error("`{path}` line {line}")]
    Promise {
        /// The file.
        path: PathBuf,
        /// Line of a text file, row of a table, counted from 1.
        line: u64,
        /// Which promise.
        source: FormatError,
    },
    /// No row of a file can be used.
    #[error("`{path}`: none of its {count} rows can be used; the first one, line {line}: {reason}")]
    AllRejected {
        /// The file.
        path: PathBuf,
        /// Rows of the file.
        count: u64,
        /// Where the first one stands, counted from 1.
        line: u64,
        /// What is wrong with it, in words.
        reason: String,
    },
    /// A conversation is too long, and the policy is to refuse it.
    #[error(
        "`{path}` line {line}: the conversation has {token_count} tokens, more than the {max} of `train.sequence_tokens_max`\n\
         hint: raise it, or set `train.too_long` to \"drop\", or for conversations that are no pairs to \"truncate\""
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Line of a text file, row of a table, counted from 1.
        line: u64,
        /// Its tokens.
        token_count: usize,
        /// The bound.
        max: usize,
    },
    /// No conversation is left.
    #[error(
        "no conversation of {part} data is left: {row_count} read, {filtered} filtered out, {too_long} longer than the {max} tokens of `train.sequence_tokens_max`\n\
         hint: raise it, or widen the filters, or for conversations that are no pairs set `train.too_long` to \"truncate\""
    )]
    NothingLeft {
        /// `train` or `validation`.
        part: &'static str,
        /// Conversations read.
        row_count: usize,
        /// Conversations that the filters left out.
        filtered: usize,
        /// Conversations that were too long.
        too_long: usize,
        /// The bound.
        max: usize,
    },
    /// Every row is held out, or a share is of a source without rows.
    #[error("data `{name}`: {what}")]
    Source {
        /// As the settings name it.
        name: String,
        /// What is wrong.
        what: String,
    },
}

impl DataError {
    pub(crate) fn cache(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
        let path = path.to_owned();
        move |source| DataError::Cache { path, source }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
        let path = path.to_owned();
        move |source| DataError::Io { path, source }
    }
}

/// Why one row cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// Not text.
    #[error("byte {byte} of the row is not UTF-8")]
    NotUtf8 {
        /// First bad byte of the row, counted from 1.
        byte: usize,
    },
    /// Not JSON.
    #[error("column {column}: {what}")]
    Json {
        /// Column in bytes, counted from 1.
        column: usize,
        /// What the parser said.
        what: String,
    },
    /// Longer than anybody writes.
    #[error("the row has more than {max} bytes")]
    TooLarge {
        /// The bound.
        max: usize,
    },
    /// Not of the shape of its file.
    #[error("{what}")]
    Shape {
        /// What is missing or of another type.
        what: String,
    },
    /// One of the two conversations of a pair cannot be used.
    #[error("`{key}`: {why}")]
    Side {
        /// Which one.
        key: &'static str,
        /// What is wrong with it.
        why: Box<Rejection>,
    },
    /// A role that is not known.
    #[error("message {index} has unknown role `{role}`")]
    UnknownRole {
        /// Message counted from 0.
        index: usize,
        /// As written.
        role: String,
    },
    /// What a message says cannot be written as text.
    #[error("message {index} {what}")]
    NotText {
        /// Message counted from 0.
        index: usize,
        /// What it holds.
        what: &'static str,
    },
    /// The messages stand in an order that is no conversation.
    #[error(transparent)]
    Order(#[from] ConversationError),
    /// No message of the roles to learn, or none with a weight above 0.
    #[error("no message of it is to be learned")]
    NothingToLearn,
    /// The chat format refuses it.
    #[error("{0}")]
    Format(String),
}

impl Rejection {
    /// The kind, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Rejection::NotUtf8 { .. } => "not UTF-8",
            Rejection::Json { .. } => "not JSON",
            Rejection::TooLarge { .. } => "too large",
            Rejection::Shape { .. } => "another shape than the file",
            Rejection::Side { why, .. } => why.kind(),
            Rejection::UnknownRole { .. } => "unknown role",
            Rejection::NotText { .. } => "not plain text",
            Rejection::Order(ConversationError::Empty) => "no messages",
            Rejection::Order(ConversationError::NoAssistant) => "no answer",
            Rejection::Order(ConversationError::AssistantFirst { .. }) => "the answer comes first",
            Rejection::Order(_) => "roles do not alternate",
            Rejection::NothingToLearn => "nothing to learn",
            Rejection::Format(_) => "refused by the chat template",
        }
    }
}

/// A reason may quote what a file says.
fn shown(reason: &Rejection) -> String {
    harmless(&reason.to_string())
}

fn hint(reason: &Rejection) -> &'static str {
    match reason {
        Rejection::UnknownRole { .. } => {
            "roles are `system`, `user` and `assistant` or their usual other names; what a tool said is `tool` or `observation`; "
        }
        Rejection::Side { why, .. } => hint(why),
        Rejection::Shape { .. } => "`format` says which shape a file has, if it was not recognised; ",
        _ => "",
    }
}
