//! Reads the small files of a model folder, whoever made them.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::ModelError;

/// Longest `config.json` or `adapter_config.json`; real ones have some thousand bytes. Parsed JSON takes up to 160
/// times its text.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1 << 18;

/// Longest `model.safetensors.index.json`; that of a model with 400 billion parameters has 100 thousand bytes.
pub(crate) const INDEX_BYTES_MAX: u64 = 16 << 20;

/// The text of a file of at most `bytes_max` bytes.
///
/// # Errors
/// When it cannot be read, is longer, or is no plain file: a pipe never ends, nor does a device.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> Result<String, ModelError> {
    read(path, bytes_max).map_err(|source| ModelError::io(path, source))
}

fn read(path: &Path, bytes_max: u64) -> io::Result<String> {
    require_plain(path)?;
    let mut text = String::new();
    // A file may grow, and its length may be a lie (`/proc`): never read on for that.
    let count = File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)? as u64;
    match count > bytes_max {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {bytes_max} bytes"))),
        false => Ok(text),
    }
}

/// Refuses what is no plain file, links to one allowed: in the hub's cache every file is a link.
pub(crate) fn require_plain(path: &Path) -> io::Result<()> {
    match fs::metadata(path)?.is_file() {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file")),
    }
}
