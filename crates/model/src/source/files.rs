//! What a model is served from: its small files in a folder, and its weights as they lie.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::error::SourceError;
use super::{Options, gguf, resolve_with};

/// A model that was found. Unlike training, serving reads a GGUF file as it is: nothing is converted or stored.
#[derive(Debug)]
pub struct ModelFiles {
    folder: PathBuf,
    gguf: Option<PathBuf>,
    /// Holds what was unpacked from a GGUF file as long as this lives.
    _unpacked: Option<TempDir>,
}

impl ModelFiles {
    /// Finds a model by folder, GGUF file or hub name, with the options of the environment.
    ///
    /// # Errors
    /// As [`super::resolve`].
    pub fn find(name: &str, progress: &dyn Fn(&str)) -> Result<Self, SourceError> {
        Self::find_with(name, &Options::from_environment(), progress)
    }

    /// As [`ModelFiles::find`], with these options.
    ///
    /// # Errors
    /// As [`super::resolve_with`].
    pub fn find_with(name: &str, options: &Options, progress: &dyn Fn(&str)) -> Result<Self, SourceError> {
        let path = Path::new(name);
        let is_gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
        if !is_gguf {
            return Ok(Self::in_folder(resolve_with(name, options, progress)?));
        }
        Self::in_gguf(path)
    }

    /// A GGUF file of any name.
    ///
    /// # Errors
    /// When there is no such file, it is damaged, or holds something that is not supported.
    pub fn in_gguf(path: &Path) -> Result<Self, SourceError> {
        if !path.is_file() {
            return Err(SourceError::NoSuchPath { path: path.to_path_buf() });
        }
        let unpacked = TempDir::new().map_err(SourceError::io("create", &std::env::temp_dir()))?;
        gguf::unpack(path, unpacked.path())?;
        Ok(Self { folder: unpacked.path().to_path_buf(), gguf: Some(path.to_path_buf()), _unpacked: Some(unpacked) })
    }

    /// A Hugging Face folder.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), gguf: None, _unpacked: None }
    }

    /// Where config.json and the tokenizer are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The GGUF file that holds the weights, if they are not in the folder.
    pub fn gguf(&self) -> Option<&Path> {
        self.gguf.as_deref()
    }
}
