//! Model folders on this machine: what makes one complete, and the layout of the hub's cache.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::ModelError;

/// Says what a folder lacks to be a Hugging Face model folder, or `None` when nothing is missing.
///
/// Needed are `config.json`, `tokenizer.json` and the weights: `model.safetensors`, or every shard that
/// `model.safetensors.index.json` names.
pub fn missing_file(folder: &Path) -> Option<String> {
    for name in ["config.json", "tokenizer.json"] {
        if !is_filled(&folder.join(name)) {
            return Some(format!("`{name}` is missing or empty"));
        }
    }
    let index = folder.join("model.safetensors.index.json");
    if !index.exists() {
        // Other `.safetensors` files (an adapter, one layout of several) are not the model's weights.
        let is_there = is_filled(&folder.join("model.safetensors"));
        return (!is_there).then(|| "`model.safetensors` is missing or empty, and there is no index".to_string());
    }
    let shards = match shard_names(&index) {
        Ok(shards) => shards,
        Err(what) => return Some(format!("`model.safetensors.index.json` {what}")),
    };
    shards
        .into_iter()
        .find(|shard| !is_filled(&folder.join(shard)))
        .map(|shard| format!("`{shard}` is missing or empty"))
}

fn shard_names(index: &Path) -> Result<BTreeSet<String>, String> {
    match crate::weights::shard_names(index) {
        Ok(names) => Ok(names),
        Err(ModelError::Io { source, .. }) => Err(format!("cannot be read: {source}")),
        Err(ModelError::Json { source, .. }) => Err(format!("is not an index: {source}")),
        Err(ModelError::Weights { what, .. }) => Err(what),
        Err(error) => Err(error.to_string()),
    }
}

fn is_filled(path: &Path) -> bool {
    // `metadata` follows links: in the hub's cache every file is a link into `blobs/`.
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0)
}

/// The complete snapshot of a model in the hub's cache, if there is one.
///
/// `refs/main` decides; without it (or when that snapshot is incomplete) the newest complete snapshot is taken.
///
/// # Errors
/// The reason as text: nothing cached, or what the snapshots lack.
pub(super) fn cached_snapshot(cache: &Path, name: &str) -> Result<PathBuf, String> {
    let repository = cache.join(format!("models--{}", name.replace('/', "--")));
    let snapshots = repository.join("snapshots");
    if !snapshots.is_dir() {
        return Err("not there".into());
    }
    let main = fs::read_to_string(repository.join("refs").join("main")).ok();
    let main = main.map(|commit| snapshots.join(commit.trim()));
    let mut folders: Vec<PathBuf> = fs::read_dir(&snapshots)
        .map_err(|error| error.to_string())?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    // Newest last, the one `refs/main` names after all others.
    folders.sort_by_key(|path| (Some(path) == main.as_ref(), fs::metadata(path).and_then(|m| m.modified()).ok()));
    let mut reason = "no snapshot".to_string();
    for folder in folders.iter().rev() {
        match missing_file(folder) {
            None => return Ok(folder.clone()),
            Some(missing) => reason = format!("snapshot `{}` is incomplete: {missing}", folder.display()),
        }
    }
    Err(reason)
}
