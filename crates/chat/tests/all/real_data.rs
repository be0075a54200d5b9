//! Thousands of real conversations keep every promise.

use codeact_chat::action::{Action, ActionFormat, ActionParser};
use codeact_chat::{ChatFormat, Role, read_jsonl};

use crate::golden::{shared, skipped};

#[test]
fn every_real_conversation_renders_with_a_sound_mask() {
    let model = shared("tokenizers/mistral");
    if !model.exists() {
        return skipped("masks of real data", &model);
    }
    let format = ChatFormat::chatml_added(&model).unwrap();
    let end = format.end_of_turn_ids()[0];
    for name in ["codeactinstruct_sample", "mint_codeactagent", "mint_trajectories"] {
        let path = shared(&format!("data/{name}.jsonl"));
        if !path.exists() {
            skipped("masks of real data", &path);
            continue;
        }
        for row in read_jsonl(&path).unwrap() {
            let place = format!("{name} line {}", row.line);
            let messages = &row.conversation.messages;
            let example = format.example(&row.conversation).unwrap_or_else(|error| panic!("{place}: {error}"));
            let of_assistant = || messages.iter().filter(|message| message.role == Role::Assistant);
            let ids = example.token_ids.iter().zip(&example.is_target);
            let learned_ends = ids.clone().filter(|(id, is_target)| **is_target && **id == end).count();
            assert_eq!(learned_ends, of_assistant().count(), "{place}");
            assert_eq!(ids.clone().filter(|(id, _)| **id == end).count(), messages.len(), "{place}");
            let learned: Vec<u32> = ids.filter(|(_, is_target)| **is_target).map(|(id, _)| *id).collect();
            let expected: String = of_assistant().map(|message| format!("{}<|im_end|>", message.content)).collect();
            // A turn's first token carries no dummy blank, but the decoder drops one if the text starts with it.
            let decoded = format.decode(&learned, false);
            assert!(expected == decoded || expected.strip_prefix(' ') == Some(&decoded), "{place}");
        }
    }
}

#[test]
fn every_real_assistant_turn_parses_into_its_action() {
    for name in ["codeactinstruct_sample", "mint_codeactagent", "mint_trajectories"] {
        let path = shared(&format!("data/{name}.jsonl"));
        if !path.exists() {
            skipped("actions of real data", &path);
            continue;
        }
        for row in read_jsonl(&path).unwrap() {
            for message in row.conversation.messages.iter().filter(|message| message.role == Role::Assistant) {
                let mut parser = ActionParser::new(ActionFormat::Code);
                parser.push(&message.content);
                parser.finish();
                let is_execute = message.content.contains("<execute>");
                match parser.action().unwrap() {
                    Action::Execute(code) => {
                        assert!(is_execute && message.content.contains(code.lines().next().unwrap_or_default()))
                    }
                    Action::Solution(solution) => {
                        assert!(!is_execute && message.content.contains(solution.as_str()))
                    }
                    Action::Answer(_) | Action::Call(_) => panic!("{name} line {}: {}", row.line, message.content),
                }
            }
        }
    }
}
