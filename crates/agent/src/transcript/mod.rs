//! A conversation for others: as training data, as a notebook, as text to read. Pure functions of what was said.

mod told; // events put together to cells and answers

mod notebook; // Jupyter's format

mod markdown; // text to read

pub use markdown::markdown;
pub use notebook::notebook;

use codeact_chat::{Conversation, ConversationError, Message, Role};

/// One line of training data in CodeActInstruct's schema, with its line break: what our trainer reads.
///
/// What follows the last reply of the model is left out, as nothing is learned from it.
///
/// # Errors
/// When the messages are no conversation, such as one without a reply.
pub fn jsonl(id: &str, messages: &[Message]) -> Result<String, ConversationError> {
    let last = messages.iter().rposition(|message| message.role == Role::Assistant);
    let messages = &messages[..last.map_or(messages.len(), |last| last + 1)];
    Conversation::validate(messages)?;
    let row = Conversation { id: id.to_owned(), messages: messages.to_vec() };
    Ok(serde_json::to_string(&row).expect("text is always valid JSON") + "\n")
}
