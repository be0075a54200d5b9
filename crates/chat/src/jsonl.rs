//! Conversations in JSON-lines files: `{"id": "...", "conversations": [{"role": "...", "content": "..."}]}`.
//!
//! Every error names the file and the line. No key is silently ignored.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::conversation::{Conversation, ConversationError, Message, Role};

/// A conversation and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The parsed and validated conversation.
    pub conversation: Conversation,
    /// Line in the file, counted from 1.
    pub line: usize,
}

/// Why a data file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("cannot read `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not UTF-8.
    #[error("`{path}` line {line}: byte {byte} of the line is not UTF-8\nhint: convert the file to UTF-8")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line counted from 1.
        line: usize,
        /// First bad byte of the line, counted from 1.
        byte: usize,
    },
    /// A line is not the JSON object the schema asks for.
    #[error(
        "`{path}` line {line} column {column}: {what}\nhint: each line is one object \
         {{\"id\": \"..\", \"conversations\": [{{\"role\": \"..\", \"content\": \"..\"}}, ..]}}"
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// Line counted from 1.
        line: usize,
        /// Column in bytes, counted from 1.
        column: usize,
        /// What the JSON parser said.
        what: String,
    },
    /// A role that does not exist.
    #[error(
        "`{path}` line {line}: message {index} has unknown role `{role}`\nhint: roles are `system`, \
         `user` and `assistant`; the output of executed code is a `user` message"
    )]
    UnknownRole {
        /// The file.
        path: PathBuf,
        /// Line counted from 1.
        line: usize,
        /// Message counted from 0.
        index: usize,
        /// The role as written.
        role: String,
    },
    /// The messages stand in an order that is not a conversation.
    #[error("`{path}` line {line}: {source}")]
    Order {
        /// The file.
        path: PathBuf,
        /// Line counted from 1.
        line: usize,
        /// Which rule is broken, and where.
        source: ConversationError,
    },
    /// The file holds no conversation.
    #[error("`{path}` holds no conversations")]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    conversations: Vec<RowMessage>,
}

/// The role stays text until the index of the message is known, for the error's sake.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RowMessage {
    role: String,
    content: String,
}

/// Reads all conversations of a file. Key order is free, blank lines are skipped.
///
/// # Errors
/// The first broken line, unknown key, unknown role or wrong order of roles, or that there is nothing in the file.
pub fn read_jsonl(path: &Path) -> Result<Vec<Located>, ReadError> {
    let io_error = |source| ReadError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::new(std::fs::File::open(path).map_err(io_error)?);
    let mut found = Vec::new();
    let mut bytes = Vec::new();
    for line in 1.. {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(io_error)? == 0 {
            break;
        }
        let text = std::str::from_utf8(&bytes).map_err(|error| ReadError::NotUtf8 {
            path: path.to_owned(),
            line,
            byte: error.valid_up_to() + 1,
        })?;
        if !text.trim().is_empty() {
            let conversation = parse_line(text.trim_end(), path, line)?;
            found.push(Located { conversation, line });
        }
    }
    if found.is_empty() {
        return Err(ReadError::Empty { path: path.to_owned() });
    }
    Ok(found)
}

fn parse_line(text: &str, path: &Path, line: usize) -> Result<Conversation, ReadError> {
    let path = || path.to_owned();
    let row: Row = serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        // The parser counts lines within this one line; the file's own line is what helps.
        let what = error.to_string().replace(&format!(" at line {} column {column}", error.line()), "");
        ReadError::Json { path: path(), line, column, what }
    })?;
    let mut messages = Vec::with_capacity(row.conversations.len());
    for (index, message) in row.conversations.into_iter().enumerate() {
        let Some(role) = Role::from_name(&message.role) else {
            return Err(ReadError::UnknownRole { path: path(), line, index, role: message.role });
        };
        messages.push(Message::new(role, message.content));
    }
    Conversation::validate(&messages).map_err(|source| ReadError::Order { path: path(), line, source })?;
    Ok(Conversation { id: row.id, messages })
}

/// Writes one conversation a line, in the schema that [`read_jsonl`] reads. The file appears whole or not at all:
/// it is written beside its final name and renamed.
///
/// # Errors
/// When the folder cannot be written to.
pub fn write_jsonl(path: &Path, conversations: &[Conversation]) -> std::io::Result<()> {
    let mut partial_name = path.as_os_str().to_owned();
    partial_name.push(".partial");
    let partial = PathBuf::from(partial_name);
    let written = write_lines(&partial, conversations).and_then(|()| std::fs::rename(&partial, path));
    if written.is_err() {
        // The first error is the one to report; a partial file that cannot be removed adds nothing to it.
        let _ = std::fs::remove_file(&partial);
    }
    written
}

fn write_lines(path: &Path, conversations: &[Conversation]) -> std::io::Result<()> {
    let mut writer = BufWriter::new(std::fs::File::create(path)?);
    for conversation in conversations {
        serde_json::to_writer(&mut writer, conversation)?;
        writer.write_all(b"\n")?;
    }
    writer.into_inner().map_err(|error| error.into_error())?.sync_all()
}
