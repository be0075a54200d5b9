//! Why a kernel cannot be used.

use std::path::PathBuf;

/// Why a kernel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// No kernel of this name is installed.
    #[error("there is no Jupyter kernel `{name}`\nhint: {}", unknown(known, searched))]
    Unknown {
        /// The name.
        name: String,
        /// Kernels that are there.
        known: Vec<String>,
        /// Folders that were searched.
        searched: Vec<PathBuf>,
    },
    /// A `kernel.json` or a connection file is not what it should be.
    #[error("cannot use `{path}`: {reason}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It did not start, or does not answer.
    #[error("the Jupyter kernel `{kernel}` cannot be used: {reason}")]
    NoStart {
        /// Its name, or its connection file.
        kernel: String,
        /// Why.
        reason: String,
    },
    /// A kernel that was not started here still runs an earlier cell that no interrupt could end.
    #[error("the Jupyter kernel `{kernel}` is still busy with an earlier cell\nhint: restart it where it was started")]
    Busy {
        /// Its connection file.
        kernel: String,
    },
}

impl KernelError {
    /// Whether what was asked for is at fault, rather than this machine.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, KernelError::Unknown { .. } | KernelError::BadFile { .. })
    }
}

fn unknown(known: &[String], searched: &[PathBuf]) -> String {
    let searched: Vec<String> = searched.iter().map(|folder| folder.display().to_string()).collect();
    let known = if known.is_empty() { "none".to_string() } else { known.join(", ") };
    format!("installed are: {known}; searched in {}", searched.join(", "))
}
