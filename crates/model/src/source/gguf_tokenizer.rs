//! tokenizer.json, tokenizer_config.json and special_tokens_map.json out of GGUF metadata.
//!
//! Two kinds of vocabulary exist: `gpt2`, byte-level BPE with stored merges, and `llama`, SentencePiece BPE whose
//! merges follow from scores ([`gguf_sentencepiece`]). A pre-tokenizer that is not known is refused: a wrong one gives
//! other ids for the same text, and nothing would show it.
use std::collections::HashMap;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::error::SourceError;
use super::gguf::Gguf;
use super::gguf_config::{LlamaConfig, SpecialIds};
use super::gguf_sentencepiece;

const TYPE_CONTROL: i64 = 3;
const TYPE_USER_DEFINED: i64 = 4;

/// How Llama 3 cuts text: contractions, words with what stands before them, numbers of three digits, signs, line ends and
/// blanks. From its tokenizer.json.
pub(crate) const LLAMA3_PATTERN: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// The tokenizer files, and the ids that other files repeat.
pub(super) struct TokenizerFiles {
    pub(super) tokenizer: Value,
    pub(super) config: Value,
    pub(super) special_tokens_map: Value,
    pub(super) special_ids: SpecialIds,
}

/// The vocabulary as the file gives it.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: Vec<&'a str>,
    pub(super) ids: HashMap<&'a str, u32>,
    /// llama.cpp's token types: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte.
    pub(super) types: Vec<i64>,
}

/// Builds the files and proves that the tokenizers library loads them with every token at its place.
pub(super) fn read(gguf: &Gguf, config: &LlamaConfig) -> Result<TokenizerFiles, SourceError> {
    let vocabulary = vocabulary(gguf)?;
    let special_ids = special_ids(gguf, &vocabulary)?;
    let added: Vec<Value> = (vocabulary.tokens.iter().zip(&vocabulary.types).enumerate())
        .filter(|(_, (_, kind))| [TYPE_CONTROL, TYPE_USER_DEFINED].contains(kind))
        .map(|(id, (token, &kind))| added_token(Some(id), token, kind == TYPE_CONTROL))
        .collect();
    let tokenizer = match gguf.text("tokenizer.ggml.model")? {
        "gpt2" => byte_level(gguf, &vocabulary, &special_ids, added)?,
        "llama" => gguf_sentencepiece::tokenizer_json(gguf, &vocabulary, &special_ids, added)?,
        other => {
            return Err(gguf.unsupported(format!("tokenizer `{other}` is not supported, only `gpt2` and `llama`")));
        }
    };
    let loaded = tokenizers::Tokenizer::from_str(&tokenizer.to_string())
        .map_err(|error| gguf.fault(format!("the tokenizer cannot be rebuilt: {error}")))?;
    if loaded.get_vocab_size(true) != vocabulary.tokens.len() {
        return Err(gguf.fault(format!(
            "the rebuilt tokenizer has {} tokens instead of {}",
            loaded.get_vocab_size(true),
            vocabulary.tokens.len()
        )));
    }
    let texts = special_texts(&vocabulary, &special_ids);
    Ok(TokenizerFiles {
        config: tokenizer_config(gguf, config, &vocabulary, &texts)?,
        tokenizer,
        special_tokens_map: Value::Object(texts),
        special_ids,
    })
}

fn vocabulary(gguf: &Gguf) -> Result<Vocabulary<'_>, SourceError> {
    let tokens = gguf.texts("tokenizer.ggml.tokens")?;
    let types: Vec<i64> = match gguf.array_option("tokenizer.ggml.token_type")? {
        Some(types) => types
            .iter()
            .map(|value| value.to_i32().map(i64::from).or_else(|_| value.to_i64()))
            .collect::<Result<_, _>>()
            .map_err(|_| gguf.fault("`tokenizer.ggml.token_type` must hold whole numbers"))?,
        None => return Err(gguf.absent("tokenizer.ggml.token_type")),
    };
    if types.len() != tokens.len() {
        return Err(gguf.fault(format!("{} tokens have {} token types", tokens.len(), types.len())));
    }
    let mut ids = HashMap::with_capacity(tokens.len());
    for (id, token) in tokens.iter().enumerate() {
        if let Some(first) = ids.insert(*token, id as u32) {
            return Err(gguf.fault(format!("tokens {first} and {id} are both `{token}`")));
        }
    }
    Ok(Vocabulary { tokens, ids, types })
}

fn special_ids(gguf: &Gguf, vocabulary: &Vocabulary) -> Result<SpecialIds, SourceError> {
    let id = |role: &str| -> Result<Option<u32>, SourceError> {
        let key = format!("tokenizer.ggml.{role}_token_id");
        match gguf.number_option(&key)? {
            Some(id) if id >= vocabulary.tokens.len() as u64 => {
                Err(gguf.fault(format!("`{key}` is {id}, there are {} tokens", vocabulary.tokens.len())))
            }
            other => Ok(other.map(|id| id as u32)),
        }
    };
    let mut eos: Vec<u32> = [id("eos")?, id("eot")?].into_iter().flatten().collect();
    eos.dedup();
    if eos.is_empty() {
        return Err(gguf.absent("tokenizer.ggml.eos_token_id"));
    }
    Ok(SpecialIds { bos: id("bos")?, eos, unknown: id("unknown")?, padding: id("padding")? })
}

fn byte_level(gguf: &Gguf, vocabulary: &Vocabulary, ids: &SpecialIds, added: Vec<Value>) -> Result<Value, SourceError> {
    let by_bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let kind = gguf.text_option("tokenizer.ggml.pre")?.unwrap_or("default");
    // What is a token is one, however it would be merged; and llama.cpp begins every text of theirs.
    let is_llama3 = ["llama-bpe", "llama3", "llama-v3"].contains(&kind);
    let pre_tokenizer = match kind {
        _ if is_llama3 => json!({
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": LLAMA3_PATTERN}, "behavior": "Isolated", "invert": false},
                {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
            ],
        }),
        // llama.cpp treats these alike: every digit alone, then GPT-2's pattern.
        "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone" | "minerva-7b" => {
            json!({
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": true}, by_bytes],
            })
        }
        "gpt-2" | "default" => by_bytes,
        other => return Err(gguf.unsupported(format!("pre-tokenizer `{other}` is not supported"))),
    };
    let mut merges = Vec::new();
    for merge in gguf.texts("tokenizer.ggml.merges")? {
        match merge.split_once(' ') {
            Some((left, right)) if !right.contains(' ') => {
                // The tokenizers library panics at some merges into nothing.
                if !vocabulary.ids.contains_key(format!("{left}{right}").as_str()) {
                    return Err(gguf.fault(format!("merge `{merge}` makes no token of the vocabulary")));
                }
                merges.push(json!([left, right]));
            }
            _ => return Err(gguf.fault(format!("merge `{merge}` is not two tokens"))),
        }
    }
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": begin_with(gguf, vocabulary, ids, is_llama3)?,
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": null,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": false,
            "byte_fallback": false,
            "ignore_merges": is_llama3,
            "vocab": vocabulary_json(vocabulary),
            "merges": merges,
        },
    }))
}

pub(super) fn vocabulary_json(vocabulary: &Vocabulary) -> Value {
    let entries = vocabulary.tokens.iter().enumerate().map(|(id, token)| (token.to_string(), json!(id)));
    Value::Object(entries.collect::<Map<_, _>>())
}

/// The post-processor that puts the begin token before every text, or `Null` when the file does not want one.
pub(super) fn begin_with(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
    ids: &SpecialIds,
    by_default: bool,
) -> Result<Value, SourceError> {
    if gguf.flag_option("tokenizer.ggml.add_eos_token")?.unwrap_or(false) {
        return Err(gguf.unsupported("`tokenizer.ggml.add_eos_token` is not supported"));
    }
    if !gguf.flag_option("tokenizer.ggml.add_bos_token")?.unwrap_or(by_default) {
        return Ok(Value::Null);
    }
    let bos = ids.bos.ok_or_else(|| gguf.absent("tokenizer.ggml.bos_token_id"))?;
    let text = vocabulary.tokens[bos as usize];
    let special = |part: u32| json!({"SpecialToken": {"id": text, "type_id": part}});
    let sequence = |name: &str, part: u32| json!({"Sequence": {"id": name, "type_id": part}});
    let mut tokens = Map::new();
    tokens.insert(text.to_string(), json!({"id": text, "ids": [bos], "tokens": [text]}));
    Ok(json!({
        "type": "TemplateProcessing",
        "single": [special(0), sequence("A", 0)],
        "pair": [special(0), sequence("A", 0), special(1), sequence("B", 1)],
        "special_tokens": tokens,
    }))
}

pub(super) fn added_token(id: Option<usize>, content: &str, is_special: bool) -> Value {
    let mut token = Map::new();
    if let Some(id) = id {
        token.insert("id".into(), json!(id));
    }
    token.insert("content".into(), json!(content));
    for key in ["single_word", "lstrip", "rstrip", "normalized"] {
        token.insert(key.into(), json!(false));
    }
    token.insert("special".into(), json!(is_special));
    Value::Object(token)
}

/// special_tokens_map.json: roles to texts.
fn special_texts(vocabulary: &Vocabulary, ids: &SpecialIds) -> Map<String, Value> {
    let text = |id: u32| json!(vocabulary.tokens[id as usize]);
    let mut texts = Map::new();
    let additional: Vec<Value> = ids.bos.iter().chain(&ids.eos).map(|&id| text(id)).collect();
    texts.insert("additional_special_tokens".into(), json!(additional));
    let roles = [
        ("bos_token", ids.bos),
        ("eos_token", ids.eos.first().copied()),
        ("pad_token", ids.padding),
        ("unk_token", ids.unknown),
    ];
    for (role, id) in roles {
        if let Some(id) = id {
            texts.insert(role.into(), text(id));
        }
    }
    texts
}

fn tokenizer_config(
    gguf: &Gguf,
    config: &LlamaConfig,
    vocabulary: &Vocabulary,
    texts: &Map<String, Value>,
) -> Result<Value, SourceError> {
    let mut added = Map::new();
    for (id, (token, &kind)) in vocabulary.tokens.iter().zip(&vocabulary.types).enumerate() {
        if [TYPE_CONTROL, TYPE_USER_DEFINED].contains(&kind) {
            added.insert(id.to_string(), added_token(None, token, kind == TYPE_CONTROL));
        }
    }
    let mut value = Map::new();
    value.insert("added_tokens_decoder".into(), Value::Object(added));
    value.extend(texts.clone());
    if let Some(template) = gguf.text_option("tokenizer.chat_template")? {
        value.insert("chat_template".into(), json!(template));
    }
    value.insert("clean_up_tokenization_spaces".into(), json!(false));
    value.insert("model_max_length".into(), json!(config.context_length));
    // The class that takes tokenizer.json as it is; others may rebuild their own pre-tokenizer.
    value.insert("tokenizer_class".into(), json!("PreTrainedTokenizerFast"));
    Ok(Value::Object(value))
}
