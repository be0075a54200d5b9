//! What a command makes an export of: a base, an adapter, and the format they talk in.

use std::path::{Path, PathBuf};

use codeact_agent::{ActionFormat, Profile, Wording};
use codeact_chat::{ChatFormat, FormatError};
use codeact_model::source;
use serde_json::Value;

use super::manifest::Earlier;
use super::training::Training;
use crate::config::Config;
use crate::error::TrainError;
use crate::{material, prepare};

/// Longest `adapter_config.json` and `state.json`.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The files of a tokenizer, as far as a folder has them.
const TOKENIZER_FILES: [&str; 7] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
];

/// How texts become tokens.
pub(super) enum Format {
    Chat(Box<ChatFormat>),
    /// Without a chat template: the files in this folder.
    Plain(PathBuf),
}

/// Everything but weights.
pub(super) struct Origin {
    /// As the adapter or the caller names it.
    pub(super) base_name: String,
    pub(super) base_dir: PathBuf,
    pub(super) adapter_dir: Option<PathBuf>,
    pub(super) format: Format,
    /// Where a file says it.
    pub(super) wording: Option<Wording>,
    pub(super) training: Option<Training>,
    /// Of the base, by its config and the names and sizes of its files.
    pub(super) fingerprint: String,
}

impl Origin {
    /// Finds everything that belongs to a base with or without an adapter.
    ///
    /// * `base`: a folder, a `.gguf` file or a hub name; the one that the adapter names if there is none.
    /// * `adapter`: a PEFT folder, ours or another's, or a checkpoint of a run.
    /// * `say`: gets lines for the user.
    ///
    /// # Errors
    /// When the adapter names no base, the base cannot be found, or tokenizer or settings are broken.
    pub(super) fn find(base: Option<&str>, adapter: Option<&Path>, say: &dyn Fn(&str)) -> Result<Origin, TrainError> {
        let named = adapter.map(base_of).transpose()?.flatten();
        let base_name = base.map(str::to_owned).or(named);
        let base_name =
            base_name.ok_or_else(|| TrainError::NoBase { adapter: adapter.unwrap_or(Path::new("")).to_owned() })?;
        let base_dir = source::resolve(&base_name, say)?;
        let fingerprint = prepare::model_hash(&base_dir)?;
        let settings = adapter.map(settings_of).transpose()?.flatten();
        let earlier = Earlier::read(adapter.unwrap_or(&base_dir));
        if let Some(adapter) = adapter
            && let Some(before) = trained_on(adapter, earlier.as_ref())
            && before != fingerprint
        {
            say(&format!(
                "note: `{}` was trained on a base whose config or weight files have other names or sizes than `{}`",
                adapter.display(),
                base_dir.display()
            ));
        }
        let own = adapter.filter(|adapter| adapter.join("tokenizer.json").is_file());
        let format = match (own, &settings) {
            (Some(adapter), _) => Format::load(adapter),
            (None, Some(config)) => {
                material::chat_format(config, &base_dir).map(|format| Format::Chat(Box::new(format)))
            }
            (None, None) => Format::load(&base_dir),
        }?;
        let wording = wording(adapter, &base_dir, settings.as_ref())?;
        let training = earlier.and_then(|earlier| earlier.training);
        let training = training.or_else(|| settings.as_ref().map(Training::of_settings));
        let adapter_dir = adapter.map(Path::to_owned);
        Ok(Origin { base_name, base_dir, adapter_dir, format, wording, training, fingerprint })
    }
}

impl Format {
    fn load(dir: &Path) -> Result<Format, TrainError> {
        match ChatFormat::load(dir) {
            Ok(format) => Ok(Format::Chat(Box::new(format))),
            Err(FormatError::NoTemplate { .. }) => Ok(Format::Plain(dir.to_owned())),
            Err(error) => Err(TrainError::Format(error)),
        }
    }

    /// Writes the files into a folder that exists.
    ///
    /// # Errors
    /// When one cannot be read or written.
    pub(super) fn save(&self, dir: &Path) -> Result<(), TrainError> {
        match self {
            Format::Chat(format) => format.save(dir).map_err(TrainError::format),
            Format::Plain(from) => {
                for name in TOKENIZER_FILES.iter().filter(|name| from.join(name).is_file()) {
                    std::fs::copy(from.join(name), dir.join(name)).map_err(TrainError::write(&dir.join(name)))?;
                }
                Ok(())
            }
        }
    }
}

/// `base_model_name_or_path` of an adapter.
fn base_of(adapter: &Path) -> Result<Option<String>, TrainError> {
    let path = adapter.join("adapter_config.json");
    let io = |source| TrainError::Load(codeact_model::ModelError::Io { path: path.clone(), source });
    let text = read(&path).map_err(io)?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|source| TrainError::Load(codeact_model::ModelError::Json { path: path.clone(), source }))?;
    let name = value["base_model_name_or_path"].as_str().filter(|name| !name.is_empty());
    Ok(name.map(str::to_owned))
}

/// The settings of a checkpoint, which has no tokenizer of its own.
fn settings_of(adapter: &Path) -> Result<Option<Config>, TrainError> {
    let path = adapter.join("config.toml");
    match path.is_file() {
        true => Ok(Some(Config::load(&path, &[])?)),
        false => Ok(None),
    }
}

/// The fingerprint of the base that an adapter was trained on, where the adapter says it.
fn trained_on(adapter: &Path, earlier: Option<&Earlier>) -> Option<String> {
    if let Some(fingerprint) = earlier.and_then(Earlier::base_fingerprint) {
        return Some(fingerprint.to_owned());
    }
    let state: Value = serde_json::from_str(&read(&adapter.join("state.json")).ok()?).ok()?;
    Some(state["identity"]["base model"].as_str()?.to_owned())
}

fn wording(adapter: Option<&Path>, base: &Path, settings: Option<&Config>) -> Result<Option<Wording>, TrainError> {
    if let Some(dir) = adapter.into_iter().chain([base]).find(|dir| dir.join("codeact.json").exists()) {
        return Wording::load(dir).map(Some).map_err(TrainError::wording(dir));
    }
    let named = |config: &Config| {
        let profile = Profile::named(&config.output.profile)?;
        Some(Wording { profile, format: ActionFormat::named(&config.output.action_format)? })
    };
    Ok(settings.and_then(named))
}

fn read(path: &Path) -> std::io::Result<String> {
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() || metadata.len() > CONFIG_BYTES_MAX {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a plain file of at most 1 MiB"));
    }
    std::fs::read_to_string(path)
}
