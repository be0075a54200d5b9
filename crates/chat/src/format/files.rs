//! The files of a model folder that describe its chat format.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::error::FormatError;

/// Longest `tokenizer.json`; that of a vocabulary of 262,144 tokens has 33 MB.
const TOKENIZER_BYTES_MAX: u64 = 128 << 20;
/// Longest of the other files; those of the largest vocabularies have about one million bytes.
const SETTINGS_BYTES_MAX: u64 = 8 << 20;

/// The files as read, kept to be written again.
#[derive(Debug)]
pub(super) struct FormatFiles {
    /// Where they were read.
    pub(super) dir: PathBuf,
    pub(super) tokenizer_json: String,
    pub(super) tokenizer_config: Map<String, Value>,
    special_tokens_map: Map<String, Value>,
    generation_config: Map<String, Value>,
    pub(super) chat_template: Option<String>,
}

impl FormatFiles {
    /// Reads a folder. Only `tokenizer.json` must be there.
    pub(super) fn read(dir: &Path) -> Result<FormatFiles, FormatError> {
        let path = dir.join("tokenizer.json");
        let Some(tokenizer_json) = read_text(&path, TOKENIZER_BYTES_MAX)? else {
            let what = "the file is missing\nhint: save the model with a fast tokenizer; `tokenizer.model` alone is not enough";
            return Err(FormatError::BadFile { path, what: what.to_owned() });
        };
        let tokenizer_config = read_object(&dir.join("tokenizer_config.json"))?;
        let chat_template = match read_text(&dir.join("chat_template.jinja"), SETTINGS_BYTES_MAX)? {
            Some(template) => Some(template),
            None => template_in(&tokenizer_config),
        };
        Ok(FormatFiles {
            dir: dir.to_owned(),
            tokenizer_json,
            tokenizer_config,
            special_tokens_map: read_object(&dir.join("special_tokens_map.json"))?,
            generation_config: read_object(&dir.join("generation_config.json"))?,
            chat_template,
        })
    }

    /// `eos_token_id` of `generation_config.json`: a number or a list of them.
    pub(super) fn generation_stop_ids(&self) -> Result<Vec<u32>, FormatError> {
        let bad = || FormatError::BadFile {
            path: self.dir.join("generation_config.json"),
            what: "`eos_token_id` is neither a token id nor a list of them".to_owned(),
        };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(bad);
        match self.generation_config.get("eos_token_id") {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(ids)) => ids.iter().map(id).collect(),
            Some(value) => Ok(vec![id(value)?]),
        }
    }

    /// Describes added ChatML tokens the way transformers expects them.
    pub(super) fn describe_chatml(&mut self, tokens: &[(&str, Option<u32>)], prefix_ids: &[u32]) {
        let config = &mut self.tokenizer_config;
        // LlamaTokenizer rebuilds normaliser and post-processor from these settings; the generic class takes
        // tokenizer.json as it is.
        for key in ["legacy", "sp_model_kwargs", "add_bos_token", "add_eos_token", "use_default_system_prompt"] {
            config.shift_remove(key);
        }
        config.insert("tokenizer_class".to_owned(), Value::from("PreTrainedTokenizerFast"));
        let texts: Vec<&str> = tokens.iter().map(|(text, _)| *text).collect();
        for object in [&mut *config, &mut self.special_tokens_map] {
            object.insert("additional_special_tokens".to_owned(), json!(texts));
            object.insert("eos_token".to_owned(), json!(texts[texts.len() - 1]));
        }
        let described = config.entry("added_tokens_decoder").or_insert_with(|| json!({}));
        if let Value::Object(described) = described {
            for (text, id) in tokens.iter().filter_map(|(text, id)| Some((text, (*id)?))) {
                let flags = json!({
                    "content": text, "lstrip": false, "normalized": false, "rstrip": false,
                    "single_word": false, "special": true
                });
                described.insert(id.to_string(), flags);
            }
        }
        if let Some(bos_id) = prefix_ids.first() {
            self.generation_config.insert("bos_token_id".to_owned(), Value::from(*bos_id));
        }
    }

    /// Writes all files into `dir`.
    pub(super) fn write(&self, dir: &Path, stop_ids: &[u32]) -> Result<(), FormatError> {
        std::fs::create_dir_all(dir).map_err(|source| FormatError::Io {
            action: "create",
            path: dir.to_owned(),
            source,
        })?;
        let mut config = self.tokenizer_config.clone();
        if let Some(template) = &self.chat_template {
            // Newer readers look for the file, older ones for the setting.
            config.insert("chat_template".to_owned(), Value::from(template.as_str()));
            write_text(&dir.join("chat_template.jinja"), template)?;
        }
        let mut generation = self.generation_config.clone();
        generation.insert("eos_token_id".to_owned(), json!(stop_ids));
        let mut special = self.special_tokens_map.clone();
        for name in super::NAMED_TOKENS {
            if let (None, Some(token)) = (special.get(name), config.get(name).and_then(token_text)) {
                special.insert(name.to_owned(), Value::from(token));
            }
        }
        write_text(&dir.join("tokenizer.json"), &self.tokenizer_json)?;
        write_object(&dir.join("tokenizer_config.json"), config)?;
        write_object(&dir.join("special_tokens_map.json"), special)?;
        write_object(&dir.join("generation_config.json"), generation)
    }
}

/// The text of a token setting: a string, or an object with `content`.
pub(super) fn token_text(setting: &Value) -> Option<String> {
    let text = setting.as_str().or_else(|| setting.get("content")?.as_str())?;
    Some(text.to_owned())
}

/// `chat_template` is a template, or a list of named ones of which `default` is meant.
fn template_in(config: &Map<String, Value>) -> Option<String> {
    let setting = config.get("chat_template")?;
    if let Some(template) = setting.as_str() {
        return Some(template.to_owned());
    }
    let named = setting.as_array()?.iter().find(|entry| entry["name"] == "default")?;
    Some(named["template"].as_str()?.to_owned())
}

/// `None` when the file does not exist. A file that is no plain one (a pipe, a device) or longer than `bytes_max` is not
/// read.
fn read_text(path: &Path, bytes_max: u64) -> Result<Option<String>, FormatError> {
    let read = || {
        // Links are followed: in the hub's cache every file is one.
        if !std::fs::metadata(path)?.is_file() {
            return Err(Error::new(ErrorKind::InvalidInput, "not a plain file"));
        }
        let mut text = String::new();
        let count = File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)? as u64;
        match count > bytes_max {
            true => Err(Error::new(ErrorKind::FileTooLarge, format!("longer than {bytes_max} bytes"))),
            false => Ok(text),
        }
    };
    match read() {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FormatError::Io { action: "read", path: path.to_owned(), source }),
    }
}

/// An empty object when the file does not exist.
fn read_object(path: &Path) -> Result<Map<String, Value>, FormatError> {
    let Some(text) = read_text(path, SETTINGS_BYTES_MAX)? else {
        return Ok(Map::new());
    };
    let parsed = serde_json::from_str(&text);
    parsed.map_err(|error| FormatError::BadFile { path: path.to_owned(), what: error.to_string() })
}

fn write_object(path: &Path, object: Map<String, Value>) -> Result<(), FormatError> {
    write_text(path, &format!("{:#}\n", Value::Object(object)))
}

fn write_text(path: &Path, text: &str) -> Result<(), FormatError> {
    std::fs::write(path, text).map_err(|source| FormatError::Io { action: "write", path: path.to_owned(), source })
}
