//! Constrained decoding: which tokens may come next, so that an answer has the shape that was asked for.
//!
//! A [`Grammar`] says what an answer looks like: JSON of a schema, a regular expression, a Lark grammar, or a reply
//! with an `<execute>` or `<solution>` block. Made ready for one [`Vocabulary`], it is a [`Matcher`], which follows one
//! answer token by token. Schemas and grammars come over the network: sizes, nesting, and the work for a token are
//! bounded.
//!
//! This crate wraps `llguidance` and knows nothing of models, tokenizers or chat formats.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error; // read first: what can go wrong
mod vocabulary; // tokens as bytes
mod grammar; // what an answer should look like
mod schema; // which JSON schemas are worked on
mod compile; // with a stack and a time of its own
mod guided; // JSON, regular expressions and Lark, by llguidance
mod action; // replies with `<execute>` or `<solution>`, by tables
mod matcher; // one answer, token by token

pub use action::ActionRule;
pub use error::GrammarError;
pub use grammar::Grammar;
pub use matcher::{Allowed, Matcher};
pub use vocabulary::Vocabulary;
