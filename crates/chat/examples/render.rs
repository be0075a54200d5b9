//! Conversations as a model's template renders them, for `tests/export_check.py`.
//!
//! usage: render MODEL_DIR MESSAGES.json
//!
//! MESSAGES.json is a list of conversations, each a list of `{"role", "content"}`. Prints one JSON object for each:
//! `text` and `ids`, opened for the assistant's next turn when the last message is the user's.

use std::path::Path;

use codeact_chat::{ChatFormat, Conversation, Message, Role};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, messages] = &args[..] else {
        return Err("usage: render MODEL_DIR MESSAGES.json".into());
    };
    let format = ChatFormat::load(Path::new(model))?;
    let conversations: Vec<Vec<Message>> = serde_json::from_str(&std::fs::read_to_string(messages)?)?;
    for messages in conversations {
        let open = messages.last().is_some_and(|message| message.role == Role::User);
        let text = format.render(&messages, open)?;
        let ids = if open {
            format.prompt_ids(&messages)?
        } else {
            let id = "sample".to_owned();
            format.example(&Conversation { id, messages })?.token_ids
        };
        println!("{}", serde_json::json!({ "text": text, "ids": ids }));
    }
    Ok(())
}
