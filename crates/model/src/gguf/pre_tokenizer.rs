//! Which of llama.cpp's ways to cut text a `tokenizer.json` asks for.
//!
//! llama.cpp knows pre-tokenizers by name and has no other way to be told one; the wrong name gives other ids for the
//! same text. So names are given to what is recognised in every part, and the rest is refused.

use serde_json::Value;

use crate::source::LLAMA3_PATTERN;

/// How texts become pieces, in llama.cpp's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Byte-level BPE with this `tokenizer.ggml.pre`.
    ByteLevel(&'static str),
    /// SentencePiece; a blank is put before every text, or not.
    SentencePiece { add_space_prefix: bool },
}

const BLANK: &str = "\u{2581}";

/// Reads the normaliser and the pre-tokenizer.
///
/// # Errors
/// Text that says what llama.cpp has no name for.
pub(super) fn read(tokenizer: &Value) -> Result<Cut, String> {
    let model = &tokenizer["model"];
    if model["type"] != "BPE" {
        return Err(format!("the tokenizer model {}; only BPE can be written", model["type"]));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix", "dropout"] {
        if !matches!(&model[key], Value::Null) && model[key] != "" {
            return Err(format!("`{key}` = {} in the tokenizer model", model[key]));
        }
    }
    let (normalizer, pre_tokenizer) = (parts(&tokenizer["normalizer"], "normalizers"), &tokenizer["pre_tokenizer"]);
    match model["byte_fallback"].as_bool().unwrap_or(false) {
        true => sentence_piece(&normalizer, pre_tokenizer),
        false if !normalizer.is_empty() => Err(format!("the normaliser {}", tokenizer["normalizer"])),
        false => byte_level(pre_tokenizer, model["ignore_merges"].as_bool().unwrap_or(false)),
    }
}

/// The parts of a sequence, or the one thing that is none.
fn parts<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    match value {
        Value::Null => Vec::new(),
        _ if value["type"] == "Sequence" => value[key].as_array().into_iter().flatten().collect(),
        value => vec![value],
    }
}

fn byte_level(pre_tokenizer: &Value, ignore_merges: bool) -> Result<Cut, String> {
    let parts = parts(pre_tokenizer, "pretokenizers");
    let is_bytes = |part: &Value, use_regex: bool| {
        part["type"] == "ByteLevel"
            && part["add_prefix_space"] == false
            && part["use_regex"].as_bool().unwrap_or(true) == use_regex
    };
    let is_digits = |part: &Value| part["type"] == "Digits" && part["individual_digits"] == true;
    let is_llama3 = |part: &Value| {
        part["type"] == "Split"
            && part["pattern"]["Regex"] == LLAMA3_PATTERN
            && part["behavior"] == "Isolated"
            && part["invert"] == false
    };
    match parts[..] {
        [bytes] if is_bytes(bytes, true) && !ignore_merges => Ok(Cut::ByteLevel("gpt-2")),
        [digits, bytes] if is_digits(digits) && is_bytes(bytes, true) && !ignore_merges => Ok(Cut::ByteLevel("smollm")),
        [split, bytes] if is_llama3(split) && is_bytes(bytes, false) && ignore_merges => {
            Ok(Cut::ByteLevel("llama-bpe"))
        }
        _ => Err(format!("the pre-tokenizer {pre_tokenizer} with `ignore_merges` {ignore_merges}")),
    }
}

fn sentence_piece(normalizer: &[&Value], pre_tokenizer: &Value) -> Result<Cut, String> {
    let is_prepend = |part: &Value| part["type"] == "Prepend" && part["prepend"] == BLANK;
    let is_blanks =
        |part: &Value| part["type"] == "Replace" && part["pattern"]["String"] == " " && part["content"] == BLANK;
    let add_space_prefix = match (normalizer, pre_tokenizer) {
        ([prepend, blanks], Value::Null) if is_prepend(prepend) && is_blanks(blanks) => true,
        ([blanks], Value::Null) if is_blanks(blanks) => false,
        ([], space) if space["type"] == "Metaspace" && space["replacement"] == BLANK && space["split"] == false => {
            match space["prepend_scheme"].as_str() {
                Some("always") => true,
                // A blank before the very first text, and none after a control token, which is how a chat begins.
                Some("first" | "never") => false,
                _ => return Err(format!("the pre-tokenizer {space}")),
            }
        }
        _ => {
            let parts: Vec<String> = normalizer.iter().map(|part| part.to_string()).collect();
            return Err(format!("the normaliser [{}] with the pre-tokenizer {pre_tokenizer}", parts.join(", ")));
        }
    };
    Ok(Cut::SentencePiece { add_space_prefix })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bytes(use_regex: bool) -> Value {
        json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
    }

    fn tokenizer(pre: Value, ignore_merges: bool) -> Value {
        json!({"normalizer": null, "pre_tokenizer": pre, "model": {"type": "BPE", "ignore_merges": ignore_merges}})
    }

    #[test]
    fn known_ways_have_llama_cpps_names() {
        let digits = json!({"type": "Digits", "individual_digits": true});
        let split =
            json!({"type": "Split", "pattern": {"Regex": LLAMA3_PATTERN}, "behavior": "Isolated", "invert": false});
        let sequence = |parts: Value| json!({"type": "Sequence", "pretokenizers": parts});
        for (pre, ignore_merges, name) in [
            (bytes(true), false, "gpt-2"),
            (sequence(json!([digits, bytes(true)])), false, "smollm"),
            (sequence(json!([split, bytes(false)])), true, "llama-bpe"),
        ] {
            assert_eq!(read(&tokenizer(pre, ignore_merges)), Ok(Cut::ByteLevel(name)));
        }
    }

    #[test]
    fn what_has_no_name_is_refused() {
        let refused = |value: Value| read(&value).unwrap_err();
        assert!(refused(tokenizer(bytes(true), true)).contains("ignore_merges"));
        assert!(refused(tokenizer(json!(null), false)).contains("null"));
        assert!(refused(tokenizer(json!({"type": "Whitespace"}), false)).contains("Whitespace"));
        assert!(refused(json!({"model": {"type": "Unigram"}})).contains("Unigram"));
        let mut other = tokenizer(bytes(true), false);
        other["normalizer"] = json!({"type": "NFC"});
        assert!(refused(other).contains("NFC"));
    }

    #[test]
    fn sentence_piece_says_whether_texts_begin_with_a_blank() {
        let prepend = json!({"type": "Prepend", "prepend": BLANK});
        let blanks = json!({"type": "Replace", "pattern": {"String": " "}, "content": BLANK});
        let of = |normalizer: Value, pre: Value| {
            read(&json!({
                "normalizer": normalizer, "pre_tokenizer": pre, "model": {"type": "BPE", "byte_fallback": true},
            }))
        };
        let sequence = json!({"type": "Sequence", "normalizers": [prepend, blanks]});
        assert_eq!(of(sequence.clone(), json!(null)), Ok(Cut::SentencePiece { add_space_prefix: true }));
        assert_eq!(of(blanks, json!(null)), Ok(Cut::SentencePiece { add_space_prefix: false }));
        let space =
            |scheme: &str| json!({"type": "Metaspace", "replacement": BLANK, "prepend_scheme": scheme, "split": false});
        assert_eq!(of(json!(null), space("always")), Ok(Cut::SentencePiece { add_space_prefix: true }));
        assert_eq!(of(json!(null), space("first")), Ok(Cut::SentencePiece { add_space_prefix: false }));
        assert!(of(sequence, space("first")).is_err());
        assert!(of(json!({"type": "NFKC"}), json!(null)).is_err());
    }
}
