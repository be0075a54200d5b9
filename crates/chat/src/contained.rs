//! Calls into the tokenizer and template libraries with what a stranger's file asks for.
//!
//! Known ways to make them panic are refused before ([`crate::vocabulary`], [`crate::template`]), but both have more
//! than can be listed: slices of empty texts, patterns whose matches do not fit a normaliser. A panic there concerns
//! one file, so it becomes an error here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `call`; a panic becomes an error that says `what` failed.
pub(crate) fn contained<T>(what: &str, call: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    // Nothing outlives the panic that it could have left half-done: the libraries' values are dropped with the file.
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let reason = payload.downcast_ref::<String>().map(String::as_str);
        let reason = reason.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(format!("{what} failed in its library: {reason}"))
    })
}
