//! Errors as a user meets them: the exit code, the whole message, and the errors of other rooms as ours.

use std::path::Path;

use codeact_agent::AgentError;
use codeact_chat::FormatError;
use codeact_eval::EvalError;
use codeact_model::ModelError;
use codeact_model::source::SourceError;

use super::TrainError;

pub(super) fn hint_for(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => {
            "\nhint: nothing half-written was left behind; free some space, then continue with `--resume`"
        }
        _ => "",
    }
}

impl From<EvalError> for TrainError {
    fn from(error: EvalError) -> TrainError {
        TrainError::Eval(Box::new(error))
    }
}

impl TrainError {
    /// 2 for settings, arguments and input; 1 for a run that failed.
    pub fn exit_code(&self) -> u8 {
        use TrainError::{
            ChatLoss, Differs, Export, NotFinite, NotReached, NotRead, ReadBack, Signals, Source, Spike, Step,
            TakenBackTooOften, Threads, TokensDiffer, Write,
        };
        match self {
            TrainError::Ranks(error) => error.exit_code(),
            TrainError::Eval(error) if !error.is_bad_input() => 1,
            Source(SourceError::Exhausted { .. } | SourceError::Io { .. }) => 1,
            Write { .. } | Export { .. } | Step { .. } | Threads { .. } | ReadBack { .. } | Signals(_) => 1,
            ChatLoss { .. } | NotFinite { .. } | Spike { .. } | TakenBackTooOften { .. } | NotReached { .. } => 1,
            Differs { .. } | NotRead { .. } | TokensDiffer { .. } => 1,
            _ => 2,
        }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
        let path = path.to_owned();
        move |source| TrainError::Write { path, source }
    }

    pub(crate) fn read_back(path: &Path) -> impl FnOnce(std::io::Error) -> TrainError {
        let path = path.to_owned();
        move |source| TrainError::ReadBack { path, source }
    }

    /// A failure of the agent crate while it writes into `dir`.
    pub(crate) fn wording(dir: &Path) -> impl FnOnce(AgentError) -> TrainError {
        let path = dir.to_owned();
        move |error| match error {
            AgentError::WordingFile { path, source, .. } => TrainError::Write { path, source },
            error => TrainError::Write { path, source: std::io::Error::other(error) },
        }
    }

    /// A failure of the model crate while it writes below `path`.
    pub(crate) fn export(path: &Path) -> impl FnOnce(ModelError) -> TrainError {
        let path = path.to_owned();
        move |error| match error {
            ModelError::Io { path, source } => TrainError::Write { path, source },
            source => TrainError::Export { path, source },
        }
    }

    /// A failure of the chat crate while it writes.
    pub(crate) fn format(error: FormatError) -> TrainError {
        match error {
            FormatError::Io { action: "write" | "create", path, source } => TrainError::Write { path, source },
            error => TrainError::Format(error),
        }
    }

    /// The whole message: what happened, its causes, and the hints last.
    pub fn report(&self) -> String {
        let (mut text, mut hints) = (String::new(), String::new());
        let mut next: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = next {
            let message = error.to_string();
            let (what, hint) = message.split_once("\nhint: ").unwrap_or((&message, ""));
            // Some errors already quote their cause.
            if !text.contains(what) {
                text.push_str(if text.is_empty() { "" } else { ": " });
                text.push_str(what);
            }
            if !hint.is_empty() && !hints.contains(hint) {
                hints.push_str("\nhint: ");
                hints.push_str(hint);
            }
            next = error.source();
        }
        text + &hints
    }
}

/// What [`TrainError::TargetForeign`] found.
pub(super) fn foreign(entry: Option<&str>) -> String {
    match entry {
        Some(entry) => format!("holds `{entry}`, which belongs to no export"),
        None => "is something else than this export would be".to_owned(),
    }
}

/// The ways out of [`TrainError::DoesNotFit`].
pub(super) fn hint(ways: &[String]) -> String {
    match ways {
        [] => "hint: no setting makes it fit; take a smaller model or more memory".to_owned(),
        ways => format!("hint: set {}", ways.join(", or ")),
    }
}
