//! Saved folders are the same format again, and tokens stream into the text they stand for.

use codeact_chat::{ChatFormat, Message};
use serde_json::Value;

use crate::tiny::{CHATML, byte_level, conversation, sentence_piece};

fn formats() -> [ChatFormat; 2] {
    let added = ChatFormat::chatml_added(sentence_piece(None).path()).unwrap();
    [byte_level(CHATML).load().unwrap(), added]
}

#[test]
fn a_saved_format_gives_the_same_examples() {
    let messages = [Message::system("s"), Message::user("the π <|im_end|>"), Message::assistant("  a\n")];
    for format in formats() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("new");
        format.save(&dir).unwrap();
        let again = ChatFormat::load(&dir).unwrap();
        let example = |format: &ChatFormat| format.example(&conversation(&messages)).unwrap();
        assert_eq!(example(&again), example(&format));
        assert_eq!(again.end_of_turn_ids(), format.end_of_turn_ids());
        assert_eq!(again.vocab_size(), format.vocab_size());
    }
}

#[test]
fn added_tokens_stand_after_the_vocabulary_and_are_described_for_transformers() {
    let base = sentence_piece(None);
    let format = ChatFormat::chatml_added(base.path()).unwrap();
    let end = format.end_of_turn_ids()[0];
    assert_eq!(format.token_id("<|im_end|>"), Some(end));
    assert_eq!(format.token_id("<|im_start|>"), Some(end - 1));
    assert_eq!(format.vocab_size(), end as usize + 1);
    format.save(base.path()).unwrap();
    let read = |name: &str| -> Value {
        serde_json::from_str(&std::fs::read_to_string(base.path().join(name)).unwrap()).unwrap()
    };
    let config = read("tokenizer_config.json");
    assert_eq!(config["tokenizer_class"], "PreTrainedTokenizerFast");
    assert_eq!(config["eos_token"], "<|im_end|>");
    assert_eq!(config["added_tokens_decoder"][end.to_string()]["content"], "<|im_end|>");
    assert_eq!(config.get("add_bos_token"), None);
    assert_eq!(read("special_tokens_map.json")["eos_token"], "<|im_end|>");
    assert_eq!(read("special_tokens_map.json")["bos_token"], "<s>");
    assert_eq!(read("generation_config.json")["eos_token_id"][0], end);
}

#[test]
fn existing_chatml_tokens_are_used_not_added_again() {
    let folder = byte_level(CHATML);
    let added = ChatFormat::chatml_added(folder.path()).unwrap();
    assert_eq!(added.vocab_size(), folder.load().unwrap().vocab_size());
    assert_eq!(added.end_of_turn_ids(), [2]);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("file");
    std::fs::write(&in_the_way, "").unwrap();
    let error = formats()[0].save(&in_the_way).unwrap_err().to_string();
    assert!(error.starts_with("cannot create `") && error.contains("file"), "{error}");
}

#[test]
fn streamed_tokens_join_to_the_answer() {
    let texts = ["hello a in", "  two blanks, one  more ", "π≈3, 🐍!\n\n\tx", "", " a", "\u{FFFD} real"];
    let mut streamed_count = 0;
    for (text, format) in texts.into_iter().flat_map(|text| formats().map(|format| (text, format))) {
        let question = Message::user("x");
        let prompt = format.prompt_ids(std::slice::from_ref(&question)).unwrap();
        let example = format.example(&conversation(&[question, Message::assistant(text)])).unwrap();
        // Where a token straddles header and text, the text does not continue the prompt token by token.
        let Some(answer) = example.token_ids.strip_prefix(prompt.as_slice()) else {
            continue;
        };
        let end = answer.iter().position(|id| format.end_of_turn_ids().contains(id)).unwrap();
        let mut stream = format.stream();
        let mut streamed: String = answer[..=end].iter().filter_map(|id| stream.push(*id)).collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, text);
        streamed_count += 1;
    }
    assert_eq!(streamed_count, 2 * texts.len() - 1, "byte-level joins the first of two blanks to the header");
}

#[test]
fn a_character_comes_out_only_when_all_its_bytes_are_there() {
    for format in formats() {
        let ids = format.encode_text("🐍").unwrap();
        let mut stream = format.stream();
        let bytes = &ids[ids.len() - 4..];
        let texts: Vec<Option<String>> = bytes.iter().map(|id| stream.push(*id)).collect();
        assert_eq!(texts, [None, None, None, Some("🐍".to_owned())]);

        let mut cut = format.stream();
        assert_eq!(cut.push(bytes[0]), None);
        assert_eq!(cut.finish(), "\u{FFFD}");
    }
}

#[test]
fn bytes_that_never_become_a_character_do_not_hold_back_what_follows() {
    for format in formats() {
        let broken = *format.encode_text("🐍").unwrap().iter().rev().nth(3).unwrap();
        // The byte follows a line break, a byte token as well, which a decoder would spoil along with it.
        let mut ids = format.encode_text("x\n").unwrap();
        ids.push(broken);
        ids.extend(format.encode_text("in").unwrap());
        let mut stream = format.stream();
        let mut text: String = ids.iter().filter_map(|id| stream.push(*id)).collect();
        text.push_str(&stream.finish());
        assert!(text.ends_with("x\n\u{FFFD}in") || text.ends_with("x\n\u{FFFD} in"), "{text:?}");
    }
}
