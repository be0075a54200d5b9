//! SentencePiece BPE vocabularies (Llama 1 and 2, Mistral 7B): the merges follow from the scores.
//!
//! SentencePiece joins the neighbouring pair whose joined piece has the best score. The tokenizers library wants the
//! pairs in order: best score first; equal scores (runs of blanks) by the id of the joined piece, then of the two parts.
use serde_json::{Value, json};

use super::error::SourceError;
use super::gguf::Gguf;
use super::gguf_config::SpecialIds;
use super::gguf_tokenizer::{Vocabulary, begin_with, vocabulary_json};

const TYPE_NORMAL: i64 = 1;
/// The word boundary mark that stands for a blank.
const BLANK: &str = "\u{2581}";
/// Longest piece that is split to find merges; SentencePiece's own limit is 16 characters.
const PIECE_CHARS_MAX: usize = 256;
/// Most merges for each token, of which Llama 2 has two: each takes as much memory as its token.
const PAIRS_PER_TOKEN_MAX: usize = 8;

/// tokenizer.json for a `llama` vocabulary.
pub(super) fn tokenizer_json(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
    ids: &SpecialIds,
    mut added: Vec<Value>,
) -> Result<Value, SourceError> {
    refuse_extensions(gguf, vocabulary)?;
    let unknown = ids.unknown.ok_or_else(|| gguf.absent("tokenizer.ggml.unknown_token_id"))?;
    let unknown_text = vocabulary.tokens[unknown as usize];
    if !added.iter().any(|token| token["content"] == unknown_text) {
        added.push(super::gguf_tokenizer::added_token(Some(unknown as usize), unknown_text, true));
        added.sort_by_key(|token| token["id"].as_u64());
    }
    let mut normalizers = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": BLANK})];
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": BLANK}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if gguf.flag_option("tokenizer.ggml.add_space_prefix")?.unwrap_or(true) {
        normalizers.insert(0, json!({"type": "Prepend", "prepend": BLANK}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": begin_with(gguf, vocabulary, ids, true)?,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE",
            "dropout": null,
            "unk_token": unknown_text,
            "continuing_subword_prefix": null,
            "end_of_word_suffix": null,
            "fuse_unk": true,
            "byte_fallback": true,
            "ignore_merges": false,
            "vocab": vocabulary_json(vocabulary),
            "merges": merges(gguf, vocabulary)?,
        },
    }))
}

/// Things that change the ids and that the rebuilt tokenizer would not do.
fn refuse_extensions(gguf: &Gguf, vocabulary: &Vocabulary) -> Result<(), SourceError> {
    if gguf.flag_option("tokenizer.ggml.remove_extra_whitespaces")?.unwrap_or(false) {
        return Err(gguf.unsupported("`tokenizer.ggml.remove_extra_whitespaces` is not supported"));
    }
    if gguf.array_option("tokenizer.ggml.precompiled_charsmap")?.is_some() {
        return Err(gguf.unsupported("`tokenizer.ggml.precompiled_charsmap` is not supported"));
    }
    for byte in 0..=255u8 {
        if !vocabulary.ids.contains_key(format!("<0x{byte:02X}>").as_str()) {
            return Err(
                gguf.unsupported(format!("a vocabulary without the byte token `<0x{byte:02X}>` is not supported"))
            );
        }
    }
    Ok(())
}

fn merges(gguf: &Gguf, vocabulary: &Vocabulary) -> Result<Vec<Value>, SourceError> {
    let key = "tokenizer.ggml.scores";
    let scores = gguf.array_option(key)?.ok_or_else(|| gguf.absent(key))?;
    if scores.len() != vocabulary.tokens.len() {
        return Err(gguf.fault(format!("{} tokens have {} scores", vocabulary.tokens.len(), scores.len())));
    }
    let is_normal = |id: u32| vocabulary.types[id as usize] == TYPE_NORMAL;
    let pairs_max = PAIRS_PER_TOKEN_MAX * scores.len();
    let mut pairs = Vec::new();
    for (id, piece) in vocabulary.tokens.iter().enumerate() {
        if !is_normal(id as u32) {
            continue;
        }
        let score = scores[id].to_f32().ok().filter(|score| score.is_finite());
        let score = score.ok_or_else(|| gguf.fault(format!("`{key}` of token {id} is not a finite 32-bit float")))?;
        if piece.chars().count() > PIECE_CHARS_MAX {
            return Err(gguf.fault(format!("token {id} is longer than {PIECE_CHARS_MAX} characters")));
        }
        for (cut, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(cut);
            if let (Some(&left_id), Some(&right_id)) = (vocabulary.ids.get(left), vocabulary.ids.get(right))
                && is_normal(left_id)
                && is_normal(right_id)
            {
                pairs.push((score, id, left_id, right_id));
                if pairs.len() > pairs_max {
                    return Err(gguf.fault(format!("its {} tokens split in more than {pairs_max} ways", scores.len())));
                }
            }
        }
    }
    pairs.sort_by(|one, other| {
        let by_ids = (one.1, one.2, one.3).cmp(&(other.1, other.2, other.3));
        other.0.total_cmp(&one.0).then(by_ids)
    });
    let text = |id: u32| vocabulary.tokens[id as usize];
    Ok(pairs.into_iter().map(|(_, _, left, right)| json!([text(left), text(right)])).collect())
}
