//! A conversation with its mask made visible, on a terminal and on a page.

use codeact_chat::{Conversation, Message};
use codeact_data::preview::{Preview, Shown, Style};

use crate::room::Room;
use crate::tiny::sentence_piece;

fn conversation(user: &str, assistant: &str) -> Conversation {
    Conversation { id: "x".to_owned(), messages: vec![Message::user(user), Message::assistant(assistant)] }
}

#[test]
fn learned_text_stands_between_marks_or_in_colour() {
    let room = Room::new();
    let example = room.chat.example(&conversation("Hi", "Yes")).unwrap();
    let preview = Preview::new(&room.chat);
    let marked = preview.text(&example, Style::Marks);
    assert_eq!(marked, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟦Yes<|im_end|>⟧\n");
    let colored = preview.text(&example, Style::Colors);
    assert!(colored.contains("\x1b[32mYes<|im_end|>\x1b[0m"), "{colored:?}");
}

#[test]
fn every_token_is_listed_once_with_its_id() {
    let room = Room::new();
    // Characters of several bytes, which are tokens each.
    let example = room.chat.example(&conversation("é", "🦀 yes")).unwrap();
    let preview = Preview::new(&room.chat);
    let pieces = preview.pieces(&example);
    let ids: Vec<u32> = pieces.iter().flat_map(|piece| piece.ids.clone()).collect();
    assert_eq!(ids, example.token_ids);
    assert!(pieces.iter().any(|piece| piece.text == "🦀" && piece.ids.len() == 4 && piece.is_target));
    assert!(pieces.iter().filter(|piece| piece.is_control).all(|piece| piece.text.starts_with("<|im_")));
    assert_eq!(pieces.iter().filter(|piece| piece.is_control).count(), 4);
    let list = preview.ids(&example);
    assert_eq!(list.lines().count(), example.token_ids.len());
    assert!(list.lines().nth(3).unwrap().starts_with("     3 "), "{list}");
}

#[test]
fn blanks_before_words_are_shown_as_the_model_sees_them() {
    let format = codeact_chat::ChatFormat::chatml_added(sentence_piece(None).path()).unwrap();
    let example = format.example(&conversation("a the", "the a")).unwrap();
    let text = Preview::new(&format).text(&example, Style::Marks);
    assert!(text.starts_with("<s><|im_start|> user\na the<|im_end|>"), "{text}");
    assert!(text.contains("⟦the a<|im_end|>⟧"), "{text}");
}

#[test]
fn contents_can_command_neither_a_terminal_nor_a_page() {
    let room = Room::new();
    let evil = "\x1b]0;owned\x07\x1b[2J\r\u{202E}\u{61C}\u{200B}</pre><script>alert('1')</script>&\u{9B}31m";
    let example = room.chat.example(&conversation(evil, evil)).unwrap();
    let preview = Preview::new(&room.chat);
    for text in [preview.text(&example, Style::Marks), preview.ids(&example)] {
        assert!(!text.contains(['\x1b', '\x07', '\r', '\u{202E}', '\u{61C}', '\u{200B}', '\u{9B}']), "{text:?}");
    }
    let page = preview.html("<b>", &[Shown { title: "\"<i>\"".to_owned(), example }]);
    assert!(!page.contains("<script") && !page.contains("<b>"), "{page}");
    assert!(!page.contains(['\u{202E}', '\u{61C}', '\u{200B}']), "{page}");
    assert!(page.contains("&lt;b&gt;") && page.contains("&quot;&lt;i&gt;&quot;"), "{page}");
    assert!(page.contains("class=\"t c\" title=\"2\">&lt;|im_end|&gt;</i>"), "{page}");
}
