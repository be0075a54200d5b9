//! The tables of a settings file. What is left out stays as it is by default.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;

use codeact_eval::{Dtype, OnDevice, Quant};
use serde::Deserialize;

use crate::ApprovalMode;
use crate::mcp::McpTable;

/// All of a settings file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServeConfig {
    /// What is served.
    pub model: ModelTable,
    /// To whom.
    pub listen: ListenTable,
    /// How much of it at once.
    pub limits: LimitsTable,
    /// What is written down.
    pub log: LogTable,
    /// Sessions in which a model runs Python.
    pub agent: AgentTable,
    /// Servers whose tools code can call, by name.
    pub mcp: BTreeMap<String, McpTable>,
}

/// `[agent]`: sessions in which a model runs Python.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentTable {
    /// Folder for all that is kept of them.
    pub state_dir: Option<PathBuf>,
    /// Folder with skills; without it, one in `state_dir`.
    pub skills_dir: Option<PathBuf>,
    /// Whether code waits for a decision (`ask`) where a session does not say, or runs (`auto`).
    pub approval: Option<ApprovalMode>,
    /// Seconds after which a Python that does nothing ends.
    pub idle_seconds: Option<f64>,
    /// MiB that one session may take of the disk.
    pub session_mib_max: Option<NonZeroU32>,
    /// MiB of a file that goes in or out.
    pub file_mib_max: Option<NonZeroU32>,
    /// Sessions of one key, those without a Python included.
    pub sessions_per_key_max: Option<usize>,
    /// Turns of one key at once.
    pub turns_per_key_max: Option<usize>,
    /// The plain model's answers keep `</execute>` where it is the stop string that ended them.
    pub keep_execute_stop: Option<bool>,
    /// Address of a model elsewhere, in the place of one in this process.
    pub endpoint: Option<String>,
    /// Its name there.
    pub endpoint_model: Option<String>,
    /// The wording for it.
    pub endpoint_profile: Option<String>,
}

/// `[model]`: what is served.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelTable {
    /// A folder, a GGUF file, or a name on the hub.
    pub path: Option<String>,
    /// What requests call it; without it, `path`.
    pub name: Option<String>,
    /// PEFT folders by the names that requests use for them.
    pub adapters: BTreeMap<String, PathBuf>,
    /// Folders below it may be loaded and unloaded by requests.
    pub adapter_dir: Option<PathBuf>,
    /// What computes; without it, the processor.
    pub device: Option<OnDevice>,
    /// Precision of the weights; without it, as the files have them.
    pub dtype: Option<Dtype>,
    /// Quantise the weights while they load.
    pub quant: Option<Quant>,
    /// Threads that compute.
    pub threads: Option<NonZeroUsize>,
    /// Memory in MiB for keys and values of all sequences.
    pub kv_memory: Option<NonZeroU32>,
    /// Longest sequence in tokens, prompt and answer together.
    pub context: Option<usize>,
    /// Guess tokens from a request's own text, and check several in one pass. Changes nothing but speed.
    pub speculation: Option<bool>,
}

/// `[listen]`: to whom.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenTable {
    /// Address to listen on.
    pub host: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one.
    pub port: Option<u16>,
    /// Further names by which this server may be called.
    pub hosts: Vec<String>,
    /// Pages that may use it: `localhost`, `*`, or origins.
    pub origins: Option<Vec<String>>,
    /// File with one key a line; without it, everyone who reaches the server may use it.
    pub api_keys: Option<PathBuf>,
    /// Unknown fields of requests are ignored, and listed in a header and in the log.
    pub lenient: bool,
}

/// `[limits]`: how much at once.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsTable {
    /// Open connections.
    pub connections_max: Option<usize>,
    /// Requests answered at once.
    pub requests_max: Option<usize>,
    /// Requests of one key answered at once.
    pub requests_per_key_max: Option<usize>,
    /// Sequences that the model works on at once.
    pub running_max: Option<usize>,
    /// Sequences that wait for that.
    pub waiting_max: Option<usize>,
    /// Prompt tokens read in one pass.
    pub prompt_tokens_per_pass: Option<usize>,
    /// Python processes of sessions and of those who run code without one.
    pub sessions_max: Option<usize>,
    /// Tokens of a completion.
    pub reply_tokens_max: Option<usize>,
    /// Tokens of one reply in a session.
    pub session_reply_tokens_max: Option<usize>,
    /// Bytes of a request's body.
    pub body_bytes_max: Option<usize>,
    /// Seconds after which an answer ends.
    pub request_seconds_max: Option<f64>,
    /// Seconds that running requests get when the server is told to end.
    pub drain_seconds: Option<f64>,
}

/// `[log]`: what is written down, as JSON lines on stderr.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// One line for each request.
    pub requests: Option<bool>,
    /// Prompts and answers in them.
    pub prompts: bool,
}
