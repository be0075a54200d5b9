//! Conversations with prepared replies and a real Python; and models elsewhere, played by a server on this machine.
#![allow(clippy::unwrap_used)] // a test may fail where it stands

mod approvals; // code that somebody looks at first
mod context; // conversations that outgrow the context
mod endpoint; // a model elsewhere
mod fake;
mod formats; // actions that are calls instead of Python
mod history; // back, beside, and on
mod limits; // what ends a turn
mod local; // a real small model
mod setup;
mod transcripts; // a conversation for others
mod turns; // the loop
