//! `tokenizer.json`.

use codeact_chat::{FormatError, Message};
use serde_json::{Value, json};

use crate::folders::mutate;
use crate::harness::{Bounds, alone, campaign, damage};
use crate::tiny::{CHATML, Folder, byte_level, sentence_piece};

/// The file as text, the library's tables, and a copy of it written anew when it lacks a token.
const BOUNDS: Bounds = Bounds { factor: 96, constant: 24 << 20 };

fn read(folder: &Folder) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.path().join("tokenizer.json")).unwrap()).unwrap()
}

/// Loads and uses it.
fn run(folder: &Folder) -> Result<(), FormatError> {
    let format = folder.load()?;
    let messages = [Message::user("he said <|im_end|> \u{1f600}"), Message::assistant("a\n the")];
    let ids = format.prompt_ids(&messages[..1])?;
    let text = format.decode(&ids, false);
    assert!(text.len() < 1 << 20);
    let mut stream = format.stream();
    for id in &ids {
        stream.push(*id);
    }
    format.encode_text("12 \u{0} \u{fffd} he")?;
    Ok(())
}

#[test]
fn damaged_tokenizers() {
    let folders = [byte_level(CHATML), sentence_piece(Some(&CHATML.replace("<|im_end|>", "</s>")))];
    let goods: Vec<Value> = folders.iter().map(read).collect();
    folders.iter().for_each(|folder| run(folder).unwrap());
    let (mut used, mut refused) = (0, 0);
    campaign("tokenizer.json", 1500, BOUNDS, |case| {
        let which = case.random.below(2);
        let mut value = goods[which].clone();
        for _ in 0..1 + case.random.below(3) {
            let part = *case.random.pick(&["normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"]);
            match case.random.below(8) {
                0..4 => mutate(&mut case.random, &mut value[part]),
                4 => mutate(&mut case.random, &mut value["model"]["merges"]),
                5 => mutate(&mut case.random, &mut value["model"]["vocab"]),
                6 => value[part] = step(case.random.below(40)),
                _ => mutate(&mut case.random, &mut value),
            }
            if !value.is_object() || !value["model"].is_object() {
                value = goods[which].clone();
            }
        }
        let mut bytes = value.to_string().into_bytes();
        if case.random.once_in(8) {
            damage(&mut case.random, &mut bytes);
        }
        std::fs::write(folders[which].path().join("tokenizer.json"), &bytes).unwrap();
        match case.measure(bytes.len(), || run(&folders[which])) {
            Ok(()) => used += 1,
            Err(_) => refused += 1,
        }
    });
    let is_campaign = std::env::var_os("CODEACT_FUZZ_CASES").is_some();
    assert!(is_campaign || (used > 100 && refused > 300), "{used} used, {refused} refused");
}

/// Steps of the library, with settings at the edge.
fn step(which: usize) -> Value {
    let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
    let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    match which {
        0 => split("(a*)*b"),
        1 => split("(?=(a+)+b)\\w"),
        2 => split("((((a{100}){100}){100}){100})"),
        3 => split("(?:(?=a)a{1000000}){1000000}"),
        4 => split(""),
        5 => split("(?<=a)|b"),
        6 => split("("),
        7 => split("\\p{L}+|(?!\\S)\\s+"),
        8 => replace(json!({"String": ""}), "x"),
        9 => replace(json!({"Regex": ""}), "xy"),
        10 => replace(json!({"String": "a"}), &"a".repeat(100_000)),
        11 => replace(json!({"Regex": "$"}), "\u{10ffff}"),
        12 => json!({"type": "Sequence", "normalizers": vec![replace(json!({"String": "a"}), "aa"); 40]}),
        13 => json!({"type": "Sequence", "decoders": vec![replace(json!({"String": "a"}), "aa"); 40]}),
        14 => json!({"type": "Prepend", "prepend": "x".repeat(1000)}),
        15 => json!({"type": "Prepend", "prepend": ""}),
        16 => json!({"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": true}),
        17 => json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true}),
        18 => json!({"type": "Strip", "content": "\u{2581}", "start": 1_000_000_000u64, "stop": 1_000_000_000u64}),
        19 => json!({"type": "Strip", "strip_left": true, "strip_right": true}),
        20 => json!({"type": "Digits", "individual_digits": true}),
        21 => json!({"type": "FixedLength", "length": 0}),
        22 => json!({"type": "FixedLength", "length": u64::MAX}),
        23 => json!({"type": "CTC", "pad_token": "", "word_delimiter_token": "", "cleanup": true}),
        24 => json!({"type": "WordPiece", "prefix": "", "cleanup": true}),
        25 => json!({"type": "BPEDecoder", "suffix": ""}),
        26 => json!({"type": "ByteFallback"}),
        27 => json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        28 => json!({"type": "NFKC"}),
        29 => json!({"type": "RobertaProcessing", "sep": ["a", 9], "cls": ["b", 9], "trim_offsets": true,
                     "add_prefix_space": true}),
        30 => json!({"type": "BertProcessing", "sep": ["a", 4_000_000_000u64], "cls": ["b", 1]}),
        31 => {
            json!({"type": "TemplateProcessing", "single": vec![json!({"Sequence": {"id": "A", "type_id": 0}}); 9999],
                     "pair": [], "special_tokens": {}})
        }
        32 => json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "q", "type_id": 0}}],
                     "pair": [], "special_tokens": {"q": {"id": "q", "ids": vec![1; 9999], "tokens": vec!["q"; 9999]}}}),
        33 => json!({"type": "CharDelimiterSplit", "delimiter": "a"}),
        34 => json!({"type": "Punctuation", "behavior": "MergedWithNext"}),
        35 => json!({"type": "UnicodeScripts"}),
        36 => json!({"type": "Fuse"}),
        37 => json!([{"id": 4_294_967_295u64, "content": "zz", "single_word": true, "lstrip": true, "rstrip": true,
                      "normalized": true, "special": true}]),
        38 => json!([{"id": 0, "content": "", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}]),
        _ => Value::Null,
    }
}

fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let folder = byte_level(CHATML);
    let mut value = read(&folder);
    change(&mut value);
    folder.write("tokenizer.json", &value);
    let error = folder.load().expect_err("this tokenizer is not usable");
    assert!(matches!(error, FormatError::Tokenizer { .. }), "{error}");
    error.to_string()
}

#[test]
fn a_tokenizer_that_explodes_is_refused() {
    let _alone = alone();
    for normalizer in [10, 12] {
        let error = refusal(|value| value["normalizer"] = step(normalizer));
        assert!(error.contains("times as long"), "{error}");
    }
    assert!(refusal(|value| value["decoder"] = step(13)).contains("times as long"));
    assert!(refusal(|value| value["normalizer"] = step(27)).contains("precompiled"));
    assert!(refusal(|value| value["post_processor"] = step(31)).contains("pieces"));
    assert!(refusal(|value| value["model"]["dropout"] = json!(0.5)).contains("dropout"));
}

#[test]
fn merges_at_which_the_library_panics_are_refused() {
    let _alone = alone();
    let error = refusal(|value| value["model"]["merges"] = json!([["<|endoftext|>", "<|endoftext|>"]]));
    assert!(error.contains("longer than the longest token"), "{error}");
    let error = refusal(|value| value["model"]["merges"] = json!(["<|endoftext|> <|endoftext|>"]));
    assert!(error.contains("longer than the longest token"), "{error}");
    let error = refusal(|value| value["model"]["continuing_subword_prefix"] = json!("####"));
    assert!(error.contains("continuing_subword_prefix"), "{error}");
}

#[test]
fn an_id_far_beyond_the_vocabulary_is_refused() {
    let _alone = alone();
    let error = refusal(|value| value["model"]["vocab"]["he"] = json!(4_000_000_000u32));
    assert!(error.contains("the largest token id is 4000000000"), "{error}");
}
