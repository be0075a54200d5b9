//! The terminal client as people use it, and tools of MCP servers.
#![allow(clippy::unwrap_used)]

mod driving;
mod mcp;
mod talking;
