//! What a run works with, as far as it can be read without a device: base model, chat format, data.

use std::path::Path;

use codeact_chat::ChatFormat;
use codeact_data::{DataSet, FileReport, LengthPolicy, LoadOptions, PlanSettings, Shape, Source, Watch};
use codeact_model::{ModelConfig, source};

use crate::config::{ChatFormatChoice, Config, DataSource, Method};
use crate::error::TrainError;

/// Chat format and data.
#[derive(Debug)]
pub struct Material {
    /// Tokenizer and template.
    pub format: ChatFormat,
    /// Where the conversations come from, one for each `[[data]]`.
    pub sources: Vec<Source>,
    /// Tokens and masks.
    pub data: DataSet,
}

impl Material {
    /// Reads and encodes `sources` with the chat format of the model in `base_dir`, whose shape is `model` where it is
    /// known. `watch` hears of encoding.
    ///
    /// # Errors
    /// Every fault of the chat format, of the data, and of what they and the model are together.
    pub fn new(
        config: &Config,
        sources: Vec<Source>,
        (base_dir, model): (&Path, Option<&ModelConfig>),
        watch: &dyn Watch,
    ) -> Result<Material, TrainError> {
        let format = chat_format(config, base_dir)?;
        if let Some(model) = model {
            check_tokens(config, base_dir, model, &format)?;
        }
        let policy = LengthPolicy { tokens_max: config.train.sequence_tokens_max, too_long: config.train.too_long };
        let cache = (config.train.cache != "off").then(|| Path::new(&config.train.cache));
        let options = LoadOptions { policy, seed: config.train.seed, cache };
        let data = codeact_data::load(&sources, &format, options, watch)?;
        check_pairs(config, &data)?;
        if let Some(model) = model {
            check_context(config, model, &data)?;
        }
        Ok(Material { format, sources, data })
    }

    /// What can be seen of a run without its weights: a folder that has but the tokenizer is enough.
    ///
    /// # Errors
    /// As [`Material::new`], and a model that cannot be found.
    pub fn without_weights(config: &Config, say: &dyn Fn(&str), watch: &dyn Watch) -> Result<Material, TrainError> {
        let sources = locate(config, say)?;
        let folder = Path::new(&config.model.name);
        let has_tokenizer = folder.join("tokenizer.json").is_file();
        let base_dir = if has_tokenizer { folder.to_owned() } else { source::resolve(&config.model.name, say)? };
        let has_shape = base_dir.join("config.json").is_file();
        let model = has_shape.then(|| ModelConfig::load(&base_dir)).transpose().map_err(TrainError::Load)?;
        Material::new(config, sources, (&base_dir, model.as_ref()), watch)
    }
}

/// Tokenizer and template of the settings, made from those of the base model.
///
/// # Errors
/// When they cannot be used.
pub fn chat_format(config: &Config, base_dir: &Path) -> Result<ChatFormat, TrainError> {
    let format = match config.model.chat_format {
        ChatFormatChoice::Auto => ChatFormat::load(base_dir),
        ChatFormatChoice::ChatMl => ChatFormat::chatml_added(base_dir),
        ChatFormatChoice::Llama2 => ChatFormat::llama2(base_dir),
        ChatFormatChoice::Mistral => ChatFormat::mistral(base_dir),
    };
    format.map_err(TrainError::Format)
}

/// The files of every `[[data]]`, fetched where they come from the hub.
///
/// # Errors
/// A path that leads to no data, or a data set that cannot be had.
pub fn locate(config: &Config, say: &dyn Fn(&str)) -> Result<Vec<Source>, TrainError> {
    config.data.iter().map(|source| locate_one(source, say)).collect()
}

/// The files of a `[[data]]`.
fn locate_one(source: &DataSource, say: &dyn Fn(&str)) -> Result<Source, TrainError> {
    let files = match (&source.path, &source.hub) {
        (Some(path), _) => codeact_data::expand(Path::new(path))?,
        (None, Some(hub)) => source::resolve_data_set(hub, source.split.as_deref(), say)?,
        (None, None) => unreachable!("the settings are checked for one of the two"),
    };
    Ok(Source {
        name: source.name(),
        files,
        format: source.format,
        on_bad_row: source.on_bad_row,
        roles_to_train: source.roles_to_train.clone(),
        filter: source.filter.filter(),
        max_samples: source.max_samples,
        share: source.share(),
        held_out: source.held_out,
    })
}

/// What decides the plan.
pub fn plan_settings(config: &Config) -> PlanSettings {
    PlanSettings {
        seed: config.train.seed,
        pack_tokens: config.train.pack_tokens,
        accumulation: config.train.accumulation,
        steps: config.train.steps,
        epochs: config.train.epochs,
        sort: config.train.sort,
    }
}

/// Tokens that the chat format has beyond the model's embedding: their rows are added and trained.
pub fn new_token_count(model: &ModelConfig, format: &ChatFormat) -> usize {
    format.vocab_size().saturating_sub(model.vocab_size)
}

/// Only tokens of an added chat format get rows of their own; others would have no meaning.
fn check_tokens(config: &Config, dir: &Path, model: &ModelConfig, format: &ChatFormat) -> Result<(), TrainError> {
    match config.model.chat_format {
        // Where all rows are trained, spare ones are as good as added ones.
        ChatFormatChoice::ChatMl if config.train.method == Method::Full => Ok(()),
        ChatFormatChoice::ChatMl => check_added_tokens(config, dir, model, format),
        _ if new_token_count(model, format) > 0 => {
            let (token_count, row_count) = (format.vocab_size(), model.vocab_size);
            Err(TrainError::VocabularyTooLarge { model: config.model.name.clone(), token_count, row_count })
        }
        _ => Ok(()),
    }
}

/// Added tokens get trained rows behind those of the model. Where its embedding has spare rows they would land on one
/// of those, which stay as they are: the model would never learn to end a turn.
fn check_added_tokens(config: &Config, dir: &Path, model: &ModelConfig, format: &ChatFormat) -> Result<(), TrainError> {
    let path = dir.join("tokenizer.json");
    let io = |source| TrainError::Load(codeact_model::ModelError::Io { path: path.clone(), source });
    let text = std::fs::read_to_string(&path).map_err(io)?;
    let tokenizer: serde_json::Value = serde_json::from_str(&text).map_err(|error| io(error.into()))?;
    let special = tokenizer["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    for token in ["<|im_start|>", "<|im_end|>"] {
        let is_known = tokenizer["model"]["vocab"].get(token).is_some();
        if is_known || special.iter().any(|entry| entry["content"] == token) {
            continue;
        }
        let row_count = model.vocab_size;
        match format.token_id(token) {
            Some(id) if (id as usize) < row_count => {
                let model = config.model.name.clone();
                return Err(TrainError::FrozenToken { model, token, id, row_count });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Pairs are learned with `[preference]` and nothing else is, and what is measured are conversations.
fn check_pairs(config: &Config, data: &DataSet) -> Result<(), TrainError> {
    let wants_pairs = config.pairs().is_some();
    let fault = |report: &FileReport| {
        let is_of_pairs = report.shape == Shape::Preference;
        match (is_of_pairs, wants_pairs) {
            (true, _) if report.held_out > 0 => Some((
                "has pairs, and only conversations are measured",
                "hold out conversations, in a `[[data]]` of their own",
            )),
            (true, false) if config.flywheel.is_some() => Some((
                "has pairs, and the rounds of a flywheel learn those that they collect",
                "leave it out, or learn from it in a run of its own without `[flywheel]`",
            )),
            (true, false) => Some((
                "has pairs of a chosen and a rejected conversation",
                "add `[preference]` to learn from pairs; or say by `format` how else its rows are to be read",
            )),
            (false, true) if !report.is_held_out => Some((
                "has conversations, and `[preference]` learns from pairs of them",
                "rows of pairs have `chosen` and `rejected`; `format = \"preference\"` reads them beside other keys",
            )),
            _ => None,
        }
    };
    match data.reports.iter().find_map(|report| Some((report, fault(report)?))) {
        None => Ok(()),
        Some((report, (what, hint))) => {
            let what = format!("`{}` {what}", report.path.display());
            Err(TrainError::Setting { key: format!("data.{}", report.source), what, hint })
        }
    }
}

fn check_context(config: &Config, model: &ModelConfig, data: &DataSet) -> Result<(), TrainError> {
    let longest = data.train.longest().max(data.validation.longest());
    let max = model.context_tokens_max;
    match longest <= max {
        true => Ok(()),
        false => Err(TrainError::BeyondContext { token_count: longest, max, model: config.model.name.clone() }),
    }
}
