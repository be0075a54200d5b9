//! Bytes of tokens, joined, are the text that the tokenizer itself decodes.

use std::path::Path;

use codeact_chat::ChatFormat;
use serde_json::Value;

use crate::golden::{shared, skipped};
use crate::tiny;

/// The text of `ids` behind another token, as in an answer behind its prompt.
fn decoded(format: &ChatFormat, before: &[u32], ids: &[u32]) -> String {
    let all = format.decode(&[before, ids].concat(), true);
    all.strip_prefix(format.decode(before, true).as_str()).unwrap().to_owned()
}

/// Compares texts whole, and every token that is a text by itself.
fn check(format: &ChatFormat, texts: &[String]) {
    let table = format.token_bytes();
    assert_eq!(table.len(), format.vocab_size());
    let joined = |ids: &[u32]| ids.iter().flat_map(|&id| table[id as usize].clone().unwrap()).collect::<Vec<u8>>();
    let before = format.encode_text("x").unwrap();
    for text in texts {
        let ids = format.encode_text(text).unwrap();
        // SmolLM2 has no token for some bytes and drops them, which can leave a part of a character.
        assert_eq!(String::from_utf8_lossy(&joined(&ids)), decoded(format, &before, &ids), "{text:?}");
    }
    let mut whole = 0;
    for (id, bytes) in (0u32..).zip(&table) {
        if let Some(text) = bytes.as_ref().and_then(|bytes| std::str::from_utf8(bytes).ok()) {
            assert_eq!(decoded(format, &before, &[id]), text, "token {id}");
            whole += 1;
        }
    }
    assert!(whole > 128, "only {whole} tokens are text by themselves");
    for &id in format.end_of_turn_ids() {
        assert_eq!(table[id as usize], None);
    }
}

fn texts() -> Vec<String> {
    let texts = ["plain", " blanks  and\n\nlines\t", "naïve café, 語 and 🙂👩‍👧", "<0x0A> ▁ Ġ <|im_end|> <s>"];
    texts.map(str::to_owned).to_vec()
}

#[test]
fn both_styles_of_vocabulary_are_read() {
    let byte_level = tiny::byte_level(tiny::CHATML).load().unwrap();
    check(&byte_level, &texts());
    let bytes = byte_level.token_bytes();
    let single: Vec<u8> = bytes.iter().flatten().filter(|bytes| bytes.len() == 1).map(|bytes| bytes[0]).collect();
    assert_eq!(single.len(), 256);
    let sentence_piece = ChatFormat::chatml_added(tiny::sentence_piece(None).path()).unwrap();
    // A `▁` in the text comes back as a blank, as in the originals.
    check(&sentence_piece, &texts());
    let id = sentence_piece.token_id("<0x0A>").unwrap();
    assert_eq!(sentence_piece.token_bytes()[id as usize], Some(b"\n".to_vec()));
    assert_eq!(sentence_piece.token_bytes()[sentence_piece.token_id("<|im_end|>").unwrap() as usize], None);
}

#[test]
fn real_vocabularies_are_read() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/base");
    let folders =
        [shared("tokenizers/mistral"), shared("tokenizers/llama2"), base.join("HuggingFaceTB--SmolLM2-135M-Instruct")];
    let validation = shared("tokenizers/mistral/validation.json");
    let texts = match std::fs::read_to_string(&validation) {
        Ok(json) => {
            let cases: Vec<Value> = serde_json::from_str(&json).unwrap();
            cases.iter().map(|case| case["text"].as_str().unwrap().to_owned()).collect()
        }
        Err(_) => texts(),
    };
    for folder in folders {
        if !folder.join("tokenizer.json").exists() {
            skipped("bytes of a real vocabulary", &folder);
            continue;
        }
        check(&ChatFormat::chatml_added(&folder).unwrap(), &texts);
    }
}
