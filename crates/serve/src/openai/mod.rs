//! OpenAI's API on the plain model, with what vLLM and llama.cpp have beside it. No code runs here; what names the agent
//! is handed on to it.

mod prompt; // what is continued, scored or embedded
mod settings; // how answers are wanted
mod foreign; // fields that are known and not served
mod messages;
mod choice; // one answer while it grows
mod backlog; // what waits to be read
mod run; // all answers to a request
mod answer; // what answers look like
mod reply; // sending them
pub(crate) mod completions; // chat and text
pub(crate) mod embeddings;
pub(crate) mod text; // tokens of a text and back
mod loop_fields; // what a request to the agent may say

pub(crate) use loop_fields::agent_fields;
pub(crate) use run::Usage;
pub(crate) use settings::Settings;
