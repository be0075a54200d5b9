//! What can go wrong on the way to a model or a data set, with every attempt and a way out.
use std::fmt;
use std::path::{Path, PathBuf};

/// One place that was looked at, and why it did not give the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The place, for example "the hub's cache `/home/me/.cache/huggingface/hub`".
    pub place: String,
    /// Why it gave nothing.
    pub outcome: String,
}

/// The places that were tried, in order; shown as a numbered list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attempts(pub Vec<Attempt>);

impl Attempts {
    pub(super) fn add(&mut self, place: impl Into<String>, outcome: impl fmt::Display) {
        self.0.push(Attempt { place: place.into(), outcome: outcome.to_string() });
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attempt) in self.0.iter().enumerate() {
            // Outcomes may have several lines (pip's last words): they stay under their number.
            let outcome = attempt.outcome.replace('\n', "\n     ");
            write!(formatter, "\n  {}. {}: {outcome}", index + 1, attempt.place)?;
        }
        Ok(())
    }
}

/// Why a model name did not become a folder.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Neither a path nor a name that the hub could know.
    #[error(
        "`{name}` is neither a model folder here nor a name the hub could know\nhint: give a folder, a .gguf file, or a name such as `HuggingFaceTB/SmolLM2-135M-Instruct`"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// A path that does not exist.
    #[error("`{path}` does not exist\nhint: a hub name has the form `organisation/model`, without `./` before it")]
    NoSuchPath {
        /// What was asked for.
        path: PathBuf,
    },
    /// A folder that lacks a file of the model.
    #[error("`{path}` is not a complete model folder: {missing}\nhint: {hint}")]
    Incomplete {
        /// The folder.
        path: PathBuf,
        /// Which file is missing.
        missing: String,
        /// What to do about it.
        hint: String,
    },
    /// All places were tried.
    #[error("cannot get `{name}`; tried in this order:{attempts}\nhint: {hint}")]
    Exhausted {
        /// What was asked for.
        name: String,
        /// Every place with its outcome.
        attempts: Attempts,
        /// What to do about it.
        hint: String,
    },
    /// A GGUF file that is damaged or holds what is not supported.
    #[error("cannot use `{path}`: {what}{}", hint_line(.hint))]
    Gguf {
        /// The file.
        path: PathBuf,
        /// The fault, with the key or tensor it concerns.
        what: String,
        /// What to do about it; may be empty.
        hint: String,
    },
    /// The hub did not take what was to be published.
    #[error("nothing was published in `{name}`: {what}\nhint: {hint}")]
    Publish {
        /// The repository.
        name: String,
        /// Why not.
        what: String,
        /// What to do about it.
        hint: String,
    },
    /// The file system said no.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl SourceError {
    /// Whether what was asked for is at fault, rather than the way to it (the network, the disk).
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, SourceError::Exhausted { .. } | SourceError::Io { .. } | SourceError::Publish { .. })
    }

    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| SourceError::Io { action, path, source }
    }

    pub(super) fn gguf(path: &Path, what: impl fmt::Display) -> Self {
        SourceError::Gguf { path: path.to_path_buf(), what: what.to_string(), hint: String::new() }
    }

    pub(super) fn unsupported(path: &Path, what: impl fmt::Display) -> Self {
        SourceError::Gguf {
            path: path.to_path_buf(),
            what: what.to_string(),
            hint: "use the model's safetensors folder instead (its name on the hub, or a local path)".into(),
        }
    }
}

fn hint_line(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("\nhint: {hint}") }
}
