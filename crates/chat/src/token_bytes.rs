//! The bytes that each token stands for, for those who must know them before a token is chosen.
//!
//! A vocabulary spells its tokens in one of two ways. Byte-level (GPT-2, SmolLM2, Llama-3): each byte is one visible
//! character. SentencePiece (Llama-2, Mistral): text with `▁` for a blank, and `<0x0A>` for single bytes.

use std::collections::HashMap;

use tokenizers::decoders::DecoderWrapper;
use tokenizers::{Decoder, Tokenizer};

/// For each id, the bytes of its text; `None` for control tokens, and for ids that stand for no text.
///
/// Joined, the bytes of an answer's ids are what [`TokenStream`](crate::TokenStream) gives for them where that is valid
/// UTF-8.
pub(crate) fn token_bytes(tokenizer: &Tokenizer, size: usize) -> Vec<Option<Vec<u8>>> {
    let spelling = Spelling::of(tokenizer);
    let added = tokenizer.get_added_tokens_decoder();
    let bytes = |id: u32| {
        if added.get(&id).is_some_and(|token| token.special) {
            return None;
        }
        Some(spelling.bytes(tokenizer.id_to_token(id)?)).filter(|bytes| !bytes.is_empty())
    };
    (0..size as u32).map(bytes).collect()
}

enum Spelling<'a> {
    /// The byte behind each character.
    ByteLevel(HashMap<char, u8>),
    /// The decoders that change a token by itself, in order.
    Text { steps: Vec<&'a DecoderWrapper>, has_byte_tokens: bool },
}

impl<'a> Spelling<'a> {
    fn of(tokenizer: &'a Tokenizer) -> Spelling<'a> {
        let decoders = match tokenizer.get_decoder() {
            None => &[],
            Some(DecoderWrapper::Sequence(sequence)) => sequence.get_decoders(),
            Some(decoder) => std::slice::from_ref(decoder),
        };
        if decoders.iter().any(|decoder| matches!(decoder, DecoderWrapper::ByteLevel(_))) {
            return Spelling::ByteLevel(visible_bytes());
        }
        let has_byte_tokens = decoders.iter().any(|decoder| matches!(decoder, DecoderWrapper::ByteFallback(_)));
        // `Fuse` joins tokens, and `Strip` drops the blank at the very beginning of a sequence.
        let acts_alone = |decoder: &&DecoderWrapper| {
            !matches!(decoder, DecoderWrapper::ByteFallback(_) | DecoderWrapper::Fuse(_) | DecoderWrapper::Strip(_))
        };
        Spelling::Text { steps: decoders.iter().filter(acts_alone).collect(), has_byte_tokens }
    }

    fn bytes(&self, token: String) -> Vec<u8> {
        match self {
            Spelling::ByteLevel(bytes) => {
                let mapped: Option<Vec<u8>> = token.chars().map(|character| bytes.get(&character).copied()).collect();
                mapped.unwrap_or_else(|| token.into_bytes())
            }
            Spelling::Text { has_byte_tokens: true, .. } if byte_token(&token).is_some() => {
                byte_token(&token).into_iter().collect()
            }
            Spelling::Text { steps, .. } => steps.iter().fold(token, |token, step| not_first(step, token)).into_bytes(),
        }
    }
}

/// The byte that `<0x0A>` and its like stand for.
fn byte_token(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// What a decoder makes of a token that follows another: some treat the first one specially.
fn not_first(step: &DecoderWrapper, token: String) -> String {
    let decoded = step.decode_chain(vec!["x".to_owned(), token.clone()]);
    decoded.ok().and_then(|mut decoded| decoded.pop()).unwrap_or(token)
}

/// GPT-2's alphabet: bytes that print stand for themselves, the others are moved up by 256.
///
/// Source: `bytes_to_unicode` in openai/gpt-2, `src/encoder.py`.
fn visible_bytes() -> HashMap<char, u8> {
    let prints = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let moved = (0..=u8::MAX).filter(|byte| !prints(*byte));
    let moved = moved.zip(256u32..).filter_map(|(byte, code)| Some((char::from_u32(code)?, byte)));
    (0..=u8::MAX).filter(|byte| prints(*byte)).map(|byte| (char::from(byte), byte)).chain(moved).collect()
}
