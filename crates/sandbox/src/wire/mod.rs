//! How the processes of a sandbox talk: fields, frames on streams, packets with file descriptors.
//!
//! Everything that comes from inside is hostile: decoding any bytes ends in a value or in [`Corrupt`], never in a panic.

pub(crate) mod fields; // key and value pairs, the payload of everything

pub(crate) mod frame; // length-prefixed frames on a stream

pub(crate) mod packet; // one message with file descriptors

pub(crate) mod link; // frames both ways on a socket that never blocks

/// The bytes are not what the protocol says. Nothing after them can be trusted either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("bytes that are not of the protocol")]
pub(crate) struct Corrupt;
