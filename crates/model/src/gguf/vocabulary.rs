//! The tokenizer of a Hugging Face folder as GGUF metadata.

use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::container::Value;
use super::pre_tokenizer::{self, Cut};
use super::scores;
use crate::ModelError;
use crate::small_file::read_text;

/// Longest `tokenizer.json`; that of a vocabulary of 262,144 tokens has 33 MB.
const TOKENIZER_BYTES_MAX: u64 = 128 << 20;
/// Longest of the other files.
const SETTINGS_BYTES_MAX: u64 = 8 << 20;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Everything of a tokenizer that llama.cpp wants to know.
pub(super) struct Vocabulary {
    cut: Cut,
    tokens: Vec<String>,
    types: Vec<i32>,
    /// SentencePiece only.
    scores: Vec<f32>,
    /// Byte-level BPE only.
    merges: Vec<String>,
    adds_bos: bool,
    /// Role (`bos`, `eos`, ...) and id.
    roles: Vec<(&'static str, u32)>,
    chat_template: Option<String>,
}

impl Vocabulary {
    /// Reads `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` and `generation_config.json`.
    ///
    /// * `config`: the model's `config.json`, which may name the end token where the others do not.
    /// * `row_count`: rows of the embedding. Ids without a token get one that is never used.
    ///
    /// # Errors
    /// When a file is missing or broken, has a token beyond `row_count`, or is of a kind that llama.cpp reads otherwise.
    pub(super) fn read(folder: &Path, config: &Map<String, Json>, row_count: usize) -> Result<Self, ModelError> {
        let path = folder.join("tokenizer.json");
        if !path.exists() {
            let what = "the file is missing\nhint: a GGUF file holds the tokenizer; name a model that has one";
            return Err(ModelError::weights(&path, what));
        }
        let text = read_text(&path, TOKENIZER_BYTES_MAX)?;
        let tokenizer: Json =
            serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.clone(), source })?;
        let settings = object(&folder.join("tokenizer_config.json"))?;
        let generation = object(&folder.join("generation_config.json"))?;
        let template = folder.join("chat_template.jinja");
        let chat_template = match template.exists() {
            true => Some(read_text(&template, SETTINGS_BYTES_MAX)?),
            false => template_of(&settings),
        };
        Self::build(&tokenizer, &settings, [&generation, config], chat_template, row_count)
            .map_err(|what| ModelError::weights(&path, format!("cannot be written as GGUF: {what}")))
    }

    fn build(
        tokenizer: &Json,
        settings: &Map<String, Json>,
        ends: [&Map<String, Json>; 2],
        chat_template: Option<String>,
        row_count: usize,
    ) -> Result<Self, String> {
        let cut = pre_tokenizer::read(tokenizer)?;
        let is_sentence_piece = matches!(cut, Cut::SentencePiece { .. });
        let unknown = tokenizer["model"]["unk_token"].as_str();
        let Pieces { mut tokens, mut types, ids } = Pieces::read(&tokenizer["model"], row_count)?;
        if is_sentence_piece {
            mark_sentence_piece(&tokens, &mut types, unknown)?;
        }
        let usable = |text: &str| ids.get(text).is_some_and(|&id| types[id as usize] == NORMAL);
        let merges = merges(&tokenizer["model"])?;
        let scores = match is_sentence_piece {
            true => {
                let ids: HashMap<String, u32> =
                    ids.iter().filter(|(text, _)| usable(text)).map(|(text, id)| (text.clone(), *id)).collect();
                scores::from_merges(&merges, &ids, row_count)?
            }
            false => Vec::new(),
        };
        add_tokens(tokenizer, &mut tokens, &mut types, is_sentence_piece)?;
        let roles = roles(settings, ends, &tokens, unknown)?;
        // transformers makes these special even where tokenizer.json does not say so.
        for (_, id) in roles.iter().filter(|(role, _)| matches!(*role, "bos" | "eos")) {
            types[*id as usize] = CONTROL;
        }
        let bos = roles.iter().find(|(role, _)| *role == "bos").map(|(_, id)| *id);
        let adds_bos = adds_bos(&tokenizer["post_processor"], bos.map(|id| tokens[id as usize].as_str()))?;
        let merges = match is_sentence_piece {
            true => Vec::new(),
            false => joined(&merges)?,
        };
        fill_gaps(&mut tokens, &mut types);
        Ok(Self { cut, tokens, types, scores, merges, adds_bos, roles, chat_template })
    }

    /// The keys below `tokenizer`.
    pub(super) fn metadata(self) -> Vec<(String, Value)> {
        let mut metadata = Vec::new();
        let mut put = |key: &str, value| metadata.push((format!("tokenizer.{key}"), value));
        let (model, pre, add_space_prefix) = match self.cut {
            Cut::ByteLevel(pre) => ("gpt2", pre, false),
            Cut::SentencePiece { add_space_prefix } => ("llama", "default", add_space_prefix),
        };
        put("ggml.model", Value::Text(model.to_owned()));
        put("ggml.pre", Value::Text(pre.to_owned()));
        put("ggml.tokens", Value::Texts(self.tokens));
        put("ggml.token_type", Value::I32s(self.types));
        match model {
            "llama" => put("ggml.scores", Value::F32s(self.scores)),
            _ => put("ggml.merges", Value::Texts(self.merges)),
        }
        for (role, id) in self.roles {
            put(&format!("ggml.{role}_token_id"), Value::U32(id));
        }
        put("ggml.add_bos_token", Value::Bool(self.adds_bos));
        put("ggml.add_space_prefix", Value::Bool(add_space_prefix));
        if let Some(template) = self.chat_template {
            put("chat_template", Value::Text(template));
        }
        metadata
    }
}

/// The vocabulary by id; an empty text is no token yet.
struct Pieces {
    tokens: Vec<String>,
    types: Vec<i32>,
    ids: HashMap<String, u32>,
}

impl Pieces {
    fn read(model: &Json, row_count: usize) -> Result<Self, String> {
        let vocabulary = model["vocab"].as_object().ok_or("its model has no `vocab`")?;
        let (mut tokens, mut ids) = (vec![String::new(); row_count], HashMap::new());
        for (text, id) in vocabulary {
            let place = place(id, row_count, text)?;
            if !tokens[place].is_empty() || text.is_empty() {
                return Err(format!("token id {place} is `{}` and `{text}`", tokens[place]));
            }
            tokens[place].clone_from(text);
            ids.insert(text.clone(), place as u32);
        }
        Ok(Self { types: vec![NORMAL; row_count], tokens, ids })
    }
}

fn place(id: &Json, row_count: usize, text: &str) -> Result<usize, String> {
    let place = id.as_u64().ok_or_else(|| format!("token `{text}` has the id {id}"))?;
    match place < row_count as u64 {
        true => Ok(place as usize),
        false => Err(format!("token `{text}` has the id {place}, but the embedding has {row_count} rows")),
    }
}

fn mark_sentence_piece(tokens: &[String], types: &mut [i32], unknown: Option<&str>) -> Result<(), String> {
    for byte in 0..=255u8 {
        let text = format!("<0x{byte:02X}>");
        let id = tokens.iter().take(1 << 10).position(|token| *token == text);
        let id = id.or_else(|| tokens.iter().position(|token| *token == text));
        types[id.ok_or_else(|| format!("a vocabulary without the byte token `{text}`"))?] = BYTE;
    }
    let unknown = unknown.ok_or("a SentencePiece vocabulary without `unk_token`")?;
    let id = tokens.iter().position(|token| token == unknown);
    types[id.ok_or_else(|| format!("`unk_token` is `{unknown}`, which is no token"))?] = UNKNOWN;
    Ok(())
}

/// Merges as pairs; older files have them as one text.
fn merges(model: &Json) -> Result<Vec<(String, String)>, String> {
    let list = model["merges"].as_array().ok_or("its model has no `merges`")?;
    let pair = |merge: &Json| {
        let pair = match merge {
            Json::String(text) => text.split_once(' '),
            _ => merge
                .as_array()
                .filter(|pair| pair.len() == 2)
                .and_then(|pair| Some((pair[0].as_str()?, pair[1].as_str()?))),
        };
        let (left, right) = pair.ok_or_else(|| format!("the merge {merge} is not two tokens"))?;
        Ok((left.to_owned(), right.to_owned()))
    };
    list.iter().map(pair).collect()
}

fn joined(merges: &[(String, String)]) -> Result<Vec<String>, String> {
    let join = |(left, right): &(String, String)| match left.contains(' ') || right.contains(' ') {
        true => Err(format!("the merge of `{left}` and `{right}`, which hold blanks")),
        false => Ok(format!("{left} {right}")),
    };
    merges.iter().map(join).collect()
}

fn add_tokens(
    tokenizer: &Json,
    tokens: &mut [String],
    types: &mut [i32],
    is_sentence_piece: bool,
) -> Result<(), String> {
    for added in tokenizer["added_tokens"].as_array().into_iter().flatten() {
        let text = added["content"].as_str().filter(|text| !text.is_empty()).ok_or("an added token without a text")?;
        let place = place(&added["id"], tokens.len(), text)?;
        if !tokens[place].is_empty() && tokens[place] != text {
            return Err(format!("token id {place} is `{}` and `{text}`", tokens[place]));
        }
        let is_special = added["special"] == true;
        tokens[place] = match is_special || !is_sentence_piece {
            true => text.to_owned(),
            // llama.cpp looks for these before it turns blanks into the mark.
            false => text.replace('\u{2581}', " "),
        };
        if types[place] != UNKNOWN {
            types[place] = if is_special { CONTROL } else { USER_DEFINED };
        }
    }
    Ok(())
}

/// Rows of the embedding that no token has.
fn fill_gaps(tokens: &mut [String], types: &mut [i32]) {
    let taken: std::collections::HashSet<String> =
        tokens.iter().filter(|token| token.starts_with("[PAD")).cloned().collect();
    for (id, token) in tokens.iter_mut().enumerate().filter(|(_, token)| token.is_empty()) {
        let mut text = format!("[PAD{id}]");
        while taken.contains(&text) {
            text.push('_');
        }
        *token = text;
        types[id] = UNUSED;
    }
}

/// Ids of the tokens with a role. `eos` ends a text, `eot` a turn where that is another one.
fn roles(
    settings: &Map<String, Json>,
    ends: [&Map<String, Json>; 2],
    tokens: &[String],
    unknown: Option<&str>,
) -> Result<Vec<(&'static str, u32)>, String> {
    let ids: HashMap<&str, u32> = tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| !token.is_empty())
        .map(|(id, token)| (token.as_str(), id as u32))
        .collect();
    let named = |key: &str| {
        let value = settings.get(key)?;
        ids.get(value.as_str().or_else(|| value["content"].as_str())?).copied()
    };
    let mut listed = Vec::new();
    for list in ends.iter().filter_map(|map| map.get("eos_token_id")) {
        let list = list.as_array().map_or(std::slice::from_ref(list), Vec::as_slice);
        for id in list.iter().filter(|id| !id.is_null()) {
            let id = place(id, tokens.len(), "of `eos_token_id`")? as u32;
            if !listed.contains(&id) {
                listed.push(id);
            }
        }
    }
    let eos = named("eos_token").or(listed.first().copied()).ok_or("nothing names its end token (`eos_token`)")?;
    let eot = listed.into_iter().find(|id| *id != eos);
    let unknown = named("unk_token").or_else(|| ids.get(unknown?).copied());
    let roles = [
        ("bos", named("bos_token")),
        ("eos", Some(eos)),
        ("eot", eot),
        ("unknown", unknown),
        ("padding", named("pad_token")),
    ];
    Ok(roles.into_iter().filter_map(|(role, id)| Some((role, id?))).collect())
}

/// Whether the post-processor puts the begin token before every text.
fn adds_bos(post_processor: &Json, bos: Option<&str>) -> Result<bool, String> {
    let parts = match post_processor["type"].as_str() {
        None => return Ok(false),
        Some("Sequence") => post_processor["processors"].as_array().map_or(&[][..], Vec::as_slice),
        Some(_) => std::slice::from_ref(post_processor),
    };
    let mut adds = false;
    for part in parts {
        match part["type"].as_str() {
            // It only trims offsets.
            Some("ByteLevel") => {}
            Some("TemplateProcessing") => {
                let single = part["single"].as_array().map_or(&[][..], Vec::as_slice);
                let special = |part: &Json| part["SpecialToken"]["id"].as_str().map(str::to_owned);
                adds = match single {
                    [sequence] if special(sequence).is_none() => adds,
                    [first, sequence]
                        if special(first).as_deref() == bos && bos.is_some() && special(sequence).is_none() =>
                    {
                        true
                    }
                    _ => return Err(format!("the post-processor {part}")),
                };
            }
            _ => return Err(format!("the post-processor {part}")),
        }
    }
    Ok(adds)
}

/// An empty object when the file does not exist.
fn object(path: &Path) -> Result<Map<String, Json>, ModelError> {
    if !path.exists() {
        return Ok(Map::new());
    }
    let text = read_text(path, SETTINGS_BYTES_MAX)?;
    serde_json::from_str(&text).map_err(|source| ModelError::Json { path: path.to_owned(), source })
}

/// `chat_template` is a template, or a list of named ones of which `default` is meant.
fn template_of(settings: &Map<String, Json>) -> Option<String> {
    let setting = settings.get("chat_template")?;
    let named = || setting.as_array()?.iter().find(|entry| entry["name"] == "default")?["template"].as_str();
    setting.as_str().or_else(named).map(str::to_owned)
}
