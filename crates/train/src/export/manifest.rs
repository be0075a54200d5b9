//! `manifest.json`: the files of an export, what made it, and how far it is from the model it was made of.

use std::path::Path;

use codeact_data::hash;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::agreement::Agreement;
use super::training::Training;
use crate::error::TrainError;
use crate::folder;

/// Name of the file in a folder.
pub(super) const FILE: &str = "manifest.json";

/// The format that this code writes.
const VERSION: u32 = 1;

/// Longest manifest that is read.
const BYTES_MAX: u64 = 8 << 20;

/// What was exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Adapter,
    Merged,
    /// A model of which all weights were trained.
    Trained,
    Gguf,
}

/// All of a manifest but the files.
#[derive(Debug, Clone)]
pub(super) struct Manifest {
    pub(super) kind: Kind,
    /// The base model's name.
    pub(super) base: String,
    /// Of its config and its weight files' names and sizes.
    pub(super) base_fingerprint: Option<String>,
    pub(super) training: Option<Training>,
    pub(super) agreement: Agreement,
}

/// What is read back of a manifest.
#[derive(Debug, Deserialize)]
pub(super) struct Earlier {
    base: Option<EarlierBase>,
    pub(super) training: Option<Training>,
}

#[derive(Debug, Deserialize)]
struct EarlierBase {
    fingerprint: Option<String>,
}

/// A file that a manifest names.
#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) name: String,
    bytes: u64,
    sha256: String,
}

#[derive(Debug, Deserialize)]
struct Listing {
    files: Vec<Listed>,
}

/// The files that a manifest names, which lie beside it as they were when it was written.
///
/// # Errors
/// When it cannot be read, or one of them is missing or has changed.
pub(super) fn read_files(manifest: &Path) -> Result<Vec<Listed>, TrainError> {
    let wrong = |what: String| TrainError::NotExport { path: manifest.to_owned(), what };
    let metadata = std::fs::metadata(manifest).map_err(|error| wrong(error.to_string()))?;
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(wrong("it is no manifest".to_owned()));
    }
    let text = std::fs::read_to_string(manifest).map_err(|error| wrong(error.to_string()))?;
    let Listing { files } = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if files.is_empty() {
        return Err(wrong("it names no files".to_owned()));
    }
    let folder = manifest.parent().unwrap_or(Path::new("."));
    for Listed { name, bytes, sha256 } in &files {
        // The names come from a file that anybody may have written, and become paths.
        if name.contains(['/', '\\']) || name.starts_with('.') || name.is_empty() {
            return Err(wrong(format!("`{name}` is no name of a file")));
        }
        let path = folder.join(name);
        let metadata = std::fs::symlink_metadata(&path).map_err(|error| wrong(format!("`{name}`: {error}")))?;
        if !metadata.is_file() || metadata.len() != *bytes || hash::of_file(&path).ok().as_ref() != Some(sha256) {
            return Err(wrong(format!("`{name}` is not the file that was exported")));
        }
    }
    Ok(files)
}

impl Earlier {
    /// The manifest of an export, if it has one that this program can read.
    pub(super) fn read(dir: &Path) -> Option<Earlier> {
        let path = dir.join(FILE);
        let metadata = std::fs::metadata(&path).ok()?;
        if !metadata.is_file() || metadata.len() > BYTES_MAX {
            return None;
        }
        serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
    }

    /// Of the base it was made with.
    pub(super) fn base_fingerprint(&self) -> Option<&str> {
        self.base.as_ref()?.fingerprint.as_deref()
    }
}

impl Manifest {
    /// Writes `manifest.json` into a folder, about all other files in it.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub(super) fn write(&self, dir: &Path) -> Result<(), TrainError> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(TrainError::write(dir))? {
            let name = entry.map_err(TrainError::write(dir))?.file_name().to_string_lossy().into_owned();
            if name != FILE {
                names.push(name);
            }
        }
        names.sort();
        let files = names.iter().map(|name| describe(&dir.join(name), name)).collect::<Result<Vec<_>, _>>()?;
        self.write_file(&dir.join(FILE), &files)
    }

    /// Writes the manifest of one file beside it.
    ///
    /// # Errors
    /// As [`Manifest::write`].
    pub(super) fn write_beside(&self, file: &Path, manifest: &Path) -> Result<(), TrainError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        self.write_file(manifest, &[describe(file, &name)?])
    }

    fn write_file(&self, path: &Path, files: &[Value]) -> Result<(), TrainError> {
        let value = json!({
            "manifest_version": VERSION,
            "kind": self.kind,
            "made_by": {"program": "codeact-train", "version": env!("CARGO_PKG_VERSION")},
            "base": {"name": self.base, "fingerprint": self.base_fingerprint},
            "files": files,
            "check": self.agreement,
            "training": self.training,
        });
        folder::write_file(path, format!("{value:#}\n").as_bytes())
    }
}

fn describe(path: &Path, name: &str) -> Result<Value, TrainError> {
    let bytes = std::fs::metadata(path).map_err(TrainError::write(path))?.len();
    let sha256 = hash::of_file(path).map_err(TrainError::write(path))?;
    Ok(json!({"name": name, "bytes": bytes, "sha256": sha256}))
}
