//! Conversations from files to a plan: read, turned into tokens and mask, mixed, packed, counted and shown.
//!
//! The mask itself is `codeact-chat`'s; this crate decides which rows are learned, how often and in which order, and
//! that nothing is left out silently. It knows nothing of tensors or models.

#![cfg_attr(test, allow(clippy::unwrap_used))] // a test may fail where it stands

pub mod source; // read first: what a user can ask for

mod files; // paths, globs and folders -> files
mod read; // a file -> raw rows
mod shape; // a raw row -> a conversation

mod cache; // what was encoded before
mod encode; // a file -> tokens, mask, and what was rejected
mod tokens; // where tokens and masks lie

mod report; // what became of the conversations of a file

pub mod load; // all of it: sources -> documents, filtered, held out, counted
pub mod plan; // what is learned when

pub mod page; // what pages about runs share
pub mod preview; // one conversation, its mask made visible
pub mod stats; // all of it in numbers

mod error;
pub mod hash; // sha256 of files and texts, as names

pub use encode::{EncodedFile, Entry, Rejected, Watch};
pub use error::{DataError, Rejection};
pub use files::expand;
pub use load::{DataSet, LengthPolicy, LoadOptions, Part, TooLong, load};
pub use plan::{Document, Pack, Plan, PlanSettings, Share, Sort, Step};
pub use report::FileReport;
pub use shape::{Shape, prompt_of};
pub use source::{Filter, HeldOut, OnBadRow, Role, RowFormat, Source};
