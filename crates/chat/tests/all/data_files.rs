//! Data files: what is read, and how each fault is reported.

use std::path::PathBuf;

use codeact_chat::{Conversation, Message, ReadError, read_jsonl, write_jsonl};
use tempfile::TempDir;

const GOOD: &str =
    r#"{"id": "a", "conversations": [{"content": "hi", "role": "user"}, {"role": "assistant", "content": "yes"}]}"#;

fn file(content: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.jsonl");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn error(second_line: &str) -> String {
    let (_folder, path) = file(format!("{GOOD}\n{second_line}\n").as_bytes());
    let message = read_jsonl(&path).expect_err("the second line is broken").to_string();
    assert!(message.contains(&format!("`{}` line 2", path.display())), "{message}");
    message
}

fn error_of_roles(roles: &[&str]) -> String {
    let turns: Vec<String> = roles.iter().map(|role| format!(r#"{{"role": "{role}", "content": "x"}}"#)).collect();
    error(&format!(r#"{{"id": "b", "conversations": [{}]}}"#, turns.join(", ")))
}

#[test]
fn key_order_blank_lines_and_a_missing_last_line_break_do_not_matter() {
    let reordered =
        r#"{"conversations": [{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}], "id": "b"}"#;
    let (_folder, path) = file(format!("{GOOD}\r\n\n{reordered}").as_bytes());
    let rows = read_jsonl(&path).unwrap();
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(rows[0].conversation.messages, [Message::user("hi"), Message::assistant("yes")]);
    assert_eq!(rows[1].conversation.id, "b");
}

#[test]
fn what_is_written_is_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let messages = vec![Message::system("s\n\"q\""), Message::user("π\u{0}"), Message::assistant("  a ")];
    let conversation = Conversation { id: "x/1".to_owned(), messages };
    write_jsonl(&path, &[conversation.clone(), conversation.clone()]).unwrap();
    let rows = read_jsonl(&path).unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row.conversation == conversation));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    std::fs::create_dir(&path).unwrap();
    assert!(write_jsonl(&path, &[]).is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_broken_line_is_located_to_the_column() {
    let message = error(r#"{"id": "b", "conversations": ["#);
    assert!(message.contains("column 30: EOF"), "{message}");
    assert!(!message.contains("line 1"), "{message}");
    assert!(error("[]").contains("column"));
    assert!(error(r#"{"id": "b"}"#).contains("missing field `conversations`"));
    assert!(error(&format!("{GOOD} {GOOD}")).contains("trailing characters"));
}

#[test]
fn unknown_keys_are_named() {
    let message = error(r#"{"id": "b", "conversations": [], "weight": 2}"#);
    assert!(message.contains("unknown field `weight`"), "{message}");
    let message = error(r#"{"id": "b", "conversations": [{"role": "user", "value": "x"}]}"#);
    assert!(message.contains("unknown field `value`"), "{message}");
}

#[test]
fn roles_are_checked_by_name_and_order() {
    assert!(error_of_roles(&["user", "gpt"]).contains("message 1 has unknown role `gpt`"));
    assert!(error_of_roles(&["user", "User"]).contains("unknown role `User`"));
    assert!(error_of_roles(&["system", "user", "user"]).contains("message 2 repeats role `user`"));
    assert!(error_of_roles(&["assistant", "user"]).contains("the first turn must be the user's"));
    assert!(error_of_roles(&["user"]).contains("no assistant message"));
    assert!(error_of_roles(&[]).contains("no messages"));
}

#[test]
fn files_that_hold_nothing_or_are_not_text_are_refused() {
    for empty in ["", "\n \n"] {
        let (_folder, path) = file(empty.as_bytes());
        assert!(matches!(read_jsonl(&path), Err(ReadError::Empty { .. })));
    }
    let (_folder, path) = file(b"\xff{}");
    let message = read_jsonl(&path).unwrap_err().to_string();
    assert!(message.contains("line 1: byte 1 of the line is not UTF-8"), "{message}");
    let message = read_jsonl(&path.with_file_name("none.jsonl")).unwrap_err().to_string();
    assert!(message.starts_with("cannot read `") && message.contains("none.jsonl"), "{message}");
}
