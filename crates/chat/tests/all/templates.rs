//! Templates that can be used, and those that cannot.

use codeact_chat::{ChatFormat, FormatError, Message};
use serde_json::json;

use crate::tiny::{CHATML, byte_level, learned, sentence_piece};

fn load_error(template: &str) -> FormatError {
    byte_level(template).load().expect_err("this template is not usable")
}

#[test]
fn a_template_that_trims_is_followed() {
    let format = byte_level(&CHATML.replace("m.content", "(m.content | trim)")).load().unwrap();
    let messages = [Message::user(" x\n"), Message::assistant("\n he \n")];
    assert!(format.render(&messages, false).unwrap().ends_with("assistant\nhe<|im_end|>\n"));
    assert_eq!(learned(&format, &messages), ["he<|im_end|>"]);
}

#[test]
fn a_template_that_rewrites_a_message_is_refused() {
    for (change, what) in [
        ("m.content | upper", "depends on what it says"),
        ("(m.content if m.role == 'user' else '')", "leaves it out"),
        ("m.content + m.content", "more than once"),
    ] {
        let error = load_error(&CHATML.replace("m.content", change));
        assert!(matches!(error, FormatError::RewritesContent { .. }), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
    let reversed = CHATML.replace("in messages", "in messages | reverse");
    assert!(load_error(&reversed).to_string().contains("before an earlier message"));
}

#[test]
fn a_template_that_cuts_thoughts_is_refused_only_where_it_does() {
    let format = byte_level(&CHATML.replace("m.content", "m.content.split('</think>')[-1]")).load().unwrap();
    assert_eq!(learned(&format, &[Message::user("x"), Message::assistant("he")]), ["he<|im_end|>"]);
    let error = format.prompt_ids(&[Message::user("x"), Message::assistant("a</think>b")]).unwrap_err();
    assert!(matches!(error, FormatError::RewritesContent { index: 1, .. }), "{error}");
}

#[test]
fn a_template_without_end_of_turn_is_refused() {
    let error = load_error(&CHATML.replace("<|im_end|>", ""));
    // The header of the next turn could pass for an end; the last turn has none.
    assert!(matches!(error, FormatError::NoEndOfTurn { index: 3 }), "{error}");
}

#[test]
fn what_a_template_refuses_is_reported_in_its_words() {
    let picky =
        format!("{{% if messages[0].role == 'system' %}}{{{{ raise_exception('No system!') }}}}{{% endif %}}{CHATML}");
    let format = byte_level(&picky).load().unwrap();
    let error = format.prompt_ids(&[Message::system("s"), Message::user("x")]).unwrap_err();
    assert!(error.to_string().contains("No system!"), "{error}");
}

#[test]
fn a_template_file_wins_over_the_setting_and_a_named_default_is_found() {
    let folder = byte_level("{{ raise_exception('the setting') }}");
    std::fs::write(folder.path().join("chat_template.jinja"), CHATML).unwrap();
    assert!(folder.load().is_ok());

    let folder = byte_level(CHATML);
    let named = json!([{"name": "tool_use", "template": "{{ x }}"}, {"name": "default", "template": CHATML}]);
    folder.write("tokenizer_config.json", &json!({"eos_token": {"content": "<|im_end|>"}, "chat_template": named}));
    assert!(folder.load().is_ok());
}

#[test]
fn stop_tokens_come_from_template_tokenizer_and_generation_config() {
    let folder = byte_level(CHATML);
    folder.write("tokenizer_config.json", &json!({"eos_token": "<|endoftext|>", "chat_template": CHATML}));
    folder.write("generation_config.json", &json!({"eos_token_id": [2, 7]}));
    assert_eq!(folder.load().unwrap().end_of_turn_ids(), [2, 0, 7]);
    folder.write("generation_config.json", &json!({"eos_token_id": "two"}));
    let error = folder.load().unwrap_err();
    assert!(error.to_string().contains("generation_config.json`: `eos_token_id` is neither"), "{error}");
}

#[test]
fn missing_and_broken_files_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let error = ChatFormat::load(empty.path()).unwrap_err().to_string();
    assert!(error.contains("tokenizer.json`: the file is missing"), "{error}");

    let error = sentence_piece(None).load().unwrap_err();
    assert!(matches!(error, FormatError::NoTemplate { .. }), "{error}");

    let folder = byte_level(CHATML);
    std::fs::write(folder.path().join("tokenizer_config.json"), "{").unwrap();
    assert!(folder.load().unwrap_err().to_string().contains("tokenizer_config.json"));
    folder.write("tokenizer.json", &json!({"model": 1}));
    folder.write("tokenizer_config.json", &json!({"chat_template": CHATML}));
    assert!(matches!(folder.load().unwrap_err(), FormatError::Tokenizer { .. }));
}

#[test]
fn control_tokens_that_depend_on_the_text_around_them_are_refused() {
    let folder = sentence_piece(Some(&CHATML.replace("<|im_end|>", "</s>")));
    assert!(folder.load().is_ok());
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    // Matched after normalisation, the token no longer starts a new piece with its own dummy blank.
    tokenizer["added_tokens"][2]["normalized"] = true.into();
    folder.write("tokenizer.json", &tokenizer);
    let error = folder.load().unwrap_err();
    assert!(matches!(error, FormatError::PiecesDisagree { .. }), "{error}");
}
