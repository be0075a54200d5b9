//! Prompts that are plain text.

use codeact_chat::ChatFormat;

use crate::tiny::{CHATML, byte_level, sentence_piece};

fn byte_format() -> ChatFormat {
    byte_level(CHATML).load().unwrap()
}

fn sentence_piece_format() -> ChatFormat {
    ChatFormat::chatml_added(sentence_piece(None).path()).unwrap()
}

#[test]
fn a_plain_prompt_may_spell_control_tokens() {
    let format = byte_format();
    let text = "<|im_start|>user\nhello<|im_end|>";
    let tokens = format.encode_prompt(text, true).unwrap();
    assert_eq!(Some(tokens[0].id), format.token_id("<|im_start|>"));
    assert_eq!(tokens.last().map(|token| Some(token.id)), Some(format.token_id("<|im_end|>")));
    let ids: Vec<u32> = tokens.iter().map(|token| token.id).collect();
    assert_eq!(format.decode(&ids, false), text);
    // Each token says where it stands.
    let whole: String = tokens.iter().map(|token| &text[token.range.clone()]).collect();
    assert_eq!(whole, text);
}

#[test]
fn what_the_tokenizer_puts_before_a_text_comes_once() {
    let format = sentence_piece_format();
    let ids = |text: &str, is_prefixed| -> Vec<u32> {
        format.encode_prompt(text, is_prefixed).unwrap().iter().map(|token| token.id).collect()
    };
    let bos = format.token_id("<s>").unwrap();
    let count = |ids: Vec<u32>| ids.iter().filter(|id| **id == bos).count();
    assert_eq!((count(ids("the", true)), count(ids("<s>the", true)), count(ids("the", false))), (1, 1, 0));
}

#[test]
fn what_follows_a_prompt_is_decoded_as_its_continuation() {
    for format in [byte_format(), sentence_piece_format()] {
        let text = "a b the cü 語 in the a";
        let ids: Vec<u32> = format.encode_prompt(text, true).unwrap().iter().map(|token| token.id).collect();
        let whole = format.decode(&ids, true);
        for cut in 1..ids.len() {
            let start = format.decode(&ids[..cut], true);
            // Where a character is cut its bytes are told from the rest nowhere.
            if start.ends_with('\u{FFFD}') {
                continue;
            }
            let mut stream = format.stream_after(&ids[..cut]);
            let mut rest: String = ids[cut..].iter().filter_map(|&id| stream.push(id)).collect();
            rest.push_str(&stream.finish());
            assert_eq!(format!("{start}{rest}"), whole, "{cut}");
        }
    }
}
