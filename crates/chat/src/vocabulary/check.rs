//! What a `tokenizer.json` asks for, read before the tokenizer library does: a file of a few bytes must not turn a
//! short text into gigabytes, nor meet a step of the library that trusts it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// How many times longer normalising or decoding may make a text. SentencePiece's marks make it 3 times as long.
const GROWTH_MAX: f64 = 256.0;
/// Longest regular expression; that of Llama 3 has 150 bytes.
const REGEX_BYTES_MAX: usize = 4096;
/// Longest mark behind every word.
const AFFIX_BYTES_MAX: usize = 64;
/// How much larger the largest id may be than the number of tokens: some models leave a few out.
const HOLES_MAX: usize = 1 << 16;
/// Most pieces of a template for sequences; there are two or three.
const PIECES_MAX: usize = 256;

#[derive(Deserialize)]
struct Shape {
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    post_processor: Option<Value>,
    decoder: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    dropout: Option<f64>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    #[serde(default)]
    vocab: LongestToken,
    #[serde(default)]
    merges: LongestMerge,
}

/// Bytes of the longest token of a vocabulary.
#[derive(Default)]
struct LongestToken(usize);

/// Bytes of the two parts of the longest merge; `None` when there are no merges.
#[derive(Default)]
struct LongestMerge(Option<usize>);

/// `["a", "b"]`, or `"a b"` in older files.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge<'a> {
    Pair(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>),
    Line(#[serde(borrow)] Cow<'a, str>),
}

impl<'de> Deserialize<'de> for LongestToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = LongestToken;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map of tokens to ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LongestToken, A::Error> {
                let mut longest = 0;
                while let Some((key, _)) = map.next_entry::<Cow<'de, str>, IgnoredAny>()? {
                    longest = longest.max(key.len());
                }
                Ok(LongestToken(longest))
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl<'de> Deserialize<'de> for LongestMerge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Merges;
        impl<'de> Visitor<'de> for Merges {
            type Value = LongestMerge;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of merges")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LongestMerge, A::Error> {
                let mut longest = None;
                while let Some(merge) = list.next_element::<Merge<'de>>()? {
                    let bytes = match merge {
                        Merge::Pair(left, right) => left.len() + right.len(),
                        Merge::Line(line) => line.len().saturating_sub(1),
                    };
                    longest = longest.max(Some(bytes));
                }
                Ok(LongestMerge(longest))
            }
        }
        deserializer.deserialize_seq(Merges)
    }
}

/// Checks the text of a `tokenizer.json`.
///
/// # Errors
/// Text that names what is not supported.
pub(super) fn check(json: &str) -> Result<(), String> {
    let shape: Shape = serde_json::from_str(json).map_err(|error| error.to_string())?;
    // Files from before the library wrote types: only byte-pair vocabularies have merges.
    let is_bpe = shape.model.kind.as_ref().map_or(shape.model.merges.0.is_some(), |kind| kind == "BPE");
    if !is_bpe {
        return Err("only byte-pair (BPE) vocabularies are supported".to_owned());
    }
    // The library joins merges in a buffer as long as the longest token, and panics where one does not fit.
    if shape.model.merges.0.is_some_and(|merge| merge > shape.model.vocab.0) {
        return Err("a merge is longer than the longest token".to_owned());
    }
    if shape.model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("`dropout` makes every encoding another; set it to null".to_owned());
    }
    // It is cut off the second part of every merge, whether it is there or not.
    if shape.model.continuing_subword_prefix.is_some_and(|prefix| !prefix.is_empty()) {
        return Err("`continuing_subword_prefix` is not supported".to_owned());
    }
    if let Some(suffix) = shape.model.end_of_word_suffix.filter(|suffix| suffix.len() > AFFIX_BYTES_MAX) {
        return Err(format!("`end_of_word_suffix` of {} bytes, at most {AFFIX_BYTES_MAX} are supported", suffix.len()));
    }
    if let Some(length) = shape.post_processor.as_ref().map(pieces).filter(|length| *length > PIECES_MAX) {
        return Err(format!("a template of {length} pieces, at most {PIECES_MAX} are supported"));
    }
    let dressed = [&shape.normalizer, &shape.pre_tokenizer].into_iter().flatten().map(growth);
    let dressed = dressed.product::<Result<f64, String>>()?;
    let decoded = shape.decoder.as_ref().map_or(Ok(1.0), growth)?;
    match dressed.max(decoded) {
        times if times > GROWTH_MAX => Err(format!(
            "its normaliser, pre-tokenizer or decoder may make a text {times} times as long, at most {GROWTH_MAX} are \
             supported"
        )),
        _ => Ok(()),
    }
}

/// Refuses a vocabulary whose largest id, from which sizes are computed, is far beyond its number of tokens.
pub(super) fn check_size(size: usize, token_count: usize) -> Result<(), String> {
    match size > token_count + HOLES_MAX {
        true => Err(format!("the largest token id is {}, but there are only {token_count} tokens", size - 1)),
        false => Ok(()),
    }
}

/// By how much a step makes a text longer at worst.
fn growth(step: &Value) -> Result<f64, String> {
    let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut times = match text("type") {
        "Precompiled" => return Err("a precompiled normaliser is not supported".to_owned()),
        "Replace" => replacement_growth(step),
        "Prepend" => 1.0 + text("prepend").len() as f64,
        "Metaspace" => 4.0,
        "ByteLevel" => 2.0,
        "NFC" | "NFD" | "NFKC" | "NFKD" => 12.0,
        "Lowercase" | "BertNormalizer" | "Nmt" => 3.0,
        "BPEDecoder" | "WordPiece" | "CTC" => 1.0 + text("suffix").len() as f64,
        _ => 1.0,
    };
    let regex = step.get("pattern").and_then(|pattern| pattern.get("Regex")).and_then(Value::as_str);
    if let Some(regex) = regex.filter(|regex| regex.len() > REGEX_BYTES_MAX) {
        return Err(format!("a pattern of {} bytes, at most {REGEX_BYTES_MAX} are supported", regex.len()));
    }
    for key in ["normalizers", "pretokenizers", "decoders"] {
        for inner in step.get(key).and_then(Value::as_array).into_iter().flatten() {
            times *= growth(inner)?;
        }
    }
    Ok(times)
}

fn replacement_growth(step: &Value) -> f64 {
    let content = step.get("content").and_then(Value::as_str).unwrap_or_default().len() as f64;
    match step.get("pattern").and_then(|pattern| pattern.get("String")).and_then(Value::as_str) {
        Some(pattern) if !pattern.is_empty() => (content / pattern.len() as f64).max(1.0),
        // It may match between any two characters.
        _ => 1.0 + content,
    }
}

/// Pieces of a template for one sequence or a pair, in all steps.
fn pieces(step: &Value) -> usize {
    let of = |key: &str| step.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let inner = step.get("processors").and_then(Value::as_array).into_iter().flatten();
    of("single") + of("pair") + inner.map(pieces).sum::<usize>()
}
