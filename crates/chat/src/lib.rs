//! Text to tokens and back: conversations, chat templates, the loss mask, and the actions a model writes.
//!
//! This crate knows nothing of tensors, models or processes. Which tokens are learned is decided in `render`
//! and nowhere else.

#![cfg_attr(test, allow(clippy::unwrap_used))] // a test may fail where it stands

mod conversation; // read first: what a conversation is
mod format; // everything above, loaded from and saved to a model folder
mod jsonl; // conversations in files
mod render; // conversation -> token ids and loss mask, the only place that decides the mask
mod stop; // end a text at a stop string
mod stream; // token ids -> text while they arrive
mod template; // Jinja chat templates
mod token_bytes; // the bytes that each token stands for
mod vocabulary; // the tokenizer, and which of its tokens control the chat

pub mod action; // text -> `<execute>` and `<solution>`

mod contained;
mod disguise; // characters that make a text look like another one
mod error;

pub use conversation::{Conversation, ConversationError, Message, Role};
pub use disguise::{disguises_name, disguises_text};
pub use error::FormatError;
pub use format::{ChatFormat, TextToken};
pub use jsonl::{Located, ReadError, read_jsonl, write_jsonl};
pub use render::Example;
pub use stop::{StopError, StopStrings, StopWatch};
pub use stream::TokenStream;
