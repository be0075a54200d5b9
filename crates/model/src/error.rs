//! What can go wrong with a model folder, an adapter or a batch.

use std::path::{Path, PathBuf};

use crate::source::SourceError;

/// Errors of this crate, with place, value and way out.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file cannot be read or written.
    #[error("cannot access `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A JSON file does not parse or lacks a key.
    #[error("cannot parse `{path}`")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The model asks for something that is not supported.
    #[error("`{path}` asks for {what}, which is not supported")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key and its value.
        what: String,
    },
    /// The weights do not fit the config.
    #[error("`{path}`: {what}")]
    Weights {
        /// The folder or file.
        path: PathBuf,
        /// The tensor and what is wrong with it.
        what: String,
    },
    /// A matrix cannot be packed for serving.
    #[error("`{name}`")]
    Pack {
        /// The tensors.
        name: String,
        /// Why.
        source: codeact_cpu::CpuError,
    },
    /// The memory for keys and values is too small.
    #[error(
        "{bytes} bytes for keys and values do not hold a sequence of {tokens} tokens, which needs {needed}\nhint: give \
         them more memory"
    )]
    Pages {
        /// What there is.
        bytes: usize,
        /// What a short sequence needs.
        needed: usize,
        /// How long that sequence is.
        tokens: usize,
    },
    /// The model's files cannot be found or read.
    #[error(transparent)]
    Source(Box<SourceError>),
    /// A batch does not fit the model.
    #[error("{0}")]
    Batch(String),
    /// An operation failed.
    #[error(transparent)]
    Op(#[from] candle_core::Error),
}

impl From<SourceError> for ModelError {
    fn from(source: SourceError) -> Self {
        Self::Source(Box::new(source))
    }
}

impl ModelError {
    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    pub(crate) fn weights(path: &Path, what: impl Into<String>) -> Self {
        Self::Weights { path: path.to_owned(), what: what.into() }
    }
}
